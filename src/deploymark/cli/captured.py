"""Reads a request that somebody captured: as it went over the wire, as `curl -v` shows it, in JSON.

Nothing is sent, and nothing of the head is shown again: it holds the caller's token.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from deploymark.errors import UsageError

_MOST_BYTES: Final = 2_097_152
_FORM: Final = "application/x-www-form-urlencoded"
_HINT: Final = (
    "A file holds a raw HTTP request, or JSON with method, path, headers and body; "
    "docs/reference/configuration.md shows both."
)


class Captured(Struct, frozen=True):
    """A request.

    Attributes:
        method: In upper case.
        path: Decoded, without the query.
        query: Decoded.
        headers: By lower-case name.
        body: Unpacked from chunks.
        form: Of a form, decoded.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        """The fields of a form; {} of any other body."""
        says_so = self.headers.get("content-type", "").lower().startswith(_FORM)
        if not says_so or self.body.lstrip().startswith(b"{"):
            return {}
        return dict(parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True))


def read_captured(file: Path) -> Captured:
    """Return the request of a file.

    Raises:
        UsageError: It holds none that can be read.
        OSError: It cannot be opened.
    """
    with file.open("rb") as opened:
        content = opened.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UsageError(f"{file} has more than {_MOST_BYTES:,} bytes.", hint=_HINT)
    if content.lstrip().startswith(b"{"):
        return _from_json(content)
    shown = any(line.startswith(b"> ") for line in content.splitlines())
    return _from_wire(_sent(content) if shown else content)


def _from_json(content: bytes) -> Captured:
    try:
        said = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The file is not JSON: {error}.", hint=_HINT) from None
    method, path = said.get("method", "POST"), said.get("path")
    headers, body = said.get("headers") or {}, said.get("body", "")
    if not (isinstance(path, str) and isinstance(method, str) and isinstance(headers, dict)):
        raise UsageError("The file names no method, path and headers.", hint=_HINT)
    sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    named = {str(name).lower(): str(value) for name, value in headers.items()}
    return _captured(method, path, named, sent)


def _from_wire(content: bytes) -> Captured:
    head, _, body = content.replace(b"\r\n", b"\n", _lines_of_head(content)).partition(b"\n\n")
    first, *rest = head.decode("latin-1").lstrip("\n").split("\n")
    words = first.split()
    if len(words) != 3 or not words[2].startswith("HTTP/"):  # noqa: PLR2004 - method, path, HTTP
        raise UsageError(f"{first[:80]!r} is no first line of a request.", hint=_HINT)
    headers: dict[str, str] = {}
    for line in rest:
        name, colon, value = line.partition(":")
        if not colon:
            raise UsageError(f"{line[:80]!r} is no header.", hint=_HINT)
        headers[name.strip().lower()] = value.strip()
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _unchunked(body)
    body = body.removesuffix(b"\n")  # which an editor puts behind the last line
    return _captured(words[0], words[1], headers, body)


def _lines_of_head(content: bytes) -> int:
    end = content.find(b"\r\n\r\n")
    return content[: end + 4].count(b"\r\n") if end >= 0 else 0


def _sent(content: bytes) -> bytes:
    """Return what `curl -v` sent: its lines behind `>`, and what was put below them as the body."""
    lines = content.replace(b"\r\n", b"\n").split(b"\n")
    head = [line[1:].strip() for line in lines if line.startswith(b">")]
    last = max(place for place, line in enumerate(lines) if line.startswith(b">"))
    told = (b"< ", b"* ", b"{ [", b"} [")
    body = [line for line in lines[last + 1 :] if not line.startswith(told) and line != b"<"]
    return b"\n".join([line for line in head if line]) + b"\n\n" + b"\n".join(body).strip()


def _unchunked(body: bytes) -> bytes:
    whole, rest = b"", body
    while rest:
        size, _, rest = rest.partition(b"\n")
        try:
            length = int(size.strip().partition(b";")[0], 16)
        except ValueError:
            raise UsageError(f"{size[:40]!r} is no length of a chunk.", hint=_HINT) from None
        whole, rest = whole + rest[:length], rest[length:].lstrip(b"\r\n")
        if length == 0:
            break
    return whole


def _captured(method: str, target: str, headers: dict[str, str], body: bytes) -> Captured:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise UsageError("The body is packed.", hint="Capture it unpacked.")
    address = target.partition("://")[2].partition("/")[2] if "://" in target else target[1:]
    path, _, query = address.partition("?")
    pairs = tuple(parse_qsl(query, keep_blank_values=True))
    return Captured(method.upper(), f"/{unquote(path)}", pairs, headers, body)


def as_words(value: Any) -> str:  # noqa: ANN401 - any JSON value
    """Return a value on one line."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
