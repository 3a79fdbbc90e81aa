"""Which occurrence of a deployment a marker belongs to (spec: identity, "Occurrences").

One deployment id can happen again: a job re-run after a rollback is not the retry that it looks
like. These are the rules, as pure functions over values; `registry` keeps the values and asks them
in the append. Whatever they decide is written into the leaf, so readers never decide again.

A *place* is (cluster, region, namespace, workload). Null in a marker means every place named so
far, and stands for all of them while none is named. An occurrence is over when every place that it
opened has ended; a general place does not count once a place inside it is named.
"""

import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import product
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from deploymark.ingest.sighting import ANYWHERE, Emission, Line, Place, Sighting, Subject
from deploymark.model.vocabulary import OPENING, Phase

KEPT: Final = 64
"""Occurrences that are remembered in detail; older ones take no more news."""

MAX_SPOTS: Final = 256
"""Places that are remembered over all occurrences of a deployment: every marker walks them."""

MAX_ALIASES: Final = 16
"""Further ids of one deployment; an id too many is a deployment of its own."""

MAX_CUTOVERS: Final = 128
"""Cutovers of a deployment that are remembered; one that is older is no longer seen to return."""

_ENDING = frozenset({Phase.FAILED, Phase.ROLLED_BACK, Phase.REMOVED})
_FULL = 100


class SpotState(StrEnum):
    """How far an occurrence has come in one place."""

    OPEN = "open"
    LIVE = "live"
    ENDED = "ended"


class Spot(Struct, frozen=True, gc=False, array_like=True):
    """The state of one occurrence in one place.

    Attributes:
        place: Where.
        state: How far it has come.
        at_ms: The time of the last that was said of it; what happened before does not end it.
        emission: The number of that.
        opened: It did not only end; news of its opening may still come.
        live_ms: When it went live, None when it did not.
    """

    place: Place
    state: SpotState
    at_ms: int
    emission: Emission | None = None
    opened: bool = True
    live_ms: int | None = None


class Closing(Struct, frozen=True, gc=False, array_like=True):
    """The end of an occurrence in its last place: a later one must come after this.

    Attributes:
        at_ms: The time of it.
        emission: Of the marker that brought it about.
    """

    at_ms: int
    emission: Emission | None = None


class Occurrence(Struct, frozen=True, gc=False, array_like=True):
    """One time that a deployment happened.

    Attributes:
        number: From 1.
        opened_ms: The earliest time said of it.
        attempt: The highest attempt of its markers.
        spots: Its state in each place.
        closing: What ended it; None while it is not over.
    """

    number: int
    opened_ms: int
    attempt: int | None = None
    spots: tuple[Spot, ...] = ()
    closing: Closing | None = None

    def contains(self, at_ms: int) -> bool:
        """Tell whether a time lies in the interval of this occurrence."""
        return self.opened_ms <= at_ms and (self.closing is None or at_ms <= self.closing.at_ms)


class Filed(Struct, frozen=True, gc=False, array_like=True):
    """A cutover that stands in the log, under which occurrence and repeat."""

    marker_id: str
    occurrence: int
    repeat: int


class DeploymentRecord(Struct, frozen=True, gc=False, array_like=True):
    """What admission must know of one deployment.

    Attributes:
        id: The first id that it had.
        aliases: Further ids, at most `MAX_ALIASES`: of the same action with a subject that does not
            contradict.
        digest, commit, version: Its subject, as far as said.
        phase: Of the marker that is newest by `at_ms`.
        at_ms: The time of that marker.
        last_index: Of its newest entry.
        occurrences: The newest `KEPT` of them with at most `MAX_SPOTS` places together, in order.
        cutovers: The newest `MAX_CUTOVERS`, in the order of the log.
        guest: Its id is used by another service or environment too, which was first.
    """

    id: str
    line: Line
    action: str = ""
    aliases: tuple[str, ...] = ()
    digest: str | None = None
    commit: str | None = None
    version: str | None = None
    phase: str = ""
    at_ms: int = 0
    last_index: int = 0
    occurrences: tuple[Occurrence, ...] = ()
    cutovers: tuple[Filed, ...] = ()
    guest: bool = False

    @property
    def newest(self) -> int:
        """The number of the newest occurrence, 0 for none."""
        return self.occurrences[-1].number if self.occurrences else 0

    @property
    def spots(self) -> int:
        """How many places are remembered, over all occurrences."""
        return sum([len(each.spots) for each in self.occurrences])

    @property
    def over(self) -> bool:
        """No occurrence can still be superseded."""
        return all(each.closing is not None for each in self.occurrences)


