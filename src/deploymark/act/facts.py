"""What guards and decisions are asked with: all about one rollout at one moment. Pure values.

The controller gathers them from views, the log and its sources; nothing here is looked up, and
the same facts always lead to the same intent. None means that a fact is not known, and an unknown
fact never lets anything through. Times are milliseconds since the epoch.
"""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from deploymark.act.plan import RolloutPlan, StepPlan
from deploymark.judge.verdict import Judgement
from deploymark.model.vocabulary import Assurance
from deploymark.ports import Deed

POLICY = "policy"
"""Who acts when no person does, as in `Decision.actor`."""


class Stage(StrEnum):
    """How far a rollout has come, as the log says it."""

    GOING = "going"
    PAUSED = "paused"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    OVER = "over"
    """Failed, removed or superseded without deploymark: nothing is left to do."""


class Pair(NamedTuple):
    """What a release consists of, as quarantine knows it.

    Attributes:
        digest: Of the image, `sha256:…`.
        config: Digest of the configuration, "" when the release has none of its own.
    """

    digest: str
    config: str = ""


class Rollout(Struct, frozen=True):
    """One deployment occurrence on its way.

    Attributes:
        deployment: `d-…~1`.
        service, environment: Where.
        stage: How far it is.
        step: Which step of the plan it is at, from 1; 0 before the first one. A blue/green rollout
            has one step, the cutover: 0 before it, 1 after it.
        step_since_ms: Since when.
        pair: What it releases; None when its digest is not known.
        returns: It is itself a return to an earlier release; None when that cannot be told.
        paused_by: A handle, or `policy`; "" while it is not paused.
        overruled: The verdict advice that stood when a person resumed it at this step (`none` when
            there was none), "" while nobody did; the machine acts again only on more than that.
        resumed_index: The entry of the last resumption, 0 without one.
        superseded_by: The deployment that came later and waits until this one's traffic is
            returned; "" while this is the newest.
    """

    deployment: str
    service: str
    environment: str
    stage: Stage
    step: int
    step_since_ms: int
    pair: Pair | None
    returns: bool | None
    paused_by: str = ""
    overruled: str = ""
    resumed_index: int = 0
    superseded_by: str = ""


class VerdictFacts(Struct, frozen=True):
    """The newest verdict about the rollout.

    Attributes:
        deployment: Which occurrence was judged.
        step: At which step.
        judgement: What was said.
        index: Its entry in the log.
        until_ms: The end of the look: what it knows is not newer.
        replayed: It was judged again from its logged inputs, and came out the same.
    """

    deployment: str
    step: int
    judgement: Judgement
    index: int
    until_ms: int
    replayed: bool | None


class BurnFacts(Struct, frozen=True):
    """The newest result of the error-budget test, for what was served since `since_ms`.

    Attributes:
        factor: The burn that was tested against: 2 means "at most twice the budget".
        log_e: Natural logarithm of the e-value against it.
        since_ms: When the test began: at the switch, for the rule without a control.
        until_ms: The end of what it counted.
        index: The verdict entry that holds its inputs; None when it was not logged.
        replayed: It follows from its logged counts.
    """

    factor: float
    log_e: float
    since_ms: int
    until_ms: int
    index: int | None
    replayed: bool | None


class Authority(Struct, frozen=True):
    """Who stands behind the markers that say what is rolled out.

    Attributes:
        assurance: The weakest of those that the rollout rests on.
        wanted: `policy.environments.<env>.action_assurance`.
        in_scope: Each emitter had the scope at the index of its marker.
    """

    assurance: Assurance | None
    wanted: Assurance
    in_scope: bool | None


class Binding(Struct, frozen=True):
    """Whether what runs is what the marker says.

    Attributes:
        started: Canary instances that started, those that ended since included; None when that
            is not known.
        observed: How many of them an observer saw with the marker's digest.
        other: How many were seen with another digest, on any basis.
        by_basis: How many are known by which basis (`declared`, `self_observed`, `observed`).
        control: Something of the old release runs beside it to compare with.
        target_observed: Where no control runs: the alias, or what it points to, was observed with
            the marker's digest.
    """

    started: int | None
    observed: int
    other: int
    control: bool | None
    target_observed: bool | None = None
    by_basis: dict[str, int] = {}


