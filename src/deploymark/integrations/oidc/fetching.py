"""Asks an issuer for its keys, or reads them from a file; bounded, and believing little.

An issuer is a stranger: its answers are bounded in size and time, redirects are not followed, and
its document may send us to no other server than its own. Addresses are of https, or of http on this
host, as for witnesses.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from deploymark.emit.connection import Connection, Deadline
from deploymark.emit.endpoint import Endpoint
from deploymark.emit.host import Host
from deploymark.emit.http1 import Response, request_bytes
from deploymark.emit.posting import destination
from deploymark.errors import DeploymarkError, IssuerUnavailableError
from deploymark.integrations.oidc.settings import OidcSettings
from deploymark.model.reading import read_json

MAX_ANSWER_BYTES: Final = 262_144
FETCH_SECONDS: Final = 5.0

_OK: Final = 200
_DISCOVERY: Final = "/.well-known/openid-configuration"


class Fetched(NamedTuple):
    """A key set, as it came.

    Attributes:
        content: The JSON object.
        cache_control: What was said about keeping it, "" when nothing was.
    """

    content: dict[str, Any]
    cache_control: str


Fetch = Callable[[], Fetched]
"""Gets the key set; raises IssuerUnavailableError."""


def fetch_of(rule: OidcSettings, host: Host) -> Fetch:
    """Return how the keys of a rule's issuer are had.

    Args:
        rule: Says where they are; it was checked.
        host: Tells how time passes.
    """
    if rule.jwks_file:
        return lambda: _read(Path(rule.jwks_file))
    return lambda: _ask_issuer(rule, host)


def _read(file: Path) -> Fetched:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_ANSWER_BYTES + 1)
    except OSError as error:
        raise IssuerUnavailableError(f"{file} cannot be read: {error.strerror}.") from error
    return Fetched(_object(content, str(file)), "")


def _ask_issuer(rule: OidcSettings, host: Host) -> Fetched:
    address = rule.jwks_url or _discovered(rule, host)
    endpoint = destination(address)
    answer = _get(endpoint, rule.ca_file, host)
    return Fetched(
        _object(answer.body, endpoint.shown), answer.headers.get("cache-control", "").lower()
    )


def _discovered(rule: OidcSettings, host: Host) -> str:
    """Return where the issuer says that its keys are (OpenID Connect Discovery 1.0, section 4)."""
    endpoint = destination(rule.issuer.rstrip("/") + _DISCOVERY)
    document = _object(_get(endpoint, rule.ca_file, host).body, endpoint.shown)
    if document.get("issuer") != rule.issuer:
        raise IssuerUnavailableError(f"{endpoint.shown} says that it is another issuer.")
    address = document.get("jwks_uri")
    try:
        keys = destination(address if isinstance(address, str) else "")
    except DeploymarkError as error:
        raise IssuerUnavailableError(f"{endpoint.shown} names no address of its keys.") from error
    if (keys.server, keys.secure) != (endpoint.server, endpoint.secure):
        raise IssuerUnavailableError(
            f"{endpoint.shown} says that its keys are on another server, which is not asked.",
            hint="If that is right, name the address in jwks_url.",
        )
    return str(address)


def _get(endpoint: Endpoint, ca_file: str, host: Host) -> Response:
    headers = {
        "Host": endpoint.name,
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
        "User-Agent": "deploymark",
    }
    deadline = Deadline(host)
    deadline.set(FETCH_SECONDS)
    try:
        connection = Connection(endpoint, deadline, authorities=ca_file)
        try:
            answer = connection.ask(request_bytes("GET", endpoint.path, headers), MAX_ANSWER_BYTES)
        finally:
            connection.close()
    except (OSError, DeploymarkError) as error:
        why = str(error) or type(error).__name__
        raise IssuerUnavailableError(f"{endpoint.shown} did not answer: {why}.") from error
    if answer.status != _OK:
        raise IssuerUnavailableError(
            f"{endpoint.shown} answered with status {answer.status}; redirects are not followed."
        )
    return answer


def _object(content: bytes, shown: str) -> dict[str, Any]:
    if len(content) > MAX_ANSWER_BYTES:
        raise IssuerUnavailableError(f"{shown} holds more than {MAX_ANSWER_BYTES} bytes.")
    try:
        value = read_json(content)
    except DeploymarkError as error:
        raise IssuerUnavailableError(f"{shown} gave no JSON: {error.message}") from error
    if not isinstance(value, dict):
        raise IssuerUnavailableError(f"{shown} gave no JSON object.")
    return value
