"""Posts markers to the server and says what became of each: `POST /v1/markers`.

The server, and whoever stands on the way to it, is not trusted with our time or memory: one
request ends when its time is over, however slowly bytes come (`connection`); an answer is read
strictly and up to a bound (`http1`); redirects are not followed, because the token would travel
along. Name resolution has no time limit, so callers that must not wait run this in a thread of
their own (`sender`). It decides about one batch; retries are the sender's.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from deploymark.emit.connection import Connection, Deadline, said_of
from deploymark.emit.credential import Credential
from deploymark.emit.endpoint import Endpoint, parse_endpoint
from deploymark.emit.host import Host
from deploymark.emit.http1 import Response, http_date, request_bytes
from deploymark.emit.settings import Settings
from deploymark.errors import (
    DeploymarkError,
    IdentityRefusedError,
    IssuerUnavailableError,
    RateLimitedError,
    ServerUnavailableError,
)

MAX_ANSWER_BYTES: Final = 1_000_000
MAX_RETRY_SECONDS: Final = 300.0

_ZIPPED_BYTES: Final = 4_096
_FAILED: Final = 400
_UNAUTHENTICATED: Final = 401
_SERVER_FAILED: Final = 500
# The marker is right, and the caller, the moment or the place is not: all this may change.
_KEPT: Final = frozenset({401, 403, 404, 408, 425, 429})
_FORBIDDEN: Final = 403
_SHOWN: Final = 200

Content = Mapping[str, Any]
_NOTHING: Final[Content] = {}


class Outcome(NamedTuple):
    """What the server says about one marker.

    Attributes:
        status: As of HTTP.
        content: Index and ids, or the problem.
    """

    status: int
    content: Content

    @property
    def accepted(self) -> bool:
        """Whether it stands in the log now, by this request or an earlier one."""
        return self.status < _FAILED

    @property
    def final(self) -> bool:
        """Whether sending it again is useless."""
        return self.accepted or (self.status < _SERVER_FAILED and self.status not in _KEPT)

    @property
    def forbidden(self) -> bool:
        """Whether this caller may not say it now; what others say is not touched by that."""
        return self.status == _FORBIDDEN and isinstance(self.content.get("code"), str)


class Posted(NamedTuple):
    """What became of a batch.

    Attributes:
        outcomes: One per marker, in order; empty when there was no answer about them.
        problem: Why the batch must be sent again, in one sentence, or "".
        retry_seconds: What the server asks to wait, or None.
        divisible: The server refused the batch as a whole: its parts may fare better.
        refusal: The problem with which the server does not take it now; empty without one.
    """

    outcomes: Sequence[Outcome] = ()
    problem: str = ""
    retry_seconds: float | None = None
    divisible: bool = False
    refusal: Content = _NOTHING


class Poster:
    """Keeps one connection to the server.

    Not safe for threads.

    Args:
        settings: Where to, with which token.
        host: Tells the time.

    Raises:
        UsageError: The URL is not one that markers can be sent to.
    """

    def __init__(self, settings: Settings, host: Host) -> None:
        self._endpoint: Endpoint = parse_endpoint(settings)
        self._credential = Credential(settings, host)
        self._seconds = settings.request_seconds
        self._host = host
        self._connection: Connection | None = None
        self._deadline = Deadline(host)

    def post(self, bodies: Sequence[bytes]) -> Posted:
        """Send markers and return what the server says; never raises for what it does.

        Args:
            bodies: JSON objects, at most 1,000 and 4 MB.
        """
        body = bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"
        try:
            return self._ask(body, len(bodies))
        except (IdentityRefusedError, IssuerUnavailableError, RateLimitedError) as error:
            return _without_token(error)
        except Exception as error:  # noqa: BLE001 - a strange answer must not harm the host
            self.close()
            said = said_of(error)[:_SHOWN]
            return Posted(problem=f"{self._endpoint.shown} did not answer: {said}.")

    def close(self) -> None:
        """Close the connection; idempotent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def abandon(self) -> None:
        """Let go of the connection in a forked child; the parent's thread goes on using it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abandon()

    def _ask(self, body: bytes, count: int) -> Posted:
        token = self._credential.token()
        self._deadline.set(self._seconds)  # getting one has a time of its own
        response = self._respond(self._request(body, token))
        if response.status == _UNAUTHENTICATED:
            self._credential.forget()
        wait = self._wait_seconds(response.headers.get("retry-after", ""))
        return read_answer(response.status, response.body, count, self._endpoint.shown, wait)

    def _request(self, body: bytes, token: str) -> bytes:
        headers = {
            "Host": self._endpoint.name,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
            "Date": http_date(self._host.now_ms()),  # by this the server measures our clock
            "User-Agent": "deploymark-emit",
        }
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if len(body) > _ZIPPED_BYTES:
            packer = zlib.compressobj(1, wbits=31)
            body = packer.compress(body) + packer.flush()
            headers["Content-Encoding"] = "gzip"
        return request_bytes("POST", self._endpoint.path, headers, body)

    def _respond(self, request: bytes) -> Response:
        reused = self._connection is not None and self._connection.is_quiet()
        if not reused:
            self.close()
        try:
            return self._exchange(request)
        except (ConnectionError, ServerUnavailableError):
            # A server may end an idle connection at any time, also while we begin to send. If it
            # took the markers all the same, it knows them when they come again.
            if not reused:
                raise
            self.close()
            return self._exchange(request)

    def _exchange(self, request: bytes) -> Response:
        if self._connection is None:
            self._connection = Connection(self._endpoint, self._deadline)
        response = self._connection.ask(request, MAX_ANSWER_BYTES)
        if not response.reusable:
            self.close()
        return response

    def _wait_seconds(self, asked: str) -> float | None:
        """Read Retry-After: seconds or a date (RFC 9110, section 10.2.3)."""
        if not asked:
            return None
        if asked.isascii() and asked.isdigit():
            return min(float(asked[:9]), MAX_RETRY_SECONDS)
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - hardly ever needed

        try:
            until = parsedate_to_datetime(asked).timestamp()
        except ValueError:
            return None
        return min(max(until - self._host.now_ms() / 1000, 0.0), MAX_RETRY_SECONDS)


def _without_token(error: DeploymarkError) -> Posted:
    """Return what became of a batch that could not be sent for want of a token: it is kept."""
    told = {"code": error.code, "detail": error.message, "hint": error.hint}
    return Posted(
        problem=f"{error.message} {error.hint}".rstrip(),
        retry_seconds=getattr(error, "retry_after_s", None),
        refusal=told if isinstance(error, IdentityRefusedError) else _NOTHING,
    )


def read_answer(
    status: int, content: bytes, count: int, shown: str, retry_seconds: float | None = None
) -> Posted:
    """Return what an answer says about a batch; pure.

    Args:
        status: Of the HTTP answer.
        content: Its body.
        count: How many markers were sent.
        shown: The server's name in messages.
        retry_seconds: What Retry-After said.
    """
    value = _object(content)
    if status in _KEPT or status >= _SERVER_FAILED or 300 <= status < _FAILED or status < 200:  # noqa: PLR2004 - classes of status
        told = _first_problem(value)
        each = _results(value, count) if count > 1 else [Outcome(status, value)]
        about = each if status == _FORBIDDEN and all(one.forbidden for one in each) else ()
        return Posted(about, _said(shown, status, told), retry_seconds, refusal=told)
    if count > 1 and isinstance(value.get("results"), list):
        outcomes = _results(value, count)
        if outcomes:
            return Posted(outcomes, "", retry_seconds)
    elif status >= _FAILED:
        # One problem for all: a single marker is refused, a batch may hold one that spoils it.
        if count > 1:
            return Posted(problem=_said(shown, status, value), divisible=True)
        # A refusal of deploymark's has a code; one of something on the way is not the last word.
        if isinstance(value.get("code"), str):
            return Posted([Outcome(status, value)])
    elif count == 1 and isinstance(value.get("index"), int):
        return Posted([Outcome(status, value)])
    return Posted(
        problem=f"{shown} answered with status {status} what is no answer of deploymark's: "
        f"{content[:_SHOWN]!r}."
    )


def _first_problem(value: dict[str, Any]) -> dict[str, Any]:
    """Return the problem in an answer: of a batch that was refused for one reason, its first."""
    results = value.get("results")
    if isinstance(results, list) and results and isinstance(results[0], dict):
        return results[0]
    return value


def _results(value: dict[str, Any], count: int) -> list[Outcome]:
    """Return the outcome of each marker of a batch; nothing where an answer does not fit."""
    results = value.get("results")
    if not isinstance(results, list) or len(results) != count:
        return []
    found = [each for result in results if (each := _outcome(result)) is not None]
    return found if len(found) == count else []


def _outcome(result: object) -> Outcome | None:
    if not isinstance(result, dict):
        return None
    status = result.get("status")
    if type(status) is not int or not 200 <= status < 600:  # noqa: PLR2004 - a status
        return None
    # What claims to be accepted must say where it stands.
    if status < _FAILED and not isinstance(result.get("index"), int):
        return None
    return Outcome(status, result)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _said(shown: str, status: int, problem: Content) -> str:
    said = problem.get("detail") or problem.get("title") or ""
    if 300 <= status < _FAILED:  # noqa: PLR2004 - redirects
        said = "redirects are not followed; set DEPLOYMARK_URL to where it leads"
    hint = problem.get("hint") or ""
    text = f"{shown} answered with status {status}"
    return (f"{text}: {said}" if said else f"{text}.")[: 2 * _SHOWN] + (f" {hint}" if hint else "")
