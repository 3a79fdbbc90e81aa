"""Whether a webhook that came in is whose it says: three profiles, one verifier. Pure.

`hex`: HMAC-SHA256 of the body in hexadecimal behind `sha256=` (GitHub, Flux). `standard`: Standard
Webhooks, whose attempts are dated, so that one cannot be replayed for long (GitLab). `plain`: the
secret itself in a header, which proves nothing of the body (GitLab's token, Argo CD's templates).
Where secrets are kept, and whose word the webhook then is, is others' to say.
"""

import hmac
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final

from deploymark.crypto.standard_webhooks import (
    ID_HEADER,
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    parse_secret,
    verify,
)
from deploymark.errors import SignatureError, UsageError

HEX_PREFIX: Final = "sha256="
LEAST_CHARACTERS: Final = 16
"""Of a secret: shorter ones are guessed."""

_DIGITS: Final = 15


class Profile(StrEnum):
    """How a sender shows that it knows the secret."""

    HEX = "hex"
    STANDARD = "standard"
    PLAIN = "plain"


def check_secret(profile: Profile, secret: str) -> None:
    """Refuse what is no secret of a profile; it is never shown.

    Raises:
        UsageError: Shorter than 16 characters, or not `whsec_…` where the profile asks for it.
    """
    if profile is Profile.STANDARD:
        parse_secret(secret)
    elif len(secret) < LEAST_CHARACTERS:
        raise UsageError(
            f"The secret of a webhook has {len(secret)} characters; {LEAST_CHARACTERS} at least.",
            hint="Make one with: openssl rand -hex 32",
        )


def verify_webhook(
    profile: Profile,
    header: str,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now_s: int,
) -> None:
    """Check a webhook against the secrets of which its sender should know one.

    Args:
        profile: How it shows that.
        header: The lower-case name of the header that says it; `standard` has names of its own.
        secrets: As people keep them; several while one is replaced.
        headers: Of the request, by lower-case name.
        body: Exactly as it came.
        now_s: Seconds since the Unix epoch.

    Raises:
        SignatureError: Nothing is shown, or none of the secrets holds; in the profile `standard`
            also an attempt that was signed at another time than now.
    """
    if not secrets:
        raise SignatureError("No secret is configured for this webhook.")
    # All are tried, so that the time tells nothing of which one held.
    held = [_holds(profile, header, secret, headers, body, now_s) for secret in secrets]
    if not any(held):
        raise SignatureError("The webhook shows no signature that holds with our secret.")


def _holds(
    profile: Profile,
    header: str,
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now_s: int,
) -> bool:
    shown = headers.get(header, "").strip().encode("utf-8", "surrogateescape")
    match profile:
        case Profile.HEX:
            wanted = HEX_PREFIX + hmac.digest(secret.encode(), body, "sha256").hex()
            return hmac.compare_digest(shown.lower(), wanted.encode())
        case Profile.PLAIN:
            return hmac.compare_digest(shown, secret.encode())
        case Profile.STANDARD:
            return _holds_standard(secret, headers, body, now_s)


def _holds_standard(secret: str, headers: Mapping[str, str], body: bytes, now_s: int) -> bool:
    at = headers.get(TIMESTAMP_HEADER, "").strip()
    if not (at.isascii() and at.isdigit()) or len(at) > _DIGITS:
        return False
    try:
        key = parse_secret(secret)
        signatures = headers.get(SIGNATURE_HEADER, "")
        verify(key, headers.get(ID_HEADER, ""), int(at), body, signatures, now_s)
    except (SignatureError, UsageError, UnicodeEncodeError):
        return False
    return True
