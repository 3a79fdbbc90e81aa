"""One journal: the numbered markers of one epoch, in one file that one process owns at a time.

The file is a list of lines (`lines`), each appended with one write: a process that is killed
leaves at most a torn last line, which was never handed out. Ownership is an advisory lock (flock)
that dies with its owner. Where the file lies and which journal is used is `spool`'s task.
"""

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from deploymark.emit.lines import (
    EVICTED,
    PRIORITIES,
    Head,
    Kept,
    Settled,
    head_line,
    journal_mark,
    marker_line,
    read_line,
    settled_line,
)

SUFFIX: Final = ".journal"
DRAFT_SUFFIX: Final = ".new"

_COMPACTED_BYTES: Final = 65_536
_OPEN: Final = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


class Record(NamedTuple):
    """What is appended: a marker's priority, its deployment and its bytes as they are sent."""

    priority: int
    deployment: str
    body: bytes


class Waiting(NamedTuple):
    """A marker that waits in a journal: whose it is, and where its line and body lie."""

    priority: int
    deployment: str
    start: int
    body_start: int
    end: int


class Journal:
    """A journal that this process owns.

    Not safe for threads; the spool holds a lock around it.

    Args:
        directory: Descriptor of the spool directory; the journal does not close it.
        name: File name in it.
        descriptor: The open and locked file, or -1 before there is one.

    Attributes:
        head: Its first line, or None when that is damaged.
        waiting: Markers by number that are neither delivered nor refused nor given up.
        next: The number that the next marker gets.
        evicted: How many were given up for want of room.
        size: Bytes of the file.
        numbered: Numbering may go on here.
        damaged: Some line does not add up.
    """

    def __init__(self, directory: int, name: str, descriptor: int = -1) -> None:
        self.name = name
        self.head: Head | None = None
        self.waiting: dict[int, Waiting] = {}
        self.next = 0
        self.evicted = 0
        self.size = 0
        self.numbered = False
        self.damaged = False
        self._directory = directory
        self._descriptor = descriptor
        self._live = 0
        self._counts = [0] * PRIORITIES
        self._synced = False

    @classmethod
    def create(cls, directory: int, head: Head) -> "Journal":
        """Lay down an empty journal of a new epoch; OSError when the disk refuses."""
        # The name tells whose it is and for whom, so that nobody opens all to find his own.
        marks = f"{journal_mark(head.emitter)}-{journal_mark(head.server)}"
        journal = cls(directory, f"{marks}-{head.epoch}{SUFFIX}")
        journal.head, journal.next, journal.numbered = head, head.next, True
        journal._rewrite(())
        return journal

    @classmethod
    def adopt(cls, directory: int, name: str, place: str, limit_bytes: int) -> "Journal | None":
        """Take over a journal whose owner has gone.

        A copy of a journal, out of a cache, an image or a backup, would use its numbers twice. So
        numbering goes on only in the same inode on the same host, and only until that starts
        again: most markers are not synced, and the loss of power may cut off the last ones.

        Args:
            directory: Descriptor of the spool directory.
            name: File name in it.
            place: Boot and name of this host.
            limit_bytes: A larger file is nobody's journal.

        Returns:
            None when somebody owns it, or it is no file of ours.

        Raises:
            OSError: It is gone, or cannot be read.
        """
        journal = cls(directory, name, os.open(name, _OPEN, dir_fd=directory))
        try:
            if journal._take(limit_bytes):
                journal._load()
                journal._recognise(place)
                return journal
        except BaseException:
            journal.close()
            raise
        journal.close()
        return None

    # Numbering and keeping ----------------------------------------------------------------------

    def append(self, make: Callable[[str, int], Record], limit_bytes: int) -> tuple[int, bool]:
        """Number a marker and keep it; both or neither.

        Args:
            make: Given epoch and number, returns the record; when it raises, no number is used.
            limit_bytes: How large the file may become.

        Returns:
            The number, and whether the marker was kept. When everything here is more important
            and the room is used up, its number is used up too: the gap tells the server.

        Raises:
            OSError: The disk refuses; the number is not used.
        """
        assert self.head is not None  # noqa: S101 - what is numbered has a head
        number = self.next
        record = make(self.head.epoch, number)
        line, body_at = marker_line(number, record.priority, record.deployment, record.body)
        kept = self.size + len(line) <= limit_bytes or self._make_room(
            limit_bytes, len(line), record.priority
        )
        start = self.size
        if kept:
            self._write(line)
            self._wait(
                number,
                Waiting(record.priority, record.deployment, start, start + body_at, self.size),
            )
        else:
            self._write(settled_line(number, EVICTED))
            self.evicted += 1
        self.next = number + 1
        return number, kept

    def sync(self) -> None:
        """Push what was appended to the disk, so that it survives the loss of power."""
        os.fdatasync(self._descriptor)
        if not self._synced:
            os.fsync(self._directory)
            self._synced = True

    def body(self, number: int) -> bytes:
        """Return the bytes of a waiting marker; OSError when the disk does not give them back."""
        place = self.waiting[number]
        length = place.end - 1 - place.body_start
        body = os.pread(self._descriptor, length, place.body_start)
        if len(body) != length:
            raise OSError(f"{self.name} ends too early")
        return body

    def settle(self, outcomes: Mapping[int, str]) -> None:
        """Note that markers need not be sent again.

        If we stop before the write, they are sent again, and the server knows them.

        Args:
            outcomes: Number to one word.

        Raises:
            OSError: The disk refuses; they are settled for this process at least.
        """
        for number in outcomes:
            self._forget(number)
        lines = b"".join([settled_line(number, word) for number, word in outcomes.items()])
        if self.numbered and not self.waiting and self.size + len(lines) > _COMPACTED_BYTES:
            self._rewrite(())
        else:
            self._write(lines)

    def expunge(self, numbers: Sequence[int]) -> None:
        """Settle markers and take them off the disk: what they say must not stay there.

        Args:
            numbers: Of markers that wait.

        Raises:
            OSError: The disk refuses. They are settled for this process, and tried again by the
                next.
        """
        places = [self.waiting[number] for number in numbers if number in self.waiting]
        for number in numbers:
            self._forget(number)
        if self.numbered:
            self._rewrite(list(self.waiting))
        else:
            self._cut(places, b"".join([settled_line(number, "refused") for number in numbers]))

    # Ending -------------------------------------------------------------------------------------

    def is_current(self) -> bool:
        """Whether the file is still the one under its name."""
        try:
            named = os.stat(self.name, dir_fd=self._directory, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(named, os.fstat(self._descriptor))

    def remove(self) -> None:
        """Delete the file; what waits in it is lost."""
        os.unlink(self.name, dir_fd=self._directory)
        self.close()

    def set_aside(self, name: str) -> None:
        """Keep the file under another name, as evidence."""
        os.rename(self.name, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        self.close()

    def close(self) -> None:
        """Let go of the file; idempotent. A forked child does not end its parent's ownership."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    # Inside -------------------------------------------------------------------------------------

    def _wait(self, number: int, place: Waiting) -> None:
        self.waiting[number] = place
        self._live += place.end - place.start
        self._counts[place.priority] += 1

    def _forget(self, number: int) -> None:
        place = self.waiting.pop(number, None)
        if place is not None:
            self._live -= place.end - place.start
            self._counts[place.priority] -= 1

    def _write(self, lines: bytes) -> None:
        """Append with one write: all of it, or none of it."""
        try:
            _write_all(self._descriptor, lines)
        except OSError:
            # A torn line before a whole one would look like damage.
            try:
                os.ftruncate(self._descriptor, self.size)
            except OSError:
                self.numbered, self.damaged = False, True
            raise
        self.size += len(lines)

    def _make_room(self, limit_bytes: int, needed: int, priority: int) -> bool:
        """Drop what is settled, then what is less important, oldest first."""
        spare = limit_bytes // 8  # so that the next markers do not rewrite the file again
        goal = limit_bytes - spare - needed
        victims: set[int] = set()
        live = self._live
        if live > goal and any(self._counts[priority:]):
            ordered = sorted(self.waiting.items(), key=lambda each: (-each[1].priority, each[0]))
            for number, place in ordered:
                if live <= goal or place.priority < priority:
                    break
                victims.add(number)
                live -= place.end - place.start
        if not victims and self.size - live < spare:
            return False
        self.evicted += len(victims)
        try:
            self._rewrite([number for number in self.waiting if number not in victims])
        except OSError:
            self.evicted -= len(victims)
            raise
        return self.size + needed <= limit_bytes

    def _rewrite(self, kept: Iterable[int]) -> None:
        """Replace the file by one that holds only what still waits, and the next number."""
        with self._replacement() as fresh:
            content = self._head_line(fresh)
            places: dict[int, Waiting] = {}
            for number in kept:
                content += self._moved(number, len(content), places)
            _write_all(fresh, content)
            if self._synced and places:
                os.fdatasync(fresh)
        self.size, self._synced = len(content), False
        self._wait_anew(places)

    def _cut(self, places: Sequence[Waiting], settled: bytes) -> None:
        """Cut some lines out of a file that nobody numbers in; all else stays as it was found.

        Its head above all: with the inode of the new file a copy would pass for the original.
        """
        content = bytearray(os.pread(self._descriptor, self.size, 0))
        for place in sorted(places, key=lambda each: -each.start):
            del content[place.start : place.end]
        with self._replacement() as fresh:
            _write_all(fresh, content + settled)
        self._wait_anew({})
        self.evicted = 0
        self._load()

    @contextlib.contextmanager
    def _replacement(self) -> Iterator[int]:
        """Give an empty file that takes the place of ours in the end.

        If we stop before the rename, the old file stands and the draft is swept away; after it,
        the new one stands, owned by us from its first moment.
        """
        draft = self.name + DRAFT_SUFFIX
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=self._directory)
        fresh = os.open(draft, _OPEN | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=self._directory)
        try:
            fcntl.flock(fresh, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield fresh
            os.rename(draft, self.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except BaseException:
            os.close(fresh)
            with contextlib.suppress(OSError):
                os.unlink(draft, dir_fd=self._directory)
            raise
        self.close()
        self._descriptor = fresh

    def _wait_anew(self, places: Mapping[int, Waiting]) -> None:
        self.waiting, self._live, self._counts = {}, 0, [0] * PRIORITIES
        for number, place in places.items():
            self._wait(number, place)

    def _head_line(self, descriptor: int) -> bytearray:
        assert self.head is not None  # noqa: S101 - only what is numbered is rewritten
        inode = _inode(descriptor)
        self.head = self.head._replace(inode=inode, next=self.next, evicted=self.evicted)
        return bytearray(head_line(self.head))

    def _moved(self, number: int, start: int, places: dict[int, Waiting]) -> bytes:
        old = self.waiting[number]
        shift = start - old.start
        places[number] = old._replace(
            start=start, body_start=old.body_start + shift, end=old.end + shift
        )
        return os.pread(self._descriptor, old.end - old.start, old.start)

    def _take(self, limit_bytes: int) -> bool:
        """Own the file, if nobody does and it still is the one under its name."""
        if not stat.S_ISREG(os.fstat(self._descriptor).st_mode):
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return self.is_current() and os.fstat(self._descriptor).st_size <= limit_bytes

    def _load(self) -> None:
        length = os.fstat(self._descriptor).st_size
        content = os.pread(self._descriptor, length, 0)
        position = 0
        while (end := content.find(b"\n", position) + 1) > 0:
            if not self._apply(content[position : end - 1], position, end):
                self.damaged = True
            position = end
        # What follows the last newline was being written when its writer died.
        self.size = position
        if position != length:
            os.ftruncate(self._descriptor, position)

    def _apply(self, line: bytes, start: int, end: int) -> bool:
        match read_line(line):
            case Head() as head if start == 0:
                self.head, self.next, self.evicted = head, head.next, head.evicted
            case Kept(number, priority, deployment, body_at):
                self._wait(number, Waiting(priority, deployment, start, start + body_at, end))
                self.next = max(self.next, number + 1)
            case Settled(number, word):
                self._forget(number)
                self.next = max(self.next, number + 1)
                self.evicted += word == EVICTED
            case _:
                return False
        return True

    def _recognise(self, place: str) -> None:
        if self.head is None:
            self.damaged = self.size > 0
            return
        here = self.head.place == place and self.head.inode == _inode(self._descriptor)
        self.numbered = here and not self.damaged


def _inode(descriptor: int) -> str:
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"


def _write_all(descriptor: int, content: bytes | bytearray) -> None:
    """Write in one piece, because a second write would wait for the disk a second time."""
    written = os.write(descriptor, content)
    if written != len(content):
        raise OSError(f"only {written} of {len(content)} bytes fit")
