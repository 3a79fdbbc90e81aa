"""What the simulated fleet did: a month of deploys by chance, and six hours as they are told. Pure.

The same seed gives the same deploys, so the same ids; only their times follow from the end. Deploys
and what witnesses say of them are those of game days (`testing.gameday`), named otherwise.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from deploymark.model.vocabulary import EmitterKind, Kind, Phase
from deploymark.testing.gameday.deploy import KINDS, Deploy, Instance, Shape, release_of
from deploymark.testing.gameday.fleet import Line
from deploymark.testing.gameday.message import Message, number
from deploymark.testing.gameday.player import stamped
from deploymark.testing.gameday.rollout import CANARY_WEIGHTS, roll_out
from deploymark.testing.gameday.witnesses import identify, testimony
from deploymark.testing.simulation.services import (
    HISTORY_DAYS,
    SERVICES,
    SILENT_CLUSTER,
    SILENT_ZONE,
    Simulated,
)

_DAY: Final = 86_400.0
_HOUR: Final = 3_600.0
_MINUTE: Final = 60.0
_RECENT: Final = 6 * _HOUR
_SILENT_SINCE: Final = 45 * _MINUTE
_FAILED: Final = ("reco", 3)
"""A canary that failed whatever chance says: a service, and how many deploys came before."""

_CALM: Final = 3 * _DAY
_GAP: Final = (0.4 * _DAY, 4.2 * _DAY)
_STOPPED: Final = 90.0
_SHAPES: Final = {
    Shape.ROLLING: 56,
    Shape.CANARY: 18,
    Shape.BLUE_GREEN: 6,
    Shape.FAILING: 3,
    Shape.ROLLBACK: 2,
    Shape.CONFIG: 4,
    Shape.FLAG: 3,
    Shape.MIGRATION: 3,
}
_KEYS: Final = {
    Shape.CONFIG: "configmap/limits",
    Shape.FLAG: "new-basket",
    Shape.MIGRATION: "database/orders",
}
_TITLES: Final = (
    "Charge in one step",
    "Retry what timed out",
    "Cache prices by region",
    "Shorten the first page",
    "Take the new client library",
    "Log the basket's size",
)


class _Recent(NamedTuple):
    """A deploy of the last hours.

    Attributes:
        ago: Seconds before the end at which it begins.
        stops: It is said so far after its beginning; None for all of it.
        errors: The share of requests that fails since, None as usual.
    """

    ago: float
    service: str
    shape: Shape
    stops: float | None = None
    errors: float | None = None


_TOLD: Final = (
    _Recent(5.4 * _HOUR, "cart", Shape.ROLLING),
    _Recent(4.7 * _HOUR, "notify", Shape.ROLLING),
    _Recent(4.2 * _HOUR, "identity", Shape.CANARY),
    _Recent(5.1 * _HOUR, "pricing", Shape.ROLLING),
    _Recent(3.4 * _HOUR, "pricing", Shape.ROLLING, errors=0.05),
    _Recent(3.0 * _HOUR, "pricing", Shape.ROLLBACK),
    _Recent(2.5 * _HOUR, "search", Shape.CONFIG),
    _Recent(2.0 * _HOUR, "payments", Shape.MIGRATION),
    _Recent(1.9 * _HOUR, "payments", Shape.ROLLING),
    _Recent(1.2 * _HOUR, "gateway", Shape.FLAG),
    _Recent(42 * _MINUTE, "search", Shape.ROLLING),
    _Recent(25 * _MINUTE, "checkout", Shape.ROLLING, errors=0.03),
    _Recent(9 * _MINUTE, "catalog", Shape.CANARY, stops=_STOPPED),
    _Recent(1.5 * _MINUTE, "reco", Shape.ROLLING, stops=45.0),
)


@dataclass(frozen=True, slots=True)
class Told:
    """A deploy of the fleet, and what of it is said.

    Attributes:
        stops: The second from which nothing is said of it any more; None for all of it.
        errors: The share of requests that fails since it is live.
    """

    service: Simulated
    deploy: Deploy
    stops: float | None
    errors: float

    @property
    def id(self) -> str:
        """The deployment id that CI gives it."""
        return identify(self.deploy)


@dataclass(frozen=True, slots=True)
class History:
    """What happened.

    Attributes:
        until_s: The second at which it ends; all others are seconds of the same clock.
        told: All deploys, by service and in the order of time.
        markers: What was said of them, in the order in which it was said: flat markers.
    """

    until_s: float
    told: tuple[Told, ...]
    markers: tuple[dict[str, Any], ...]


def history(seed: int, until_s: float) -> History:
    """Return the history of a fleet.

    Args:
        seed: The same seed, the same deploys.
        until_s: When it ends, in seconds since the epoch.
    """
    told: list[Told] = []
    messages: list[Message] = []
    for service in SERVICES:
        course = _Course(seed, service, len(told))
        for each in course.play(until_s):
            told.append(each)
            messages += _said(each, until_s)
    authors = {each.name: each.author for each in SERVICES}
    markers = [
        _named(stamped(each, int(each.at * 1_000)), authors, each.deploy)
        for each in number(messages)
    ]
    return History(until_s, tuple(told), tuple(markers))


class _Course:
    """What happens to one service."""

    def __init__(self, seed: int, service: Simulated, first: int) -> None:
        self._service = service
        self._lane = service.lane
        self._name = f"simulated-{seed}"
        self._chance = random.Random(f"{seed}/{service.name}")  # noqa: S311 - a plan, no secret
        self._first = first
        self._count = 0
        self._succeeded: list[Deploy] = []
        self._instances: list[Instance] = []

    def play(self, until_s: float) -> Iterator[Told]:
        """Yield its deploys in the order of time."""
        at = until_s - HISTORY_DAYS * _DAY + self._chance.uniform(0, _GAP[1])
        while at < until_s - _RECENT - _HOUR:
            ago = until_s - at
            yield self._deploy(_Recent(ago, self._service.name, self._shape(ago)), until_s)
            at += self._chance.uniform(*_GAP)
        for each in _TOLD:
            if each.service == self._service.name:
                yield self._deploy(each, until_s)

    def _shape(self, ago: float) -> Shape:
        shape = self._chance.choices(list(_SHAPES), list(_SHAPES.values()))[0]
        if (self._service.name, self._count) == _FAILED:
            return Shape.FAILING
        if not self._succeeded:
            return Shape.ROLLING
        if shape is Shape.FAILING and ago < _CALM:
            return Shape.ROLLING  # what is wrong now is told, and not by chance
        # Taken back is only what replaced something, and not twice.
        return Shape.ROLLING if shape is Shape.ROLLBACK and not self._may_go_back() else shape

    def _may_go_back(self) -> bool:
        last_two = self._succeeded[-2:]
        return len(last_two) == 2 and all(
            each.rollback_of is None and each.colour is None for each in last_two
        )

    def _deploy(self, wanted: _Recent, until_s: float) -> Told:
        starts = until_s - wanted.ago
        deploy = self._next(wanted.shape)
        roll_out(deploy, starts, [each for each in self._instances if each.runs_at(starts)])
        for each in deploy.born:
            there = (each.site.cluster, each.zone) == (SILENT_CLUSTER, SILENT_ZONE)
            each.silent = there and wanted.ago <= _SILENT_SINCE
        self._instances += deploy.born
        if deploy.line.kind is Kind.DEPLOYMENT and not deploy.fails:
            self._succeeded.append(deploy)
        stops = None if wanted.stops is None else starts + wanted.stops
        return Told(self._service, deploy, stops, wanted.errors or self._service.errors)

    def _next(self, shape: Shape) -> Deploy:
        self._count += 1
        serial = self._first + self._count
        if shape is Shape.ROLLBACK and self._may_go_back():
            before, bad = self._succeeded[-2:]
            return Deploy(serial, before.line, shape, before.release, self._count, rollback_of=bad)
        several = len(self._lane.sites) > 1
        if shape in (Shape.ROLLING, Shape.ROLLBACK):
            shape = Shape.MULTI_CLUSTER if several else Shape.ROLLING
        key = _KEYS.get(shape)
        name = f"{self._name}/{self._service.name}/{self._count}"
        version = f"{self._service.version}.{self._count}"
        line = Line(self._lane, KINDS.get(shape, Kind.DEPLOYMENT), key)
        deploy = Deploy(serial, line, shape, release_of(name, version), self._count)
        if key is not None:
            deploy.revision = f"{self._count}"
        if shape is Shape.BLUE_GREEN:
            deploy.colour = self._chance.choice(("blue", "green"))
        return deploy


def _said(told: Told, until_s: float) -> Iterator[Message]:
    """Yield what is said of a deploy before the end, or before nothing more is said."""
    before = until_s if told.stops is None else min(told.stops, until_s)
    if told.deploy.rollback_of is not None:
        yield from _taken_back(told.deploy, told.deploy.rollback_of)
    for each in testimony(told.deploy):
        if each.at >= before:
            continue
        if told.deploy.fails and each.emitter.kind is EmitterKind.CI:
            # It is found on the first instance of the first site: it was a canary.
            rollout = {"strategy": "canary", "steps": list(CANARY_WEIGHTS)}
            yield replace(each, fields={**each.fields, "rollout": rollout})
        else:
            yield each


def _taken_back(deploy: Deploy, bad: Deploy) -> Iterator[Message]:
    """Yield what the job of a rollback says of the deploy that it takes back."""
    job = next(each for each in testimony(deploy) if each.emitter.kind is EmitterKind.CI)
    of_bad = next(each for each in testimony(bad) if each.emitter.kind is EmitterKind.CI)
    for phase, at in ((Phase.ROLLING_BACK, deploy.starts), (Phase.ROLLED_BACK, deploy.ends)):
        fields = {**of_bad.fields, "phase": phase.value}
        yield Message(job.emitter, fields, at, bad.number)


def _named(fields: dict[str, Any], authors: Mapping[str, str], serial: int) -> dict[str, Any]:
    """Return a marker in this fleet's words: its people, and no word of a game day."""
    if "author" in fields:
        title = _TITLES[serial % len(_TITLES)]
        ticket = fields["change_tickets"][0]
        change = {"commit": fields["commit_hash"][:12], "ticket": ticket, "title": title}
        fields |= {
            "author": authors[fields["service"]],
            "changes": [change],
            "links": [{"rel": "change", "href": f"https://tickets.example.com/{ticket}"}],
        }
    return {name: _reworded(value) for name, value in fields.items()}


def _reworded(value: Any) -> Any:  # noqa: ANN401 - any JSON
    match value:
        case str():
            return value.replace("gameday", "shop")
        case list():
            return [_reworded(each) for each in value]
        case dict():
            return {name: _reworded(each) for name, each in value.items()}
        case _:
            return value