def same_subject(record: DeploymentRecord, sighting: Sighting) -> bool:
    """Tell whether nothing that a marker says of its subject contradicts a deployment."""
    return agrees(record, sighting.subject)


def agrees(record: DeploymentRecord, subject: Subject) -> bool:
    """Tell whether a subject does not contradict that of a deployment."""
    mine = (record.digest, record.commit, record.version)
    return all(a is None or b is None or a == b for a, b in zip(mine, subject, strict=True))


# Deciding ----------------------------------------------------------------------------------------


def occurrence_for(record: DeploymentRecord | None, sighting: Sighting) -> int:
    """Return the number of the occurrence that a marker belongs to, which may be a new one.

    Whether it was seen before is another question, to be asked first.
    """
    if record is None or not record.occurrences:
        return 1
    known = record.occurrences
    if sighting.phase not in OPENING:
        inside = [each.number for each in known if each.contains(sighting.at_ms)]
        return inside[-1] if inside else known[-1].number
    if known[-1].closing is not None and _is_later(sighting, known[-1]):
        return known[-1].number + 1
    # An occurrence is opened only by what is later than the end of the one before. What is not
    # later than that end is late news of the one before.
    for before, each in zip(reversed(known[:-1]), reversed(known[1:]), strict=True):
        if before.closing is None or _is_later(sighting, before):
            return each.number
    return known[0].number


def _is_later(sighting: Sighting, occurrence: Occurrence) -> bool:
    """Tell whether a marker comes after the end of an occurrence that is over.

    The attempt to exceed is the highest of its own markers, whatever ended it: attempts of two
    deployments cannot be compared.
    """
    if occurrence.closing is None:
        return False
    if sighting.attempt is not None and occurrence.attempt is not None:
        return sighting.attempt > occurrence.attempt
    order = _order(sighting.emission, occurrence.closing.emission)
    if order is not None:
        return order > 0
    return sighting.at_ms > occurrence.closing.at_ms


def _order(one: Emission | None, other: Emission | None) -> int | None:
    """Compare two numbers of one emitter's epoch; None when they are not of one."""
    if one is None or other is None or one[:2] != other[:2]:
        return None
    return one.sequence - other.sequence


# Folding -----------------------------------------------------------------------------------------


def fold(
    record: DeploymentRecord | None, sighting: Sighting, number: int, index: int
) -> DeploymentRecord:
    """Return what is known of a deployment after one more of its markers.

    Args:
        record: What was known; None for its first marker.
        sighting: The marker.
        number: The occurrence that it was filed under.
        index: Its index in the log.
    """
    if record is None:
        record = DeploymentRecord(sighting.deployment_id, sighting.line, sighting.action)
    known = {each.number: each for each in record.occurrences}
    if number in known or not known or number > record.occurrences[-1].number:
        before = known.get(number) or Occurrence(number, sighting.at_ms)
        known[number] = _after(before, sighting)
    newest = sighting.at_ms >= record.at_ms and not sighting.ends_instance
    is_alias = sighting.deployment_id not in (record.id, *record.aliases)
    return DeploymentRecord(
        id=record.id,
        line=record.line,
        action=record.action,
        aliases=(*record.aliases, sighting.deployment_id) if is_alias else record.aliases,
        digest=record.digest or sighting.digest,
        commit=record.commit or sighting.commit,
        version=record.version or sighting.version,
        phase=sighting.phase if newest else record.phase,
        at_ms=max(record.at_ms, sighting.at_ms),
        last_index=max(record.last_index, index),
        occurrences=_newest([known[each] for each in sorted(known)]),
        cutovers=record.cutovers,
        guest=record.guest,
    )


