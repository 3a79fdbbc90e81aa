"""Tells a log a story, marker by marker, and hands back what became of each.

Times are written as people say them: `+10s`, `+5m`, `+3h`, `+1d` after the story began. A marker
arrives the moment it claims unless `arrives` says otherwise.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Self

from msgspec import Struct
from occurrence_strategies import Delivery

from deploymark.errors import RefusedError
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.submission import Submission
from deploymark.log.sequencer import Acknowledgement, Outcome
from deploymark.model.instants import format_instant
from deploymark.model.leaf import decode_leaf
from deploymark.ports import LogStore, RegistryStore
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_registry import MemoryRegistryStore
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.whole_log import WholeLog

_UNITS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_WHEN = re.compile(r"\+(\d+)([smhd])")

Place = str | Mapping[str, str] | None
"""A cluster by its name, a target by its fields, or no place at all."""


Interruption = Callable[["Story"], None]
"""Something that happens to a log between two deliveries."""


class Happened(Struct, frozen=True):
    """What became of one marker.

    Attributes:
        index: Where it stands, or the one it repeats; -1 when it was refused.
        duplicate: It was known already.
        deployment: The `deployment_id` in its leaf.
        marker: The `marker_id` in its leaf.
        occurrence: As decided.
        repeat: As decided.
        refused: The code of the refusal, "" when there was none.
        field: What the refusal points at.
    """

    index: int = -1
    duplicate: bool = False
    deployment: str = ""
    marker: str = ""
    occurrence: int = 0
    repeat: int = 0
    refused: str = ""
    field: str = ""


class Story:
    """A log, its clock and a shorthand for markers.

    Args:
        store: Where the log is kept; a new one in memory unless given.
        registry_store: Where its deployments are remembered.
        usual: Fields that every marker has unless it says otherwise.
    """

    def __init__(
        self,
        store: LogStore | None = None,
        registry_store: RegistryStore | None = None,
        **usual: object,
    ) -> None:
        self.clock = ManualClock(START_MS)
        self.store = store or MemoryLogStore()
        self.registry_store = registry_store or MemoryRegistryStore()
        self.log = WholeLog(self.store, clock=self.clock, registry_store=self.registry_store)
        self.usual = usual
        self._moment = "+0s"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def restart(self, registry_store: RegistryStore | None = None) -> None:
        """Stop, and start again over the same log.

        Args:
            registry_store: What is remembered of deployments; nothing, when left out.
        """
        self.log.close()
        self.registry_store = registry_store or MemoryRegistryStore()
        self.log = WholeLog(self.store, clock=self.clock, registry_store=self.registry_store)

    def say(
        self,
        phase: str,
        *,
        at: str | None = None,
        arrives: str | None = None,
        **more: Any,  # noqa: ANN401 - what `marker` takes
    ) -> Happened:
        """Send one marker.

        Args:
            phase: Of the marker.
            at: The time it claims; the last one named, when left out.
            arrives: When it is received, if not then.
            more: As `marker`.
        """
        self._moment = at or self._moment
        body = marker(phase, at=self._moment, **{**self.usual, **more})
        return self.send(body, arrives=arrives or self._moment)

    def send(self, body: bytes, *, arrives: str | None = None) -> Happened:
        """Send bytes, perhaps again."""
        return self.send_all([body], arrives=arrives)[0]

    def send_all(self, bodies: Sequence[bytes], *, arrives: str | None = None) -> list[Happened]:
        """Send a batch in one call."""
        if arrives is not None:
            wait_until(self.clock, START_MS + milliseconds(arrives))
        outcomes = self.log.receiver.receive_all([Submission(body, LOCAL) for body in bodies])
        return [happened(outcome) for outcome in outcomes]


def marker(  # noqa: PLR0913 - what markers in these stories differ in
    phase: str,
    *,
    at: str | None = None,
    release: str = "v1",
    place: Place = None,
    weight: int | None = None,
    colour: str | None = None,
    uid: str | None = None,
    emitter: str = "ci",
    by: str = "pipeline",
    epoch: str = "one",
    number: int | None = None,
    digest: bool = True,
    **fields: Any,  # noqa: ANN401 - any field of a marker
) -> bytes:
    """Return the bytes of a flat marker.

    Args:
        phase: Its phase.
        at: The time it claims; None claims none.
        release: What is deployed; decides its digest and its commit.
        place: Where.
        weight: Percent of traffic.
        colour: Of the place.
        uid: Of the instance.
        emitter: The kind of emitter.
        by: The emitter's id, sent with a number only.
        epoch: The emitter's epoch, sent with a number only.
        number: The emitter's sequence.
        digest: Whether the digest is known.
        fields: Anything else, under the marker's own names; None leaves it out.
    """
    said = sha256(release.encode()).hexdigest()
    target = {"cluster": place} if isinstance(place, str) else dict(place or {})
    numbering = {} if number is None else {"id": by, "epoch": epoch, "sequence": number}
    whole: dict[str, Any] = {
        "service": "checkout",
        "environment": "prod",
        "phase": phase,
        "artifact": {"digest": f"sha256:{said}"} if digest else None,
        "commit_hash": said[:40],
        "emitter": {"kind": emitter, **numbering},
        "target": _stated({**target, "colour": colour, "instance_uid": uid}),
        "rollout": _stated({"weight": weight}),
        "timestamp": None if at is None else format_instant(START_MS + milliseconds(at)),
        **fields,
    }
    return json.dumps(_stated(whole)).encode()


def _stated(fields: Mapping[str, Any]) -> dict[str, Any] | None:
    return {name: value for name, value in fields.items() if value is not None} or None


def happened(outcome: Outcome) -> Happened:
    """Read an outcome; what was acknowledged is read from the leaf that stands."""
    if isinstance(outcome, Acknowledgement):
        leaf = decode_leaf(outcome.leaf)
        return Happened(
            outcome.index,
            outcome.duplicate,
            leaf.ids["deployment_id"],
            leaf.ids["marker_id"],
            leaf.occurrence,
            leaf.repeat,
        )
    assert isinstance(outcome, RefusedError), outcome
    return Happened(refused=outcome.code, field=outcome.field)


def milliseconds(when: str) -> int:
    """Read `+10s`, `+5m`, `+3h` or `+1d`."""
    found = _WHEN.fullmatch(when)
    assert found is not None, f"{when} is no time of a story"
    return int(found[1]) * _UNITS[found[2]]


def wait_until(clock: ManualClock, now_ms: int) -> None:
    """Move a clock to a moment, which may be behind it."""
    clock.advance((now_ms - clock.now_ms()) / 1_000)


def tell(
    deliveries: Sequence[Delivery],
    interruptions: Mapping[int, Interruption] = MappingProxyType({}),
    registry_store: RegistryStore | None = None,
) -> list[Happened]:
    """Deliver one by one; an interruption comes before the delivery of its number."""
    with Story(registry_store=registry_store) as story:
        said = []
        for number, delivery in enumerate(deliveries):
            if number in interruptions:
                interruptions[number](story)
            wait_until(story.clock, delivery.received_ms)
            said.append(story.send(delivery.body))
        assert story.log.faults() == []
        return said
