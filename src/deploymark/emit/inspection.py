"""Looks into a spool without touching it: for people who ask what waits, and why.

Takes no lock and changes nothing, so it can look while emitters are at work; what it tells is a
moment of each file. Delivering is the task of `spool` and `sender`.
"""

import base64
import binascii
import json
import os
import stat
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from deploymark.emit.endpoint import server_of
from deploymark.emit.journal import SUFFIX
from deploymark.emit.lines import Head, Kept, Settled, read_line
from deploymark.emit.spool import CORRUPT_SUFFIX, REFUSED
from deploymark.errors import StoreUnavailableError

MAX_JOURNAL_BYTES: Final = 128_000_000
"""A larger file is nobody's journal."""

_REFUSED_BYTES: Final = 4_000_000
_REFUSED_SHOWN: Final = 100
_OPEN_TO_OTHERS: Final = 0o022
_SENTENCE: Final = 240
_GROUPS_SHOWN: Final = 5


class Waiting(NamedTuple):
    """Markers that wait together.

    Attributes:
        server: Which they are for; "" where the journal no longer tells.
        service: Whose they are, "" when they do not tell.
        environment: Where to.
        markers: How many.
    """

    server: str
    service: str
    environment: str
    markers: int


class SpoolState(NamedTuple):
    """What a spool holds.

    Attributes:
        waiting: Markers that are not delivered yet, for whichever server.
        groups: The same by server, service and environment.
        journals: Files that keep them.
        bytes: What the directory takes in all.
        set_aside: Damaged journals, kept as evidence.
        refused: A sentence for each of the last markers that the server will never take.
        refused_file: Where they stand whole.
        trouble: Why emitters cannot use the directory, or "".
    """

    waiting: int = 0
    groups: tuple[Waiting, ...] = ()
    journals: int = 0
    bytes: int = 0
    set_aside: int = 0
    refused: tuple[str, ...] = ()
    refused_file: str = ""
    trouble: str = ""

    def elsewhere(self, url: str) -> dict[str, int]:
        """Return how many markers wait for which server other than that of a URL.

        Whoever delivers there leaves them alone.
        """
        found: Counter[str] = Counter()
        for group in self.groups:
            if not _is_for(group, url):
                found[group.server] += group.markers
        return dict(found)

    def here(self, url: str) -> list[Waiting]:
        """Return what waits for the server of a URL; whoever delivers there takes it along."""
        return [group for group in self.groups if _is_for(group, url)]


def _is_for(group: Waiting, url: str) -> bool:
    return group.server in ("", server_of(url))


def waiting_said(groups: Sequence[Waiting]) -> str:
    """Return what waits as part of a sentence: "3 markers of checkout in prod"; "" if none."""
    said = [
        f"{group.markers} {'marker' if group.markers == 1 else 'markers'} "
        f"of {group.service or '?'} in {group.environment or '?'}"
        for group in groups[:_GROUPS_SHOWN]
    ]
    if others := sum(group.markers for group in groups[_GROUPS_SHOWN:]):
        said.append(f"{others} more")
    return ", ".join(said)


def elsewhere_said(elsewhere: Mapping[str, int]) -> str:
    """Return `SpoolState.elsewhere` as a sentence: "3 markers wait for http://…"; "" if none."""
    said = [
        f"{count} {'marker waits' if count == 1 else 'markers wait'} for {server}"
        for server, count in elsewhere.items()
    ]
    return "; ".join(said)


def inspect_spool(directory: str, user: int) -> SpoolState:
    """Return what a spool holds; one that is not there yet holds nothing.

    Args:
        directory: Its path.
        user: Number of the user whose emitters use it.

    Raises:
        StoreUnavailableError: It is there and cannot be read.
    """
    if not os.path.lexists(directory):
        return SpoolState(trouble=_cannot_be_made(directory))
    try:
        trouble = _distrust(os.lstat(directory), user)
        with os.scandir(directory) as entries:
            files = {
                each.name: each.path for each in entries if each.is_file(follow_symlinks=False)
            }
    except OSError as error:
        raise StoreUnavailableError(
            f"The spool {directory} cannot be read: {error.strerror}.",
            hint="Name another directory in DEPLOYMARK_SPOOL, or mend its permissions.",
        ) from error
    journals = [path for name, path in files.items() if name.endswith(SUFFIX)]
    found: Counter[tuple[str, str, str]] = Counter()
    for path in journals:
        found.update(_waiting(path))
    older = [files[name] for name in (f"{REFUSED}.1", REFUSED) if name in files]
    return SpoolState(
        waiting=found.total(),
        groups=tuple(Waiting(*key, count) for key, count in sorted(found.items())),
        journals=len(journals),
        bytes=sum(map(_size, files.values())),
        set_aside=sum(name.endswith(CORRUPT_SUFFIX) for name in files),
        refused=tuple(_refused(older)),
        refused_file=files.get(REFUSED, ""),
        trouble=trouble,
    )


def _cannot_be_made(directory: str) -> str:
    """Say why a spool that is not there cannot be made, or ""."""
    place = os.path.dirname(os.path.abspath(directory))  # noqa: PTH100, PTH120 - as everywhere here
    while not os.path.lexists(place):
        place = os.path.dirname(place)  # noqa: PTH120
    if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):  # noqa: PTH112
        return ""
    return f"it is not there and cannot be made in {place}"


def _distrust(status: os.stat_result, user: int) -> str:
    """Say why `spool` refuses a directory, or ""."""
    if not stat.S_ISDIR(status.st_mode):
        return "it is no directory"
    if status.st_uid != user:
        return "it belongs to another user"
    return "others may write in it" if status.st_mode & _OPEN_TO_OTHERS else ""


def _size(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0  # it went while we looked


def _read(path: str, limit_bytes: int) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read(limit_bytes)
    except OSError:
        return b""  # as above


def _waiting(path: str) -> Iterator[tuple[str, str, str]]:
    """Yield of each marker in a journal that waits its server, service and environment."""
    server = ""
    bodies: dict[int, bytes] = {}
    # A last line without its end is being written just now.
    for line in _read(path, MAX_JOURNAL_BYTES).split(b"\n")[:-1]:
        match read_line(line):
            case Kept(number=number, body_at=place):
                bodies[number] = line[place:]
            case Settled(number=number):
                bodies.pop(number, None)
            case Head() as head:
                server = head.server
            case None:
                pass
    for body in bodies.values():
        marker = _marker(body.decode(errors="replace"))
        yield server, str(marker.get("service") or ""), str(marker.get("environment") or "")


def _refused(paths: list[str]) -> Iterator[str]:
    lines: deque[bytes] = deque(maxlen=_REFUSED_SHOWN)
    for path in paths:
        lines.extend(_read(path, _REFUSED_BYTES).splitlines())
    for line in lines:
        entry = _object(line)
        problem, marker = entry.get("problem"), _marker(entry.get("marker"))
        said = problem.get("detail") or problem.get("code") if isinstance(problem, dict) else None
        what = " ".join(str(marker[name]) for name in ("phase", "service") if name in marker)
        yield f"{what or 'a marker'}: {said or 'no reason was given'}"[:_SENTENCE]


def _marker(text: object) -> dict[str, Any]:
    """Return the flat marker, or the predicate of a statement, out of what was sent."""
    value = _object(str(text).encode(errors="replace"))
    if "payload" in value:
        try:
            value = _object(base64.b64decode(str(value["payload"])))
        except (binascii.Error, ValueError):
            return {}
    predicate = value.get("predicate")
    return predicate if isinstance(predicate, dict) else value


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
