"""What a rollout is judged by, decided before it begins. Pure.

Every time and bound is a setting of the plan with a default; `docs/reference/judge.md` lists them.
The judge itself has no clock: times are for those who count and call it.
"""

from enum import StrEnum
from math import isfinite
from typing import Final

from msgspec import Struct

from deploymark.errors import JudgeError

PAUSE_AT: Final = 100.0
"""The e-value at which a rollout pauses: at most one false pause in a hundred rollouts."""

ROLL_BACK_AT: Final = 1_000.0
"""The e-value at which rolling back is recommended."""

PASS_AT: Final = 20.0
"""The pass evidence that every required metric needs."""


class Kind(StrEnum):
    """What is observed of a metric."""

    EVENTS = "events"
    LATENCY = "latency"
    GAUGE = "gauge"


class Bad(StrEnum):
    """The direction that hurts: errors rise, completed orders fall."""

    RISES = "rises"
    FALLS = "falls"


class Metric(Struct, frozen=True):
    """One thing that is compared.

    Attributes:
        name: As in the looks.
        kind: What is observed.
        bad: The direction that hurts; latencies only rise.
        required: A pass needs its pass evidence. One that is not required is advisory: it counts
            among the evidence of failure by its weight, and no pass waits for it.
        weight: Its share of the evidence of failure, against the other weights; 0 only shows it.
        margin: A ratio of the rates, or of gauges, that is too bad to pass; above 1.
    """

    name: str
    kind: Kind = Kind.EVENTS
    bad: Bad = Bad.RISES
    required: bool = True
    weight: float = 1.0
    margin: float = 2.0


class Plan(Struct, frozen=True):
    """What a rollout is judged by.

    Attributes:
        metrics: At least one with a weight; names are unique.
        look_seconds: From one look to the next.
        warmup_seconds: How long a young instance is left out of the counts.
        bucket_seconds: The grain of counting.
        block_seconds: Lengths of the blocks in which placebos are compared.
        history_seconds: How much placebo history is wanted before anything but pausing is advised.
        most_looks: How long an inconclusive verdict waits before it asks a person.
    """

    metrics: tuple[Metric, ...]
    look_seconds: int = 60
    warmup_seconds: int = 150
    bucket_seconds: int = 10
    block_seconds: tuple[int, ...] = (60, 300, 600, 1_800)
    history_seconds: int = 86_400
    most_looks: int = 60


def check_plan(plan: Plan) -> None:
    """Refuse a plan that nothing could be judged by.

    Raises:
        JudgeError: Says which setting is wrong.
    """
    names = [metric.name for metric in plan.metrics]
    if len(set(names)) != len(names):
        raise JudgeError("Two metrics of the plan have the same name.", field="/metrics")
    if not any(metric.weight > 0 for metric in plan.metrics):
        raise JudgeError("No metric of the plan has a weight.", field="/metrics")
    for place, metric in enumerate(plan.metrics):
        _check_metric(metric, f"/metrics/{place}")
    times = (plan.look_seconds, plan.bucket_seconds, plan.most_looks, *plan.block_seconds)
    if min(times) < 1 or min(plan.warmup_seconds, plan.history_seconds) < 0:
        raise JudgeError("A time of the plan is too short.", hint="Times are positive integers.")
    if not plan.block_seconds or any(block % plan.bucket_seconds for block in plan.block_seconds):
        raise JudgeError("Placebo blocks consist of whole buckets.", field="/block_seconds")


def _check_metric(metric: Metric, field: str) -> None:
    if not (isfinite(metric.weight) and metric.weight >= 0):
        raise JudgeError(f"The weight {metric.weight} is none.", field=f"{field}/weight")
    if not (isfinite(metric.margin) and metric.margin > 1):
        raise JudgeError(
            f"The margin {metric.margin} leaves no room to pass.",
            hint="A margin is a ratio above 1, such as 2.",
            field=f"{field}/margin",
        )
    if metric.kind is Kind.LATENCY and metric.bad is Bad.FALLS:
        raise JudgeError("Latencies hurt when they rise.", field=f"{field}/bad")
