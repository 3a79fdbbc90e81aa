"""From evidence to a verdict: which rule, which reasons, which score. Pure.

The e-values decide; the score is for people. Nothing here is ever a pass or a rollback because
something was *not* seen.
"""

from collections.abc import Sequence
from enum import StrEnum
from math import exp, log
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from deploymark.judge.plan import PASS_AT, PAUSE_AT, ROLL_BACK_AT

_DIGITS: Final = 6
"""Log e-values are rounded before anything is decided, so that the last bit of a logarithm, which
differs between processors, decides nothing."""


class Result(StrEnum):
    """What is known."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Advice(StrEnum):
    """What follows from it; whoever acts has guards of their own."""

    PROMOTE = "promote"
    PAUSE = "pause"
    ROLL_BACK = "roll_back"
    EXTEND = "extend"
    HOLD = "hold"


class Reason(StrEnum):
    """Why a verdict is not more than it is."""

    LOW_TRAFFIC = "low_traffic"
    NO_DATA = "no_data"
    NO_CONTROL = "no_control"
    NO_PLACEBO = "no_placebo"
    CHANGED_BOUNDS = "changed_bounds"


class Contribution(Struct, frozen=True):
    """What one metric contributes.

    Attributes:
        name: Of the metric.
        log_e_fail: Natural logarithm of its e-value against "no worse".
        log_e_pass: The same against "at least the margin worse".
        required: A pass needs it.
        share: Its part of the evidence of failure of all metrics, from 0 to 1.
        worst: The bound in seconds that most of its evidence of failure comes from, if it is one.
        dispersion: What its log-evidence was divided by, the largest of its rows.
        reasons: Why it does not say more.
        waits_for: What would change that, for people.
    """

    name: str
    log_e_fail: float
    log_e_pass: float
    required: bool
    share: float
    worst: float | None
    dispersion: float
    reasons: tuple[Reason, ...] = ()
    waits_for: tuple[str, ...] = ()


class Judgement(Struct, frozen=True):
    """The verdict of one look.

    Attributes:
        look: Its number, from 1.
        result: What is known.
        advice: What follows.
        reasons: Why it is not more, of all metrics.
        score: 0 (failure proven) to 100 (pass proven); 50 knows nothing.
        log_e_fail: Of the weighted average of the metrics' e-values.
        log_e_pass: Of the required metric that has least.
        metrics: What each contributes, in the order of the plan.
    """

    look: int
    result: Result
    advice: Advice
    reasons: tuple[Reason, ...]
    score: float
    log_e_fail: float
    log_e_pass: float
    metrics: tuple[Contribution, ...]


class Standing(Struct, frozen=True):
    """What is known of one metric, before anything is decided.

    Attributes:
        shown: As it will be shown; its share is not known yet.
        weight: Of the plan.
        warm: Its dispersion comes from placebos.
        present: Both arms were seen in this very look.
    """

    shown: Contribution
    weight: float
    warm: bool
    present: bool


def judge(look: int, standings: Sequence[Standing], most_looks: int, *, shadow: bool) -> Judgement:
    """Return the verdict on a look.

    Args:
        look: Its number, from 1.
        standings: Of every metric of the plan.
        most_looks: After how many an inconclusive verdict asks a person.
        shadow: Never advise more than a pause, because placebos have not been watched long enough.
    """
    every = [each.shown for each in standings]
    whole = sum(each.weight for each in standings)
    parts = [
        (log(each.weight / whole) + each.shown.log_e_fail) if each.weight else None
        for each in standings
    ]
    warm = [part for part, each in zip(parts, standings, strict=True) if each.warm]
    fail = rounded(_log_total(parts))
    firm = rounded(_log_total(warm))
    required = [each for each in standings if each.shown.required]
    passing = min((each.shown.log_e_pass for each in required), default=0.0)
    missing = not required or not all(each.present for each in required)
    result, advice = _ruled(fail, passing, missing=missing)
    if advice is Advice.ROLL_BACK and (shadow or firm < rounded(log(ROLL_BACK_AT))):
        advice = Advice.PAUSE
    if advice is Advice.EXTEND and look >= most_looks:
        advice = Advice.HOLD
    return Judgement(
        look=look,
        result=result,
        advice=advice,
        reasons=_reasons(every, result, required, shadow=shadow),
        score=score(fail, passing),
        log_e_fail=fail,
        log_e_pass=passing,
        metrics=tuple(_shared(every, parts)),
    )


def score(log_e_fail: float, log_e_pass: float) -> float:
    """Return 0 (failure proven) to 100 (pass proven); 50 knows nothing.

    E-values below 1 count as 1: no evidence of failure is no evidence for a pass, or the other way
    round. So 100 is never shown before a pass is proven, nor 0 before a failure is; what pass
    evidence adds counts less the more there is of failure.
    """
    gained = min(max(log_e_pass / log(PASS_AT), 0.0), 1.0)
    lost = min(max(log_e_fail / log(PAUSE_AT), 0.0), 1.0)
    return round(50.0 * (1.0 + gained) * (1.0 - lost), 1)


def _ruled(fail: float, passing: float, *, missing: bool) -> tuple[Result, Advice]:
    if fail >= rounded(log(ROLL_BACK_AT)):
        return Result.FAIL, Advice.ROLL_BACK
    if fail >= rounded(log(PAUSE_AT)):
        return Result.FAIL, Advice.PAUSE
    if passing >= rounded(log(PASS_AT)) and not missing:
        return Result.PASS, Advice.PROMOTE
    return Result.INCONCLUSIVE, Advice.EXTEND


def _reasons(
    every: Sequence[Contribution], result: Result, required: Sequence[Standing], *, shadow: bool
) -> tuple[Reason, ...]:
    found = {reason for each in every for reason in each.reasons}
    if shadow:
        found.add(Reason.NO_PLACEBO)
    silent = {Reason.NO_DATA, Reason.NO_CONTROL}
    about = {reason for each in required for reason in each.shown.reasons}
    # The rest of what keeps a verdict open is that more would have to be seen.
    if result is Result.INCONCLUSIVE and not about & silent:
        found.add(Reason.LOW_TRAFFIC)
    return tuple(sorted(found))


def _shared(every: Sequence[Contribution], parts: Sequence[float | None]) -> list[Contribution]:
    most = max(part for part in parts if part is not None)
    sizes = [0.0 if part is None else exp(part - most) for part in parts]
    total = sum(sizes)
    return [
        replace(each, share=rounded(size / total)) for each, size in zip(every, sizes, strict=True)
    ]


def _log_total(parts: Sequence[float | None]) -> float:
    """Return the log of a sum of e-values; a very small number for none."""
    known = [part for part in parts if part is not None]
    if not known:
        return -1e3
    most = max(known)
    return most + log(sum(exp(part - most) for part in known))


def rounded(number: float) -> float:
    """Return a number as it is decided by and kept, without a negative zero."""
    return round(float(number), _DIGITS) + 0.0
