"""The lines of a journal file: how each is written, checked and read.

docs/reference/spool.md is the specification of the format. Pure.
"""

import json
import zlib
from typing import Any, Final, NamedTuple

from deploymark.emit.draft import EXPENDABLE

FORMAT_VERSION: Final = 1
PRIORITIES: Final = EXPENDABLE + 1
EVICTED: Final = "evicted"

_HEAD_TEXTS: Final = 5
_CRC: Final = 9  # eight digits and a space
_MARKER_WORDS: Final = 5
_SETTLED_WORDS: Final = 3


class Head(NamedTuple):
    """The first line of a journal.

    Attributes:
        epoch: Random text; the numbers below belong to it.
        emitter: The id of the emitter whose markers these are.
        server: The server that they are for, as `endpoint.server_of` spells it.
        place: Boot and name of the host that numbers here.
        inode: Device and inode of the file.
        next: The first number that this file may use.
        evicted: How many markers were given up for want of room so far.
    """

    epoch: str
    emitter: str
    server: str
    place: str
    inode: str = ""
    next: int = 0
    evicted: int = 0


class Kept(NamedTuple):
    """A line that keeps a marker; `body_at` counts from the beginning of the line."""

    number: int
    priority: int
    deployment: str
    body_at: int


class Settled(NamedTuple):
    """A line that says that a number need not be sent again."""

    number: int
    word: str


Line = Head | Kept | Settled


def head_line(head: Head) -> bytes:
    """Return the first line."""
    return _line(b"H " + json.dumps({"v": FORMAT_VERSION, **head._asdict()}).encode())


def marker_line(number: int, priority: int, deployment: str, body: bytes) -> tuple[bytes, int]:
    """Return a line that keeps a marker, and where in it the body begins."""
    content = b"M %d %d %b %b" % (number, priority, deployment.encode(), body)
    line = _line(content)
    return line, len(line) - 1 - len(body)


def settled_line(number: int, word: str) -> bytes:
    """Return a line that settles a number."""
    return _line(b"A %d %b" % (number, word.encode()))


def read_line(line: bytes) -> Line | None:
    """Return what a line says, without its newline; None when it is not sound."""
    content = line[_CRC:]
    if line[:_CRC] != b"%08x " % zlib.crc32(content):
        return None
    try:
        return _parsed(content)
    except (ValueError, KeyError, TypeError, IndexError):
        return None


def journal_mark(text: str) -> str:
    """Return the eight digits that stand for an emitter, or a server, in a journal's name."""
    return f"{zlib.crc32(text.encode(errors='replace')):08x}"


def _line(content: bytes) -> bytes:
    return b"%08x %b\n" % (zlib.crc32(content), content)


def _parsed(content: bytes) -> Line | None:
    match content[:2]:
        case b"H ":
            return _head(json.loads(content[2:]))
        case b"M ":
            _, number, priority, deployment, body = content.split(b" ", _MARKER_WORDS - 1)
            body_at = _CRC + len(content) - len(body)
            kept = Kept(int(number), int(priority), deployment.decode(), body_at)
            return kept if 0 <= kept.priority < PRIORITIES else None
        case b"A ":
            _, number, word = content.split(b" ", _SETTLED_WORDS - 1)
            return Settled(int(number), word.decode())
        case _:
            return None


def _head(value: dict[str, Any]) -> Head | None:
    version = value.pop("v")
    head = Head(**value)
    texts, numbers = value.values(), (value["next"], value["evicted"])
    if version != FORMAT_VERSION or not all(type(number) is int for number in numbers):
        return None
    return head if sum(isinstance(text, str) for text in texts) == _HEAD_TEXTS else None
