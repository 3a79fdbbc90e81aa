"""Whether a digest that should not run has stopped running: all instances that had it have ended.

Markers say that it ran, and these stay; whether it still does is what the instances tell. So this
is asked of their rows, and a mismatch that is cured is over without anybody declaring the digest
to be right.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.run import Run
from deploymark.projections.broker.tables import INSTANCE

_BASES = (INSTANCE.c.declared, INSTANCE.c.self_observed, INSTANCE.c.observed)


def mismatched(run: Run) -> list[str]:
    """Return the digests that run where they should not, as far as markers tell."""
    return [
        trace.about
        for trace in run.findings.values()
        if trace.code == FindingCode.DIGEST_MISMATCH and trace.closed_ms is None
    ]


def cures(connection: Connection, run: Run, runs: Sequence[Run]) -> dict[str, int]:
    """Return since when, in milliseconds, digests that should not run do so no more.

    Args:
        connection: Reads the instances.
        run: With digests that are `mismatched`.
        runs: All of the scope; a label may name this run for an instance of another.
    """
    cured = {}
    for digest in mismatched(run):
        wrong = {
            index
            for other in runs
            if other is run or other.labelled
            for index, group in other.groups.items()
            if group.digest == digest
        }
        asked = select(INSTANCE.c.gone_ms, INSTANCE.c.last_ms, INSTANCE.c.replaced, *_BASES)
        rows = connection.execute(asked.where(INSTANCE.c.main.in_(wrong | set(run.groups))))
        found = [
            row
            for row in rows
            if not wrong.isdisjoint((row.declared, row.self_observed, row.observed))
        ]
        if found and all(row.gone_ms is not None or row.replaced for row in found):
            cured[digest] = max(row.gone_ms or row.last_ms for row in found)
    return cured
