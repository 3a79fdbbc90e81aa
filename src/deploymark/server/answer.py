"""What goes back to a client: a status, headers encoded once, and bytes.

Every answer says the same about security. The page that a browser might make of one may load
nothing, may be framed by nobody and is kept in no cache, unless the operation knows better.
"""

import gzip
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.types import Receive, Send

Headers = tuple[tuple[bytes, bytes], ...]

JSON = "application/json"
PROBLEM = "application/problem+json"
TEXT = "text/plain; charset=utf-8"
BYTES = "application/octet-stream"
EVENTS = "text/event-stream"

SECURITY: Headers = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
IMMUTABLE = (b"cache-control", b"public, max-age=31536000, immutable")

encode_json = msgspec.json.Encoder().encode
"""Write any value that an answer is made of."""


def headers_of(media_type: str, *more: tuple[bytes, bytes], cache: bytes = b"no-store") -> Headers:
    """Return the headers of answers of one kind; make them once, not for each request."""
    return (
        (b"content-type", media_type.encode("ascii")),
        (b"cache-control", cache),
        *SECURITY,
        *more,
    )


JSON_HEADERS = headers_of(JSON)
TEXT_HEADERS = headers_of(TEXT)


class Answer(Struct, frozen=True, gc=False):
    """A whole answer.

    Attributes:
        status: HTTP status.
        body: What is sent; empty for 204.
        headers: All but Content-Length.
    """

    status: int
    body: bytes
    headers: Headers = JSON_HEADERS

    async def send(self, send: Send) -> None:
        """Write it to the connection."""
        headers = self.headers
        if self.status != NO_CONTENT:
            headers = (*headers, (b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


NO_CONTENT = 204

Run = Callable[[Receive, Send], Awaitable[None]]


class Streaming(Struct, frozen=True):
    """An answer without an end of its own; `run` writes its body."""

    headers: Headers
    run: Run


def json_answer(value: Any, status: int = 200, headers: Headers = JSON_HEADERS) -> Answer:  # noqa: ANN401 - whatever can be encoded
    """Return a value as JSON."""
    return Answer(status, encode_json(value), headers)


def packed(answer: Answer) -> Answer:
    """Return an answer behind gzip, for a client that takes it; a small one stays as it is."""
    if len(answer.body) < WORTH_BYTES:
        return answer
    body = gzip.compress(answer.body, _LEVEL, mtime=0)
    return Answer(answer.status, body, (*answer.headers, (b"content-encoding", b"gzip")))


WORTH_BYTES: Final = 1_024
"""A shorter answer is not worth packing."""

_LEVEL: Final = 4


def text_answer(text: str, status: int = 200) -> Answer:
    """Return plain text."""
    return Answer(status, text.encode(), TEXT_HEADERS)
