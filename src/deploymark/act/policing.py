"""What the gate is asked with, from what was read of a deployment. Pure.

What markers say is taken as theirs; who approved it is taken from decisions of known callers only.
What cannot be told is None, which satisfies no rule.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from deploymark.act.course import Course
from deploymark.act.facts import Pair
from deploymark.act.gather import pair_of, quarantined
from deploymark.act.plan import RolloutPlan
from deploymark.act.showing import freezes_over
from deploymark.judge.gate import (
    BreakGlass,
    GateAnswer,
    GateDecision,
    GateReason,
    RolloutState,
)
from deploymark.judge.policy import Answer, BudgetRule, PolicyFacts, QuarantineRule, Rule
from deploymark.judge.ruling import RuleResult, rule_on
from deploymark.model.entries import Decision
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Assurance, Kind
from deploymark.projections.broker.rolling import Rolling, Ruled

ROLL_BACK: Final = "roll_back"
OBJECTIVE: Final = "objective"
"""The rule that a plan's objective with `withheld` makes."""

QUARANTINE: Final = "quarantine"
"""The rule that always holds: what was put away passes no gate."""

_GONE: Final = ("superseded", "removed")
_STATES: Final = {
    "failed": RolloutState.FAILED,
    "rolled_back": RolloutState.ROLLED_BACK,
    "rolling_back": RolloutState.ROLLING_BACK,
}


def state_of(course: Course, rolling: Rolling) -> RolloutState | None:
    """Return how far a rollout has come; None of one whose place something else has taken.

    That it was promoted only a decision says: the word of a pipeline promotes nothing.
    """
    state = rolling.canary.document["state"]
    if course.ended == "rolled_back" or state in _STATES:
        return _STATES.get(state, RolloutState.ROLLED_BACK)
    if course.pending is not None and course.pending.decision.action == ROLL_BACK:
        return RolloutState.ROLLING_BACK
    if state in _GONE:
        return None
    if course.ended == "promoted":
        return RolloutState.PROMOTED
    if course.paused is not None:
        return RolloutState.PAUSED
    return RolloutState.NOT_BEGUN if state == "planned" else RolloutState.GOING


def gone(rolling: Rolling) -> str:
    """Return what became of a deployment that is over, in a sentence; "" of others."""
    state = rolling.canary.document["state"]
    return f"It is {state}: something else may run in its place." if state in _GONE else ""


def facts_of(  # noqa: PLR0913 - one argument for each thing that is looked at
    rolling: Rolling,
    course: Course,
    *,
    assurance: Assurance | None,
    put_away: bool | None,
    applied: frozenset[str] | None,
    budget_left: float | None,
    now_ms: int,
) -> PolicyFacts:
    """Return what rules are asked about a deployment."""
    document = rolling.canary.document
    return PolicyFacts(
        service=rolling.service,
        environment=rolling.environment,
        kind=Kind(document["kind"]),
        assurance=assurance,
        owner=document["owner"],
        tickets=tuple(document["change_tickets"]),
        author=document["author"],
        approvers=tuple(dict.fromkeys(each.by for each in course.agreed)),
        digest=document["digest"],
        quarantined=put_away,
        changes=document["changes"],
        requires=document["schema"]["requires"],
        applied=_applied(rolling, applied),
        step=document["schema"]["step"],
        budget_left=budget_left,
        now=format_instant(now_ms),
    )


def facts_without(
    service: str, environment: str, *, budget_left: float | None, now_ms: int
) -> PolicyFacts:
    """Return what rules are asked about a deployment of which no marker has come."""
    return PolicyFacts(
        service=service,
        environment=environment,
        marked=False,
        budget_left=budget_left,
        now=format_instant(now_ms),
    )


def _applied(rolling: Rolling, applied: frozenset[str] | None) -> tuple[str, ...] | None:
    """Return of the applied revisions the one that is asked for, and nothing that no rule reads."""
    schema = rolling.canary.document["schema"]
    requires = schema["requires"]
    if requires is None:
        return ()
    if requires == schema["provides"]:  # it brings its own
        return (requires,)
    return None if applied is None else tuple(applied & {requires})


def is_put_away(rolling: Rolling, pairs: frozenset[Pair], orders: Iterable[Ruled]) -> bool | None:
    """Tell whether what a deployment consists of was put away; None where that is not known."""
    name = (rolling.service, rolling.environment, rolling.canary.name)
    if name in quarantined(orders):
        return True
    pair = pair_of(rolling.canary)
    return None if pair is None else pair in pairs


def rules_of(rules: Sequence[Rule], plan: RolloutPlan | None) -> tuple[Rule, ...]:
    """Return the rules of a policy, with the one that a plan's objective makes."""
    withheld = 0.0 if plan is None or plan.objective is None else plan.objective.withheld
    if not withheld:
        return tuple(rules)
    why = "The plan's objective withholds it."
    return (*rules, BudgetRule(name=OBJECTIVE, withheld=withheld, why=why))


def put_away_result(facts: PolicyFacts) -> tuple[RuleResult, ...]:
    """Return the refusal of what was put away, which needs no rule.

    That it was not put away proves nothing, so then nothing is said.
    """
    if not facts.quarantined:
        return ()
    return rule_on((QuarantineRule(name=QUARANTINE),), facts)


def against(results: Iterable[RuleResult]) -> str:
    """Return what the rules that deny have against it, in sentences; "" when nothing."""
    return " ".join(
        f"{each.rule}: {each.reason}"
        for each in results
        if each.applies and each.effect == "deny" and each.answer is not Answer.PASS
    )


def glass_of(rolling: Rolling, glasses: Iterable[Ruled]) -> BreakGlass | None:
    """Return the newest word of a person that opens the gate for this very occurrence."""
    found = None
    for each in glasses:
        said = each.said
        if (
            isinstance(said, Decision)
            and said.deployment_id == rolling.canary.name
            and (said.service, said.environment) == (rolling.service, rolling.environment)
        ):
            found = BreakGlass(said.actor, said.reason or "", each.idx)
    return found


def missing(reason: str) -> GateReason:
    """Return the reason that what was asked about is not known."""
    return GateReason("deployment", Answer.UNKNOWN, counts=True, reason=reason)


def explained(
    answer: GateAnswer, silence: str, scope: tuple[str, str], orders: Iterable[Ruled]
) -> GateAnswer:
    """Return an answer with what explains it: a source that is away, and what is frozen.

    Neither makes another answer of it.

    Args:
        answer: What the gate says.
        silence: That the source does not answer, "" where it does.
        scope: Service and environment.
        orders: Freezes and thaws among others, in the order of the log.
    """
    more = []
    if silence and silence not in {each.reason for each in answer.reasons}:
        counts = answer.decision is GateDecision.INCONCLUSIVE
        more.append(GateReason("source", Answer.UNKNOWN, counts=counts, reason=silence))
    for each in freezes_over(scope, orders):
        said = (
            f"Frozen by {each.by}: {(each.reason or 'no reason given').rstrip('.')}. Nothing is "
            f"done by itself; `deploymark freeze --lift` lifts it."
        )
        more.append(GateReason("freeze", Answer.FAIL, counts=False, reason=said))
    return GateAnswer(answer.decision, (*answer.reasons, *more))
