"""Takes the witnesses of a scope in the order of time, and changes its runs. Pure.

Nothing is looked up ahead: what a later witness teaches counts from then on. An unplanned run that
an intent explains within a quarter of an hour becomes part of the planned one, and its id an alias.
So the runs follow from the set of witnesses, whatever order they arrived in.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from deploymark.ingest.occurrences import SpotState, live_places, superseded
from deploymark.ingest.sighting import Place, Sighting
from deploymark.model.ids import deployment_id, format_occurrence
from deploymark.model.vocabulary import OPENING, Basis, Kind, Phase
from deploymark.projections.broker.conditions import refreshed
from deploymark.projections.broker.fit import (
    EXPLICIT,
    STATED,
    UNPLANNED,
    candidates,
    ended_before,
    explains,
    unplanned_elsewhere,
)
from deploymark.projections.broker.run import Group, Run, copy_run, note_more, open_run, take
from deploymark.projections.broker.witness import INTENT, Witness

SUPERSEDED: Final = "superseded"
"""How a run ended whose place another one took."""

_ONLY: Final = 1  # a run's record has one occurrence
_STARTING: Final = OPENING | {Phase.RUNNING}


class State(Struct, dict=True):
    """The runs of a scope, in the order in which they were opened.

    Runs may be shared with earlier states (`share`): one is copied before it is changed (`own`).
    So a state costs what changed in it, and a run that is the same object has not changed.
    """

    runs: list[Run] = []

    def __post_init__(self) -> None:
        """Begin with runs that may all be somebody else's."""
        self._owned: dict[int, Run] = {}

    def share(self) -> list[Run]:
        """Return the runs as they are now, and will stay."""
        self._owned.clear()
        return [*self.runs]

    def own(self, run: Run) -> Run:
        """Return a run of this state that can be changed, in the place of the one given."""
        if id(run) in self._owned:
            return run
        copied = copy_run(run)
        position = next(number for number, each in enumerate(self.runs) if each is run)
        self.runs[position] = copied
        self._owned[id(copied)] = copied
        return copied

    def add(self, run: Run) -> Run:
        """Add a new run and return it."""
        self.runs.append(run)
        self._owned[id(run)] = run
        return run


def sweep(state: State, witnesses: Iterable[Witness]) -> State:
    """Take witnesses that are in order; return the same state, changed."""
    for witness in witnesses:
        step(state, witness)
    return state


def step(state: State, witness: Witness) -> None:
    """Take one witness."""
    if witness.is_evidence:
        _correlate(state, witness)
    elif label := _contradicted(state, witness):
        _correlate(state, witness, label)
    else:
        _take_stated(state, witness)


class More(NamedTuple):
    """One more of a group, which is not its earliest.

    Attributes:
        witness: It.
        group: The index of its group.
        before: The marker of the group behind which it is listed; None when it is not.
    """

    witness: Witness
    group: int
    before: int | None


def hear_more(state: State, more: More) -> None:
    """Let the run of a group be as if it had heard one more of it at once with the others."""
    witness = more.witness
    for shared in state.runs:
        if more.group in shared.groups:
            run = state.own(shared)
            source = run.sources[witness.source]
            source.markers += witness.count
            source.last_ms = max(source.last_ms, witness.last_ms)
            rule = run.groups[more.group].rule
            run.rules[rule] += witness.count
            if more.before is not None:
                note_more(run, more.before, witness.index, rule)
            run.last_ms = max(run.last_ms, witness.last_ms)
            run.last_index = max(run.last_index, witness.last_index)
            return


def name_runs(state: State) -> dict[int, int]:
    """Return the number of each occurrence, by the position of its run.

    Those that evidence alone reopened come after all that were said of the deployment.
    """
    if all(run.number for run in state.runs):
        return {position: run.number for position, run in enumerate(state.runs)}
    highest: dict[tuple[str, str], int] = {}
    for run in state.runs:
        name = (run.id, run.kind_key)
        highest[name] = max(highest.get(name, 0), run.number)
    numbers = {}
    for position, run in enumerate(state.runs):
        numbers[position] = run.number
        if run.number == 0:
            name = (run.id, run.kind_key)
            numbers[position] = highest[name] = highest[name] + 1
    return numbers


# Whose a witness is ------------------------------------------------------------------------------


def _contradicted(state: State, witness: Witness) -> str:
    """Return the deployment that an observed digest contradicts although a label names it."""
    if not witness.explicit or witness.source in INTENT or witness.basis != Basis.OBSERVED:
        return ""
    named = _runs_of(state, witness.sighting)
    known = [digest for run in named for digest in run.digests]
    if witness.seen is None or not known or witness.seen in known:
        return ""
    return named[-1].id


