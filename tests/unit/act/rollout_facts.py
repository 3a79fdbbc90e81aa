"""Facts of a rollout at which all is well, to be changed in one point by a test."""

from math import log

from msgspec.structs import replace

from deploymark.act.facts import (
    Act,
    Authority,
    Binding,
    BurnFacts,
    Exposure,
    Facts,
    Lease,
    Pair,
    Recovered,
    Recovery,
    Rollout,
    Shadow,
    Stage,
    Target,
    Trust,
    VerdictFacts,
)
from deploymark.act.plan import RollBackPlan, RolloutPlan, StepPlan, WithoutControl
from deploymark.judge.verdict import Advice, Contribution, Judgement, Reason, Result
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed

MINUTE = 60_000
HOUR = 60 * MINUTE
NOW = 1_795_000_000_000
OLD = Pair("sha256:" + "0" * 64)
NEW = Pair("sha256:" + "1" * 64)
PLAN = RolloutPlan(steps=(StepPlan(weight=5, bake_seconds=300), StepPlan(weight=25)))
WRITTEN = replace(PLAN, roll_back=RollBackPlan(without_control=WithoutControl()))


def judgement(result: Result, advice: Advice, *reasons: Reason) -> Judgement:
    """Return a verdict as the judge says it."""
    fail = {Advice.ROLL_BACK: log(2_000), Advice.PAUSE: log(200)}.get(advice, 0.0)
    shown = Contribution(
        name="errors",
        log_e_fail=fail,
        log_e_pass=log(30) if result is Result.PASS else 0.0,
        required=True,
        share=1.0,
        worst=None,
        dispersion=1.0,
    )
    return Judgement(7, result, advice, reasons, 50.0, fail, shown.log_e_pass, (shown,))


PASS = judgement(Result.PASS, Advice.PROMOTE)
PAUSE = judgement(Result.FAIL, Advice.PAUSE)
FAIL = judgement(Result.FAIL, Advice.ROLL_BACK)
OPEN = judgement(Result.INCONCLUSIVE, Advice.EXTEND, Reason.LOW_TRAFFIC)
HELD = judgement(Result.INCONCLUSIVE, Advice.HOLD, Reason.NO_DATA)


def verdict(said: Judgement, **changes: object) -> VerdictFacts:
    return replace(VerdictFacts("d-new~1", 1, said, 90, NOW - 20_000, replayed=True), **changes)


def act(deed: Deed = Deed.ROLL_BACK, **changes: object) -> Act:
    made = Act(
        service="shop",
        environment="prod",
        deployment="d-older~1",
        step=1,
        deed=deed,
        automatic=True,
        at_ms=NOW - HOUR,
        index=50,
        outcome="succeeded",
        recovered=True,
    )
    return replace(made, **changes)


def burn(**changes: object) -> BurnFacts:
    """Return a budget that provably burns, since the switch half an hour ago."""
    since = NOW - 10 * MINUTE
    return replace(BurnFacts(2.0, log(5_000), since, NOW - 10_000, 91, replayed=True), **changes)


def rollout(**changes: object) -> Rollout:
    made = Rollout(
        deployment="d-new~1",
        service="shop",
        environment="prod",
        stage=Stage.GOING,
        step=1,
        step_since_ms=NOW - 10 * MINUTE,
        pair=NEW,
        returns=False,
    )
    return replace(made, **changes)


def target(**changes: object) -> Target:
    made = Target(
        deployment="d-old~1",
        pair=OLD,
        concurrent=True,
        signed=True,
        present=True,
        trust=Trust.PROMOTED,
        irreversible=False,
    )
    return replace(made, **changes)


def facts(said: Judgement | None = FAIL, **changes: object) -> Facts:
    """Return facts on which every guard holds for what the verdict calls for."""
    made = Facts(
        now_ms=NOW,
        clock_off_ms=0,
        plan=PLAN,
        rollout=rollout(),
        verdict=None if said is None else verdict(said),
        burn=None,
        authority=Authority(Assurance.ATTRIBUTED, Assurance.ATTRIBUTED, in_scope=True),
        binding=Binding(started=20, observed=19, other=0, control=True),
        target=target(),
        history=(),
        failures=(),
        quarantine=frozenset(),
        freezes=(),
        kill_switch=False,
        exposure=Exposure(5.0, 2, 40),
        lease=Lease(NOW + MINUTE, 3, 3),
        shadow=Shadow(86_400, reached=False),
        recovery=Recovery(Recovered.NOTHING_TO, verifiable=True),
    )
    return replace(made, **changes)