def _newest(occurrences: list[Occurrence]) -> tuple[Occurrence, ...]:
    """Return the newest that are few enough, and have few enough places together."""
    kept = occurrences[-KEPT:]
    spots = sum([len(each.spots) for each in kept])
    while spots > MAX_SPOTS and len(kept) > 1:
        spots -= len(kept.pop(0).spots)
    return tuple(kept)


def cut_over(
    record: DeploymentRecord, marker_id: str, occurrence: int, repeat: int
) -> DeploymentRecord:
    """Return what is known of a deployment after one of its cutovers was filed."""
    filed = Filed(marker_id, occurrence, repeat)
    others = [each for each in record.cutovers if each != filed]
    return replace(record, cutovers=(*others, filed)[-MAX_CUTOVERS:])


def repeats_of(record: DeploymentRecord, marker_id: str) -> int | None:
    """Return how often a cutover has come again; None when it never came, as far as is known."""
    found = [each.repeat for each in record.cutovers if each.marker_id == marker_id]
    return max(found, default=None)


def _after(occurrence: Occurrence, sighting: Sighting) -> Occurrence:
    spots = {each.place: each for each in occurrence.spots}
    state = _state_after(sighting)
    if state is None and not spots:
        state = SpotState.OPEN  # its first news is that it runs: the opening was lost
    if state is not None:
        # An opening that is late news of an occurrence which is over can name places, and not bring
        # one back to life.
        is_over = occurrence.closing is not None
        is_late = is_over and sighting.phase in OPENING and not _is_later(sighting, occurrence)
        for place in _places_meant(sighting.place, spots):
            before = spots.get(place)
            if before is None or _counts(before, state, sighting, is_late=is_late):
                spots[place] = _spot_after(before, place, state, sighting)
            elif state is not SpotState.ENDED and not before.opened:
                spots[place] = replace(before, opened=True)
    attempts = [each for each in (occurrence.attempt, sighting.attempt) if each is not None]
    after = replace(
        occurrence,
        opened_ms=min(occurrence.opened_ms, sighting.at_ms),
        attempt=max(attempts, default=None),
        spots=tuple(spots.values()),
    )
    return _closed(occurrence, after, sighting.at_ms, sighting.emission)


def _spot_after(before: Spot | None, place: Place, state: SpotState, sighting: Sighting) -> Spot:
    """Return the spot that a statement makes of a place."""
    opened = state is not SpotState.ENDED or (before is not None and before.opened)
    live_ms = sighting.at_ms if state is SpotState.LIVE else None
    last, by = sighting.at_ms, sighting.emission
    if before is not None and state is SpotState.LIVE and before.at_ms > last:
        # It went live, and an opening that came later was heard of before that.
        last, by = before.at_ms, before.emission
    return Spot(place, state, last, by, opened, live_ms)


def _state_after(sighting: Sighting) -> SpotState | None:
    """Return the state that a marker brings about; None when it changes none."""
    if sighting.phase in _ENDING:
        return None if sighting.ends_instance else SpotState.ENDED
    if sighting.phase == Phase.PROMOTED:
        return SpotState.LIVE
    if sighting.phase == Phase.APPLIED and sighting.weight in (None, _FULL):
        return SpotState.LIVE
    return SpotState.OPEN if sighting.phase in OPENING else None


def _counts(before: Spot, state: SpotState, sighting: Sighting, *, is_late: bool) -> bool:
    """Tell whether a statement about a place is newer than the one that stands.

    Going live counts in whichever order it and an opening are heard: jobs retry.
    """
    if is_late and state is not SpotState.ENDED:
        return False
    if before.state is not state and SpotState.ENDED not in (before.state, state):
        return state is SpotState.LIVE
    order = _order(sighting.emission, before.emission)
    return sighting.at_ms >= before.at_ms if order is None else order >= 0


