"""What charts are drawn from: a few measures over time, for people to look at, never to decide."""

from typing import NamedTuple, Protocol

ERRORS, LATENCY_P95, REQUESTS, SATURATION = "errors", "latency_p95", "requests", "saturation"
"""Share of requests that failed; seconds; requests a second; share of what there is at most."""


class SeriesQuery(NamedTuple):
    """Of whom, and when.

    Attributes:
        since_ms, until_ms: From then on, and before.
        step_ms: How far apart values should be; a source with longer steps gives fewer.
        service, environment, deployment: None asks for all together.
    """

    since_ms: int
    until_ms: int
    step_ms: int
    service: str | None = None
    environment: str | None = None
    deployment: str | None = None


class Sampled(NamedTuple):
    """One measure over time.

    Attributes:
        samples: Instants in milliseconds, rising, each with its value; without gaps filled.
        missing: What is not there and how to get it; "" when nothing is known to be missing.
    """

    samples: list[tuple[int, float]]
    missing: str = ""


class SeriesSource(Protocol):
    """Draws what running software reports; may wait, on any thread."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    def sampled(self, query: SeriesQuery, names: tuple[str, ...]) -> dict[str, Sampled]:
        """Return these measures, each of them.

        Raises:
            CountsUnavailableError, StoreUnavailableError: It does not answer now.
            QueryError: It cannot read what a plan says of it.
        """
        ...
