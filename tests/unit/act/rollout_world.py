"""A world in which a service is rolled out: the real log, views and controller, no wall clock.

Traffic is made up from rates and a seed, and served by whoever the fake splitter sends it to; what
the controller says and does is real.
"""

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Self

from deploymark.act.backing import LogBacking
from deploymark.act.controller import Controller, Hands
from deploymark.act.execute import Executor
from deploymark.act.plan import MetricPlan, RollBackPlan, RolloutPlan, StepPlan
from deploymark.act.scene import Terms
from deploymark.act.verdicts import Verdicts
from deploymark.errors import (
    ActuatorUnavailableError,
    CountsUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
)
from deploymark.ingest.callers import PLATFORM, Caller
from deploymark.ingest.intake import Admitted, Intake
from deploymark.ingest.submission import Submission
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import DECISION, Role
from deploymark.ports import (
    Cell,
    Cohort,
    CohortCounts,
    Deed,
    Found,
    LeaseStore,
    MetricQuery,
    Order,
)
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.rolling import RollingQuery
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.database import open_views
from deploymark.projections.logged import read_entry
from deploymark.projections.runner import Runner
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_leases import MemoryLeaseStore
from deploymark.testing.clock import ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import WholeLog

SERVICE, ENVIRONMENT = "checkout", "prod"
SCOPE = (SERVICE, ENVIRONMENT)
CI = Caller("token:ci", frozenset({Role.EMITTER}))

PLAN = RolloutPlan(
    steps=(StepPlan(weight=10), StepPlan(weight=25)),
    metrics=(MetricPlan(name="errors"),),
    look_seconds=10,
    warmup_seconds=0,
    bucket_seconds=5,
    block_seconds=(5, 10, 30),
    history_seconds=300,
    max_wait_seconds=600,
    roll_back=RollBackPlan(recovery_seconds=60),
)


def digest_of(release: str) -> str:
    return f"sha256:{sha256(release.encode()).hexdigest()}"


class Traffic:
    """Requests as a source of counts tells them.

    Attributes:
        rates: Requests a second of each release, by its deployment id.
        errors: The share of them that fails.
        away: The source does not answer.
    """

    name = "telemetry"
    lag_ms = 1_000

    def __init__(self, clock: ManualClock, replicas: int = 4) -> None:
        self._clock = clock
        self._replicas = replicas
        self.errors: dict[str, float] = {}
        self.changes: list[tuple[int, dict[str, float]]] = []
        self.away = False

    def share(self, rates: Mapping[str, float]) -> None:
        """Send requests from now on at these rates."""
        self.changes.append((self._clock.now_ms(), dict(rates)))

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        if self.away:
            raise CountsUnavailableError("The source is away.")
        cells = []
        for at_ms in range(since_ms, until_ms, bucket_ms):
            for deployment, rate in self._rates(at_ms).items():
                if deployment not in cohort.deployments:
                    continue
                for replica in range(self._replicas):
                    draw = Random(f"{at_ms} {deployment} {replica}")
                    trials = round(rate * bucket_ms / 1_000 / self._replicas)
                    bad = self.errors.get(deployment, 0.01)
                    events = sum(draw.random() < bad for _ in range(trials))
                    cells.append(Cell(f"{deployment}-{replica}", at_ms, trials, events))
        return CohortCounts({metric.name: tuple(cells) for metric in metrics})

    def _rates(self, at_ms: int) -> dict[str, float]:
        found: dict[str, float] = {}
        for since_ms, rates in self.changes:
            if since_ms <= at_ms:
                found = rates
        return found


class Splitter:
    """An actuator that sends traffic, and does what a test wants to go wrong.

    Attributes:
        orders: That it carried out.
        fails: What it raises the next time, before or after it did it.
    """

    name = "splitter"

    def __init__(self, traffic: Traffic, rate: float = 200.0) -> None:
        self._traffic = traffic
        self._rate = rate
        self.orders: list[Order] = []
        self.seen: Found | None = None
        self.before: list[DeploymarkError] = []
        self.after: list[DeploymarkError] = []

    def look(self, order: Order) -> Found:
        if self.seen is not None:
            return self.seen
        done = bool(self.orders) and self.orders[-1].key == order.key
        return Found.DONE if done else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        if self.before:
            raise self.before.pop()
        self.orders.append(order)
        canary, stable = order.canary.deployment.split("~")[0], ""
        if order.stable is not None:
            stable = order.stable.deployment.split("~")[0]
        rates = {
            canary: self._rate * order.weight / 100,
            stable: self._rate * (1 - order.weight / 100),
        }
        self._traffic.share({name: rate for name, rate in rates.items() if name and rate})
        if self.after:
            raise self.after.pop()
        return f"The canary gets {order.weight:g} %."

    @property
    def deeds(self) -> list[Deed]:
        return [order.deed for order in self.orders]


