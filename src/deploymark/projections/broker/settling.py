"""What came of a deployment, as its markers say it: it went live, failed, or was rolled back. Pure.

The measures count it (`projections.outcomes_query`), each with the entry that says so. What
verdicts and decisions say of the same deployment is not looked at here.
"""

from typing import NamedTuple

from deploymark.model.vocabulary import Kind, Phase
from deploymark.projections.broker.run import Run


class Settling(NamedTuple):
    """What came of a run; the columns of `broker_run` before `watch`.

    Attributes:
        settled_ms: When it first went live; of one that never did, when it failed or was rolled
            back. None while neither is known, and of all that is no deployment.
        settled_index: The entry that says so.
        failed_index: The first entry that says that it failed somewhere.
        undone_ms: When it was said to be rolled back; a rollback that was begun and given up for
            another attempt is none.
        undone_index: The entry that says so.
        returns: The deployment that it takes back, as `id~number` or as it was named: it is itself
            a rollback.
    """

    settled_ms: int | None = None
    settled_index: int | None = None
    failed_index: int | None = None
    undone_ms: int | None = None
    undone_index: int | None = None
    returns: str | None = None


_NOTHING = Settling()


def settling_of(run: Run) -> Settling:
    """Return what came of a run."""
    if run.line.kind != Kind.DEPLOYMENT:
        return _NOTHING
    undone = _said(run, Phase.ROLLED_BACK)
    if undone is None and run.rolling_back_ms is not None:
        undone = _said(run, Phase.ROLLING_BACK)
    failed = _said(run, Phase.FAILED)
    settled = min((each for each in (failed, undone) if each is not None), default=None)
    if run.went_live_ms is not None and run.live_index is not None:
        settled = (run.went_live_ms, run.live_index)
    settled_ms, settled_index = settled or (None, None)
    undone_ms, undone_index = undone or (None, None)
    return Settling(
        settled_ms,
        settled_index,
        None if failed is None else failed[1],
        undone_ms,
        undone_index,
        run.rollback_of or run.fact("rollback_of"),
    )


def _said(run: Run, phase: Phase) -> tuple[int, int] | None:
    """Return when a phase was first said, and by which entry."""
    index = run.proofs.get(phase)
    return None if index is None else (run.phases[phase], index)
