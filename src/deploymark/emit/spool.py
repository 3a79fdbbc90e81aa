"""The spool: a directory of journals that keeps markers until the server has them.

A process numbers in one journal of its own: one that an earlier process of the same emitter left,
or a new one. Journals without an owner are drained by whoever delivers next to the same server;
those for another server are left alone. When the directory cannot be used, markers are kept in
memory, and that is said. docs/reference/spool.md states the guarantees. It posts nothing
(`delivery`) and knows no marker from inside.

Threads may share a spool; a forked child must `abandon` it.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from deploymark.emit.host import Host
from deploymark.emit.journal import DRAFT_SUFFIX, SUFFIX, Journal, Record
from deploymark.emit.lines import Head, journal_mark
from deploymark.emit.memory import MemoryJournal

CORRUPT_SUFFIX: Final = ".corrupt"
REFUSED: Final = "refused.ndjson"

_REFUSED_BYTES: Final = 1_000_000
_CORRUPT_FILES: Final = 4
_REOPEN_SECONDS: Final = 5.0
_STALE_MS: Final = 3_600_000
_IDLE_MS: Final = 7 * 24 * 3_600_000
_OWN_SHARE: Final = 16
_OPEN_TO_OTHERS: Final = 0o022
_NOTE_BYTES: Final = 1_000_000
_NOTE: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_DRAFT: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW

Keeper = Journal | MemoryJournal
Make = Callable[[str, int], Record]


class Place(NamedTuple):
    """What became of a marker that was handed to the spool.

    Attributes:
        epoch: The epoch it was numbered in.
        number: Its number.
        kept: Whether it is kept; else it was given up for want of room.
        trouble: Why it is only in memory, or not yet safe from a loss of power; "" when all is
            well.
    """

    epoch: str
    number: int
    kept: bool
    trouble: str = ""


class Parcel(NamedTuple):
    """A marker that is to be delivered, by the journal that keeps it."""

    keeper: Keeper
    number: int
    deployment: str

    @property
    def epoch(self) -> str:
        """The epoch that the number belongs to."""
        if isinstance(self.keeper, MemoryJournal):
            return self.keeper.epoch
        return self.keeper.head.epoch if self.keeper.head is not None else ""


class Counts(NamedTuple):
    """What a spool holds, and what it tolerated since it was opened.

    Attributes:
        waiting: Markers of this process that are not delivered yet.
        evicted: Markers given up for want of room, in its journal's whole life.
        in_memory: Markers that the disk refused.
        set_aside: Damaged journals that were renamed.
    """

    waiting: int
    evicted: int
    in_memory: int
    set_aside: int


class Spool:
    """Where the markers of one emitter wait.

    Args:
        directory: Its path; made when it is not there.
        emitter: Id of the emitter.
        server: Which server they are for, as `endpoint.server_of` spells it.
        max_bytes: Bound for the whole directory.
        host: Tells user, boot and time.
    """

    def __init__(
        self, directory: str, emitter: str, server: str, max_bytes: int, host: Host
    ) -> None:
        self._path = directory
        self._emitter = emitter
        self._server = server
        self._max_bytes = max_bytes
        self._host = host
        self._lock = threading.Lock()
        self._directory = -1
        self._journal: Journal | None = None
        self._memory: MemoryJournal | None = None
        self._others_bytes = 0
        self._reopen_at = float("-inf")
        self._trouble = ""
        self._in_memory = 0
        self._set_aside = 0

    # Keeping ------------------------------------------------------------------------------------

    def append(self, make: Make, *, durable: bool = False) -> Place:
        """Number a marker and keep it.

        Args:
            make: Given epoch and number, returns the record; when it raises, no number is used.
            durable: Wait until the disk has it, so that it survives the loss of power.
        """
        with self._lock:
            try:
                journal = self._opened()
                number, kept = journal.append(make, self._share())
            except OSError as error:
                return self._append_to_memory(make, error)
            epoch = journal.head.epoch if journal.head is not None else ""
            trouble = self._synced(journal) if durable else ""
            return Place(epoch, number, kept, trouble)

    def _append_to_memory(self, make: Make, error: OSError) -> Place:
        self._trouble = f"The spool {self._path} refuses: {error.strerror or error}."
        if self._journal is not None and not self._journal.numbered:
            # A torn line is stuck in it: another process drains it, we go on with a new one.
            self._journal.close()
            self._journal = None
        if self._memory is None:
            self._memory = MemoryJournal(self._host.new_epoch())
        number, kept = self._memory.append(make)
        self._in_memory += 1
        return Place(self._memory.epoch, number, kept, self._trouble)

    def _synced(self, journal: Journal) -> str:
        try:
            journal.sync()
        except OSError as error:
            return f"The spool {self._path} is not on the disk yet: {error.strerror or error}."
        return ""

    def _share(self) -> int:
        # A process that comes late to a full spool must still be able to say that a deploy failed.
        rest = self._max_bytes - self._others_bytes
        return max(rest, self._max_bytes // _OWN_SHARE)

    def _opened(self) -> Journal:
        if self._journal is not None:
            return self._journal
        now = self._host.elapsed_seconds()
        if now < self._reopen_at:
            raise OSError(self._trouble.partition("refuses: ")[2].rstrip(".") or "not usable")
        self._reopen_at = now + _REOPEN_SECONDS
        if self._directory < 0:
            self._directory = _open_directory(self._path, self._host.user())
        self._journal = self._adopted() or self._created()
        self._survey()
        self._reopen_at = float("-inf")
        return self._journal

    def _adopted(self) -> Journal | None:
        marks = f"{journal_mark(self._emitter)}-{journal_mark(self._server)}-"
        for name in self._names(SUFFIX):
            if not name.startswith(marks):
                continue
            journal = self._taken(name)
            if journal is None:
                continue
            head = journal.head
            if journal.numbered and head is not None and head.emitter == self._emitter:
                return journal
            journal.close()
        return None

    def _created(self) -> Journal:
        head = Head(self._host.new_epoch(), self._emitter, self._server, self._here())
        return Journal.create(self._directory, head)

    def _here(self) -> str:
        return f"{self._host.boot()} {self._host.name()}"

    def _taken(self, name: str) -> Journal | None:
        """Take over a journal for our server; where its head is damaged, its name says for whom."""
        with contextlib.suppress(OSError):
            journal = Journal.adopt(self._directory, name, self._here(), 2 * self._max_bytes)
            if journal is None or journal.head is None or journal.head.server == self._server:
                return journal
            journal.close()
        return None

    # Delivering ---------------------------------------------------------------------------------

    def plan(self, first: str = "") -> list[Parcel]:
        """Return what waits in this process, in the order of delivery.

        The most important deployment comes first, and the markers of one deployment come in the
        order in which they were kept.

        Args:
            first: A deployment that goes before all others.
        """
        with self._lock:
            keepers: list[Keeper] = [each for each in (self._journal, self._memory) if each]
            return _ordered(keepers, first)

    def orphans(self) -> Iterator[list[Parcel]]:
        """Yield what waits for our server in each journal whose owner has gone.

        While the caller delivers one of them it is ours; what is left of it waits for the next.
        """
        for name in self._orphan_names():
            with self._lock:
                journal = self._taken(name) if self._directory >= 0 else None
                if journal is None:
                    continue
                parcels = _ordered([journal], "")
            try:
                if parcels:
                    yield parcels
            finally:
                with self._lock, contextlib.suppress(OSError):
                    self._dismiss(journal)
                journal.close()

    def body(self, parcel: Parcel) -> bytes | None:
        """Return the bytes to send, or None when the disk no longer has them."""
        with self._lock:
            try:
                return parcel.keeper.body(parcel.number)
            except (OSError, KeyError):
                return None

    def settle(self, outcomes: Sequence[tuple[Parcel, str]]) -> None:
        """Note that markers need not be sent again; one word says why."""
        with self._lock:
            for keeper, numbers in _by_keeper(outcomes):
                # Not noted on the disk: they are sent again some day, and the server knows them.
                with contextlib.suppress(OSError):
                    keeper.settle(numbers)

    def expunge(self, parcels: Sequence[Parcel]) -> None:
        """Settle markers whose content must not stay on the disk."""
        with self._lock:
            for keeper, numbers in _by_keeper([(parcel, "refused") for parcel in parcels]):
                # Still there: they are sent again, refused again, and this is tried again.
                with contextlib.suppress(OSError):
                    keeper.expunge(list(numbers))

    def keep_refused(self, entries: Sequence[Mapping[str, object]]) -> None:
        """Write down what the server will never take, for people (`refused.ndjson`).

        Two files of a megabyte at most: the full one replaces the one before.
        """
        lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
        with self._lock, contextlib.suppress(OSError):
            if self._directory < 0:
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
            file = os.open(REFUSED, flags, 0o600, dir_fd=self._directory)
            try:
                os.write(file, lines.encode(errors="replace"))
                full = os.fstat(file).st_size > _REFUSED_BYTES
            finally:
                os.close(file)
            if full:
                older = f"{REFUSED}.1"
                os.replace(REFUSED, older, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def read_note(self, name: str) -> bytes:
        """Return what stands in a small file beside the journals; empty when nothing does."""
        with self._lock, contextlib.suppress(OSError):
            if self._directory >= 0:
                file = os.open(name, _NOTE, dir_fd=self._directory)
                with open(file, "rb") as opened:  # noqa: PTH123 - by its descriptor
                    return opened.read(_NOTE_BYTES)
        return b""

    def write_note(self, name: str, content: bytes) -> None:
        """Replace such a file, whole or not at all; a disk that refuses is no reason to stop."""
        with self._lock, contextlib.suppress(OSError):
            if self._directory < 0:
                return
            draft = f"{name}.{self._host.process()}{DRAFT_SUFFIX}"
            file = os.open(draft, _DRAFT, 0o600, dir_fd=self._directory)
            with open(file, "wb") as opened:  # noqa: PTH123 - as above
                opened.write(content)
            os.replace(draft, name, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    # Knowing and ending -------------------------------------------------------------------------

    def counts(self) -> Counts:
        """Return what it holds and what it tolerated."""
        with self._lock:
            keepers: list[Keeper] = [each for each in (self._journal, self._memory) if each]
            return Counts(
                sum(len(keeper.waiting) for keeper in keepers),
                sum(keeper.evicted for keeper in keepers),
                self._in_memory,
                self._set_aside,
            )

    def only_in_memory(self, key: tuple[str, int]) -> bool:
        """Whether a marker, by epoch and number, ends with this process."""
        memory = self._memory
        return memory is not None and memory.epoch == key[0] and key[1] in memory.waiting

    def waits(self, key: tuple[str, int]) -> bool:
        """Whether this process still keeps a marker, by epoch and number, to deliver it."""
        return key in {(parcel.epoch, parcel.number) for parcel in self.plan()}

    def waiting_in_memory(self) -> int:
        """Return how many markers end with this process."""
        memory = self._memory
        return 0 if memory is None else len(memory.waiting)

    def open(self) -> None:
        """Open the directory to deliver what others left; OSError when it cannot be used."""
        with self._lock:
            if self._directory < 0:
                self._directory = _open_directory(self._path, self._host.user())

    def abandon(self) -> None:
        """Let go of everything without a word to the disk: the parent of a fork goes on with it."""
        self.close()

    def close(self) -> None:
        """Let another process have the journal; idempotent."""
        journal, self._journal = self._journal, None
        if journal is not None:
            journal.close()
        directory, self._directory = self._directory, -1
        if directory >= 0:
            os.close(directory)

    # Inside -------------------------------------------------------------------------------------

    def _names(self, suffix: str) -> list[str]:
        names = os.listdir(self._directory)  # noqa: PTH208 - by its descriptor, not by its path
        return sorted(name for name in names if name.endswith(suffix))

    def _orphan_names(self) -> list[str]:
        with self._lock, contextlib.suppress(OSError):
            if self._directory < 0:
                return []
            self._survey()
            own = self._journal.name if self._journal is not None else ""
            mark = journal_mark(self._server)
            names = [name for name in self._names(SUFFIX) if name != own]
            return [name for name in names if name.split("-", 2)[1:2] == [mark]]
        return []

    def _survey(self) -> None:
        """See how much room others take, and sweep away drafts that were never finished."""
        own = self._journal.name if self._journal is not None else ""
        self._others_bytes = 0
        for name in self._names(""):
            if name == own:
                continue
            with contextlib.suppress(OSError):
                status = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
                age_ms = self._host.now_ms() - int(status.st_mtime * 1000)
                if name.endswith(DRAFT_SUFFIX) and age_ms > _STALE_MS:
                    os.unlink(name, dir_fd=self._directory)
                    continue
                self._others_bytes += status.st_size

    def _dismiss(self, journal: Journal) -> None:
        """Remove a drained journal, unless its emitter may yet go on with its numbers."""
        if journal.waiting:
            return
        if journal.damaged:
            self._set_aside += 1
            if len(self._names(CORRUPT_SUFFIX)) < _CORRUPT_FILES:
                journal.set_aside(journal.name + CORRUPT_SUFFIX)
                return
        elif journal.numbered:
            status = os.stat(journal.name, dir_fd=self._directory)
            if self._host.now_ms() - int(status.st_mtime * 1000) < _IDLE_MS:
                return
        journal.remove()


def _by_keeper(
    outcomes: Sequence[tuple[Parcel, str]],
) -> list[tuple[Keeper, dict[int, str]]]:
    found: dict[int, tuple[Keeper, dict[int, str]]] = {}
    for parcel, word in outcomes:
        numbers = found.setdefault(id(parcel.keeper), (parcel.keeper, {}))[1]
        numbers[parcel.number] = word
    return list(found.values())


def _ordered(keepers: Sequence[Keeper], first: str) -> list[Parcel]:
    ranks: dict[str, int] = {}
    for keeper in keepers:
        for place in keeper.waiting.values():
            rank = ranks.get(place.deployment)
            if rank is None or place.priority < rank:
                ranks[place.deployment] = place.priority
    if first in ranks:
        ranks[first] = -1
    parcels = [
        Parcel(keeper, number, place.deployment)
        for keeper in keepers
        for number, place in keeper.waiting.items()
    ]
    # The sort is stable: within one deployment the order of the journal remains.
    parcels.sort(key=lambda parcel: ranks[parcel.deployment])
    return parcels


def _open_directory(path: str, user: int) -> int:
    """Open the spool directory, made when it is not there, if nobody else can write in it.

    In a temporary directory anybody may have put a directory or a link of that name there first.

    Raises:
        OSError: It cannot be made or opened, or is not to be trusted.
    """
    if not path:
        raise OSError("no directory is named")
    os.makedirs(path, mode=0o700, exist_ok=True)  # noqa: PTH103 - pathlib costs 4 ms
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    directory = os.open(path, flags)
    status = os.fstat(directory)
    if status.st_uid == user and not status.st_mode & _OPEN_TO_OTHERS:
        return directory
    os.close(directory)
    why = "others may write in it" if status.st_uid == user else "it belongs to another user"
    raise PermissionError(None, f"{why}; set DEPLOYMARK_SPOOL to a directory that is not there yet")
