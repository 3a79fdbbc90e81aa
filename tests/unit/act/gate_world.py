"""The gate of a world in which a service is rolled out: everything but the wall clock is real."""

from collections.abc import Mapping, Sequence
from typing import Any

from rollout_world import ENVIRONMENT, SCOPE, SERVICE, RolloutWorld, digest_of

from deploymark.act.backing import LogBacking
from deploymark.act.budgets import Budgets
from deploymark.act.gate_book import GateBook
from deploymark.act.gating import Gating, Grounds, Told
from deploymark.act.hearing import Hearing
from deploymark.act.plan import RolloutPlan
from deploymark.act.rollouts import ActionRequest, Rollouts
from deploymark.ingest.callers import PLATFORM
from deploymark.judge.policy import Days, Identity, Rule, WindowRule
from deploymark.judge.ruling import Known
from deploymark.model.canonical import encode
from deploymark.model.entries import Decision
from deploymark.model.vocabulary import DECISION
from deploymark.projections.broker.gated import GateQuery
from deploymark.projections.broker.rolling import RollingQuery

ADA = Identity(git_names=("Ada L",), subjects=("token:ada",))
BOB = Identity(git_names=("Bob B",), subjects=("token:bob",))

ARTIFACT = {"digest": digest_of("v2")}
FREEZE = WindowRule(name="frozen", days=(Days(first="2000-01-01", last="2100-01-01"),))


def plan_of(world: RolloutWorld, **fields: Any) -> str:  # noqa: ANN401 - of a marker
    """Announce a release and return its deployment."""
    marker: dict[str, Any] = {
        "phase": "planned",
        "artifact": ARTIFACT,
        "version": "v2",
        "action": "ci/v2",
        "emitter": {"kind": "ci", "id": "deploy.yml"},
    }
    return world.say(**{**marker, **fields})


def stable_of(world: RolloutWorld) -> str:
    """Let a release run for a while that is good to return to."""
    stable = world.deploy("v1")
    world.adopt(stable)
    world.traffic.share({stable: 200.0})
    world.clock.advance(400)
    return stable


class Gate:
    """A gate before the log of a world.

    Args:
        world: Whose log and traffic.
        rules: Of the policy.
        plans: By service and environment; the world's own when left out.
    """

    def __init__(
        self,
        world: RolloutWorld,
        rules: Sequence[Rule] = (),
        plans: Mapping[tuple[str, str], RolloutPlan] | None = None,
    ) -> None:
        self.world = world
        self.hearing = Hearing(world.traffic, lambda: 0)
        self.plans = {SCOPE: world.plan} if plans is None else dict(plans)
        query, rolling = GateQuery(world.views), RollingQuery(world.views)
        self.grounds = Grounds(
            plans=self.plans,
            rules=rules,
            known=Known({"ada": ADA, "bob": BOB}, {}),
            rolling=rolling,
            query=query,
            backed=LogBacking(world.store, world.log.ring),
            load=self.load,
            budgets=Budgets(self.plans, {"telemetry": self.hearing}, query),
            silence=lambda _: self.hearing.silence(),
        )
        self.lost: set[str] = set()
        self.gating = Gating(self.grounds)
        self.book = GateBook(self.gating, self.tell, world.clock, world.meter)
        self.rollouts = Rollouts(
            self.plans,
            rolling,
            world.store,
            self.load,
            self.tell,
            lambda: world.controller.wanted,
            next_looks=lambda: world.controller.next_looks,
            silence=lambda _: self.hearing.silence(),
        )

    def load(self, digest: str) -> bytes:
        content = self.world.store.blob(bytes.fromhex(digest.removeprefix("sha256:"))).content
        return b"{}" if digest in self.lost else content or b""

    def tell(self, fields: Mapping[str, Any]) -> int:
        index = self.world.intake.say_payload(DECISION, encode(dict(fields)), PLATFORM).index
        self.world.runner.catch_up()
        return index

    def look(
        self, deployment: str | None = None, service: str = SERVICE, environment: str = ENVIRONMENT
    ) -> Told:
        return self.book.look(service, environment, deployment)

    def says(self, deployment: str | None = None) -> str:
        return self.look(deployment).answer.decision.value

    def reasons(self, deployment: str | None = None) -> dict[str, str]:
        """Return what each reason that counts says for itself, by what it is about."""
        told = self.look(deployment).answer.reasons
        return {each.about: each.answer.value for each in told if each.counts}

    def break_glass(self, deployment: str, by: str = "token:ada", reason: str = "INC-17") -> int:
        asked = ActionRequest(
            action="gate", deployment_id=deployment, reason=reason, break_glass=True
        )
        return self.rollouts.ask(asked, by, self.world.clock.now_ms())

    def answers(self) -> list[Decision]:
        """Return the gate's own entries, oldest first."""
        return [each for each in self.world.entries("decision") if each.action == "gate"]
