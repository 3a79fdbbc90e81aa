"""What is wrong with a run, as far as its witnesses alone show it. Pure.

A finding opens with the witness that supports it and closes with the one after which nothing does.
What follows from time, silence above all, is the watchers' business.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from deploymark.model.ids import format_occurrence
from deploymark.model.vocabulary import FindingCode, Kind, Phase
from deploymark.projections.broker.findings import MAX_INDEXES
from deploymark.projections.broker.run import Run, Trace
from deploymark.projections.broker.witness import Witness

LARGE_CHANGES: Final = 50
"""Changes that one deployment may bring without a remark."""

MAX_TRACES: Final = 64
"""Findings that are kept of one run."""


class Condition(NamedTuple):
    """Something wrong.

    Attributes:
        code: Of the finding.
        about: The instance or digest in question, "" for the run.
        detail: What the message names.
        indexes: The entries that it rests on.
    """

    code: str
    about: str = ""
    detail: str = ""
    indexes: tuple[int, ...] = ()


def refreshed(run: Run, witness: Witness, runs: Sequence[Run]) -> dict[str, Trace] | None:
    """Return the findings of a run after a witness, opened and closed; None when none changed.

    Args:
        run: As it is.
        witness: After which; its time is the time of the change.
        runs: All of the scope.
    """
    if run.over and all(trace.closed_ms is not None for trace in run.findings.values()):
        return None
    found = {f"{each.code} {each.about}": each for each in _conditions(run, runs)}
    changed = {}
    for name, trace in run.findings.items():
        if name not in found and trace.closed_ms is None:
            changed[name] = replace(trace, closed_ms=max(witness.at_ms, trace.opened_ms))
    free = MAX_TRACES - len(run.findings)
    for name, condition in found.items():
        known = run.findings.get(name)
        if known is not None:
            indexes = list(condition.indexes or known.indexes)[:MAX_INDEXES]
            now = replace(known, closed_ms=None, detail=condition.detail, indexes=indexes)
            if now != known:
                changed[name] = now
        elif free > 0:
            free -= 1
            indexes = list(condition.indexes or (witness.leader,))[:MAX_INDEXES]
            changed[name] = Trace(
                condition.code, condition.about, condition.detail, indexes, witness.at_ms
            )
    return {**run.findings, **changed} if changed else None


def _conditions(run: Run, runs: Sequence[Run]) -> Iterator[Condition]:
    if run.over:
        return
    if not run.intended:
        yield Condition(FindingCode.UNPLANNED_CHANGE)
    if run.line.kind != Kind.DEPLOYMENT:
        yield from _drifts(run, runs)
        return
    yield from _mismatches(run, runs)
    tag = run.fact("tag")
    if run.digest is None and (run.is_live or run.confirmed or tag is not None):
        yield Condition(FindingCode.ARTIFACT_UNRESOLVED, detail=str(tag or ""))
    others = [
        format_occurrence(each.id, each.number)
        for each in (runs if run.ambiguous else ())
        if not each.over and each is not run and (each.id, each.number) in run.ambiguous
    ]
    if others:
        yield Condition(FindingCode.CORRELATION_AMBIGUOUS, detail=", ".join(others))
    changes = run.fact("changes")
    if changes is not None and changes > LARGE_CHANGES:
        yield Condition(FindingCode.LARGE_CHANGE_SET, detail=str(changes))
    requires = run.fact("requires")
    if requires is not None and run.is_live and not _provided(requires, run, runs):
        yield Condition(FindingCode.MIGRATION_OUT_OF_ORDER, detail=str(requires))


def _mismatches(run: Run, runs: Sequence[Run]) -> Iterator[Condition]:
    """Yield digests that run where they should not, one condition for each digest."""
    found: dict[str, tuple[str, list[int]]] = {}
    # Groups of others matter where their label may name this one.
    for other in [each for each in runs if each is run or each.labelled]:
        for group in other.groups.values():
            if group.digest is None:
                continue
            if group.label:
                # A wrong label is the trouble of the deployment that it names, while that stands.
                named = [each for each in runs if group.label in (each.id, *each.aliases)]
                stands = any(not each.over for each in named)
                ours = any(each is run for each in named) if stands else other is run
            else:
                ours = other is run and bool(run.digests) and group.digest not in run.digests
            if ours:
                found.setdefault(group.digest, (group.about, []))[1].append(group.lead)
    for digest, (about, indexes) in found.items():
        yield Condition(FindingCode.DIGEST_MISMATCH, digest, about, tuple(indexes))


def _drifts(run: Run, runs: Sequence[Run]) -> Iterator[Condition]:
    """Yield instances that confirmed an earlier value after this one went live."""
    if run.went_live_ms is None:
        return
    for other in runs:
        if other is run or other.line != run.line or not other.over:
            continue
        for uid, at_ms in other.uids.items():
            if at_ms > run.went_live_ms and at_ms > run.uids.get(uid, 0):
                yield Condition(FindingCode.CONFIG_DRIFT, uid, str(other.fact("revision") or ""))


def _provided(revision: str, run: Run, runs: Sequence[Run]) -> bool:
    for each in runs:
        if each.line.kind != Kind.SCHEMA_MIGRATION or Phase.APPLIED not in each.phases:
            continue
        if revision in (each.fact("provides"), each.fact("revision")) and each.ended_by not in (
            Phase.FAILED,
            Phase.ROLLED_BACK,
        ):
            return True
    # A deployment may bring its own schema.
    return bool(run.fact("provides") == revision)
