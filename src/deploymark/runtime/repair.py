"""Ways back for a log that refuses to start; each keeps what verifiers already hold true."""

from pathlib import Path

from deploymark.crypto.signer import Ed25519NoteSigner
from deploymark.errors import DataDirectoryError, LogBrokenError, RolledBackError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.export import Export
from deploymark.log.proof import tree_root
from deploymark.log.reader import LogView
from deploymark.log.sequencer import signed_head
from deploymark.log.tree import Frontier, leaf_hash
from deploymark.model.instants import parse_instant
from deploymark.model.leaf import decode_leaf
from deploymark.ports import Batch, Head, StoredEntry
from deploymark.runtime.compose import read_policy
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
    checked = read_policy(data).check(export.note).checkpoint
    for fault in export.faults():
        raise LogBrokenError(f"The export {export.path} does not add up: {fault}")
    store = SqliteLogStore(data.database)
    try:
        head = store.head()
        _check_fits(store, checked, FileRollbackGuard(data.guard))
        _append(store, export, log_signer(data, head.origin, passphrase))
        return head.size, store.head().size
    finally:
        store.close()


def _check_fits(store: SqliteLogStore, published: Checkpoint, guard: FileRollbackGuard) -> None:
    head = store.head()
    remembered = guard.read()
    if published.size <= head.size:
        raise RolledBackError(
            f"The export has {published.size} entries, this copy {head.size}: none to bring back.",
            hint="Look for a newer export or backup.",
        )
    if remembered is not None and published.size < remembered[1]:
        raise RolledBackError(
            f"The export ends at {published.size}, but {remembered[1]} entries were published.",
            hint="Look for a newer export: with this one, published entries would be lost.",
        )
    if tree_root(head.size, LogView(store).trees) != head.root:
        raise LogBrokenError("This copy does not add up by itself.")


def _append(store: SqliteLogStore, export: Export, signer: Ed25519NoteSigner) -> None:
    """Append the leaves beyond the head, after seeing that those before it are the same."""
    head = store.head()
    frontier = Frontier()
    rows: list[StoredEntry] = []
    for index, leaf in enumerate(export.leaves()):
        if index < head.size:
            frontier.extend([leaf_hash(leaf)])
            if frontier.size == head.size and frontier.root() != head.root:
                raise RolledBackError(
                    f"The export's first {head.size} entries are not those of this copy.",
                    hint="This copy has forked. Start from the export or a backup instead.",
                )
            continue
        rows.append(_row(index, leaf))
        if len(rows) == _BATCH:
            _commit(store, frontier, rows, signer)
            rows = []
    if rows:
        _commit(store, frontier, rows, signer)


def _row(index: int, body: bytes) -> StoredEntry:
    leaf = decode_leaf(body)
    return StoredEntry(
        index, leaf_hash(body), parse_instant(leaf.received_at), leaf.key_id, leaf.dedupe, body
    )


def _commit(
    store: SqliteLogStore, frontier: Frontier, rows: list[StoredEntry], signer: Ed25519NoteSigner
) -> None:
    # If we stop between two of these, the log is a longer true beginning; run recover again.
    before = frontier.size
    nodes = frontier.extend([row.leaf_hash for row in rows])
    head = signed_head(store.head(), frontier, signer)
    store.append(Batch(before, rows, nodes, head))
