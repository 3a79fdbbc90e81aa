"""Where counts of requests come from, for verdicts: raw, whole, by replica and bucket of time.

A source differences counters, sees to restarts and resets, and never averages. Which instances
are the canary and which control is said to it; what follows from the counts is not its business.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from msgspec import Struct


class Cohort(NamedTuple):
    """The instances that are counted together.

    Attributes:
        service, environment: Names.
        deployments: Every id under which their deployment is known, `d-…` or given.
        instances: Only these, by the `instance_uid` of their markers; None for all of them. A
            source that knows instances by other names leaves it to `track`.
        track: Only instances of this track, where the source knows tracks; None for any.
    """

    service: str
    environment: str
    deployments: tuple[str, ...]
    instances: frozenset[str] | None = None
    track: str | None = None


class MetricQuery(NamedTuple):
    """What is counted for a metric, in the source's own words.

    Attributes:
        name: Of the plan's metric.
        trials: What counts everything: a PromQL selector of a counter, of the histogram of a
            latency, or of a gauge. For the embedded store "", or the protocol that counts.
        events: What counts the events among them, of kind `events`; "" for the embedded store.
        kind: `events`, `latency` or `gauge`, as in the plan.
    """

    name: str
    kind: str
    trials: str = ""
    events: str = ""


class Cell(Struct, frozen=True):
    """What one replica did in one bucket.

    Attributes:
        replica: Which, the same text in every answer of this source.
        at_ms: The beginning of the bucket, a multiple of its length.
        trials: Requests.
        events: How many of them, for example, failed.
        bounds: Of a latency: upper bounds in seconds, rising, without the infinite one.
        counts: Of a latency: how many fell into each bucket, not cumulative, one more than bounds.
        value: Of a gauge, None where it could not be read.
    """

    replica: str
    at_ms: int
    trials: int = 0
    events: int = 0
    bounds: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()
    value: float | None = None


class CohortCounts(Struct, frozen=True):
    """What a source counted for one cohort.

    Attributes:
        cells: By name of the metric, ordered by time and replica. A metric that is absent could
            not be seen at all; one without cells was looked for, and nothing was there.
        born_ms: When each replica was first seen, as far as the source can tell; one that is
            older than it looks back is not named.
    """

    cells: dict[str, tuple[Cell, ...]]
    born_ms: dict[str, int] = {}


class CountsSource(Protocol):
    """Counts requests of cohorts; any thread may ask."""

    @property
    def name(self) -> str:
        """Which source this is, for people."""
        ...

    @property
    def lag_ms(self) -> int:
        """How long after the end of a bucket everything about it has come."""
        ...

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        """Count what began in [since, until), whole buckets only.

        Asked again about the same time it answers the same, once `lag_ms` have passed.

        Args:
            cohort: Whose requests.
            metrics: What to count.
            since_ms: A multiple of `bucket_ms`, in milliseconds since the epoch.
            until_ms: The same.
            bucket_ms: The grain.

        Raises:
            CountsUnavailableError: It cannot be asked now, or its answer is no answer.
            QueryError: What shall be counted makes no sense to it, for good.
        """
        ...
