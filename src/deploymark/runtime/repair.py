"""Ways back for a log that refuses to start; each keeps what verifiers already hold true."""

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from deploymark.crypto.note import VerifierKey
from deploymark.crypto.signer import Ed25519NoteSigner
from deploymark.errors import DataDirectoryError, LogBrokenError, RolledBackError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.export import Export
from deploymark.log.fsck import Audit
from deploymark.log.sequencer import signed_head
from deploymark.log.tree import Frontier, leaf_hash
from deploymark.model.filing import check_filing
from deploymark.model.instants import parse_instant
from deploymark.model.leaf import decode_leaf
from deploymark.ports import Batch, Head, StoredEntry
from deploymark.runtime.compose import log_keys, read_policy
from deploymark.runtime.data_directory import DataDirectory, log_signer
from deploymark.storage.guard_file import FileRollbackGuard
from deploymark.storage.sqlite import SqliteLogStore

_BATCH = 2_048


def accept_copy(path: Path) -> Head:
    """Write a lost guard file anew, trusting that this copy of the log is the newest.

    Raises:
        DataDirectoryError: The guard is there; then it must be obeyed, not replaced.
    """
    data = DataDirectory(path)
    data.check_exists()
    guard = FileRollbackGuard(data.guard)
    if guard.path.exists():
        raise DataDirectoryError(
            f"The rollback guard {guard.path} is not lost.",
            hint="If the log is behind it, restore the newer copy or use --from EXPORT.",
        )
    store = SqliteLogStore(data.database)
    try:
        head = store.head()
        guard.write(head.origin, head.size, head.root)
    finally:
        store.close()
    return head


def recover_from_export(path: Path, export: Export, passphrase: str | None) -> tuple[int, int]:
    """Append the entries that an old copy of a log lacks, exactly as they were published.

    The export must carry this log's own signature, contain this copy as its beginning, and reach
    what the guard remembers; so nothing is signed that contradicts an earlier checkpoint.

    Returns:
        The number of entries before and after.

    Raises:
        NoteError, PolicyError: The export is not signed by this log.
        LogBrokenError: The export does not add up.
        RolledBackError: The export contradicts this copy, or does not reach far enough.
    """
    data = DataDirectory(path)
    data.check_exists()
    policy = read_policy(data)
    checked = policy.check(export.note).checkpoint
    for fault in export.faults():
        raise LogBrokenError(f"The export {export.path} does not add up: {fault}")
    store = SqliteLogStore(data.database)
    try:
        head = store.head()
        guard = FileRollbackGuard(data.guard).read() or (head.origin, head.size, head.root)
        _check_sound(store, log_keys(policy))
        _check_fits(head, checked, guard)
        _check_same_history(export, (head.size, head.root), guard[1:])
        _append(store, export, log_signer(data, head.origin, passphrase))
        return head.size, store.head().size
    finally:
        store.close()


def _check_sound(store: SqliteLogStore, keys: Sequence[VerifierKey]) -> None:
    """Refuse to continue a copy that does not add up by itself."""
    snapshot = store.snapshot()
    try:
        for step in Audit(snapshot, keys).steps():
            for fault in step.faults:
                raise LogBrokenError(f"This copy does not add up by itself: {fault}")
    finally:
        snapshot.close()


def _check_fits(head: Head, published: Checkpoint, guard: tuple[str, int, bytes]) -> None:
    origin, size, _ = guard
    if published.size <= head.size:
        raise RolledBackError(
            f"The export has {published.size} entries, this copy {head.size}: none to bring back.",
            hint="Look for a newer export or backup.",
        )
    if origin != published.origin:
        raise RolledBackError(f"The guard remembers the log {origin}, not {published.origin}.")
    if published.size < size:
        raise RolledBackError(
            f"The export ends at {published.size}, but {size} entries were published.",
            hint="Look for a newer export: with this one, published entries would be lost.",
        )


def _check_same_history(export: Export, copy: tuple[int, bytes], guard: tuple[int, bytes]) -> None:
    """Refuse an export whose beginnings are not what this copy holds and what was published."""
    frontier = Frontier()
    wanted = {copy, guard}
    seen = {(0, frontier.root())}
    for leaf in export.leaves():
        frontier.extend([leaf_hash(leaf)])
        if any(frontier.size == size for size, _ in wanted):
            seen.add((frontier.size, frontier.root()))
    for size, root in (copy, guard):
        if (size, root) not in seen:
            raise RolledBackError(
                f"The export's first {size} entries are not those of this copy or of what the "
                "guard remembers.",
                hint="One of the two has forked: compare both with a witness and with receipts.",
            )


def _append(store: SqliteLogStore, export: Export, signer: Ed25519NoteSigner) -> None:
    """Append the leaves beyond the head, many to a commit."""
    size = store.head().size
    bodies = islice(export.leaves(), size, None)
    while chunk := list(islice(bodies, _BATCH)):
        # If we stop between two of these, the log is a longer true beginning; run recover again.
        _commit(store, chunk, signer)


def _commit(store: SqliteLogStore, bodies: list[bytes], signer: Ed25519NoteSigner) -> None:
    before = store.head()
    frontier = Frontier.unpack(before.size, before.frontier)
    rows: list[StoredEntry] = []
    erasures: list[tuple[bytes, int]] = []
    for index, body in enumerate(bodies, before.size):
        leaf = decode_leaf(body)
        received_at_ms = parse_instant(leaf.received_at)
        rows.append(
            StoredEntry(index, leaf_hash(body), received_at_ms, leaf.key_id, leaf.dedupe, body)
        )
        # What was erased since the copy was made must not come back with it.
        if check_filing(leaf).erases:
            erasures.append((bytes.fromhex(leaf.ids["detail"][len("sha256:") :]), received_at_ms))
    nodes = frontier.extend([row.leaf_hash for row in rows])
    head = signed_head(before, frontier, signer)
    store.append(Batch(before.size, rows, nodes, head, erasures=erasures))
