"""What a deed may rest on: a verdict that calls for it, or a budget that burns. Pure.

Guards and decisions ask the same questions here, so that they never differ about them. Nothing
here is ever a ground because something was not seen.
"""

from math import log
from typing import Final

from deploymark.act.facts import BurnFacts, Facts, VerdictFacts
from deploymark.judge.plan import PAUSE_AT, ROLL_BACK_AT
from deploymark.judge.verdict import Advice, Result, rounded
from deploymark.model.instants import format_instant
from deploymark.ports import Deed

FRESH_LOOKS: Final = 3
"""A verdict is a ground for as long as this many looks take…"""

FRESH_MS: Final = 120_000
"""…and the time that counts need until they are complete."""

AHEAD_MS: Final = 60_000
"""How far ahead of this clock a look may end."""


def is_beginning(facts: Facts, deed: Deed) -> bool:
    """Tell whether a deed gives the canary its first traffic, which no verdict can precede."""
    return deed is Deed.SHIFT and facts.rollout.step == 0


def makes_room(facts: Facts, deed: Deed) -> bool:
    """Tell whether a deed returns the traffic of a canary that a newer deployment overtook.

    It rests on that deployment, as a first step rests on its own, and on no verdict.
    """
    return deed is Deed.ROLL_BACK and bool(facts.rollout.superseded_by)


def verdict_of(facts: Facts) -> VerdictFacts | None:
    """Return the verdict if it is about this rollout at this step; what came before counts not."""
    verdict, rollout = facts.verdict, facts.rollout
    if verdict is None or verdict.deployment != rollout.deployment:
        return None
    return verdict if verdict.step == rollout.step else None


def objection(facts: Facts, deed: Deed) -> str:
    """Return why no verdict and no budget is a ground for a deed, "" when one is."""
    if deed is Deed.ROLL_BACK and burns_down(facts):
        burn = facts.burn
        return "" if burn is None else _unproven(facts, burn, "The result of the budget test")
    verdict = verdict_of(facts)
    if verdict is None:
        return "There is no verdict about this release at this step."
    judgement = verdict.judgement
    wanted = (
        (Result.FAIL, Advice.ROLL_BACK) if deed is Deed.ROLL_BACK else (Result.PASS, Advice.PROMOTE)
    )
    if (judgement.result, judgement.advice) != wanted:
        return (
            f"The verdict is {judgement.result} and advises to {judgement.advice}: "
            f"that is no ground for this."
        )
    return _unproven(facts, verdict, "The verdict")


def burns_down(facts: Facts) -> bool:
    """Tell whether the written rule without a control calls for a rollback."""
    rule, burn = facts.plan.roll_back.without_control, facts.burn
    if rule is None or burn is None or facts.binding.control is not False:
        return False
    switched = facts.rollout.step_since_ms
    return (
        facts.rollout.step > 0
        and burn.factor >= rule.burn
        and burn.since_ms >= switched
        and burn.until_ms <= switched + rule.minutes * 60_000
        and reaches(burn, ROLL_BACK_AT)
    )


def reaches(burn: BurnFacts, evidence: float) -> bool:
    """Tell whether a budget test has come to this much evidence."""
    return rounded(burn.log_e) >= rounded(log(evidence))


def burns(facts: Facts) -> bool:
    """Tell whether the budget provably burns too fast to go on."""
    burn = facts.burn
    return burn is not None and is_fresh(facts, burn.until_ms) and reaches(burn, PAUSE_AT)


def is_fresh(facts: Facts, until_ms: int) -> bool:
    """Tell whether what is known up to a moment still says something about now."""
    age = facts.now_ms - until_ms
    return -AHEAD_MS <= age <= FRESH_LOOKS * facts.plan.look_seconds * 1_000 + FRESH_MS


def _unproven(facts: Facts, ground: VerdictFacts | BurnFacts, what: str) -> str:
    if not is_fresh(facts, ground.until_ms):
        return (
            f"{what} is of {format_instant(ground.until_ms)}, and it is "
            f"{format_instant(facts.now_ms)}: that is no news."
        )
    if ground.index is None:
        return f"{what} does not stand in the log."
    if ground.replayed is None:
        return f"{what} of entry {ground.index} was not judged again."
    if not ground.replayed:
        if facts.lost:
            return f"{what} of entry {ground.index} cannot be judged again: {facts.lost}"
        return f"{what} of entry {ground.index} does not follow from what was logged with it."
    return ""
