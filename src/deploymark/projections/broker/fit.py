"""To which run evidence belongs that does not say so: rules 2 to 5 of the specification. Pure.

Within one line of changes and one place, the first rule that gives candidates decides:

2. something from outside that both name: a build, a release, a correlation id, or a change ticket
   that exactly one open deployment carries;
3. the artifact's digest, or one of its platforms';
4. the commit; 5. the version.
"""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from deploymark.ingest.occurrences import SpotState
from deploymark.model.vocabulary import OPENING
from deploymark.projections.broker.run import Run, covers
from deploymark.projections.broker.witness import Witness

EARLY_MS: Final = 300_000
"""Evidence may come this much before the first marker of its deployment."""

DRAIN_MS: Final = 600_000
"""Evidence may come this much after the end of its deployment: instances that are drained."""

INTENT_MS: Final = 900_000
"""An intent that comes this much after an unplanned change explains it."""

EXPLICIT, STATED, UNPLANNED = "explicit", "derived", "unplanned"
"""Names of joins that need no search: by an id given, by one derived, and none found."""


class Fit(NamedTuple):
    """A run that evidence fits.

    Attributes:
        run: It.
        rule: By which.
        ambiguous: Other runs that it fits as well; not yet live, all of them.
    """

    run: Run
    rule: str
    ambiguous: tuple[Run, ...] = ()


def rule_of(run: Run, witness: Witness, runs: Sequence[Run]) -> str:
    """Return the first rule by which a witness and a run are about the same, "" for none.

    Intervals and places do not count here.
    """
    for rule, find in _RULES:
        if find((run,), witness, runs):
            return rule
    return ""


def candidates(runs: Sequence[Run], witness: Witness) -> Fit | None:
    """Return the run that evidence joins, None when it fits none that stands or drains."""
    for rule, find in _RULES:
        # The rule first: it costs less to ask than the place.
        found = [run for run in find(runs, witness, runs) if is_there(run, witness)]
        if found:
            return _choose(found, rule)
    return None


def is_there(run: Run, witness: Witness) -> bool:
    """Tell whether a run stood, or drained, where and when a witness saw something."""
    said = witness.sighting
    if run.line != said.line or said.at_ms < run.opened_ms - EARLY_MS:
        return False
    spots = covers(run, said.place, said.colour)
    if not spots:
        return False
    if any(spot.state is not SpotState.ENDED for spot in spots):
        return True
    # A change of what is to run does not drain: after the end it is something new.
    drain_ms = 0 if said.phase in OPENING else DRAIN_MS
    return said.at_ms <= max([spot.at_ms for spot in spots]) + drain_ms


def ended_before(runs: Sequence[Run], witness: Witness) -> Fit | None:
    """Return the newest run of the same release that has ended where a witness sees it again."""
    said = witness.sighting
    for rule, find in _RULES[1:]:
        found = [
            run
            for run in find(runs, witness, runs)
            if run.line == said.line and covers(run, said.place, said.colour)
        ]
        if found:
            return Fit(max(found, key=_newness), rule)
    return None


def unplanned_elsewhere(runs: Sequence[Run], witness: Witness) -> Run | None:
    """Return the newest unplanned run of the same release that stands, wherever that is.

    What nobody announced in one place comes to the next one as the same change.
    """
    said = witness.sighting
    among = [run for run in runs if run.own and not run.over and run.line == said.line]
    found = [run for _, find in _RULES for run in find(among, witness, runs)] if among else []
    return max(found, key=_newness, default=None)


def explains(run: Run, unplanned: Run, runs: Sequence[Run]) -> str:
    """Return the rule by which a planned run explains an unplanned one, "" when it does not."""
    if run.line != unplanned.line or run.opened_ms - unplanned.opened_ms > INTENT_MS:
        return ""
    for witness in unplanned.told:
        said = witness.sighting
        if covers(run, said.place, said.colour) and (rule := rule_of(run, witness, runs)):
            return rule
    return ""


def _choose(found: list[Run], rule: str) -> Fit:
    """Choose among candidates of one rule.

    What is live is what runs, unless a later one has begun to take its place; what only drains
    gives way to both.
    """
    live = [run for run in found if run.is_live]
    pending = [run for run in found if not run.over and not run.is_live]
    if live:
        pending = [run for run in pending if run.begun]
    if not pending:
        return Fit(max(live or found, key=_newness), rule)
    chosen = max(pending, key=_newness)
    return Fit(chosen, rule, tuple(run for run in pending if run is not chosen))


def _newness(run: Run) -> tuple[int, str, int]:
    return run.opened_ms, run.id, run.number


# Each rule returns the runs, of those given, that are about the same as a witness; `runs` are all
# of the scope. Most witnesses lack most of what is compared, and there are many runs.


def _linked(among: Sequence[Run], witness: Witness, runs: Sequence[Run]) -> list[Run]:
    links, tickets = set(witness.links), set(witness.tickets)
    linked = {id(run) for run in among if not links.isdisjoint(run.links)} if links else set()
    if tickets and any(not tickets.isdisjoint(run.tickets) for run in among):
        carriers: dict[str, list[Run]] = {}
        for each in runs:
            for name in () if each.over else tickets.intersection(each.tickets):
                carriers.setdefault(name, []).append(each)
        linked |= {id(carried[0]) for carried in carriers.values() if len(carried) == 1}
    return [run for run in among if id(run) in linked] if linked else []


def _same_digest(among: Sequence[Run], witness: Witness, _: Sequence[Run]) -> list[Run]:
    digest = witness.digest
    if digest is None:
        return []
    return [run for run in among if digest in run.digests or digest == run.learned]


def _same_commit(among: Sequence[Run], witness: Witness, _: Sequence[Run]) -> list[Run]:
    commit = witness.sighting.commit
    return [] if commit is None else [r for r in among if commit == r.fact("commit_hash")]


def _same_version(among: Sequence[Run], witness: Witness, _: Sequence[Run]) -> list[Run]:
    version = witness.sighting.version
    return [] if version is None else [r for r in among if version == r.fact("version")]


_Rule = Callable[[Sequence[Run], Witness, Sequence[Run]], list[Run]]
_RULES: Final[tuple[tuple[str, _Rule], ...]] = (
    ("external", _linked),
    ("digest", _same_digest),
    ("commit", _same_commit),
    ("version", _same_version),
)