class Trust(StrEnum):
    """Why a release is good enough to return to."""

    PASSED = "passed"
    PROMOTED = "promoted"
    ADOPTED = "adopted"


class Target(Struct, frozen=True):
    """The release that a rollback would return to.

    Attributes:
        deployment: Its occurrence, `d-…~1`.
        pair: What it consists of.
        concurrent: It is the stable one that runs, or in blue/green stands ready, beside this one.
        signed: Its marker carries a valid signature, of a producer or of the gateway for a known
            caller, that reaches what the environment asks for.
        present: Its artifact can still be run: instances of it were observed, or it was found.
        trust: It passed, a person promoted it, or an operator adopted it; None for none of these.
        irreversible: A migration that cannot be undone was applied after it.
        replaced: It had all of the traffic until this one took it, and did not end otherwise.
    """

    deployment: str
    pair: Pair | None
    concurrent: bool | None
    signed: bool | None
    present: bool | None
    trust: Trust | None
    irreversible: bool | None
    replaced: bool = False


class Act(Struct, frozen=True):
    """Something that was done, or is being done, as decisions in the log say it.

    Attributes:
        deployment: The occurrence acted on.
        step: Of its rollout, at which it was decided.
        deed: What.
        automatic: No person asked for it.
        at_ms: When it was decided.
        fence: Of the lease that it was decided under, 0 for none.
        index: The entry that decided it.
        outcome: `succeeded`, `failed` (nothing was changed), `unknown`; "" while it goes on.
        recovered: After a rollback everything was well again; None while that is not known.
        superseded: It was returned because a newer one came, and not because it was bad.
    """

    service: str
    environment: str
    deployment: str
    step: int
    deed: Deed
    automatic: bool
    at_ms: int
    fence: int = 0
    index: int = 0
    outcome: str = ""
    recovered: bool | None = None
    superseded: bool = False


class Failure(NamedTuple):
    """A release of some service failed: its verdict said so."""

    service: str
    environment: str
    at_ms: int


class Freeze(Struct, frozen=True):
    """Automation is stopped for some services and environments, by an entry.

    Attributes:
        service, environment: Globs, in which only `*` is special.
        until_ms: When it ends by itself; None when somebody lifts it.
        by: A handle, or `policy` for a shared cause.
        reason: Why.
    """

    service: str
    environment: str
    until_ms: int | None
    by: str
    reason: str = ""


class Exposure(Struct, frozen=True):
    """How much depends on the canary now, as it is and not as it was ordered.

    Attributes:
        weight: Percent of the traffic that it gets, None when that is not known.
        canary_instances: How many of it run.
        fleet_size: How many run in all, of both releases.
    """

    weight: float | None
    canary_instances: int | None = None
    fleet_size: int | None = None


class Lease(Struct, frozen=True):
    """Whether this controller is the one that acts in the environment.

    One lease for an environment: else two controllers could change two services at once.

    Attributes:
        until_ms: Until when it holds the lease; None when somebody else has it.
        fence: The number of its holding.
        highest_fence: The highest that any decision about this service in the log carries.
    """

    until_ms: int | None
    fence: int
    highest_fence: int


class Shadow(Struct, frozen=True):
    """How long halves of the stable fleet were compared, with nothing found between them.

    Attributes:
        watched_seconds: Since one of them last reached the roll-back bound.
        reached: One of them reaches it now.
    """

    watched_seconds: int
    reached: bool


class Recovered(StrEnum):
    """Whether things are well again after the last rollback of this service."""

    NOTHING_TO = "nothing_to"
    WAITING = "waiting"
    YES = "yes"
    NO = "no"


