"""Looks at a server while a day goes on: its findings all the time, its records when they matter.

A finding counts as found when it is *seen* here, not when the server says that it opened it.
"""

import threading
from typing import Final

from deploymark.ports import Clock
from deploymark.testing.gameday.door import Door, Json, segment
from deploymark.testing.gameday.score import Scorer, Shown

_LOOK_SECONDS: Final = 0.5
_NOT_FOUND: Final = 404


def findings(door: Door) -> dict[str, Json]:
    """Return all findings of a server, open and closed, by id."""
    return {str(each["id"]): each for each in door.items("/v1/findings", state="all")}


def deployment(door: Door, name: str) -> Json | None:
    """Return a deployment's record, None where there is none."""
    reply = door.get(f"/v1/deployments/{segment(name)}")
    return None if reply.status == _NOT_FOUND else reply.content


def instances(door: Door, **filters: str) -> list[Json]:
    """Return the instances that a server knows."""
    return list(door.items("/v1/instances", **filters))


class Watch:
    """Looks every half second, on a thread of its own, until it is told to stop.

    Args:
        door: To the server, as a reader.
        scorer: Is told what is seen.
        clock: Tells the time.

    Attributes:
        shown: The findings that were not there before the day, by id.
    """

    def __init__(self, door: Door, scorer: Scorer, clock: Clock) -> None:
        self._door = door
        self._scorer = scorer
        self._clock = clock
        self._before = set(findings(door))
        self._stopping = threading.Event()
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self.shown: dict[str, Shown] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; raises what kept it from looking."""
        self._stopping.set()
        self._thread.join()
        if self._fault is not None:
            raise self._fault

    def wait(self, least_seconds: float, most_seconds: float) -> None:
        """Go on looking until everything is decided, and for so long at least and at most."""
        waiting = threading.Event()
        begun_ms = self._clock.now_ms()
        while self._fault is None:
            now_ms = self._clock.now_ms()
            waited = (now_ms - begun_ms) / 1_000
            is_decided = waited >= least_seconds and self._scorer.is_decided(now_ms)
            if is_decided or waited >= most_seconds:
                return
            waiting.wait(_LOOK_SECONDS)

    def look(self) -> None:
        """Look once."""
        found = findings(self._door)
        now_ms = self._clock.now_ms()
        for name in found.keys() - self._before:
            known = self.shown.get(name)
            if known is None:
                self.shown[name] = Shown(found[name], now_ms, now_ms)
            elif known.content != found[name]:
                self.shown[name] = Shown(found[name], known.first_ms, now_ms)
        self._scorer.look(self.shown, now_ms)
        for verdict, answer, degradation in self._scorer.open_degradations(now_ms):
            record = verdict.injection.record
            if record is None:
                continue
            shown = deployment(self._door, record.id)
            if shown is None or "deployment_id" not in shown:
                continue
            known_instances = instances(self._door, deployment_id=shown["deployment_id"])
            if degradation.holds(shown, known_instances):
                self._scorer.seen(answer, degradation, self._clock.now_ms())

    def _run(self) -> None:
        try:
            while not self._stopping.wait(_LOOK_SECONDS):
                self.look()
        except Exception as error:  # noqa: BLE001 - told by `stop`, on its own thread
            self._fault = error
