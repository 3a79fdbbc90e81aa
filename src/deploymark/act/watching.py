"""Asks a source of counts who is served: whether anything is seen, and whether a return helped.

No verdict is made here; `verdicts` compares, this only looks whether requests are there.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.act.gather import controlled
from deploymark.act.plan import RolloutPlan, counted_by
from deploymark.act.verdicts import Arms
from deploymark.errors import CountsUnavailableError, QueryError
from deploymark.ports import Cohort, CountsSource
from deploymark.projections.broker.rolling import Rolling, Side

_MS: Final = 1_000


def arms_of(plan: RolloutPlan, rolling: Rolling, weight: float) -> Arms:
    """Return whose requests are compared.

    Args:
        plan: By which it is rolled out.
        rolling: What is.
        weight: Percent of the traffic that the canary has.
    """
    canary = _cohort(rolling, rolling.canary)
    if rolling.stable is None or not controlled(plan, rolling, weight):
        return Arms(canary, None, None)
    stable = _cohort(rolling, rolling.stable)
    if plan.control == "baseline":
        fresh = stable._replace(instances=rolling.baseline, track="baseline")
        return Arms(canary, fresh, stable)
    return Arms(canary, stable, stable)


def is_seen(source: CountsSource, plan: RolloutPlan, rolling: Rolling, now_ms: int) -> bool | None:
    """Tell whether requests of the service are seen at all; None when that cannot be told."""
    grain = plan.bucket_seconds * _MS
    until_ms = (now_ms - source.lag_ms) // grain * grain
    since_ms = until_ms - plan.look_seconds * _MS
    beside = rolling.stable or rolling.canary
    return _is_served(source, plan, _cohort(rolling, beside), (since_ms, until_ms))


def is_well(
    source: CountsSource,
    plan: RolloutPlan,
    rolling: Rolling,
    executed_ms: int,
    now_ms: int,
    *,
    late: bool,
) -> bool | None:
    """Tell whether the traffic has left the canary and is served, after a return.

    Args:
        source: Of counts.
        plan: Says what is counted, and for how long.
        rolling: What was rolled out.
        executed_ms: When the actuator had done it.
        now_ms: The time.
        late: The time that the plan gives is over.

    Returns:
        None while it is open. False when it is late, also where nothing could be seen.
    """
    grain = plan.bucket_seconds * _MS
    until_ms = (now_ms - source.lag_ms) // grain * grain
    # The newest look's worth of buckets: requests that were on their way are forgiven.
    since_ms = max(-(-executed_ms // grain) * grain, until_ms - plan.look_seconds * _MS)
    target = rolling.stable or rolling.previous
    if target is not None and until_ms - since_ms >= plan.look_seconds * _MS:
        window = (since_ms, until_ms)
        left = _is_served(source, plan, _cohort(rolling, rolling.canary), window)
        served = _is_served(source, plan, _cohort(rolling, target), window)
        if left is False and served:
            return True
    return False if late else None


def _is_served(
    source: CountsSource, plan: RolloutPlan, cohort: Cohort, window: tuple[int, int]
) -> bool | None:
    try:
        found = source.count(cohort, counted_by(plan), *window, plan.bucket_seconds * _MS)
    except (CountsUnavailableError, QueryError):
        return None
    return _trials(found.cells) > 0


def _cohort(rolling: Rolling, side: Side) -> Cohort:
    return Cohort(rolling.service, rolling.environment, side.ids)


def _trials(cells: Mapping[str, Any]) -> int:
    return sum(each.trials or sum(each.counts) for found in cells.values() for each in found)
