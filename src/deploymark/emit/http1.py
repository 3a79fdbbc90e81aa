"""As much of HTTP/1.1 as posting markers needs (RFC 9112): a request to bytes and a response back.

Pure: bytes come from a function that is passed in, and `connection` gives one that reads a socket.
What answers may be broken or hostile, so reading is strict and bounded. A response that is odd in
any way, or does not say where its body ends, is no response: the markers are kept and sent again.
Python's own `http.client` is more tolerant, and takes longer to load than the interpreter to start.
"""

import re
from collections.abc import Callable, Mapping
from time import gmtime
from typing import Final, NamedTuple, NoReturn

from deploymark.errors import ServerUnavailableError

MAX_HEAD_BYTES: Final = 65_536
"""The most bytes around a body: status lines, headers, sizes of chunks and trailers together."""

_SHOWN: Final = 60
_SWITCHING, _FINAL = 101, 200
_BODILESS: Final = frozenset({204, 304})
_HEXADECIMAL: Final = 16

_STATUS_LINE: Final = rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [\t\x20-\x7e\x80-\xff]*)?"
_NAME: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*"
_LENGTH: Final = r"[0-9]{1,12}"
_CHUNK_SIZE: Final = rb"([0-9A-Fa-f]{1,12})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?"

Receive = Callable[[], bytes]
"""Gives some more of the bytes of the peer, and none when the peer has ended."""

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


class Response(NamedTuple):
    """A response, read to its end.

    Attributes:
        status: From 200 to 999.
        headers: By name in lower case; what came several times is joined by commas.
        body: All of it.
        reusable: Whether the connection can carry another request.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    reusable: bool


def request_bytes(method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return a request, with the length of its body if it has one.

    Args:
        method: Of HTTP.
        target: Path, or the authority for CONNECT; of visible ASCII.
        headers: All but `Content-Length`, `Host` among them.
        body: What it carries.

    Raises:
        ServerUnavailableError: A value would not stay in its line; it may be a secret and is not
            shown.
    """
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in headers.items():
        if not (value.isascii() and value.isprintable()):
            _refuse(f"the header {name} holds characters that cannot be sent")
        lines.append(f"{name}: {value}")
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def http_date(ms: int) -> str:
    """Return an instant as HTTP writes it (RFC 9110, section 5.6.7), whatever the locale is.

    Args:
        ms: Milliseconds since the Unix epoch.
    """
    year, month, day, hour, minute, second, weekday, *_ = gmtime(ms // 1_000)
    return (
        f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04} "
        f"{hour:02}:{minute:02}:{second:02} GMT"
    )


def read_response(receive: Receive, max_body_bytes: int, *, until_closed: bool = False) -> Response:
    """Read one response to a POST (RFC 9112, section 6.3).

    Args:
        receive: Where bytes come from; what it raises is passed on.
        max_body_bytes: A longer body is refused.
        until_closed: A body may end with the connection. It cannot be told from one that was cut
            off, so this is for whoever needs no more than the status.

    Raises:
        ServerUnavailableError: What came is no whole response that can be trusted.
    """
    source = _Source(receive)
    version, status, headers = _read_head(source)
    if status in _BODILESS:
        # Nobody who takes markers answers so; what might follow is not waited for.
        return Response(status, headers, b"", reusable=False)
    coding, length = headers.get("transfer-encoding"), headers.get("content-length")
    if coding is not None:
        if version == 0 or length is not None or coding.lower() != "chunked":
            _refuse("its response contradicts itself about where it ends")
        body = _read_chunks(source, max_body_bytes)
    elif length is None and until_closed:
        return Response(status, headers, source.rest(max_body_bytes), reusable=False)
    elif length is None:
        # It would end with the connection, and so would one that was cut off.
        _refuse(f"its response of status {status} does not say where it ends")
    else:
        body = source.exactly(_length(length, max_body_bytes))
    options = headers.get("connection", "").lower().split(",")
    closes = version == 0 or "close" in [option.strip() for option in options]
    # What comes behind the end was not asked for, and would look like the next response.
    return Response(status, headers, body, reusable=not closes and source.is_empty())


