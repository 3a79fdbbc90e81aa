"""Plans a game day: which deploys happen when, which of them get a fault, and what is true then.

Pure: the same arguments give the same day, to the byte. Deploys on one lane follow each other;
lanes go on beside each other. After a fault its lane rests until a server must have found it, as
the next release would put right what is to be found.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from deploymark.model.vocabulary import Kind
from deploymark.testing.gameday.deploy import KINDS, Deploy, Instance, Shape, World, release_of
from deploymark.testing.gameday.fault import Case, Fault, Injection
from deploymark.testing.gameday.faults import ALL
from deploymark.testing.gameday.fleet import Lane, Line, build_fleet
from deploymark.testing.gameday.message import Message, number
from deploymark.testing.gameday.rollout import roll_out
from deploymark.testing.gameday.timing import Timing
from deploymark.testing.gameday.truth import LIVE, OPEN, OVER, Record, record_of
from deploymark.testing.gameday.witnesses import testimony

_SHAPES: Final = {
    Shape.ROLLING: 40,
    Shape.CANARY: 15,
    Shape.BLUE_GREEN: 12,
    Shape.ROLLBACK: 5,
    Shape.RERUN: 4,
    Shape.FAILING: 6,
    Shape.CONFIG: 8,
    Shape.FLAG: 5,
    Shape.MIGRATION: 5,
}
_OF_EARLIER: Final = frozenset({Shape.ROLLBACK, Shape.RERUN})
_KEYS: Final = {
    Shape.CONFIG: "configmap/settings",
    Shape.FLAG: "new-checkout",
    Shape.MIGRATION: "database/main",
}
_GAP: Final = (40.0, 120.0)
_FIRST: Final = (0.0, 400.0)
_COLOURS: Final = ("blue", "green")


@dataclass(frozen=True, slots=True)
class Size:
    """How large a day is.

    Attributes:
        deployments: Deploys, the first of each lane included.
        faults: How many of them get one.
        services: Each is a lane in production and one on stage.
    """

    deployments: int
    faults: int
    services: int = 40


@dataclass(frozen=True, slots=True)
class Day:
    """A planned game day.

    Attributes:
        name: Part of every version and digest, so that two days on one server differ.
        messages: Numbered, in the order in which they leave.
        injections: One for each fault, in the order in which they were planned.
        records: What the records must say at the end, faults included.
    """

    name: str
    seed: int
    timing: Timing
    world: World
    messages: tuple[Message, ...]
    injections: tuple[Injection, ...]
    records: tuple[Record, ...]


def plan_day(
    size: Size,
    *,
    seed: int,
    name: str,
    timing: Timing | None = None,
    faults: tuple[Fault, ...] = ALL,
) -> Day:
    """Plan a day.

    Args:
        size: How large it is.
        seed: The same seed gives the same day.
        name: Of the day; letters, digits and dashes.
        timing: Its pace.
        faults: The kinds to inject, in turn.
    """
    timing = timing or Timing()
    lanes = build_fleet(seed, size.services)
    share, more = divmod(size.deployments, len(lanes))
    lengths = {lane.key: share + (at < more) for at, lane in enumerate(lanes)}
    slots = _slots(lanes, lengths, size.faults, faults, random.Random(f"faults/{seed}"))  # noqa: S311
    # Planned twice: once to know which lane takes longest, then with longer gaps on the others, so
    # that the day is about equally busy from its beginning to its end.
    ends = [
        _Planner(name, seed, timing).plan_lane(lane, lengths[lane.key], slots[lane.key])
        for lane in lanes
    ]
    planner = _Planner(name, seed, timing)
    for lane, end in zip(lanes, ends, strict=True):
        length = lengths[lane.key]
        planner.plan_lane(lane, length, slots[lane.key], more_gap=(max(ends) - end) / length)
    messages = number(planner.messages)
    return Day(
        name=name,
        seed=seed,
        timing=timing,
        world=World(lanes, planner.deploys),
        messages=tuple(messages),
        injections=tuple(planner.injections),
        records=tuple(_counted(planner.records, messages)),
    )


_Slots = dict[str, dict[int, tuple[int, Fault]]]


def _slots(
    lanes: tuple[Lane, ...],
    lengths: dict[str, int],
    wanted: int,
    faults: tuple[Fault, ...],
    chance: random.Random,
) -> _Slots:
    """Choose for each fault a lane and a place in it, evenly: by lane, its position and fault."""
    slots: _Slots = defaultdict(dict)
    for serial in range(wanted):
        fault = faults[serial % len(faults)]
        free = [
            lane
            for lane in lanes
            if fault.fits(lane) and len(slots[lane.key]) < lengths[lane.key] - 1
        ]
        if not free:
            continue
        least = min(len(slots[lane.key]) for lane in free)
        lane = chance.choice([each for each in free if len(slots[each.key]) == least])
        taken = slots[lane.key]
        open_places = [at for at in range(1, lengths[lane.key]) if at not in taken]
        taken[chance.choice(open_places)] = (serial, fault)
    return slots


class _Planner:
    """Plans lane by lane and collects what comes of it."""

    def __init__(self, name: str, seed: int, timing: Timing) -> None:
        self._name = name
        self._seed = seed
        self._timing = timing
        self.deploys: list[Deploy] = []
        self.messages: list[Message] = []
        self.injections: list[Injection] = []
        self.records: list[Record] = []

    def plan_lane(
        self,
        lane: Lane,
        length: int,
        slots: dict[int, tuple[int, Fault]],
        *,
        more_gap: float = 0.0,
    ) -> float:
        """Plan all deploys of a lane, with so much more between them; return when it ends."""
        chance = random.Random(f"{self._seed}/{lane.key}")  # noqa: S311 - a plan, no secret
        course = _Course(lane, self._name, chance)
        at = chance.uniform(*_FIRST)
        records: list[Record] = []
        for place in range(length):
            serial, fault = slots.get(place, (0, None))
            deploy = course.next(len(self.deploys), fault, first=place == 0)
            self.deploys.append(deploy)
            if fault is not None:
                deploy.fault = fault.name
            roll_out(deploy, at, course.standing(at))
            if fault is not None:
                fault.prepare(deploy)
            course.note(deploy)
            record, until = self._tell(deploy, serial, fault)
            records = [*_superseded(records, record), record]
            at = max(deploy.ends, until) + chance.uniform(*_GAP) + more_gap
        self.records += records
        return at

    def _tell(self, deploy: Deploy, serial: int, fault: Fault | None) -> tuple[Record, float]:
        messages = testimony(deploy)
        record = record_of(deploy, [each for each in messages if each.deploy == deploy.number])
        if fault is None:
            self.messages += messages
            return record, deploy.ends
        chance = random.Random(f"{self._seed}/fault/{serial}")  # noqa: S311 - a plan, no secret
        injection = fault.inject(Case(deploy, messages, record, self._timing, chance, serial))
        self.messages += injection.messages
        self.injections.append(injection)
        return injection.record or record, injection.held_until(self._timing)


class _Course:
    """What has happened on one lane so far, and what may happen next."""

    def __init__(self, lane: Lane, day: str, chance: random.Random) -> None:
        self._lane = lane
        self._day = day
        self._chance = chance
        self._count = 0
        self._succeeded: list[Deploy] = []
        self._instances: list[Instance] = []
        self._colour = 0

    def standing(self, at: float) -> list[Instance]:
        """Return the instances that run at a simulated second."""
        return [each for each in self._instances if each.runs_at(at)]

    def note(self, deploy: Deploy) -> None:
        """Remember a deploy that was planned."""
        self._instances += deploy.born
        if deploy.line.key is None and not deploy.fails and deploy.shape is not Shape.ABANDONED:
            self._succeeded.append(deploy)

    def next(self, serial: int, fault: Fault | None, *, first: bool) -> Deploy:
        """Return the next deploy, without steps."""
        self._count += 1
        shape = self._shape(fault, first=first)
        if shape in _OF_EARLIER:
            return self._earlier(serial, shape)
        key = _KEYS.get(shape)
        line = Line(self._lane, KINDS.get(shape, Kind.DEPLOYMENT), key)
        name = f"{self._day}/{self._lane.key}/{self._count}"
        deploy = Deploy(serial, line, shape, release_of(name, f"1.{self._count}.0"), self._count)
        if key is not None:
            deploy.revision = f"{self._day}.{self._count}"
        if shape is Shape.BLUE_GREEN:
            deploy.colour = _COLOURS[self._colour % len(_COLOURS)]
            self._colour += 1
        return deploy

    def _shape(self, fault: Fault | None, *, first: bool) -> Shape:
        if first:
            return self._here(Shape.ROLLING)
        if fault is not None:
            return self._here(self._chance.choice(sorted(fault.shapes)))
        shape = self._chance.choices(list(_SHAPES), list(_SHAPES.values()))[0]
        if shape in _OF_EARLIER and not self._may_go_back():
            shape = Shape.ROLLING
        return self._here(shape)

    def _here(self, shape: Shape) -> Shape:
        """Return the shape as it is on this lane, which may have one cluster or several."""
        if len(self._lane.sites) > 1:
            return Shape.MULTI_CLUSTER if shape is Shape.ROLLING else shape
        return Shape.ROLLING if shape is Shape.MULTI_CLUSTER else shape

    def _may_go_back(self) -> bool:
        """Tell whether the release before the live one can be deployed again."""
        last_two = self._succeeded[-2:]
        return len(last_two) == 2 and all(
            each.fault is None and each.shape not in _OF_EARLIER and each.colour is None
            for each in last_two
        )

    def _earlier(self, serial: int, shape: Shape) -> Deploy:
        before, bad = self._succeeded[-2:]
        line = before.line
        if shape is Shape.ROLLBACK:
            return Deploy(serial, line, shape, before.release, self._count, rollback_of=bad)
        return Deploy(
            serial,
            line,
            shape,
            before.release,
            before.run,
            attempt=before.attempt + 1,
            occurrence=before.occurrence + 1,
        )


def _superseded(records: list[Record], newest: Record) -> list[Record]:
    """Return the records of a lane as they are once one more deploy has taken its place."""
    takes_place = newest.states & LIVE
    return [_after(each, newest) if takes_place else each for each in records]


def _after(record: Record, newest: Record) -> Record:
    if record.deploy.line != newest.deploy.line:
        return record
    if record.states & LIVE:
        return replace(record, states=OVER, instances=None, missing=None)
    if record.states == OPEN:
        return replace(record, states=OPEN | OVER | frozenset({"failed"}))
    return record


def _counted(records: list[Record], messages: list[Message]) -> Iterator[Record]:
    """Yield the records with the number of markers that were sent about them in the end."""
    sent: dict[int, Counter[str]] = defaultdict(Counter)
    for message in messages:
        # What is answered as a known or refused marker is not counted.
        if not message.lost and 201 in message.answers:
            sent[message.deploy][message.emitter.kind.value] += 1
    by_id: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:  # occurrences of one id may be counted together
        by_id[record.id] += sent[record.deploy.number]
    for record in records:
        yield replace(record, most=tuple(sorted(by_id[record.id].items())))