def _runs_of(state: State, said: Sighting) -> list[Run]:
    """Return the runs of the deployment that a marker names or was filed under."""
    return [
        run
        for run in state.runs
        if (run.id == said.deployment_id or said.deployment_id in run.aliases)
        and run.line == said.line
    ]


def _correlate(state: State, witness: Witness, label: str = "") -> None:
    fit = candidates(state.runs, witness)
    if fit is not None:
        joined = state.own(fit.run)
        for other in fit.ambiguous:
            if (name := (other.id, other.number)) not in joined.ambiguous:
                joined.ambiguous.append(name)
        _hear(state, joined, witness, fit.rule, label)
        return
    elsewhere = unplanned_elsewhere(state.runs, witness)
    if elsewhere is not None:
        _hear(state, state.own(elsewhere), witness, UNPLANNED, label)
        return
    again = ended_before(state.runs, witness)
    if again is not None and witness.sighting.phase not in _STARTING:
        _hear(state, state.own(again.run), witness, again.rule, label)
    elif again is not None:
        run = open_run(witness, own=True, base=again.run.id)
        run.digests, run.aliases = [*again.run.digests], [*again.run.aliases]
        run.hinted = {**again.run.hinted, **again.run.said}
        _hear(state, state.add(run), witness, UNPLANNED, label)
    else:
        _hear(state, _own(state, witness, label), witness, UNPLANNED, label)


def _own(state: State, witness: Witness, label: str) -> Run:
    """Return the run that evidence has for itself, which may be there already."""
    name, number = witness.sighting.deployment_id, witness.occurrence
    if label:
        # Its label names a deployment that it is not: without one it would be filed by what it is.
        line = witness.sighting.line
        name, number = deployment_id(*line[:2], witness.seen or "", ""), 1
    for run in state.runs:
        if (run.id, run.number, run.line) == (name, number, witness.sighting.line):
            return state.own(run)
    run = open_run(witness, own=True)
    run.id, run.number = name, number
    return state.add(run)


def _take_stated(state: State, witness: Witness) -> None:
    known = _find(state, witness)
    run = _open(state, witness) if known is None else state.own(known)
    said = witness.sighting
    intent = witness.source in INTENT
    if intent:
        run.own = False
        if said.digest is not None and not run.by_digest:
            if not witness.explicit and said.deployment_id != run.id:
                _rename(state, run.id, said.deployment_id)
            run.by_digest = True
    if said.deployment_id != run.id and said.deployment_id not in run.aliases:
        run.aliases.append(said.deployment_id)
    _hear(state, run, witness, EXPLICIT if witness.explicit else STATED)
    if intent and any(other.own for other in state.runs):
        _absorb(state, run, witness)


def _find(state: State, witness: Witness) -> Run | None:
    said = witness.sighting
    for run in _runs_of(state, said):
        if run.number == witness.occurrence:
            return run
    if not said.action or said.line.kind != Kind.DEPLOYMENT:
        return None
    for run in reversed(state.runs):
        if (
            run.number == witness.occurrence
            and run.line == said.line
            and run.record.action == said.action
            and _agrees(run, said)
        ):
            return run
    return None


def _agrees(run: Run, said: Sighting) -> bool:
    """Tell whether nothing that is said of a run's subject contradicts a marker."""
    if said.digest is not None and run.digests and said.digest not in run.digests:
        return False
    pairs = ((run.said.get("commit_hash"), said.commit), (run.said.get("version"), said.version))
    return all(one is None or other is None or one == other for one, other in pairs)


def _open(state: State, witness: Witness) -> Run:
    run = open_run(witness, own=False)
    run.by_digest = witness.explicit or witness.sighting.digest is not None
    for sibling in _runs_of(state, witness.sighting):
        run.id, run.aliases = sibling.id, [*sibling.aliases]
        run.by_digest = sibling.by_digest
    return state.add(run)


def _rename(state: State, old: str, new: str) -> None:
    """Let the id that carries the digest stand; the other becomes an alias."""
    for run in [each for each in state.runs if old in (each.base, each.id)]:
        renamed = state.own(run)
        if renamed.base == old:
            renamed.base = new
        if renamed.id == old:
            renamed.id = new
            renamed.aliases = [each for each in renamed.aliases if each != new]
            renamed.aliases.append(old)