def _places_meant(place: Place, spots: Mapping[Place, Spot]) -> list[Place]:
    meant = [known for known in spots if known != place and place.covers(known)]
    if len(spots) >= MAX_SPOTS and place not in spots:
        place = ANYWHERE
    return [*meant, place]


def _closed(
    before: Occurrence, after: Occurrence, at_ms: int, emission: Emission | None
) -> Occurrence:
    """Return an occurrence with its closing as its places demand: set, kept or taken back.

    Args:
        before: The occurrence as it was.
        after: With its places changed, its closing still the old one.
        at_ms: The time of what changed it.
        emission: Of the marker that changed it, if one did.
    """
    if after.spots == before.spots:
        return after
    if not _is_over(after.spots):
        return replace(after, closing=None)
    last = max(_opened(after.spots), key=lambda spot: spot.at_ms)
    by = emission if at_ms == last.at_ms else last.emission
    return replace(after, closing=Closing(last.at_ms, by))


def _is_over(spots: tuple[Spot, ...]) -> bool:
    spots = _opened(spots)
    standing = {spot.place for spot in spots if spot.state is not SpotState.ENDED}
    if not spots or any(None not in place for place in standing):
        return False
    if not standing:
        return True
    # A general place that stands is only waiting: the places inside it speak for themselves.
    return standing <= {
        place for spot in spots for place in covering(spot.place) if place != spot.place
    }


def covering(place: Place) -> Iterator[tuple[str | None, ...]]:
    """Return the places that cover one, itself last: sixteen at most, however many are known."""
    # As plain tuples, which equal places and are made in a third of the time.
    return product(*[(None,) if part is None else (None, part) for part in place])


def _opened(spots: tuple[Spot, ...]) -> tuple[Spot, ...]:
    """Return the places that an occurrence opened; all that it ended, while it opened none."""
    return tuple([spot for spot in spots if spot.opened]) or spots


def live_places(record: DeploymentRecord, number: int, at_ms: int) -> list[Place]:
    """Return the places where an occurrence went live at a time, to end what stood there."""
    return [
        spot.place
        for each in record.occurrences
        if each.number == number
        for spot in each.spots
        if spot.state is SpotState.LIVE and spot.live_ms == at_ms
    ]


def standing_in(record: DeploymentRecord) -> set[tuple[str | None, ...]]:
    """Return every place that covers one in which a deployment has not ended."""
    return {
        place
        for each in record.occurrences
        for spot in each.spots
        if spot.state is not SpotState.ENDED
        for place in covering(spot.place)
    }


def superseded(
    record: DeploymentRecord,
    places: list[Place],
    at_ms: int,
    emission: Emission | None,
    *,
    sparing: int = sys.maxsize,
) -> DeploymentRecord:
    """Return what is left of a deployment after another one went live.

    Args:
        record: The deployment.
        places: Where the other one is live now; what they cover ends.
        at_ms: Since when. What was said of a place later stands.
        emission: Of the marker that says so.
        sparing: The occurrence of this very deployment that went live. Later ones are spared too.
    """
    if all(each.closing is not None or each.number >= sparing for each in record.occurrences):
        return record  # nothing stands that could end
    ended = set(places)
    occurrences = []
    for each in record.occurrences:
        spots = tuple(
            Spot(spot.place, SpotState.ENDED, at_ms, emission, spot.opened)
            if spot.state is not SpotState.ENDED
            and _is_before(spot, at_ms, emission)
            and not ended.isdisjoint(covering(spot.place))
            else spot
            for spot in each.spots
        )
        spared = each.number >= sparing
        after = each if spared else _closed(each, replace(each, spots=spots), at_ms, emission)
        occurrences.append(after)
    return replace(record, occurrences=tuple(occurrences))


def _is_before(spot: Spot, at_ms: int, emission: Emission | None) -> bool:
    """Tell whether what stands of a place was said before something else happened there."""
    order = _order(spot.emission, emission)
    return spot.at_ms <= at_ms if order is None else order <= 0
