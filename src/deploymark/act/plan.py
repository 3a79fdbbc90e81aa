"""How a service is rolled out in one environment, as the configuration says it. Pure.

`docs/reference/rollouts.md` lists every setting. What the judge needs of it is `judged_by`; what
cannot be rolled out by is refused when the configuration is read, not at three in the morning.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from deploymark.errors import JudgeError, UsageError
from deploymark.judge.budget import PAIRS, Burn
from deploymark.judge.plan import Bad, Kind, Metric, Plan, check_plan
from deploymark.model.limits import Name, Names
from deploymark.ports import MetricQuery

Weight = Annotated[float, Meta(gt=0, le=100)]
Seconds = Annotated[int, Meta(ge=1, le=31_536_000)]
Share = Annotated[float, Meta(gt=0, lt=1)]

Scope = tuple[str, str]
"""Service and environment."""

EMBEDDED: Final = "telemetry"
"""The source of counts that every server has: what was reported to it over OTLP."""

AUTOMATIC_TRAFFIC: Final = 25.0
"""Percent of the traffic up to which a canary is rolled back without asking (guard 7)."""


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all parts have in common."""


class StepPlan(_Part, frozen=True):
    """One step of a rollout.

    Attributes:
        weight: Percent of the traffic that the canary gets.
        bake_seconds: How long it stays there at least, however soon the verdict passes.
        approval: A person goes on, not the verdict.
    """

    weight: Weight
    bake_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 0
    approval: bool = False


class MetricPlan(_Part, frozen=True):
    """One metric; `docs/reference/judge.md` tells how it is judged.

    Attributes:
        name: `errors` and `latency` are what the embedded store counts by itself; any other name
            is of a gauge there, or of whatever the selectors of a Prometheus count.
        trials, events: Selectors of raw counters, for a Prometheus; of a latency `trials` is the
            selector of its histogram, of a gauge that of the gauge. For the embedded store
            `trials` may name the protocol that counts.
    """

    name: Name
    kind: Literal["events", "latency", "gauge"] = "events"
    bad: Literal["rises", "falls"] = "rises"
    required: bool = True
    weight: Annotated[float, Meta(ge=0, le=1_000_000)] = 1.0
    margin: Annotated[float, Meta(gt=1, le=1_000)] = 2.0
    trials: str = ""
    events: str = ""


class BurnPlan(_Part, frozen=True):
    """A burn that pages when both of its windows show it.

    Attributes:
        rate: How many times faster than allowed the budget is spent.
        long_seconds: The window that shows that it matters.
        short_seconds: The one that shows that it goes on; it ends the page.
    """

    rate: Annotated[float, Meta(gt=1, le=1_000)]
    long_seconds: Annotated[int, Meta(ge=1, le=86_400)]
    short_seconds: Annotated[int, Meta(ge=1, le=86_400)]


class Objective(_Part, frozen=True):
    """The service-level objective whose budget a rollout must not burn.

    Attributes:
        target: The share of requests that shall be good, such as 0.999.
        metric: The one of the plan's metrics of kind `events` whose events are bad.
        window_days: Over which the budget is counted.
        withheld: Share of the budget that rollouts may not touch.
        pages: The burns that page, when they begin soon after a deployment.
        blamed_seconds: How soon after it came a burn must begin to be put down to a deployment.
    """

    target: Share
    metric: Name = "errors"
    window_days: Annotated[int, Meta(ge=1, le=366)] = 30
    withheld: Annotated[float, Meta(ge=0, lt=1)] = 0.0
    pages: Annotated[tuple[BurnPlan, ...], Meta(min_length=1, max_length=8)] = tuple(
        BurnPlan(rate=pair.rate, long_seconds=pair.long_seconds, short_seconds=pair.short_seconds)
        for pair in PAIRS
    )
    blamed_seconds: Annotated[int, Meta(ge=60, le=86_400)] = 21_600


class WithoutControl(_Part, frozen=True):
    """The written rule for rollouts beside which nothing runs (spec: trust).

    Attributes:
        burn: How many times too fast the budget must burn, proven at any look.
        minutes: How long after the switch the rule holds.
        max_traffic: Percent of the traffic up to which it acts.
    """

    burn: Annotated[float, Meta(gt=1, le=1_000)] = 2.0
    minutes: Annotated[int, Meta(ge=1, le=10_080)] = 15
    max_traffic: Annotated[float, Meta(gt=0, le=100)] = 100.0


class RollBackPlan(_Part, frozen=True):
    """When the machine may return to the old release.

    Attributes:
        automatic: It may at all; otherwise it pauses and pages.
        max_traffic: Percent of the traffic up to which it does.
        without_control: The rule where nothing runs beside the canary; None: a person decides.
        recovery_seconds: How soon everything must be well again, else somebody is paged.
    """

    automatic: bool = True
    max_traffic: Weight = AUTOMATIC_TRAFFIC
    without_control: WithoutControl | None = None
    recovery_seconds: Seconds = 600


class ActuatorPlan(_Part, frozen=True):
    """What changes what runs.

    Attributes:
        kind: Which actuator; `none` only watches, and says what a person should do.
        options: What it needs to know, in its own words; secrets are named, never written here.
    """

    kind: Name = "none"
    options: dict[str, str | int | float | bool | list[str] | dict[str, str]] = {}


