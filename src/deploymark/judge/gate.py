"""Whether a pipeline may go on: policy, verdict, error budget and rollout in one answer. Pure.

A pass needs something that was proven. What is missing makes the answer inconclusive, and a
pipeline that blocks on the gate goes on only at `pass`.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from math import log
from typing import Final

from msgspec import Struct

from deploymark.judge.plan import PAUSE_AT
from deploymark.judge.policy import Answer
from deploymark.judge.ruling import RuleResult
from deploymark.judge.verdict import Result, rounded


class GateDecision(StrEnum):
    """What the gate says."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class RolloutState(StrEnum):
    """How far what the gate is asked about has come."""

    NOT_BEGUN = "not_begun"
    """Nothing of it is deployed yet: policy alone decides."""
    GOING = "going"
    PAUSED = "paused"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"


class VerdictState(Struct, frozen=True):
    """The newest verdict about it, at the step where it is.

    Attributes:
        reasons: Why it is not more than it is.
        replayed: It follows again from its logged inputs; None when that was not tried.
    """

    result: Result
    reasons: tuple[str, ...] = ()
    replayed: bool | None = None


class BudgetState(Struct, frozen=True):
    """How fast the service's error budget burns.

    Attributes:
        log_e: Of the test against twice the budget; None when nothing was counted.
        burn: How many times too fast, for people.
        why: Why nothing was counted, in a sentence; "" when that is not known.
    """

    log_e: float | None
    burn: float | None = None
    why: str = ""


class BreakGlass(Struct, frozen=True):
    """A person overrides the gate, as a logged decision says."""

    by: str
    reason: str
    index: int


class GateReason(Struct, frozen=True):
    """One thing that the answer rests on.

    Attributes:
        about: `policy:<rule>`, `verdict`, `error_budget`, `rollout`, `break_glass`, and what only
            explains the others: `source` and `freeze`.
        answer: What it says for itself.
        counts: It bears on the decision; a warning and what was overridden do not.
        reason: In a sentence.
    """

    about: str
    answer: Answer
    counts: bool
    reason: str


class GateAnswer(Struct, frozen=True):
    """What the gate says, with everything that was looked at."""

    decision: GateDecision
    reasons: tuple[GateReason, ...]


_BACK: Final = (RolloutState.ROLLING_BACK, RolloutState.ROLLED_BACK, RolloutState.FAILED)


def gate(
    policies: Sequence[RuleResult],
    verdict: VerdictState | None,
    budget: BudgetState | None,
    rollout: RolloutState | None,
    break_glass: BreakGlass | None = None,
) -> GateAnswer:
    """Return whether a pipeline may go on.

    Args:
        policies: What every rule says, as `rule_on` returns it.
        verdict: None when nothing was judged.
        budget: None for a service without an objective.
        rollout: None when it is not known.
        break_glass: A person's override; it needs a name and a reason.
    """
    reasons = [
        *_of_policies(policies),
        *_of_budget(budget),
        *_of_rollout(rollout),
        *_of_verdict(verdict, rollout),
    ]
    counted = [each.answer for each in reasons if each.counts]
    if Answer.FAIL in counted:
        decision = GateDecision.FAIL
    elif Answer.UNKNOWN in counted:
        decision = GateDecision.INCONCLUSIVE
    elif Answer.PASS in counted:
        decision = GateDecision.PASS
    else:
        decision = GateDecision.INCONCLUSIVE
        nothing = "No rule applies and nothing was judged, so nothing is proven."
        reasons.append(_reason("policy", Answer.UNKNOWN, nothing))
    if break_glass is None or decision is GateDecision.PASS:
        return GateAnswer(decision, tuple(reasons))
    return _broken(decision, reasons, break_glass)


def _of_policies(policies: Sequence[RuleResult]) -> Iterator[GateReason]:
    for each in policies:
        if each.applies:
            counts = each.effect == "deny"
            yield GateReason(f"policy:{each.rule}", each.answer, counts, each.reason)


def _of_budget(budget: BudgetState | None) -> Iterator[GateReason]:
    if budget is None:
        return
    about = "error_budget"
    if budget.log_e is None:
        nothing = "Nothing was counted that the error budget could burn."
        yield _reason(about, Answer.UNKNOWN, budget.why or nothing)
        return
    burn = "" if budget.burn is None else f" ({budget.burn:.1f} times as fast as it may)"
    if rounded(budget.log_e) >= rounded(log(PAUSE_AT)):
        yield _reason(about, Answer.FAIL, f"The error budget burns at more than twice{burn}.")
        return
    # That a burn is not proven is no proof of anything: alone it lets nothing pass.
    said = f"The error budget is not shown to burn{burn}."
    yield GateReason(about, Answer.PASS, counts=False, reason=said)


def _of_rollout(rollout: RolloutState | None) -> Iterator[GateReason]:
    about = "rollout"
    if rollout is None:
        yield _reason(about, Answer.UNKNOWN, "How far its rollout is is not known.")
    elif rollout in _BACK:
        said = rollout.replace("_", " ")
        yield _reason(about, Answer.FAIL, f"Its rollout is {said}.")
    elif rollout is RolloutState.PAUSED:
        yield _reason(
            about, Answer.UNKNOWN, "Its rollout is paused: a person resumes or returns it."
        )
    elif rollout is RolloutState.PROMOTED:
        yield _reason(about, Answer.PASS, "It was promoted.")


def _of_verdict(verdict: VerdictState | None, rollout: RolloutState | None) -> Iterator[GateReason]:
    about = "verdict"
    if verdict is not None and verdict.result is Result.FAIL:
        yield _reason(about, Answer.FAIL, "The release is worse than the one beside it.")
    elif rollout is not RolloutState.GOING:
        return
    elif verdict is None:
        yield _reason(about, Answer.UNKNOWN, "Nothing was judged yet.")
    elif verdict.result is Result.INCONCLUSIVE:
        why = ", ".join(verdict.reasons) or "nothing is proven"
        yield _reason(about, Answer.UNKNOWN, f"The verdict is open: {why}.")
    elif not verdict.replayed:
        said = "does not follow" if verdict.replayed is False else "was not judged again"
        yield _reason(
            about, Answer.UNKNOWN, f"The verdict passes, but {said} from what was logged."
        )
    else:
        yield _reason(about, Answer.PASS, "Every required metric has passed.")


def _broken(decision: GateDecision, reasons: list[GateReason], glass: BreakGlass) -> GateAnswer:
    """Return a pass by a person's word, beside everything that it overrides."""
    about = "break_glass"
    if not (glass.by.strip() and glass.reason.strip()):
        said = "The glass cannot be broken without a name and a reason."
        return GateAnswer(
            decision, (*reasons, GateReason(about, Answer.FAIL, counts=False, reason=said))
        )
    over = [
        GateReason(each.about, each.answer, each.counts and each.answer is Answer.PASS, each.reason)
        for each in reasons
    ]
    said = f"{glass.by} broke the glass in entry {glass.index}: {glass.reason}"
    return GateAnswer(GateDecision.PASS, (*over, _reason(about, Answer.PASS, said)))


def _reason(about: str, answer: Answer, reason: str) -> GateReason:
    return GateReason(about, answer, counts=True, reason=reason)