class Recovery(Struct, frozen=True):
    """Whether a rollback helped.

    Attributes:
        state: `nothing_to` when there was none.
        since_ms: When it was carried out; 0 without one.
        verifiable: Counts and observations come that would show it.
    """

    state: Recovered
    since_ms: int = 0
    verifiable: bool | None = None


class Approval(NamedTuple):
    """A person agreed to a deed at a step.

    Attributes:
        step: At which.
        deed: To what.
        by: Handle.
        at_ms: When.
    """

    step: int
    deed: Deed
    by: str
    at_ms: int


class Wanted(StrEnum):
    """What a person asks of a rollout."""

    PROMOTE = "promote"
    ROLL_BACK = "roll_back"
    PAUSE = "pause"
    RESUME = "resume"


class Request(Struct, frozen=True):
    """What a person asked for and was not done yet.

    Attributes:
        wanted: What.
        by: Handle.
        reason: In their words.
        index: The entry.
        break_glass: Policies and guards are overridden, for that reason.
    """

    wanted: Wanted
    by: str
    reason: str
    index: int
    break_glass: bool = False


class Facts(Struct, frozen=True, kw_only=True):
    """Everything that guards and decisions look at.

    Attributes:
        now_ms: When they are asked.
        clock_off_ms: How far this clock is from what others say (emitters, sources, its own
            monotonic time), None when nobody can tell.
        plan: Of the rollout.
        rollout: What it is about.
        verdict: None before the first look, and where it cannot be read any more.
        burn: None without an objective.
        target: None when there is no release to return to.
        history: What was done to any service of the environment in the last 24 hours and longer
            where it is not over; None when that cannot be read.
        failures: Verdicts `fail` in the environment of the last hour, whoever they are about.
        thawed_ms: When a freeze of the environment was last lifted: what failed before counts no
            more as a shared cause.
        quarantine: What was put away; None when that cannot be read.
        freezes: Those that were not lifted; None when that cannot be read.
        kill_switch: Automation is off altogether.
        approvals: Of this rollout.
        request: The oldest one that waits.
        lost: What of the evidence of this step cannot be read any more, or is not what it was, in
            a sentence; "" when nothing is known to be.
    """

    now_ms: int
    clock_off_ms: int | None
    plan: RolloutPlan
    rollout: Rollout
    verdict: VerdictFacts | None
    burn: BurnFacts | None
    authority: Authority
    binding: Binding
    target: Target | None
    history: tuple[Act, ...] | None
    failures: tuple[Failure, ...] | None
    quarantine: frozenset[Pair] | None
    freezes: tuple[Freeze, ...] | None
    kill_switch: bool | None
    exposure: Exposure
    lease: Lease
    shadow: Shadow | None
    recovery: Recovery
    thawed_ms: int = 0
    approvals: tuple[Approval, ...] = ()
    request: Request | None = None
    lost: str = ""

    def done(self, deed: Deed) -> Act | None:
        """Return the newest act of the log that is this deed, at this step of this rollout."""
        rollout = self.rollout
        found = (
            act
            for act in self.history or ()
            if (act.deployment, act.step, act.deed) == (rollout.deployment, rollout.step, deed)
        )
        return max(found, key=lambda act: act.index, default=None)

    def approval(self, deed: Deed) -> Approval | None:
        """Return who, being asked by the plan, agreed to a deed at this step."""
        allowed = self.plan.approvers
        found = (
            each
            for each in self.approvals
            if (each.step, each.deed) == (self.rollout.step, deed)
            and (not allowed or each.by in allowed)
        )
        return next(found, None)


def steps_of(plan: RolloutPlan) -> tuple[StepPlan, ...]:
    """Return the steps that a rollout goes through; a blue/green one has the cutover alone."""
    if plan.strategy == "blue_green":
        return (StepPlan(weight=100.0),)
    return plan.steps


def key_of(rollout: Rollout, action: str) -> str:
    """Return `id~occurrence:action:step`; the same key is the same deed."""
    return f"{rollout.deployment}:{action}:{rollout.step}"
