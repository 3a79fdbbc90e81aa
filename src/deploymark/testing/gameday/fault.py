"""What a fault is: it spoils messages, and knows what a server must make of that.

Every fault says which findings must appear, about what and how soon; which others may appear
because of it; how the record of the deployment must degrade; and what of the record stays true.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from deploymark.model.vocabulary import EmitterKind, FindingCode
from deploymark.testing.gameday.deploy import Deploy, Shape
from deploymark.testing.gameday.fleet import Lane
from deploymark.testing.gameday.message import Message
from deploymark.testing.gameday.timing import Timing
from deploymark.testing.gameday.truth import Record

Json = dict[str, Any]

AT_ONCE: Final = 0.0
"""Seconds that a server waits where it needs to wait for nothing."""

IN_PLACES: Final = frozenset({Shape.ROLLING, Shape.CANARY, Shape.BLUE_GREEN, Shape.MULTI_CLUSTER})
"""Deploys of code that succeed and start instances."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A finding that must appear.

    Attributes:
        codes: One of them.
        since: The simulated second at which there is something to find.
        within_seconds: How long a server may wait before it says so, in real seconds.
        names: One of them stands in the finding; empty asks for none.
        severity: None is any.
        caller: The principal that it is about, for refused attempts.
        emitter: It may be about this emitter instead of about a deployment.
        holds_lane: Nothing else happens on the lane until it must have been found.
        closes: It must be closed at the end of the day.
    """

    codes: frozenset[FindingCode]
    since: float
    within_seconds: float
    names: tuple[str, ...] = ()
    severity: str | None = None
    caller: str | None = None
    emitter: str | None = None
    holds_lane: bool = True
    closes: bool = False


@dataclass(frozen=True, slots=True)
class Degradation:
    """What must be seen in the record of a deployment.

    Attributes:
        what: In words.
        holds: Looks at the deployment and at its instances, as the server tells them.
        since, within_seconds: As of a finding.
    """

    what: str
    holds: Callable[[Json, list[Json]], bool]
    since: float
    within_seconds: float


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault that was injected.

    Attributes:
        fault: Its name.
        deploy: What it happened to.
        messages: What is sent instead.
        findings: All of these must appear.
        degradations: All of these must be seen.
        tolerated: Codes that may appear on the same deployment because of it.
        record: What the record must say at the end; None compares nothing.
    """

    fault: str
    deploy: Deploy
    messages: list[Message]
    findings: tuple[Finding, ...] = ()
    degradations: tuple[Degradation, ...] = ()
    tolerated: frozenset[FindingCode] = frozenset()
    record: Record | None = None

    @property
    def wanted(self) -> "tuple[Finding | Degradation, ...]":
        """Everything that must be seen."""
        return (*self.findings, *self.degradations)

    def held_until(self, timing: Timing) -> float:
        """Return the simulated second until which nothing else happens on the lane."""
        waits = [
            each.since + timing.simulated(each.within_seconds + timing.slack_seconds)
            for each in self.wanted
            if not isinstance(each, Finding) or each.holds_lane
        ]
        return max([message.leaves_at for message in self.messages] + waits)


@dataclass(frozen=True, slots=True)
class Case:
    """A deploy whose messages are to be spoilt.

    Attributes:
        messages: What honest witnesses say.
        record: What a server makes of it.
        chance: Seeded for this case alone.
        serial: Counts the faults of the day.
    """

    deploy: Deploy
    messages: list[Message]
    record: Record
    timing: Timing
    chance: random.Random
    serial: int

    def own(self, *kinds: EmitterKind) -> list[Message]:
        """Return what is said of this very deploy, by all or by some kinds of witness."""
        return [
            each
            for each in self.messages
            if each.deploy == self.deploy.number and (not kinds or each.emitter.kind in kinds)
        ]

    def without(self, *kinds: EmitterKind) -> list[Message]:
        """Return the messages without what some kinds of witness say of this deploy."""
        left_out = {id(each) for each in self.own(*kinds)}
        return [each for each in self.messages if id(each) not in left_out]

    def injected(self, fault: "Fault", messages: list[Message], **more: Any) -> Injection:  # noqa: ANN401 - attributes of an injection
        """Return the injection, with the record unchanged unless told."""
        return Injection(fault.name, self.deploy, messages, **{"record": self.record, **more})


class Fault(Protocol):
    """One kind of fault.

    Attributes:
        name: For people, unique.
        shapes: Deploys that it can happen to.
    """

    name: ClassVar[str]
    shapes: ClassVar[frozenset[Shape]]

    def fits(self, lane: Lane) -> bool:
        """Tell whether it can happen on a lane."""

    def prepare(self, deploy: Deploy) -> None:
        """Change what truly happens, before anybody speaks of it."""

    def inject(self, case: Case) -> Injection:
        """Spoil the messages of a deploy."""


class Anywhere:
    """What most faults have in common: they happen to any deploy of code, and change no truth."""

    name: ClassVar[str] = ""
    shapes: ClassVar[frozenset[Shape]] = IN_PLACES

    def fits(self, lane: Lane) -> bool:
        """See `Fault.fits`."""
        del lane
        return True

    def prepare(self, deploy: Deploy) -> None:
        """See `Fault.prepare`."""