class RolloutPlan(_Part, frozen=True):
    """How one service is rolled out in one environment.

    Attributes:
        strategy: `canary` by steps, or `blue_green` with one cutover.
        steps: In order, by rising weight; a blue/green plan has none.
        metrics: What is compared.
        source: `telemetry`, or the name of a Prometheus of the configuration.
        control: `stable`, the fleet that runs beside it, or `baseline`, a fresh group of the old
            release of track `baseline`.
        promotion: By the verdict of the last step, or by a person.
        max_wait_seconds: How long a step may stay open before a person is asked.
    """

    strategy: Literal["canary", "blue_green"] = "canary"
    steps: tuple[StepPlan, ...] = (StepPlan(weight=5), StepPlan(weight=25))
    metrics: tuple[MetricPlan, ...] = (
        MetricPlan(name="errors"),
        MetricPlan(name="latency", kind="latency"),
    )
    source: Name = EMBEDDED
    control: Literal["stable", "baseline"] = "stable"
    promotion: Literal["automatic", "person"] = "automatic"
    max_wait_seconds: Seconds = 3_600
    objective: Objective | None = None
    roll_back: RollBackPlan = RollBackPlan()
    actuator: ActuatorPlan = ActuatorPlan()
    approvers: Names = ()
    look_seconds: Seconds = 60
    warmup_seconds: Annotated[int, Meta(ge=0, le=86_400)] = 150
    bucket_seconds: Seconds = 10
    block_seconds: tuple[Seconds, ...] = (60, 300, 600, 1_800)
    history_seconds: Annotated[int, Meta(ge=0, le=31_536_000)] = 86_400


def judged_by(plan: RolloutPlan) -> Plan:
    """Return what the judge is to judge a step of a rollout by."""
    metrics = tuple(
        Metric(
            name=each.name,
            kind=Kind(each.kind),
            bad=Bad(each.bad),
            required=each.required,
            weight=each.weight,
            margin=each.margin,
        )
        for each in plan.metrics
    )
    return Plan(
        metrics=metrics,
        look_seconds=plan.look_seconds,
        warmup_seconds=plan.warmup_seconds,
        bucket_seconds=plan.bucket_seconds,
        block_seconds=plan.block_seconds,
        history_seconds=plan.history_seconds,
        most_looks=max(1, plan.max_wait_seconds // plan.look_seconds),
    )


def counted_by(plan: RolloutPlan) -> tuple[MetricQuery, ...]:
    """Return what the source of counts is asked for."""
    return tuple(
        MetricQuery(each.name, each.kind, each.trials, each.events) for each in plan.metrics
    )


def pairs_of(objective: Objective) -> tuple[Burn, ...]:
    """Return the burns that page, as the judge knows them."""
    return tuple(Burn(each.rate, each.long_seconds, each.short_seconds) for each in objective.pages)


def check_rollout(plan: RolloutPlan, field: str, lag_seconds: int | None = None) -> None:
    """Refuse a plan that nothing could be rolled out by.

    Args:
        plan: As it was read.
        field: Where it stands in the configuration, as a JSON Pointer.
        lag_seconds: After which its source has all counts of a moment; None: it is not known, and
            what follows from it is not checked.

    Raises:
        UsageError: Says which setting is wrong, and why.
    """
    try:
        check_plan(judged_by(plan))
    except JudgeError as error:
        raise UsageError(error.message, hint=error.hint, field=f"{field}{error.field}") from None
    if plan.look_seconds % plan.bucket_seconds:
        raise UsageError(
            "A look consists of whole buckets: look_seconds is no multiple of bucket_seconds.",
            field=f"{field}/look_seconds",
        )
    if lag_seconds is not None:
        _check_recovery(plan, field, lag_seconds)
    weights = [step.weight for step in plan.steps]
    if plan.strategy == "canary" and not weights:
        raise UsageError("A canary needs at least one step.", field=f"{field}/steps")
    if weights != sorted(set(weights)):
        raise UsageError("The weights of the steps do not rise.", field=f"{field}/steps")
    objective = plan.objective
    counted = {each.name for each in plan.metrics if each.kind == "events"}
    if objective is not None and objective.metric not in counted:
        raise UsageError(
            f"The objective is about {objective.metric}, which is no metric of kind `events`.",
            field=f"{field}/objective/metric",
        )
    if objective is not None:
        _check_pages(objective, plan.bucket_seconds, f"{field}/objective/pages")
    if plan.roll_back.without_control is not None and objective is None:
        raise UsageError(
            "A rule without a control needs an objective whose budget burns.",
            field=f"{field}/objective",
        )


def _check_pages(objective: Objective, bucket_seconds: int, field: str) -> None:
    for place, pair in enumerate(objective.pages):
        if not bucket_seconds <= pair.short_seconds < pair.long_seconds:
            raise UsageError(
                "The short window of a pair is at least a bucket, and shorter than the long one.",
                field=f"{field}/{place}",
            )


def _check_recovery(plan: RolloutPlan, field: str, lag_seconds: int) -> None:
    """Refuse a time within which no return could be shown to have helped."""
    # One look's worth of whole buckets, which begin and end a bucket later at most.
    whole = 2 * plan.bucket_seconds
    needed = plan.look_seconds + lag_seconds + whole
    recovery = plan.roll_back.recovery_seconds
    if recovery < needed:
        raise UsageError(
            f"Within recovery_seconds = {recovery} no return can be shown to have helped: that "
            f"takes up to {needed} s, a look of {plan.look_seconds} s, {lag_seconds} s until "
            f"{plan.source} has its counts, and {whole} s for whole buckets.",
            hint=f"Choose {needed} or more, or a shorter look.",
            field=f"{field}/roll_back/recovery_seconds",
        )
