"""What the charts are drawn from."""

from enum import StrEnum

from msgspec import Struct

from deploymark.server.pages.shapes import Window


class SeriesName(StrEnum):
    """What is drawn over time."""

    ERRORS = "errors"
    LATENCY_P95 = "latency_p95"
    REQUESTS = "requests"
    SATURATION = "saturation"


class Unit(StrEnum):
    """What the numbers of a series are."""

    SHARE = "share"
    MILLISECONDS = "ms"
    PER_SECOND = "per_second"


class Series(Struct, frozen=True):
    """One measure over time, least and greatest per column.

    Attributes:
        at_ms: When each column begins; columns without a value are left out.
        low, high: Of each column.
        latest: The newest value.
        missing: What is not there and how to get it; null when there is something.
    """

    name: SeriesName
    unit: Unit
    step_ms: int
    at_ms: list[int]
    low: list[float]
    high: list[float]
    latest: float | None
    missing: str | None


class SeriesSet(Struct, frozen=True):
    """Series of one window.

    Attributes:
        source: Where they were counted: `embedded`, or the name of a Prometheus.
        service: Of one service, null for all of them together.
    """

    window: Window
    source: str | None
    service: str | None
    environment: str | None
    deployment_id: str | None
    items: list[Series]
    now_at: str
