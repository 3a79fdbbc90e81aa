"""A world in which a service is rolled out: the real log, views and controller, no wall clock.

Traffic is made up from rates and a seed, and served by whoever the fake splitter sends it to; what
the controller says and does is real.
"""

import json
import pathlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from hashlib import sha256
from tempfile import TemporaryDirectory
from typing import Any, Self

from projected_log import compiled_once
from rollout_traffic import Actuators, Splitter, Traffic

from deploymark.act.backing import LogBacking
from deploymark.act.controller import Controller
from deploymark.act.execute import Executor
from deploymark.act.gather import Backing
from deploymark.act.hands import Hands
from deploymark.act.plan import MetricPlan, RollBackPlan, RolloutPlan, StepPlan
from deploymark.act.scene import Terms
from deploymark.act.verdicts import Verdicts
from deploymark.errors import (
    MarkerError,
    NotFoundError,
    StoreUnavailableError,
    UnavailableError,
)
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import PLATFORM, Caller
from deploymark.ingest.intake import Admitted, Intake
from deploymark.ingest.submission import Submission
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import DECISION, RETRACTION, Role
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.rolling import RollingQuery, Side
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


class RolloutWorld:
    """One service, its log and its controller.

    Args:
        plan: By which it is rolled out.
        terms: What the configuration says of actions.
        services: All services that are rolled out by that plan.
        environments: In which each of them is.

    Attributes:
        jumped_ms: How far the clock was set, so that the steady one was not.
        deaf: Kinds of entries that the log cannot take now.
        refused: Kinds of entries that the log takes never, counted in `attempts`.
        lost: Actions, stages or kinds of entries that the log takes, and whose answer is lost; one
            entry for each.
        lag: The views see nothing new.
        overheard: Hears what a controller is about to say.
        asked: Hears about which deployment the facts are gathered.
    """

    def __init__(
        self,
        plan: RolloutPlan = PLAN,
        terms: Terms | None = None,
        services: Sequence[str] = (SERVICE,),
        environments: Sequence[str] = (ENVIRONMENT,),
    ) -> None:
        self.plan = plan
        self.plans = {(service, place): plan for service in services for place in environments}
        self.terms = terms or Terms()
        self.jumped_ms = 0
        self.deaf: set[str] = set()
        self.refused: set[str] = set()
        self.attempts = 0
        self.lost: set[str] = set()
        self.lag = False
        self.clock = ManualClock()
        self.store = MemoryLogStore()
        rules = AdmissionRules(anonymous_environments=("*",))
        self.log = WholeLog(self.store, clock=self.clock, rules=rules)
        self.intake = Intake(self.log.receiver, self.log.admin, self.clock, bytes)
        self._folder = TemporaryDirectory(prefix="rollout-")
        self.views = compiled_once(open_views(pathlib.Path(self._folder.name) / "views.db"))
        self.meter = ListMeter()
        self.runner = Runner(self.store, self.views, [BrokerView()], self.meter)
        self.runner.catch_up()
        self.traffic = Traffic(self.clock)
        self.splitter = Splitter(self.traffic)
        self.actuators: Actuators = dict.fromkeys(self.plans, self.splitter)
        self.leases = MemoryLeaseStore()
        self.gone: set[str] = set()
        self.forged: dict[str, bytes] = {}
        self.objection: Callable[..., str] = lambda *_: ""
        self.overheard: Callable[[str, bytes], None] = lambda *_: None
        self.asked: Callable[[Side], None] = lambda _: None
        self._backing = LogBacking(self.store, self.log.ring)
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
            self._hears(kind)
            self.overheard(kind, payload)
            index = self.intake.say_payload(kind, payload, PLATFORM).index
            self._answers(kind, payload)
            return index

        def say_with(kind: str, payload: bytes, content: bytes) -> int:
            self._hears(kind)
            self.overheard(kind, payload)
            index = self.intake.say_with(kind, payload, content, PLATFORM).index
            self._answers(kind, payload)
            return index

        def load(digest: str) -> bytes:
            return self.evidence(digest)

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
            backed=self._backed,
            sources={"telemetry": self.traffic},
            actuators=self.actuators,
            meter=self.meter,
            clock=self.clock,
            steady_ms=lambda: self.clock.now_ms() - self.jumped_ms,
            objection=self.objection,
        )
        return Controller(self.plans, self.terms, hands)

    def _backed(self, side: Side) -> Backing:
        self.asked(side)
        return self._backing(side)

    def _hears(self, kind: str) -> None:
        if kind in self.refused:
            self.attempts += 1
            raise MarkerError("This is no such entry.")
        if kind in self.deaf:
            raise StoreUnavailableError("The disk is full.")

    def _answers(self, kind: str, payload: bytes) -> None:
        said = json.loads(payload)
        named = {said.get("action"), said.get("stage"), kind} & self.lost
        if named:
            self.lost -= named
            raise StoreUnavailableError("The answer is lost.")

    def evidence(self, digest: str) -> bytes:
        """Return what was kept."""
        if digest in self.gone:
            raise NotFoundError("It is gone.")
        if digest in self.forged:
            return self.forged[digest]
        return self.store.blob(bytes.fromhex(digest.removeprefix("sha256:"))).content or b""

    def jump(self, seconds: float) -> None:
        """Set the clock, while time passes no faster."""
        self.clock.advance(seconds)
        self.jumped_ms += int(seconds * 1_000)

    def restart(self) -> None:
        """Go on with a controller of the same name that remembers nothing."""
        self.controller = self.new_controller("one")

    # Telling -----------------------------------------------------------------------------

    def say(self, caller: Caller = CI, **fields: Any) -> str:  # noqa: ANN401 - of a marker
        """Hand a marker in and return the id of its deployment."""
        marker = {
            "service": SERVICE,
            "environment": ENVIRONMENT,
            "timestamp": format_instant(self.clock.now_ms()),
            **fields,
        }
        submission = Submission(json.dumps(marker).encode(), caller)
        (answer,) = self.intake.submit([submission]).result(30)
        assert isinstance(answer, Admitted), answer
        self.runner.catch_up()
        return answer.ids["deployment_id"]

    def deploy(  # noqa: PLR0913 - one argument for each thing that differs
        self,
        release: str,
        *,
        weight: float | None = None,
        instances: int = 4,
        seen: str | None = None,
        caller: Caller = CI,
        service: str = SERVICE,
        environment: str = ENVIRONMENT,
        **more: Any,  # noqa: ANN401 - fields of the marker
    ) -> str:
        """Apply a release and see its instances run it; return the id of its deployment.

        Args:
            release: Its version.
            weight: Percent of the traffic that it begins with; None is all of it.
            instances: How many run.
            seen: The release that the observer sees instead.
            caller: Who announces it.
            service: Of which.
            environment: Where.
            more: What else the marker says.
        """
        artifact = {"digest": digest_of(release)}
        identity = self.say(
            caller,
            phase="applied",
            artifact=artifact,
            service=service,
            environment=environment,
            version=release,
            rollout={"strategy": "canary", "weight": weight},
            emitter={"kind": "ci", "id": "deploy.yml"},
            **{"action": f"ci/{service}/{release}", **more},
        )
        for number in range(instances):
            self.say(
                phase="running",
                artifact=artifact,
                service=service,
                environment=environment,
                target={"instance_uid": f"{identity}-{number}"},
                evidence={"basis": "observed", "digest": digest_of(seen or release)},
                emitter={"kind": "orchestrator", "id": "observer"},
            )
        return identity

    def stable(self, service: str = SERVICE, environment: str = ENVIRONMENT) -> str:
        """Let a release run for a while that is good to return to; return its id."""
        stable = self.deploy("v1", service=service, environment=environment)
        self.adopt(stable, service, environment)
        self.traffic.share({stable: 200.0})
        self.clock.advance(400)
        return stable

    def adopt(
        self, deployment: str, service: str = SERVICE, environment: str = ENVIRONMENT
    ) -> None:
        """Let a person say that what runs is good to return to."""
        name = f"{deployment}~1"
        self.rule("adopt", deployment_id=name, service=service, environment=environment)

    def ask(self, action: str, deployment: str, **more: Any) -> int:  # noqa: ANN401 - fields
        """Let a person ask for something."""
        name = deployment if "~" in deployment else f"{deployment}~1"
        return self.rule(action, stage="approved", deployment_id=name, **more)

    def rule(self, action: str, **more: Any) -> int:  # noqa: ANN401 - fields of a decision
        """Write down what a person says."""
        stated = {
            "action": action,
            "stage": "decided",
            "environment": ENVIRONMENT,
            "service": SERVICE,
            "actor": "ada",
            "timestamp": format_instant(self.clock.now_ms()),
            **more,
        }
        fields = {name: value for name, value in stated.items() if value is not None}
        index = self.intake.say(DECISION, fields, PLATFORM).index
        self.runner.catch_up()
        return index

    def retract(self, index: int) -> None:
        """Take an entry back."""
        fields = {
            "index": index,
            "reason": "It was a mistake.",
            "timestamp": format_instant(self.clock.now_ms()),
        }
        self.intake.say(RETRACTION, fields, PLATFORM)
        self.runner.catch_up()

    def go_on(self, seconds: float, tick: float = 1.0) -> None:
        """Let time pass, a turn of the controller at each tick."""
        for _ in range(int(seconds / tick)):
            self.clock.advance(tick)
            self.turn()

    def turn(self, controller: Controller | None = None) -> None:
        """Take one turn; what an unavailable part raises is for the next one."""
        with suppress(UnavailableError):
            (controller or self.controller).turn()
        if not self.lag:
            self.runner.catch_up()

    # Asking ------------------------------------------------------------------------------

    def deployment(self, identity: str) -> dict[str, Any]:
        return BrokerQuery(self.views).deployment(identity)

    def entries(self, kind: str) -> list[Any]:
        """Return all entries of a type, in order."""
        read = map(read_entry, self.store.entries(0, self.store.head().size))
        return [each.content for each in read if each.type == kind]

    def told(self) -> list[str]:
        """Return what was decided, as `action stage outcome`."""
        return [
            " ".join(filter(None, (each.action, each.stage, each.outcome)))
            for each in self.entries("decision")
        ]

    @property
    def wants(self) -> tuple[str, str]:
        """Return what is wanted of the rollout now, and why."""
        intent = self.controller.wanted[SCOPE].intent
        return intent.move.value, intent.code
