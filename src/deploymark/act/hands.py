"""What the controller and its lanes work with: everything around them, and what they share.

Nothing is decided here. `Footing` is safe on any thread; of `Hands` its parts say so themselves.
"""

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass

from deploymark.act.course import Course
from deploymark.act.echo import Echo
from deploymark.act.execute import Executor, Say
from deploymark.act.holding import Holding
from deploymark.act.plan import Scope
from deploymark.act.scene import Backed, Scene, Terms
from deploymark.act.verdicts import Verdicts
from deploymark.ports import Actuator, Clock, CountsSource, LeaseStore, Meter
from deploymark.projections.broker.rolling import Rolling, RollingQuery


def _none(*_: object) -> str:
    """Object to nothing."""
    return ""


@dataclass(frozen=True, slots=True)
class Hands:
    """What the controller works with; any thread may use each of them.

    Attributes:
        query: Asks the views what is rolled out.
        size: Returns how many entries the log has; answers from memory.
        say: Appends an entry.
        verdicts: Takes looks.
        executor: Carries out deeds.
        leases: Lets one controller act.
        holder: Who this controller is.
        backed: Tells who stands behind the markers of a deployment.
        sources: Of counts, by the names that plans give.
        actuators: By service and environment; one that is absent has none. Each is used by one
            thread at a time.
        meter: Counts what went wrong.
        clock: Tells the time.
        steady_ms: A clock that never jumps.
        objection: Tells what the policy has against beginning a rollout, "" for nothing; may wait
            for a source.
    """

    query: RollingQuery
    size: Callable[[], int]
    say: Say
    verdicts: Verdicts
    executor: Executor
    leases: LeaseStore
    holder: str
    backed: Backed
    sources: Mapping[str, CountsSource]
    actuators: Mapping[Scope, Actuator]
    meter: Meter
    clock: Clock
    steady_ms: Callable[[], int]
    objection: Callable[[Rolling, Course, int], str] = _none


class Footing:
    """What all lanes of a controller stand on.

    Args:
        hands: What they work with.
        terms: What the configuration says of actions.

    Attributes:
        holding: The lease.
        echo: What was said.
        terms: What the configuration says of actions.
    """

    def __init__(self, hands: Hands, terms: Terms) -> None:
        self._hands = hands
        self._lock = threading.Lock()
        self._deciding: dict[str, threading.Lock] = {}
        self._scene: tuple[int, Scene] | None = None
        self.holding = Holding(hands.leases, hands.holder, hands.steady_ms)
        self.echo = Echo(hands.size)
        self.terms = terms

    def deciding(self, environment: str) -> AbstractContextManager[object]:
        """Return the lock that one lane of an environment has while it decides."""
        with self._lock:
            return self._deciding.setdefault(environment, threading.Lock())

    def scene(self) -> Scene:
        """Return what all rollouts have in common, as the views see it now.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        hands, size = self._hands, self._hands.query.size()
        with self._lock:
            if self._scene is not None and self._scene[0] == size:
                return self._scene[1]
        # It sees at least as much as the size that was read before it.
        scene = Scene(hands.query, hands.verdicts, hands.backed, self.terms)
        with self._lock:
            self._scene = (size, scene)
        return scene