def read_tunnel(receive: Receive) -> int:
    """Read the response to a CONNECT and return its status (RFC 9110, section 9.3.6).

    The headers of a success describe no body: what follows belongs to the server behind the proxy.

    Raises:
        ServerUnavailableError: No response, or something that the server cannot have said yet.
    """
    source = _Source(receive)
    _, status, _ = _read_head(source)
    if not source.is_empty() and status // 100 == _FINAL // 100:
        _refuse("the proxy sent more than its response")
    return status


class _Source:
    """The bytes of the peer, by line and by number."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._buffer = bytearray()
        self._head_bytes = 0

    def line(self) -> bytes:
        """Return the next line without its end, which is CR LF."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            self._check_head(searched)
            self._more()
        self._head_bytes += end + 1
        self._check_head(0)
        line = self._take(end + 1)
        if not line.endswith(b"\r\n"):
            _refuse(f"it sent a line that does not end as in HTTP ({line[:_SHOWN]!r})")
        return line[:-2]

    def exactly(self, count: int) -> bytes:
        """Return as many bytes."""
        while len(self._buffer) < count:
            self._more()
        return self._take(count)

    def rest(self, most: int) -> bytes:
        """Return everything until the peer ends the connection."""
        while came := self._receive():
            self._buffer += came
            if len(self._buffer) > most:
                _refuse(f"its response has more than {most} bytes")
        return self._take(len(self._buffer))

    def is_empty(self) -> bool:
        """Whether nothing came beyond what was asked for."""
        return not self._buffer

    def _check_head(self, coming: int) -> None:
        if self._head_bytes + coming > MAX_HEAD_BYTES:
            _refuse(f"it sent more than {MAX_HEAD_BYTES} bytes around the body")

    def _more(self) -> None:
        came = self._receive()
        if not came:
            _refuse("it ended the connection before the end of its response")
        self._buffer += came

    def _take(self, count: int) -> bytes:
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken


def _read_head(source: _Source) -> tuple[int, int, Mapping[str, str]]:
    """Return minor version, status and headers of the final response."""
    while True:
        line = source.line()
        found = re.fullmatch(_STATUS_LINE, line)
        if found is None:
            _refuse(f"it sent something that is not HTTP/1 ({line[:_SHOWN]!r})")
        version, status = int(found[1]), int(found[2])
        headers = _read_fields(source)
        if status >= _FINAL:
            return version, status, headers
        if status == _SWITCHING:
            _refuse("it switched to another protocol, which nobody asked for")
        # Others of 1xx only say that it goes on (RFC 9110, section 15.2); the bound counts them.


def _read_fields(source: _Source) -> Mapping[str, str]:
    """Read headers or trailers up to the empty line."""
    fields: dict[str, str] = {}
    while line := source.line():
        before, colon, behind = line.partition(b":")
        if not (colon and re.fullmatch(_NAME, before) and re.fullmatch(_VALUE, behind)):
            _refuse(f"it sent a header that is none ({line[:_SHOWN]!r})")
        name, value = before.decode("ascii").lower(), behind.decode("latin-1").strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _read_chunks(source: _Source, max_body_bytes: int) -> bytes:
    """Read a body in chunks (RFC 9112, section 7.1)."""
    body = bytearray()
    while True:
        line = source.line()
        found = re.fullmatch(_CHUNK_SIZE, line)
        if found is None:
            _refuse(f"it sent a chunk without a size ({line[:_SHOWN]!r})")
        size = int(found[1], _HEXADECIMAL)
        if size == 0:
            _read_fields(source)
            return bytes(body)
        if len(body) + size > max_body_bytes:
            _refuse(f"its response has more than {max_body_bytes} bytes")
        body += source.exactly(size)
        if source.exactly(2) != b"\r\n":
            _refuse("it sent a chunk that does not end where it says")


def _length(text: str, max_body_bytes: int) -> int:
    # One that came twice holds a comma by now.
    if re.fullmatch(_LENGTH, text) is None:
        _refuse(f"it sent a length that is none ({text[:_SHOWN]!r})")
    if int(text) > max_body_bytes:
        _refuse(f"its response has more than {max_body_bytes} bytes")
    return int(text)


def _refuse(what: str) -> NoReturn:
    raise ServerUnavailableError(what)
