"""What a witness sends: a flat marker, when it is made, and the way that it takes.

Faults change messages, never the truth. The player fills in what only the moment of sending knows:
the times that a marker claims.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import groupby
from typing import Any

from deploymark.model.vocabulary import EmitterKind

Fields = dict[str, Any]

ACCEPTED, KNOWN, CONFLICT = 201, 200, 409


class Seal(StrEnum):
    """How a marker is signed; most are not, their callers are authenticated."""

    NONE = "none"
    SPOILT = "a signature over something else"
    STRANGER = "a key that nobody registered"


@dataclass(frozen=True, slots=True)
class Emitter:
    """Who speaks, and the epoch of its numbering.

    Attributes:
        epoch: None numbers nothing.
    """

    kind: EmitterKind
    id: str
    epoch: str | None


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """One marker on its way.

    Attributes:
        emitter: Who makes it.
        fields: The flat marker without emitter and times.
        at: The simulated second at which it is made; the time that it claims.
        deploy: Number of the deploy that it is about.
        sent_at: The simulated second at which it leaves; None is at once.
        sequence: Its number, counted when it is made.
        lost: It never leaves, but has its number.
        copies: How often it is sent.
        clock_off_seconds: How far the emitter's clock is ahead, in real seconds.
        caller: Which token it is sent with: a name of `guests.Guests`.
        seal: How it is signed.
        answers: The statuses that are right.
    """

    emitter: Emitter
    fields: Fields
    at: float
    deploy: int
    sent_at: float | None = None
    sequence: int | None = None
    lost: bool = False
    copies: int = 1
    clock_off_seconds: float = 0.0
    caller: str = ""
    seal: Seal = Seal.NONE
    answers: frozenset[int] = field(default=frozenset({ACCEPTED}))

    @property
    def leaves_at(self) -> float:
        """The simulated second at which it is sent."""
        return self.at if self.sent_at is None else self.sent_at

    @property
    def phase(self) -> str:
        """Of the marker."""
        return str(self.fields["phase"])

    @property
    def cluster(self) -> str | None:
        """The cluster that it is about, None for all."""
        cluster: str | None = self.fields.get("target", {}).get("cluster")
        return cluster

    @property
    def instance_uid(self) -> str | None:
        """The instance that it is about, if it is about one."""
        uid: str | None = self.fields.get("target", {}).get("instance_uid")
        return uid


def number(messages: Iterable[Message]) -> list[Message]:
    """Give every message its number, in the order in which each emitter made them.

    Returns:
        All of them in the order in which they leave; those that are lost too.
    """
    numbered: list[Message] = []
    by_emitter = sorted(messages, key=lambda each: _numbering(each.emitter))
    for (_, epoch), group in groupby(by_emitter, key=lambda each: _numbering(each.emitter)):
        made = sorted(group, key=lambda each: each.at)
        numbered += (
            [replace(each, sequence=place) for place, each in enumerate(made)] if epoch else made
        )
    return sorted(numbered, key=lambda each: (each.leaves_at, each.at))


def _numbering(emitter: Emitter) -> tuple[str, str]:
    return emitter.id, emitter.epoch or ""
