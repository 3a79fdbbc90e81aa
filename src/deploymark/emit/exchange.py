"""Exchanges the identity of this CI job for a token of the server (RFC 8693), in memory only.

Where the identity token comes from: an environment variable (GitLab's `id_tokens`), a file (a
projected service account token of Kubernetes, read anew each time), or the address that GitHub
Actions gives its jobs. Whoever answers is bounded in time and size, and redirects are not followed.
"""

import json
import re
from typing import Any, Final
from urllib.parse import quote, urlencode

from deploymark.emit.connection import Connection, Deadline, said_of
from deploymark.emit.endpoint import Endpoint, parse_endpoint, proxy_of
from deploymark.emit.host import Host
from deploymark.emit.http1 import Response, request_bytes
from deploymark.emit.posting import destination
from deploymark.emit.settings import JobIdentity, Settings
from deploymark.errors import (
    DeploymarkError,
    IdentityRefusedError,
    IssuerUnavailableError,
    RateLimitedError,
    ServerUnavailableError,
    UsageError,
)

MAX_ANSWER_BYTES: Final = 65_536

_MARKERS: Final = "/v1/markers"
_PATH: Final = "/v1/tokens/exchange"
_OK, _TOO_MANY, _SERVER_FAILED = 200, 429, 500
_LATER: Final = frozenset({408, 425, _TOO_MANY})
_MOST_SECONDS: Final = 86_400
_WAIT_SECONDS: Final = 10
_SHOWN: Final = 300
_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_FORM: Final = {
    "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
}
_NO_IDENTITY: Final = (
    "GitHub Actions needs `permissions: id-token: write`, GitLab `id_tokens:` with "
    "DEPLOYMARK_ID_TOKEN, Kubernetes DEPLOYMARK_ID_TOKEN_FILE; docs/howto/ci-without-secrets.md."
)


def exchange(settings: Settings, host: Host) -> tuple[str, float]:
    """Return a token of the server for the identity of this job, and for how many seconds.

    Args:
        settings: With an identity, and the server.
        host: Tells how time passes.

    Raises:
        IdentityRefusedError: There is no identity token, or the server does not trust it.
        IssuerUnavailableError, RateLimitedError: Nobody can tell now.
        UsageError: The URL is not one of a server.
    """
    if settings.identity is None:
        raise IdentityRefusedError("No identity was asked for.")
    endpoint = parse_endpoint(settings)
    endpoint = endpoint._replace(path=endpoint.path.removesuffix(_MARKERS) + _PATH)
    form = {**_FORM, "subject_token": identity_token(settings.identity, settings, host)}
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = _ask("POST", endpoint, headers, urlencode(form).encode(), settings, host)
    told = _object(answer.body)
    if answer.status != _OK:
        raise _refusal(endpoint.shown, answer, told)
    token, seconds = told.get("access_token"), told.get("expires_in")
    if not (isinstance(token, str) and _TOKEN.fullmatch(token) and type(seconds) is int):
        raise IssuerUnavailableError(f"{endpoint.shown} answered with no token.")
    return token, float(min(max(seconds, 1), _MOST_SECONDS))


def identity_token(identity: JobIdentity, settings: Settings, host: Host) -> str:
    """Return what proves who this job is; raises as `exchange`."""
    if identity.text:
        return identity.text
    if identity.file:
        return _read(identity.file)
    if not (identity.request_url and identity.request_token):
        raise IdentityRefusedError(
            "DEPLOYMARK_OIDC is set, and nothing gives this job an identity token.",
            hint=_NO_IDENTITY,
        )
    return _requested(identity, settings, host)


def _read(file: str) -> str:
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - as the whole room
            return opened.read(MAX_ANSWER_BYTES).decode("ascii").strip()
    except (OSError, ValueError) as error:
        raise IssuerUnavailableError(
            f"The identity token in {file} cannot be read: {error}.",
            hint="DEPLOYMARK_ID_TOKEN_FILE names the file of the projected token.",
        ) from error


def _requested(identity: JobIdentity, settings: Settings, host: Host) -> str:
    """Ask GitHub Actions for the identity token of this job."""
    audience = identity.audience or settings.url.rstrip("/")
    join = "&" if "?" in identity.request_url else "?"
    try:
        endpoint = destination(f"{identity.request_url}{join}audience={quote(audience, safe='')}")
        if endpoint.secure:
            proxy, login = proxy_of(settings, endpoint.server[0])
            endpoint = endpoint._replace(proxy=proxy, proxy_login=login)
    except UsageError as error:
        raise IdentityRefusedError(
            f"ACTIONS_ID_TOKEN_REQUEST_URL cannot be asked: {error.message}"
        ) from error
    headers = {"Authorization": f"bearer {identity.request_token}"}
    answer = _ask("GET", endpoint, headers, b"", settings, host)
    token = _object(answer.body).get("value")
    if answer.status == _OK and isinstance(token, str) and token:
        return token
    said = f"GitHub gives this job no identity token (status {answer.status})."
    if answer.status in _LATER or answer.status >= _SERVER_FAILED:
        raise IssuerUnavailableError(said, hint="Try again.")
    raise IdentityRefusedError(said, hint=_NO_IDENTITY)


def _ask(
    method: str,
    endpoint: Endpoint,
    headers: dict[str, str],
    body: bytes,
    settings: Settings,
    host: Host,
) -> Response:
    every = {
        "Host": endpoint.name,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "deploymark-emit",
        **headers,
    }
    deadline = Deadline(host)
    deadline.set(settings.request_seconds)
    try:
        connection = Connection(endpoint, deadline)
        try:
            return connection.ask(
                request_bytes(method, endpoint.path, every, body), MAX_ANSWER_BYTES
            )
        finally:
            connection.close()
    except (OSError, ServerUnavailableError) as error:
        why = said_of(error)
        raise IssuerUnavailableError(
            f"{endpoint.shown} did not answer: {why[:_SHOWN]}.", hint="Try again."
        ) from error


def _refusal(shown: str, answer: Response, told: dict[str, Any]) -> DeploymarkError:
    said = str(told.get("error_description") or told.get("error") or "")[:_SHOWN]
    text = f"{shown} gives no token for the identity of this job (status {answer.status})"
    text = f"{text}: {said}" if said else f"{text}."
    if answer.status == _TOO_MANY:
        asked = answer.headers.get("retry-after", "")
        wait = int(asked[:3]) if asked.isascii() and asked.isdigit() else _WAIT_SECONDS
        return RateLimitedError(text, retry_after_s=wait)
    # What is no answer of deploymark's, as of a proxy on the way, is not the last word.
    if answer.status in _LATER or answer.status >= _SERVER_FAILED or "error" not in told:
        return IssuerUnavailableError(text, hint="Try again.")
    return IdentityRefusedError(text)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
