"""The one writer: takes candidates from any thread, commits them in groups, then acknowledges.

A commit is: drop what the log already holds, extend the tree, sign the head, write everything in
one transaction. Nothing is acknowledged and no checkpoint is shown before that transaction is on
the disk. When the store fails, the outcome is unknown; the recovery asks the store where it
stands and goes on from there, by the same comparison as a start.

States: running → stopped (by `close`), or running → broken (the log does not add up; stays so).
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from msgspec import Struct

from deploymark.errors import (
    BrokenError,
    ConflictError,
    DeploymarkError,
    LogBrokenError,
    LogBusyError,
    UnavailableError,
)
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.tree import Frontier
from deploymark.ports import Batch, Blob, Head, LogStore, NoteSigner, StoredEntry

MAX_GROUP = 2_048
MAX_QUEUED = 65_536


class Candidate(Struct, frozen=True, gc=False):
    """An admitted leaf that wants a place in the log.

    Attributes:
        leaf: The bytes to be hashed.
        leaf_hash: SHA-256(0x00 ‖ leaf), computed by the caller so that the writer need not.
        dedupe: Identity under which it may stand once.
        key_id: First signing key, "" for none.
        received_at_ms: The time inside the leaf.
        blobs: Content it names, kept in the same commit.
        erasures: Digests that this entry erases.
        alone: Commits in a group of its own, because it changes what later entries may say
            (a key); must be the only candidate of its submission.
        claim: What the admission wants to find again; the sequencer does not look at it.
    """

    leaf: bytes
    leaf_hash: bytes
    dedupe: str
    key_id: str
    received_at_ms: int
    blobs: tuple[Blob, ...] = ()
    erasures: tuple[bytes, ...] = ()
    alone: bool = False
    claim: object = None


class Acknowledgement(Struct, frozen=True, gc=False):
    """The promise that an entry is in the log for good.

    Attributes:
        index: Its position; the first one's for a duplicate.
        duplicate: The log held it already, with the same significant content.
        note: A signed checkpoint that includes it: the provisional receipt's second half.
        leaf: What stands at that position; the first one's for a duplicate.
    """

    index: int
    duplicate: bool
    note: str
    leaf: bytes = b""


Outcome = Acknowledgement | DeploymarkError


class Admission(Protocol):
    """Has the last word on a candidate, in the writer's thread and in index order."""

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """Get ready for one group; what was admitted and never appended is forgotten."""
        ...

    def settle(self, candidate: Candidate) -> Candidate:
        """Return a candidate with what only the order of entries decides filled in.

        Raise a `RefusedError` when nothing can be decided for it.
        """
        ...

    def admit(self, index: int, candidate: Candidate) -> None:
        """Raise a `RefusedError` when the candidate may not stand at this index."""
        ...

    def appended(self, index: int, candidate: Candidate) -> None:
        """Take note of a committed entry, before it is acknowledged."""
        ...

    def differing(self, first: bytes, second: bytes) -> Sequence[str]:
        """Return the significant fields in which two leaves of one identity differ."""
        ...


@dataclass(slots=True)
class _Submission:
    candidates: Sequence[Candidate]
    future: "Future[list[Outcome]]" = field(default_factory=Future)


@dataclass(slots=True)
class _Plan:
    """One commit while it is put together."""

    base: int
    entries: list[StoredEntry] = field(default_factory=list)
    fresh: list[Candidate] = field(default_factory=list)
    by_dedupe: dict[str, tuple[int, bytes | None]] = field(default_factory=dict)

    def add(self, candidate: Candidate) -> int:
        index = self.base + len(self.entries)
        self.entries.append(
            StoredEntry(
                index,
                candidate.leaf_hash,
                candidate.received_at_ms,
                candidate.key_id,
                candidate.dedupe,
                candidate.leaf,
            )
        )
        self.fresh.append(candidate)
        self.by_dedupe[candidate.dedupe] = (index, candidate.leaf)
        return index


