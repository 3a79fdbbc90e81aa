"""The way to a server: plain HTTP requests with a token, on a connection that is kept open.

It knows nothing of deploymark but JSON, problems and Retry-After, as any program would.
"""

import http.client
import json
import time
from collections.abc import Iterator, Mapping
from email.utils import formatdate
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from deploymark.errors import ServerUnavailableError, UsageError

Json = dict[str, Any]

_SECONDS: Final = 30.0
_TRIES: Final = 40
_PAUSE_SECONDS: Final = 0.25
_LONGEST_PAUSE_SECONDS: Final = 5.0
_LATER: Final = frozenset({429, 503})
_PAGE: Final = 200
_REFUSED: Final = 400


class Reply(NamedTuple):
    """What a server answered."""

    status: int
    content: Json


class Door:
    """Asks one server as one caller; not for several threads at once.

    Args:
        url: Of the server, `http` or `https`.
        token: Of the caller; "" shows none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError(
                f"{url!r} is not the address of a server.",
                hint="Write it like http://127.0.0.1:8420.",
            )
        kind = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._connection = kind(parts.hostname, parts.port, timeout=_SECONDS)
        self._base = parts.path.rstrip("/")
        self._token = token
        self.url = url

    def get(self, path: str, **parameters: object) -> Reply:
        """Ask for something; parameters that are None are left out."""
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._ask("GET", f"{path}?{urlencode(given)}" if given else path, None, {})

    def found(self, path: str, **parameters: object) -> Json:
        """Return what is found at a path.

        Raises:
            ServerUnavailableError: The server answers with a refusal.
        """
        reply = self.get(path, **parameters)
        if reply.status >= _REFUSED:
            raise ServerUnavailableError(
                f"GET {path} is answered with {reply.status}: {reply.content.get('detail')}."
            )
        return reply.content

    def items(self, path: str, **parameters: object) -> Iterator[Json]:
        """Yield the items of all pages."""
        cursor: object = None
        while True:
            page = self.found(path, limit=_PAGE, cursor=cursor, **parameters)
            yield from page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return

    def post(self, path: str, body: bytes, *, at_ms: int | None = None) -> Reply:
        """Hand something in; when the server is busy, again.

        Args:
            path: Where.
            body: JSON.
            at_ms: What the caller's clock shows, for the header `Date`.
        """
        headers = {"Content-Type": "application/json"}
        if at_ms is not None:
            headers["Date"] = formatdate(at_ms / 1_000, usegmt=True)
        return self._ask("POST", path, body, headers)

    def delete(self, path: str) -> Reply:
        """Delete what stands at a path."""
        return self._ask("DELETE", path, None, {})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, method: str, path: str, body: bytes | None, more: Mapping[str, str]) -> Reply:
        headers = {"Accept": "application/json, application/problem+json", **more}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        said = "no answer"
        for _ in range(_TRIES):
            try:
                self._connection.request(method, self._base + path, body, headers)
                answer = self._connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                # A repeated marker is a duplicate, so asking again is always right.
                said = str(error) or type(error).__name__
                self._connection.close()
                time.sleep(_PAUSE_SECONDS)
                continue
            if answer.status not in _LATER:
                return Reply(answer.status, _object(content))
            said = f"{answer.status}"
            time.sleep(_pause(answer.getheader("Retry-After")))
        raise ServerUnavailableError(f"The server {self.url} gives no answer ({said}).")


def segment(text: str) -> str:
    """Return a name as one segment of a path."""
    return quote(text, safe="~")


def _pause(retry_after: str | None) -> float:
    if retry_after is None or not retry_after.isdigit():
        return _PAUSE_SECONDS
    return min(max(float(retry_after), _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS)


def _object(content: bytes) -> Json:
    try:
        value = json.loads(content) if content else {}
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}
