"""Turns what an observer sees into markers: `running` for what runs, `removed` for what has ended.

Level-triggered: each round compares what runs with what the log says and says the difference, so a
round that was missed costs nothing but time. What it remembers only saves repetition. After a
restart it says `running` again, which the log knows as a duplicate, and learns from the log which
instances ended meanwhile.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from deploymark.emit.emitter import Emitter, Marked
from deploymark.emit.host import Host
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Basis, Phase
from deploymark.ports import ObservedInstance, Observer

LEARN_ROUNDS: Final = 30
"""After so many rounds the log is asked again; others may have said what this one did not see."""

Fields = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Logged:
    """An instance that runs as far as the log knows.

    Attributes:
        uid: Its instance uid.
        deployment_id: It belongs to, "" when that is not known.
        digest: It was last known to run, or "".
        place: Where it was seen, as far as the observer told.
    """

    uid: str
    deployment_id: str = ""
    digest: str = ""
    place: Mapping[str, str] = field(default_factory=dict)


Known = Callable[[], Sequence[Logged] | None]
"""Asks the log which instances run in this place; None when it cannot be asked."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round saw and said.

    Attributes:
        seen: All instances that run.
        said: What became of each marker, by phase and instance uid.
        asked: Whether the log could be asked; None when it was not needed.
    """

    seen: Sequence[ObservedInstance]
    said: Sequence[tuple[str, str, Marked]]
    asked: bool | None


class Reporter:
    """Says what one observer sees of one service in one place.

    Args:
        observer: Who looks.
        emitter: Who says it, of the kind `orchestrator`.
        fields: `service` and `environment`.
        place: Fields of `target`; they go before what the observer tells of the same name.
        known: Asks the log.
        host: Tells the time.
    """

    def __init__(
        self,
        observer: Observer,
        emitter: Emitter,
        fields: Mapping[str, str],
        place: Mapping[str, str],
        known: Known,
        host: Host,
    ) -> None:
        self._observer = observer
        self._emitter = emitter
        self._fields = dict(fields)
        self._place = dict(place)
        self._known = known
        self._host = host
        self._running: dict[str, Logged] = {}
        self._confirmed: dict[str, str] = {}
        self._rounds = 0

    def run_round(self) -> Round:
        """Look once, and say what the log does not know yet.

        Raises:
            ObservationError: Nothing could be seen; nothing is said.
        """
        seen = self._observer.observe()
        at = format_instant(self._host.now_ms())
        said = [
            (Phase.RUNNING.value, each.uid, self._confirm(each, at))
            for each in seen
            if each.digest and self._confirmed.get(each.uid) != each.digest
        ]
        asked = self._learn() if self._rounds % LEARN_ROUNDS == 0 else None
        self._rounds += 1
        present = {each.uid for each in seen}
        missing = [uid for uid in self._running if uid not in present]
        ended = self._observer.ended(missing) if missing else frozenset()
        said += [(Phase.REMOVED.value, uid, self._end(uid)) for uid in missing if uid in ended]
        return Round(seen, said, asked)

    def _confirm(self, instance: ObservedInstance, at: str) -> Marked:
        marked = self._emitter.mark(
            Phase.RUNNING,
            **self._fields,
            artifact={"digest": instance.digest},
            target={
                **instance.place,
                **self._place,
                "instance": instance.instance,
                "instance_uid": instance.uid,
            },
            evidence={
                "basis": Basis.OBSERVED.value,
                "digest": instance.digest,
                "observer": self._observer.name,
                "at": at,
            },
        )
        self._confirmed[instance.uid] = instance.digest
        self._running[instance.uid] = Logged(
            instance.uid, digest=instance.digest, place=instance.place
        )
        return marked

    def _learn(self) -> bool:
        logged = self._known()
        for each in logged or ():
            self._running.setdefault(each.uid, each)
        return logged is not None

    def _end(self, uid: str) -> Marked:
        logged = self._running.pop(uid)
        self._confirmed.pop(uid, None)
        subject: Fields = {"deployment_id": logged.deployment_id or None}
        if logged.digest:
            subject["artifact"] = {"digest": logged.digest}
        target = {**logged.place, **self._place, "instance_uid": uid}
        return self._emitter.mark(Phase.REMOVED, **self._fields, **subject, target=target)


def merged(rounds: Sequence[Round]) -> Round:
    """Return what several reporters of one service saw and said, as one round."""
    asked = [each.asked for each in rounds if each.asked is not None]
    return Round(
        seen=[one for each in rounds for one in each.seen],
        said=[one for each in rounds for one in each.said],
        asked=all(asked) if asked else None,
    )