class RolloutWorld:
    """One service, its log and its controller.

    Args:
        plan: By which it is rolled out.
        terms: What the configuration says of actions.
    """

    def __init__(self, plan: RolloutPlan = PLAN, terms: Terms | None = None) -> None:
        self.plan = plan
        self.terms = terms or Terms()
        self.clock = ManualClock()
        self.store = MemoryLogStore()
        self.log = WholeLog(self.store, clock=self.clock)
        self.intake = Intake(self.log.receiver, self.log.admin, self.clock, bytes)
        self._folder = TemporaryDirectory(prefix="rollout-")
        self.views = open_views(pathlib.Path(self._folder.name) / "views.db")
        self.meter = ListMeter()
        self.runner = Runner(self.store, self.views, [BrokerView()], self.meter)
        self.runner.catch_up()
        self.traffic = Traffic(self.clock)
        self.splitter = Splitter(self.traffic)
        self.leases: LeaseStore = MemoryLeaseStore()
        self.objection: Callable[..., str] = lambda *_: ""
        self.controller = self.new_controller("one")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.views.close()
        self.intake.close()
        self.log.close()
        self._folder.cleanup()

    def new_controller(self, holder: str) -> Controller:
        """Return a controller that remembers nothing, as after a restart."""

        def say(kind: str, payload: bytes) -> int:
            return self.intake.say_payload(kind, payload, PLATFORM).index

        def say_with(kind: str, payload: bytes, content: bytes) -> int:
            return self.intake.say_with(kind, payload, content, PLATFORM).index

        def load(digest: str) -> bytes:
            return self.store.blob(bytes.fromhex(digest.removeprefix("sha256:"))).content or b""

        hands = Hands(
            query=RollingQuery(self.views),
            size=lambda: self.store.head().size,
            say=say,
            verdicts=Verdicts(
                lambda content: self.intake.keep_evidence(content, PLATFORM), say_with, load
            ),
            executor=Executor(say),
            leases=self.leases,
            holder=holder,
            backed=LogBacking(self.store, self.log.ring),
            sources={"telemetry": self.traffic},
            actuators={SCOPE: self.splitter},
            meter=self.meter,
            steady_ms=self.clock.now_ms,
            objection=self.objection,
        )
        return Controller({SCOPE: self.plan}, self.terms, hands)

    def restart(self) -> None:
        """Go on with a controller that remembers nothing."""
        self.controller = self.new_controller("another")
        self.clock.advance(130)  # the lease of the one before ends

    # Telling -----------------------------------------------------------------------------

    def say(self, **fields: Any) -> str:
        """Hand a marker in and return the id of its deployment."""
        marker = {
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "timestamp": format_instant(self.clock.now_ms()),
            **fields,
        }
        submission = Submission(json.dumps(marker).encode(), CI)
        (answer,) = self.intake.submit([submission]).result(30)
        assert isinstance(answer, Admitted), answer
        self.runner.catch_up()
        return answer.ids["deployment_id"]

    def deploy(self, release: str, *, weight: float | None = None, instances: int = 4) -> str:
        """Apply a release and see its instances run it; return the id of its deployment."""
        artifact = {"digest": digest_of(release)}
        identity = self.say(
            phase="applied",
            artifact=artifact,
            version=release,
            action=f"ci/{release}",
            rollout={"strategy": "canary", "weight": weight},
            emitter={"kind": "ci", "id": "deploy.yml"},
        )
        for number in range(instances):
            self.say(
                phase="running",
                artifact=artifact,
                target={"instance_uid": f"{release}-{number}"},
                evidence={"basis": "observed", "digest": digest_of(release)},
                emitter={"kind": "orchestrator", "id": "observer"},
            )
        return identity

    def adopt(self, deployment: str) -> None:
        """Let a person say that what runs is good to return to."""
        fields = {
            "action": "adopt",
            "stage": "decided",
            "environment": ENVIRONMENT,
            "service": SERVICE,
            "deployment_id": f"{deployment}~1",
            "actor": "ada",
            "timestamp": format_instant(self.clock.now_ms()),
        }
        self.intake.say(DECISION, fields, PLATFORM)
        self.runner.catch_up()

    def ask(self, action: str, deployment: str, **more: Any) -> int:
        """Let a person ask for something."""
        fields = {
            "action": action,
            "stage": "approved",
            "environment": ENVIRONMENT,
            "service": SERVICE,
            "deployment_id": f"{deployment}~1",
            "actor": "ada",
            "timestamp": format_instant(self.clock.now_ms()),
            **more,
        }
        index = self.intake.say(DECISION, fields, PLATFORM).index
        self.runner.catch_up()
        return index

    def go_on(self, seconds: float, tick: float = 1.0) -> None:
        """Let time pass, a turn of the controller at each tick."""
        for _ in range(int(seconds / tick)):
            self.clock.advance(tick)
            self.controller.turn(self.clock.now_ms())
            self.runner.catch_up()

    # Asking ------------------------------------------------------------------------------

    def deployment(self, identity: str) -> dict[str, Any]:
        return BrokerQuery(self.views).deployment(identity)

    def entries(self, kind: str) -> list[Any]:
        """Return all entries of a type, in order."""
        rows = self.store.entries(0, self.store.head().size)
        read = [read_entry(row) for row in rows]
        return [each.content for each in read if each.type == kind]

    def told(self) -> list[str]:
        """Return what was decided, as `action stage outcome`."""
        return [
            " ".join(filter(None, (each.action, each.stage, each.outcome)))
            for each in self.entries("decision")
        ]


__all__ = ["ActuatorUnavailableError", "OutcomeUnknownError", "RolloutWorld"]
