"""The measures that deploymark takes of itself: what each one is, in words that count. Pure.

Each is a share, told with numerator and denominator; M4 is the difference of two. Whoever changes
what counts gives the formula its next version: numbers under two versions are not compared. Where
the counts come from is the sources' business (`runtime.measuring`).
"""

from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from deploymark.model.difference import Difference, Tally
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
        target: The share to reach, or to stay below.
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
    aim: Literal["at_least", "at_most", "below"] = "at_least"


class Spread(NamedTuple):
    """How long things took, in seconds; None of nothing.

    Attributes:
        median, p95: So long at most took a half of them, and 95 of a hundred.
        within: Who took no longer is in the numerator.
    """

    median: float | None
    p95: float | None
    within: float


def quantile(seconds: Sequence[float], share: float) -> float | None:
    """Return the least of these times that so large a share of them do not exceed."""
    return sorted(seconds)[max(0, ceil(share * len(seconds)) - 1)] if seconds else None


class Reading(Struct, frozen=True):
    """What was counted for a measure.

    Attributes:
        share: Numerator and denominator.
        since_ms: From when on was counted; None for as long as anything is remembered.
        until_ms: Until when.
        seconds: How long what was counted took, where that is measured.
    """

    share: Proportion
    since_ms: int | None
    until_ms: int
    seconds: Spread | None = None


class DeltaReading(Struct, frozen=True):
    """What was counted for M4.

    Attributes:
        difference: Requests of all deployments that were counted, before and after.
        deployments: How many that are.
        left_out: How many are not, by why.
        since_ms, until_ms: As of a `Reading`.
    """

    difference: Difference
    deployments: int
    left_out: Mapping[str, int]
    since_ms: int
    until_ms: int


Source = Callable[[], Reading]
"""Counts for one measure; may wait, and raises `DeploymarkError` when it cannot count now."""

_DEPLOYMENTS: Final = (
    "Occurrences of deployments, at the time when they first went live, or failed or were rolled"
    " back without that."
)
_UNDONE: Final = (
    "Rolled back is what a marker says to be rolled back or still being so, what a decision to roll"
    " back succeeded for, and what was replaced by returning to what ran before it."
)
_UNSETTLED: Final = (
    "Deployments that are not live yet, or were superseded or removed before they were; those that"
    " themselves return to what ran before; changes that are no deployments."
)

