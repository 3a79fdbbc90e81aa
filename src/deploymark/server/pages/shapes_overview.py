"""What pages about many services show: services, fleet, the executive's numbers."""

from enum import StrEnum

from msgspec import Struct

from deploymark.projections.broker.shown_state import ShownState
from deploymark.server.pages.shapes import (
    Chip,
    Document,
    ShownFilter,
    StateCount,
    Window,
)


class Aim(StrEnum):
    """On which side of its target a measure should be."""

    AT_LEAST = "at_least"
    AT_MOST = "at_most"
    BELOW = "below"


class Measured(Struct, frozen=True):
    """A measure that the server takes of itself.

    Attributes:
        id: Such as `M1`.
        value, target, low, high: Shares from 0 to 1; M4 a difference of shares.
        met: The target is met; null when nothing was counted.
        unit: `share`, `points` or `seconds`.
        list: Address of the list that proves it.
    """

    id: str
    title: str
    value: float | None
    numerator: float | None
    denominator: float | None
    low: float | None
    high: float | None
    target: float
    aim: Aim
    met: bool | None
    unit: str
    formula: str
    since_at: str | None
    until_at: str
    list: str


class ServiceLine(Struct, frozen=True):
    """A service with what was deployed last in each of its environments."""

    service: str
    state: ShownState
    owner: str | None
    newest: list[Chip]


class Services(Document, frozen=True, kw_only=True):
    """All services, by name.

    Attributes:
        total: Services that the filter lets through.
        measures: Of all services together.
    """

    filter: ShownFilter
    items: list[ServiceLine]
    total: int
    next_cursor: str | None
    measures: list[Measured]


class ServicePage(Document, frozen=True, kw_only=True):
    """One service and its history, the newest first."""

    service: str
    window: Window
    owner: str | None
    newest: list[Chip]
    counts: list[StateCount]
    items: list[Chip]
    total: int
    next_cursor: str | None


class Cell(Struct, frozen=True):
    """What runs of a service in one cluster.

    Attributes:
        cluster: Position in `clusters`.
        id, version, state: Of the deployment that most instances are of; null when none is known.
        versions: How many different deployments run there.
    """

    cluster: int
    id: str | None
    version: str | None
    state: ShownState | None
    versions: int
    expected: int | None
    confirmed: int
    unproven: int
    mismatched: int


class FleetRow(Struct, frozen=True):
    """A service in one environment."""

    service: str
    environment: str
    cells: list[Cell]


class FleetCluster(Struct, frozen=True):
    """A column; "" is for what names no cluster.

    Attributes:
        missing_since_at: Since when markers of some services there are missing.
        missing_services: Which.
    """

    name: str
    missing_since_at: str | None
    missing_services: list[str]


class Fleet(Document, frozen=True, kw_only=True):
    """Which service runs what where."""

    filter: ShownFilter
    clusters: list[FleetCluster]
    rows: list[FleetRow]
    total: int
    next_cursor: str | None
    confirmed: int
    unproven: int
    mismatched: int


class Day(Struct, frozen=True):
    """Deployments that came to an end of their rollout on one day (UTC).

    Attributes:
        since_ms: When the day began.
        list: Address of the list of them.
    """

    date: str
    since_ms: int
    succeeded: int
    failed: int
    rolled_back: int
    list: str


class Figure(Struct, frozen=True):
    """A number with what it says.

    Attributes:
        value: Null when it is not known; `sentence` then says what is missing.
        unit: `share`, `per_day`, `seconds` or `count`.
        list: Address of the list that proves it, null while there is none.
    """

    name: str
    title: str
    value: float | None
    unit: str
    sentence: str
    list: str | None


class Team(Struct, frozen=True):
    """What an owner's deployments came to."""

    owner: str
    deployments: int
    failed: int
    rolled_back: int
    success: float | None
    list: str


class Elsewhere(Struct, frozen=True):
    """An environment that has deployments where the one that is shown has none.

    Attributes:
        address: Of the same page of this environment.
    """

    environment: str
    deployments: int
    address: str


class Exec(Document, frozen=True, kw_only=True):
    """The executive's numbers of thirty days.

    Attributes:
        environment: The one that is shown; `production` for all that are by their names.
        notice: Why another environment is shown than production, or nothing is; else null.
        elsewhere: Where there are deployments while `environment` has none, the most first.
        success: M1 of the thirty days, by how deployments are shown now.
        measures: Of the last week; each says its own window.
        dora: The four keys as far as there are data.
        coverage: Of markers and of the audit.
        teams: The worst first.
    """

    window: Window
    environment: str
    notice: str | None
    elsewhere: list[Elsewhere]
    elsewhere_total: int
    success: Measured | None
    measures: list[Measured]
    days: list[Day]
    dora: list[Figure]
    incidents: list[Figure]
    coverage: list[Figure]
    teams: list[Team]
    teams_total: int