class Sequencer:
    """Orders entries into one log; the only thing that ever writes entries.

    Args:
        store: Where the log is kept; must exist.
        signer: The log's Ed25519 key; its name is the origin.
        admission: The last word on every candidate.
        on_broken: Called once with the error when the log stops adding up.
        on_committed: Told the new size after every commit, in the writer's thread: it must not
            wait, and what it raises is nobody's.

    Raises:
        LogBrokenError: The stored head contradicts its own frontier or origin.
    """

    def __init__(
        self,
        store: LogStore,
        signer: NoteSigner,
        admission: Admission,
        on_broken: Callable[[DeploymarkError], None] = lambda _: None,
        on_committed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._admission = admission
        self._on_broken = on_broken
        self._on_committed = on_committed
        self._condition = threading.Condition()  # re-entrant
        self._queue: deque[_Submission] = deque()
        self._queued = 0
        self._closing = False
        self._broken: DeploymarkError | None = None
        self._unsure = False
        self._attempted: set[tuple[int, bytes]] = set()
        store.reopen()  # a start is a recovery: the last process may have died anywhere
        self._head = store.head()
        self._frontier = check_head(self._head)
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self._thread.start()

    @property
    def head(self) -> Head:
        """The head of the last commit."""
        return self._head

    def stop_writing(self, error: BrokenError) -> None:
        """Write nothing any more: something outside showed that the log does not add up.

        A witness that refuses, or a guard that remembers more than the log has. What waits is
        answered with the error.
        """
        with self._condition:
            is_first, self._broken = self._broken is None, self._broken or error
        if is_first:
            self._on_broken(error)

    def check(self) -> None:
        """Raise what keeps this from writing, if anything does; answers from memory.

        Raises:
            BrokenError: The log stopped adding up.
            LogBusyError: It is closing.
        """
        with self._condition:
            if self._broken is not None:
                raise self._broken
            if self._closing:
                raise LogBusyError("The log is shutting down.", hint="Send again after restart.")

    def submit(self, candidates: Sequence[Candidate]) -> "Future[list[Outcome]]":
        """Queue candidates; they are committed together with others, in this order.

        Returns:
            A future with one outcome per candidate: an acknowledgement, or the error that
            refused it. A submission is never half-acknowledged: when the store fails, the
            future itself raises `UnavailableError` or `BrokenError` and nothing is promised.

        Raises:
            LogBusyError: The queue is full, or the sequencer is closing.
        """
        submission = _Submission(candidates)
        submission.future.set_running_or_notify_cancel()  # a commit cannot be called back
        with self._condition:
            self.check()
            if self._queued and self._queued + len(candidates) > MAX_QUEUED:
                raise LogBusyError(
                    f"{self._queued} entries wait to be written; no more are taken now.",
                    hint="Wait a second and send again.",
                )
            self._queue.append(submission)
            self._queued += len(candidates)
            self._condition.notify()
        return submission.future

    def close(self) -> None:
        """Write what is queued, then stop; idempotent."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join()

    # The writer's thread ------------------------------------------------------------------

    def _run(self) -> None:
        while group := self._take():
            try:
                outcomes = self._commit(group)
            except DeploymarkError as error:
                self._fail(group, error)
            except Exception as error:  # noqa: BLE001 - the writer must answer every caller
                self._fail(group, LogBrokenError(f"The writer failed: {error!r}."))
            else:
                for submission, result in zip(group, outcomes, strict=True):
                    submission.future.set_result(result)

    def _take(self) -> list[_Submission]:
        """Wait for work and return one group; empty when closing and done."""
        with self._condition:
            while not self._queue and not self._closing:
                self._condition.wait()
            group: list[_Submission] = []
            count = 0
            while self._queue:
                submission = self._queue[0]
                alone = any(candidate.alone for candidate in submission.candidates)
                if group and (alone or count + len(submission.candidates) > MAX_GROUP):
                    break
                group.append(self._queue.popleft())
                count += len(submission.candidates)
                if alone:
                    break
            self._queued -= count
            return group

    def _fail(self, group: Sequence[_Submission], error: DeploymarkError) -> None:
        if isinstance(error, BrokenError):
            with self._condition:
                self._broken = error
                group = [*group, *self._queue]
                self._queue.clear()
                self._queued = 0
        else:
            # The commit may or may not have happened: ask the store before the next one.
            self._unsure = True
        for submission in group:
            submission.future.set_exception(error)
        if isinstance(error, BrokenError):
            self._on_broken(error)  # last, so that whatever it does, nobody waits for ever

    def _commit(self, group: Sequence[_Submission]) -> list[list[Outcome]]:
        if self._broken is not None:
            raise self._broken
        if self._unsure:
            self._recover()
        plan = _Plan(self._head.size)
        candidates = [candidate for submission in group for candidate in submission.candidates]
        self._admission.begin(candidates)
        keys = [candidate.dedupe for candidate in candidates]
        plan.by_dedupe = {k: (i, None) for k, i in self._store.find(keys).items()}
        outcomes = [[self._place(c, plan) for c in s.candidates] for s in group]
        if plan.entries:
            self._write(plan)
            with suppress(Exception):  # the entries are in the log, whoever failed to listen
                self._on_committed(self._head.size)
        return [[self._promise(outcome) for outcome in row] for row in outcomes]

    def _promise(self, outcome: Outcome) -> Outcome:
        """Add the committed head to what was decided before the commit."""
        if isinstance(outcome, Acknowledgement):
            return Acknowledgement(outcome.index, outcome.duplicate, self._head.note, outcome.leaf)
        return outcome

    def _place(self, candidate: Candidate, plan: _Plan) -> Outcome:
        """Decide one candidate: a duplicate, a conflict, refused, or the next index."""
        try:
            settled = self._admission.settle(candidate)
            known = plan.by_dedupe.get(settled.dedupe)
            if known is None and settled.dedupe != candidate.dedupe:
                known = self._find(settled.dedupe)
            if known is not None:
                return self._compare(settled, *known)
            self._admission.admit(plan.base + len(plan.entries), settled)
        except (UnavailableError, BrokenError):
            raise
        except DeploymarkError as error:
            return error
        return Acknowledgement(plan.add(settled), duplicate=False, note="", leaf=settled.leaf)

    def _find(self, dedupe: str) -> tuple[int, None] | None:
        index = self._store.find([dedupe]).get(dedupe)
        return None if index is None else (index, None)

    def _compare(self, candidate: Candidate, index: int, first: bytes | None) -> Outcome:
        leaf = first if first is not None else self._store.entry(index).leaf
        if leaf is None:
            raise LogBrokenError(f"Entry {index} is archived but was asked for by its identity.")
        fields = self._admission.differing(leaf, candidate.leaf)
        if fields:
            raise ConflictError(
                f"Entry {index} already stands as {candidate.dedupe} with another "
                f"{', '.join(fields)}.",
                field=f"/{fields[0]}",
                index=index,
                leaves=(leaf, candidate.leaf),
            )
        return Acknowledgement(index, duplicate=True, note="", leaf=leaf)

    def _write(self, plan: _Plan) -> None:
        frontier = self._frontier.copy()
        nodes = frontier.extend([entry.leaf_hash for entry in plan.entries])
        head = signed_head(self._head, frontier, self._signer)
        batch = Batch(
            expected_size=plan.base,
            entries=plan.entries,
            nodes=nodes,
            head=head,
            blobs=[blob for c in plan.fresh for blob in c.blobs],
            erasures=[(digest, c.received_at_ms) for c in plan.fresh for digest in c.erasures],
        )
        self._attempted.add((head.size, head.root))
        self._store.append(batch)
        self._attempted.clear()
        # Committed: from here on the entries are in the log, whoever gets to hear of it.
        self._frontier, self._head = frontier, head
        for entry, candidate in zip(plan.entries, plan.fresh, strict=True):
            self._take_note(entry.index, candidate)

    def _recover(self) -> None:
        """Find out whether the failed commit happened, and go on from the truth."""
        self._store.reopen()
        stored = self._store.head()
        expected = {(self._head.size, self._head.root), *self._attempted}
        if (stored.size, stored.root) not in expected:
            raise LogBrokenError(
                f"After a failed write the log stands at {stored.size} entries, which is neither "
                f"where it was ({self._head.size}) nor where any failed write was going."
            )
        frontier = check_head(stored)
        # Read everything before anything moves: a read that fails here is tried again from here.
        missed = list(self._store.entries(self._head.size, stored.size))
        self._frontier, self._head = frontier, stored
        for entry in missed:
            self._take_note(entry.index, candidate_of(entry))
        self._attempted.clear()
        self._unsure = False

    def _take_note(self, index: int, candidate: Candidate) -> None:
        try:
            self._admission.appended(index, candidate)
        except Exception as error:
            # The log has the entry and the admission has not: it would misjudge later ones.
            raise LogBrokenError(
                f"Entry {index} is in the log, but the admission could not take note: {error!r}."
            ) from error


def candidate_of(entry: StoredEntry) -> Candidate:
    """Return a stored entry in the form it had before it was stored."""
    return Candidate(
        entry.leaf or b"", entry.leaf_hash, entry.dedupe, entry.key_id, entry.received_at_ms
    )


def signed_head(previous: Head, frontier: Frontier, signer: NoteSigner) -> Head:
    """Return the head of a grown tree, signed by the log's Ed25519 key."""
    root = frontier.root()
    text = Checkpoint(previous.origin, frontier.size, root).text()
    line = signer.sign_note(text, now_seconds=0)
    return Head(
        origin=previous.origin,
        size=frontier.size,
        root=root,
        frontier=frontier.pack(),
        note=f"{text}\n{line}",
        published_size=previous.published_size,
    )


def check_head(head: Head) -> Frontier:
    """Return the frontier of a stored head after checking that it leads to the stored root.

    Raises:
        LogBrokenError: Frontier and root, or note and root, contradict each other.
    """
    frontier = Frontier.unpack(head.size, head.frontier)
    if frontier.root() != head.root:
        raise LogBrokenError(f"The stored root of {head.size} entries is not its frontier's.")
    if not head.note.startswith(Checkpoint(head.origin, head.size, head.root).text() + "\n"):
        raise LogBrokenError(f"The stored note does not sign the {head.size} entries of the head.")
    return frontier