MEASURES: Final = {
    each.id: each
    for each in (
        Measure(
            "M1",
            "Deployment success rate",
            "deployments that went live and neither failed nor were rolled back"
            " / deployments that went live, failed or were rolled back",
            1,
            0.99,
            f"{_DEPLOYMENTS} One that failed in one of its places did not succeed. {_UNDONE}",
            _UNSETTLED,
        ),
        Measure(
            "M2",
            "Time to marker",
            f"markers in the log at most {VISIBLE_WITHIN_SECONDS} s after the time they claim"
            " / markers in the log",
            2,
            0.95,
            "Every numbered marker that was made since this process started and that the log took.",
            "Markers that claim a time before this process started, because history that is told"
            " is not late; markers that claim a time ahead of the server's, because their clocks"
            " are wrong;"
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
            "M4",
            "Post-deploy error delta",
            "share of requests that failed in the 30 minutes after deployments went live"
            " - the same in the 30 minutes before",
            1,
            0.005,
            "Requests of the service in the environment, from all of its instances, of the"
            " protocol of which it answered most; the requests of all deployments are added up."
            " The interval is Newcombe's (1998, method 10) at 95 %. It compares times, not"
            " versions, so it is a report and never a gate.",
            "Deployments without requests before or after (`no_telemetry`), of which the 30"
            " minutes were not over two minutes ago (`not_over`), of which telemetry is no longer"
            " kept (`not_kept`), and those that wait for being counted (`waiting`); the ten seconds"
            " in which it went live.",
            "at_most",
        ),
        Measure(
            "M6",
            "Canary pass rate",
            "canaries whose verdicts passed and never failed"
            " / canaries with a verdict pass or fail",
            1,
            0.95,
            "A canary is an occurrence of a deployment that verdicts name. It is counted at the"
            " time of its first failing verdict, else of its last passing one; what goes on may"
            " still fail.",
            "Canaries whose verdicts are all inconclusive: they did not pass, and did not fail.",
        ),
        Measure(
            "M7",
            "Rollback frequency",
            "deployments that were rolled back"
            " / deployments that went live, failed or were rolled back",
            1,
            0.01,
            f"{_DEPLOYMENTS} {_UNDONE}",
            _UNSETTLED,
            "below",
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
            "M9",
            "Deployment-induced SLO breaches",
            "deployments that burnt an error budget"
            " / deployments that went live, failed, were rolled back or burnt an error budget",
            1,
            0.0,
            f"{_DEPLOYMENTS} One of which none of that is known yet is counted when it burnt an"
            " error budget. It did when a failing verdict about it has `burn`"
            " among its reasons or metrics, or when `policy` decided to pause it or to roll it back"
            " and the reason has the word `burn`. However often that is said, it counts once.",
            f"{_UNSETTLED} Breaches that no verdict or decision lays to a deployment.",
            "at_most",
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
        Measure(
            "M11",
            "Time to rollback",
            "rollbacks that succeeded within 600 s / rollbacks of which the outcome is known",
            1,
            0.95,
            "Decisions to roll back, at the time of their outcome. The time runs from the first"
            " failing verdict about the deployment that came before the decision, else from the"
            " decision, until the log received the outcome `succeeded`. Those that failed, or ended"
            " unknown, are in the denominator and in no median.",
            "Rollbacks without an outcome yet; those that were made without deploymark.",
        ),
        Measure(
            "M14",
            "Promotion success",
            "promotions that succeeded and were not rolled back within 24 hours"
            " / promotions of which the outcome is known for 24 hours",
            1,
            0.99,
            "Decisions to promote, also those to the next step, 24 hours after their outcome:"
            f" `since` and `until` are when these were over. {_UNDONE}",
            "Promotions whose 24 hours are not over, whatever came of them; promotions without an"
            " outcome; those that were made without deploymark.",
        ),
    )
}


def shown(measure: Measure, reading: Reading) -> dict[str, Any]:
    """Return a measure as the interface shows it."""
    told = {
        "measure": measure.id,
        "title": measure.title,
        "numerator": reading.share.numerator,
        "denominator": reading.share.denominator,
        "value": reading.share.value,
        "interval": _interval("wilson", reading.share.interval()),
        **_described(measure),
        "window": _window(reading.since_ms, reading.until_ms),
    }
    return told if reading.seconds is None else {**told, "seconds": reading.seconds._asdict()}


def shown_delta(measure: Measure, reading: DeltaReading) -> dict[str, Any]:
    """Return M4 as the interface shows it."""
    difference = reading.difference
    return {
        "measure": measure.id,
        "title": measure.title,
        **delta(difference),
        "deployments": reading.deployments,
        "left_out": dict(sorted(reading.left_out.items())),
        **_described(measure),
        "window": _window(reading.since_ms, reading.until_ms),
    }


def delta(difference: Difference) -> dict[str, Any]:
    """Return a difference of shares with everything that it was worked out from."""
    return {
        "before": _tally(difference.before),
        "after": _tally(difference.after),
        "value": difference.value,
        "interval": _interval("newcombe", difference.interval()),
    }


def _tally(tally: Tally) -> dict[str, Any]:
    return {
        "numerator": tally.errors,
        "denominator": tally.requests,
        "seen": tally.seen,
        "value": tally.share,
    }


def _interval(method: str, found: tuple[float, float] | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {"method": method, "confidence": CONFIDENCE, "low": found[0], "high": found[1]}


def _described(measure: Measure) -> dict[str, Any]:
    return {
        "target": measure.target,
        "aim": measure.aim,
        "formula": measure.formula,
        "formula_version": measure.version,
        "counts": measure.counts,
        "leaves_out": measure.leaves_out,
    }


def _window(since_ms: int | None, until_ms: int) -> dict[str, Any]:
    return {
        "since": None if since_ms is None else format_instant(since_ms),
        "until": format_instant(until_ms),
    }


def read_all(sources: Mapping[str, Source]) -> dict[str, Reading]:
    """Return what was counted, by measure and in the order of `MEASURES`.

    Raises:
        DeploymarkError: As the sources.
    """
    return {name: sources[name]() for name in MEASURES if name in sources}
