"""The measures that deploymark takes of itself: what each one is, in words that count. Pure.

Each is a share, told with numerator and denominator. Whoever changes what counts gives the formula
its next version: numbers under two versions are not compared. Where the counts come from is the
sources' business (`runtime.measuring`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from deploymark.model.instants import format_instant
from deploymark.model.proportion import CONFIDENCE, Proportion

VISIBLE_WITHIN_SECONDS: Final = 60
"""The target of M2; one of the bounds of `model.distribution`."""


class Measure(Struct, frozen=True):
    """What is measured.

    Attributes:
        id: As the requirements call it.
        title: For people.
        formula: Numerator / denominator, in words.
        version: Of the formula.
        target: The share to reach.
        counts: What is in the denominator, beyond the formula.
        leaves_out: What is not, and why not.
    """

    id: str
    title: str
    formula: str
    version: int
    target: float
    counts: str
    leaves_out: str


class Reading(Struct, frozen=True):
    """What was counted for a measure.

    Attributes:
        share: Numerator and denominator.
        since_ms: From when on was counted; None for as long as anything is remembered.
        until_ms: Until when.
    """

    share: Proportion
    since_ms: int | None
    until_ms: int


Source = Callable[[], Reading]
"""Counts for one measure; may wait, and raises `DeploymarkError` when it cannot count now."""

MEASURES: Final = {
    each.id: each
    for each in (
        Measure(
            "M2",
            "Time to marker",
            f"markers in the log at most {VISIBLE_WITHIN_SECONDS} s after the time they claim"
            " / markers in the log",
            1,
            0.95,
            "Every numbered marker that the log took since this process started.",
            "Markers that claim a time ahead of the server's, because their clocks are wrong;"
            " markers without a number or a time; duplicates and refusals.",
        ),
        Measure(
            "M3",
            "Marker ingestion rate",
            "different numbers that came / different numbers that emitters are known to have given",
            1,
            0.99,
            "Accepted, refused, repeated and sampled markers came. A number is known to have been"
            " given when a higher one of its emitter and epoch came at least five minutes ago.",
            "Epochs of which nothing stands in the log; the last markers of an epoch, when nothing"
            " came after them; gaps of more than 10,000 numbers, which are no loss but an error.",
        ),
        Measure(
            "M8",
            "Marker-to-trace propagation",
            "spans that carry a deployment id / spans received",
            1,
            0.95,
            "Every span that was received over OTLP in the window, by the time of receipt.",
            "Spans that a tracer or a collector sampled away before they came here.",
        ),
        Measure(
            "M10",
            "Marker audit coverage",
            "instances that run in production under a marker / instances in production",
            1,
            1.0,
            "An instance runs under a marker when it belongs to a deployment that a pipeline, a"
            " platform or a person announced, and nothing that is known of it contradicts that"
            " deployment's digest. Instances that are expected and do not run count as without a"
            " marker. An environment is production when its name says so:"
            " prod, production, prd or live is one of its words.",
            "Instances that ended; what runs where nothing reports it and nothing is expected.",
        ),
    )
}


def shown(measure: Measure, reading: Reading) -> dict[str, Any]:
    """Return a measure as the interface shows it."""
    interval = reading.share.interval()
    since_ms = reading.since_ms
    return {
        "measure": measure.id,
        "title": measure.title,
        "numerator": reading.share.numerator,
        "denominator": reading.share.denominator,
        "value": reading.share.value,
        "interval": None
        if interval is None
        else {
            "method": "wilson",
            "confidence": CONFIDENCE,
            "low": interval[0],
            "high": interval[1],
        },
        "target": measure.target,
        "formula": measure.formula,
        "formula_version": measure.version,
        "counts": measure.counts,
        "leaves_out": measure.leaves_out,
        "window": {
            "since": None if since_ms is None else format_instant(since_ms),
            "until": format_instant(reading.until_ms),
        },
    }


def read_all(sources: Mapping[str, Source]) -> dict[str, Reading]:
    """Return what was counted, by measure and in the order of `MEASURES`.

    Raises:
        DeploymarkError: As the sources.
    """
    return {name: sources[name]() for name in MEASURES if name in sources}
