"""Signatures of outgoing webhooks by Standard Webhooks 1.0.0, symmetric scheme `v1`. Pure.

Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md. What is signed is
``{id}.{timestamp}.{body}``, so an id must not hold a full stop; `message_id_of` writes any text as
one that does not. Sending is the business of whoever has a connection.
"""

import hmac
import re
from typing import Final

from deploymark.crypto.base64text import decode_base64, encode_base64
from deploymark.errors import SignatureError, UsageError

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"
TOLERANCE_SECONDS: Final = 300
"""How far from now a receiver takes the time of an attempt, before or behind."""

_PREFIX: Final = "whsec_"
_SCHEME: Final = "v1,"
_LEAST_BYTES: Final = 24
_MOST_BYTES: Final = 64
_ID: Final = re.compile(r"[!-\-/-~]+", re.ASCII)  # visible, without the full stop
_UNSAFE: Final = re.compile(rb"[^!-$&-\-/-~]")  # those, and the percent sign that escapes them


def parse_secret(text: str) -> bytes:
    """Return the key in a secret as people keep it: `whsec_` and standard base64.

    Args:
        text: The secret; white space around it, as files end with, is left out.

    Raises:
        UsageError: It is no such secret, or not of 24 to 64 bytes. It is never shown.
    """
    stripped = text.strip()
    if not stripped.startswith(_PREFIX):
        raise _no_secret("does not begin with whsec_")
    try:
        secret = decode_base64(stripped.removeprefix(_PREFIX))
    except ValueError:
        raise _no_secret("is not base64 behind whsec_") from None
    if not _LEAST_BYTES <= len(secret) <= _MOST_BYTES:
        raise _no_secret(f"has {len(secret)} bytes, not {_LEAST_BYTES} to {_MOST_BYTES}")
    return secret


def message_id_of(text: str) -> str:
    """Return the message id that stands for a text: the same one each time, of another another.

    Args:
        text: Such as the key of an order; what an id cannot hold is percent-encoded.
    """
    return _UNSAFE.sub(lambda found: b"%%%02X" % found[0][0], text.encode()).decode("ascii")


def sign(secret: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """Return the value of `webhook-signature` for one attempt to send a message.

    Args:
        secret: From `parse_secret`.
        message_id: The value of `webhook-id`: the same at every attempt.
        timestamp_s: The value of `webhook-timestamp`: seconds since the Unix epoch, of the attempt.
        body: Exactly as it is sent.

    Returns:
        `v1,` and the base64 of the HMAC-SHA256. Several, for two secrets at once, are joined by a
        space.

    Raises:
        UsageError: The id is empty, or holds a full stop or what is no visible ASCII.
    """
    if not _ID.fullmatch(message_id):
        raise UsageError(f"{message_id!r} cannot be the id of a webhook.")
    content = b"%b.%d.%b" % (message_id.encode("ascii"), timestamp_s, body)
    return _SCHEME + encode_base64(hmac.digest(secret, content, "sha256"))


def verify(
    secret: bytes,
    message_id: str,
    timestamp_s: int,
    body: bytes,
    signatures: str,
    now_s: int,
) -> None:
    """Check a webhook that came in, as every receiver must.

    Args:
        secret: From `parse_secret`.
        message_id: The value of `webhook-id`.
        timestamp_s: The value of `webhook-timestamp`.
        body: Exactly as it came.
        signatures: The value of `webhook-signature`: any number, parted by spaces; one must hold.
        now_s: Seconds since the Unix epoch.

    Raises:
        SignatureError: None holds, or the attempt is more than `TOLERANCE_SECONDS` from now.
    """
    if abs(now_s - timestamp_s) > TOLERANCE_SECONDS:
        raise SignatureError("The webhook was signed at another time than now.")
    try:
        wanted = sign(secret, message_id, timestamp_s, body).encode("ascii")
    except UsageError as error:
        raise SignatureError(error.message) from None
    # As bytes, because compare_digest refuses text that is not ASCII. All are compared.
    held = [hmac.compare_digest(each.encode(), wanted) for each in signatures.split(" ")]
    if not any(held):
        raise SignatureError("No signature of the webhook holds with this secret.")


def _no_secret(why: str) -> UsageError:
    return UsageError(
        f"The secret of a webhook {why}.",
        hint=f"Make one with: echo whsec_$(head -c {_LEAST_BYTES} /dev/urandom | base64)",
    )
