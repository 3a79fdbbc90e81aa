"""What is so in an episode, and the promises that are checked against it."""

from collections import Counter
from math import log
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from rollout_facts import HOUR, MINUTE, NOW

from deploymark.act.facts import (
    Act,
    Approval,
    Authority,
    Binding,
    BurnFacts,
    Failure,
    Freeze,
    Pair,
    Recovered,
    Recovery,
    Request,
    Rollout,
    Target,
    VerdictFacts,
)
from deploymark.act.intent import Intent
from deploymark.act.plan import Objective, RollBackPlan, RolloutPlan, StepPlan, WithoutControl
from deploymark.judge.verdict import Result
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed

DAY: Final = 24 * HOUR
STALE: Final = 30_000
SERVICES: Final = ("cart", "pay", "shop", "web")
CANARY: Final = RolloutPlan(
    steps=(StepPlan(weight=5, bake_seconds=600), StepPlan(weight=25)), history_seconds=3_600
)
SERVERLESS: Final = replace(
    CANARY,
    strategy="blue_green",
    steps=(),
    objective=Objective(target=0.999),
    roll_back=RollBackPlan(without_control=WithoutControl(minutes=120)),
)


class Service(Struct):
    """The truth about one service."""

    name: str
    plan: RolloutPlan
    stable: Pair
    rollout: Rollout
    lived: set[Pair]
    number: int = 0
    verdict: VerdictFacts | None = None
    burn: BurnFacts | None = None
    authority: Authority = Authority(Assurance.SIGNED, Assurance.ATTRIBUTED, in_scope=True)
    binding: Binding = Binding(10, 10, 0, control=True)
    target: Target | None = None
    watched: int = 0
    alarmed: bool = False
    recovery: Recovery = Recovery(Recovered.NOTHING_TO, verifiable=True)
    approvals: tuple[Approval, ...] = ()
    request: Request | None = None
    weight: float = 0.0


class Truth:
    """Everything that is so, and what was done; `done` counts it."""

    def __init__(self) -> None:
        """Begin with nothing done."""
        self.now = NOW
        self.acts: list[Act] = []
        self.keys: set[str] = set()
        self.said: dict[int, VerdictFacts | BurnFacts] = {}
        self.failures: list[Failure] = []
        self.freezes: list[Freeze] = []
        self.thawed = 0
        self.quarantine: set[Pair] = set()
        self.killed = False
        self.done: Counter[str] = Counter()

    def is_new(self, intent: Intent) -> None:
        """Check that nothing of the same key was decided before."""
        assert intent.key not in self.keys, "decided twice"
        self.keys.add(intent.key)

    def keeps_its_promises(self, service: Service, intent: Intent, deed: Deed) -> None:
        """What the machine changes by itself, it may change."""
        rollout, seen, said = service.rollout, service.binding, service.authority
        order = [Assurance.ANONYMOUS, Assurance.ATTRIBUTED, Assurance.SIGNED]
        assert said.assurance is not None
        assert order.index(said.assurance) >= order.index(said.wanted), "below its assurance"
        assert said.in_scope
        assert seen.other == 0, "another digest runs"
        observed = seen.target_observed or (seen.control and seen.observed >= 10)
        assert observed, "nobody observed it"
        assert not self.killed, "switched off"
        assert not any(each.service in ("*", service.name) for each in self._frozen())
        busy = {act.service for act in self.acts if act.outcome == ""} - {service.name}
        assert busy == set(), "two services at once"
        waiting = service.recovery.state in (Recovered.WAITING, Recovered.NO)
        assert not waiting, "the last rollback has not helped"
        if not (deed is Deed.SHIFT and rollout.step == 0):
            self._rests_on_proof(service, intent, deed)
        if deed is Deed.ROLL_BACK:
            self._is_no_loop(service)

    def _rests_on_proof(self, service: Service, intent: Intent, deed: Deed) -> None:
        assert intent.verdict_index is not None, "nothing proves it"
        proof = self.said[intent.verdict_index]
        assert proof.replayed, "it does not replay"
        if isinstance(proof, BurnFacts):
            assert deed is Deed.ROLL_BACK
            assert proof.log_e > log(1_000)
            return
        assert service.watched >= service.plan.history_seconds, "still in the shadow"
        assert not service.alarmed, "a placebo alarms"
        wanted = Result.FAIL if deed is Deed.ROLL_BACK else Result.PASS
        assert proof.judgement.result is wanted, "an inconclusive verdict acted"
        assert (proof.deployment, proof.step) == (service.rollout.deployment, service.rollout.step)

    def _is_no_loop(self, service: Service) -> None:
        assert service.rollout.returns is False, "a rollback was rolled back"
        agreed = any(
            each.deed is Deed.ROLL_BACK and each.step == service.rollout.step
            for each in service.approvals
        )
        little = service.weight <= 25 or not service.binding.control
        assert little or agreed, "too much traffic"
        target = service.target
        assert target is not None, "no target"
        assert target.trust is not None, "an untrusted target"
        assert target.irreversible is False, "a migration that cannot be undone"
        # Clocks may differ by a minute before anybody calls them wrong.
        since = self.now - DAY + 2 * MINUTE
        before = [
            act
            for act in self.acts
            if act.service == service.name
            and act.deed is Deed.ROLL_BACK
            and act.automatic
            and act.outcome != "failed"
            and act.at_ms > since
        ]
        assert before == [], "two automatic rollbacks in a day"

    def _frozen(self) -> list[Freeze]:
        return [
            each
            for each in self.freezes
            if each.until_ms is None or self.now < each.until_ms - MINUTE
        ]
