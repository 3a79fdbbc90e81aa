"""Notices a log that has gone back in time: an old backup, a rewritten database.

What was last published is also kept in a second place (the `RollbackGuard` port). At start the
log must contain that tree; if it does not, acknowledged entries are gone or changed, and going on
would fork the log in front of its witnesses.
"""

from deploymark.errors import DataDirectoryError, RolledBackError
from deploymark.log.proof import tree_root
from deploymark.log.reader import LogView
from deploymark.log.steps import counted
from deploymark.ports import RollbackGuard


def check_guard(view: LogView, guard: RollbackGuard) -> None:
    """Check that the log still contains what was last published.

    Raises:
        RolledBackError: The log is shorter than, or forked from, what was published.
        DataDirectoryError: The guard is missing although something was published, or it is
            another log's.
    """
    head = view.reader.head()
    remembered = guard.read()
    if remembered is None:
        if head.published_size:
            raise DataDirectoryError(
                f"The rollback guard of {head.origin} is missing, although checkpoints up to "
                f"size {head.published_size} were published.",
                hint="Bring the guard file back; if this is surely the newest copy of the log, "
                "run `deploymark log recover --accept`.",
            )
        return
    origin, size, root = remembered
    if origin != head.origin:
        raise DataDirectoryError(
            f"The rollback guard belongs to the log {origin}, not to {head.origin}.",
            hint="Use the guard file that was kept for this data directory.",
        )
    if size > head.size:
        raise RolledBackError(
            f"The log {origin} has {head.size} entries but had published {size}: "
            f"{counted(size - head.size, 'acknowledged entry is', 'acknowledged entries are')} "
            "missing.",
            hint="This is an old copy. Restore the newer one, or bring the missing entries back "
            "with `deploymark log recover --from EXPORT`.",
        )
    if tree_root(size, view.trees) != root:
        raise RolledBackError(
            f"The log {origin} has forked: its first {size} entries are not the published ones.",
            hint="Keep this copy as evidence and restore one that contains the published "
            "checkpoint; `deploymark log fsck` names the entries that do not add up.",
        )