def _absorb(state: State, run: Run, witness: Witness) -> None:
    """Take over unplanned runs that the intent of a run explains."""
    for own in [each for each in state.runs if each.own and each is not run]:
        rule = explains(run, own, state.runs)
        if not rule:
            continue
        state.runs = [each for each in state.runs if each is not own]
        if not own.base and own.id != run.id and own.id not in run.aliases:
            run.aliases.append(own.id)
        run.replaced = run.replaced or own.replaced
        run.rollback_of = run.rollback_of or own.rollback_of
        for name, trace in own.findings.items():
            closed = replace(trace, closed_ms=max(witness.at_ms, trace.opened_ms))
            run.findings.setdefault(name, closed)
        for told in own.told:
            group = own.groups.get(told.index)
            _hear(state, run, told, rule, group.label if group else "")
        _refresh(state, run, witness)


# What follows from it ----------------------------------------------------------------------------


def _hear(state: State, run: Run, witness: Witness, rule: str, label: str = "") -> None:
    take(run, witness, rule)
    if witness.confirms or label:
        about = witness.instance or witness.uid or ""
        basis = witness.basis or Basis.DECLARED
        run.groups[witness.index] = Group(
            witness.index, witness.leader, rule, basis, witness.seen, about, label
        )
        run.confirmed = True
        run.labelled = run.labelled or bool(label)
    places = live_places(run.record, _ONLY, witness.at_ms)
    ended, replaced = _supersede(state, run, places, witness) if places else ((), ())
    if replaced and run.replaced is None:
        _note_replaced(state, run, replaced)
    _refresh(state, run, witness)
    for other in _concerned(state, run, ended, label):
        _refresh(state, other, witness)


def _concerned(state: State, run: Run, ended: Sequence[Run], label: str) -> list[Run]:
    """Return the other runs whose findings may change with what one has just heard.

    There may be hundreds, and most findings of a run follow from the run alone (`conditions`).
    """
    if label or any(each.labelled for each in state.runs):
        # Whose trouble a wrong label is depends on what stands, anywhere.
        return [
            each
            for each in state.runs
            if each is not run and (label or each.findings or each.ambiguous)
        ]
    return [each for each in state.runs if each is not run and _follows(each, run, ended)]


def _follows(other: Run, run: Run, ended: Sequence[Run]) -> bool:
    """Tell whether the findings of a run may follow from those of another one, without labels."""
    if other.ambiguous:
        return True
    if not other.findings:
        return False
    kind = run.line.kind
    return (
        any(other is each for each in ended)
        or (kind != Kind.DEPLOYMENT and other.line == run.line)
        or (kind == Kind.SCHEMA_MIGRATION and other.fact("requires") is not None)
    )


def _refresh(state: State, run: Run, witness: Witness) -> None:
    findings = refreshed(run, witness, state.runs)
    if findings is not None:
        state.own(run).findings = findings


def _supersede(
    state: State, run: Run, places: list[Place], witness: Witness
) -> tuple[list[Run], list[Run]]:
    """End what stood where a run went live; return that, and what of it had been live there."""
    ended, replaced = [], []
    for shared in [*state.runs]:
        if shared is run or shared.over or shared.line != run.line or _came_after(shared, run):
            continue
        before = shared.record
        after = superseded(before, places, witness.at_ms, witness.sighting.emission)
        if after is before or after == before:
            continue
        other = state.own(shared)
        had = {spot.place for spot in other.spots if spot.state is SpotState.LIVE}
        other.record = after
        ended.append(other)
        has = {spot.place for spot in other.spots if spot.state is SpotState.LIVE}
        if had - has:
            replaced.append(other)
        if after.over:
            other.ended_by = SUPERSEDED
    return ended, replaced


def _came_after(other: Run, run: Run) -> bool:
    """Tell whether a run is a later occurrence, which late news of an earlier one does not end."""
    return other.id == run.id and other.number > run.number > 0


def _note_replaced(state: State, run: Run, replaced: list[Run]) -> None:
    """Note what a run took the place of, and whether that returned to what was there before."""
    last = max(replaced, key=lambda each: (each.went_live_ms or 0, each.id))
    name = _name(last)
    run.replaced = name
    if run.line.kind != Kind.DEPLOYMENT or run.digest is None or last.matches(run.digest):
        return
    if last.went_live_ms is None:
        return
    for earlier in state.runs:
        if (
            earlier is not run
            and earlier.line == run.line
            and earlier.went_live_ms is not None
            and earlier.went_live_ms < last.went_live_ms
            and earlier.matches(run.digest)
            and _meet(earlier, run)
        ):
            run.rollback_of = name
            return


def _name(run: Run) -> str:
    return format_occurrence(run.id, run.number) if run.number else run.id


def _meet(one: Run, other: Run) -> bool:
    """Tell whether two runs share a place."""
    return any(
        mine.place.covers(its.place) or its.place.covers(mine.place)
        for mine in one.spots
        for its in other.spots
    )
