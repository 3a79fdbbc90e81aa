"""What the page for a person on call shows, and what keeps it live."""

from enum import StrEnum

from msgspec import Struct

from deploymark.projections.broker.shown_state import ShownState
from deploymark.server.pages.shapes import (
    Canary,
    Chip,
    Document,
    ErrorDelta,
    Event,
    Notice,
    Selected,
    ShownFilter,
    ShownFinding,
    StateCount,
    Window,
)


class Level(StrEnum):
    """How bad it is; `blind` when what is not heard keeps one from knowing."""

    FAILING = "failing"
    SUSPICIOUS = "suspicious"
    BLIND = "blind"
    QUIET = "quiet"


class LaneKind(StrEnum):
    """What a lane is."""

    CLUSTER = "cluster"
    REGION = "region"
    ENVIRONMENT = "environment"


class Judgement(Struct, frozen=True):
    """The answer to: is it a deployment?

    Attributes:
        id: The deployment that it names.
    """

    level: Level
    sentence: str
    reason: str
    id: str | None


class Lane(Struct, frozen=True):
    """A row of the overview.

    Attributes:
        missing_since_at: Since when markers of some services there are missing.
        missing_services: Which.
    """

    name: str
    kind: LaneKind
    missing_since_at: str | None
    missing_services: list[str]


class Mark(Struct, frozen=True):
    """Deployments that fall together in one lane, at one time.

    Attributes:
        lane: Position of its lane.
        state: The worst of them.
        count: How many they are.
        id: The newest of the worst.
    """

    at_ms: int
    lane: int
    state: ShownState
    count: int
    id: str
    service: str
    version: str


class Marks(Struct, frozen=True):
    """What is drawn, in the order of time.

    Attributes:
        total: Deployments in the window and filter, each once per lane that it is in.
        left_out: Of these not in `items`, because one document has so many; the worst are in it.
    """

    items: list[Mark]
    total: int
    left_out: int


class Rollback(Struct, frozen=True):
    """A rollback under way.

    Attributes:
        to: What it returns to, `d-…~n`; `to_version` what people call that.
        hosts_done, hosts_total: Instances that run it again, of all; null when that is not known.
        hosts: Names of those that do not, the first.
    """

    chip: Chip
    to: str | None
    to_version: str | None
    hosts_done: int | None
    hosts_total: int | None
    hosts: list[str]
    began_at: str


class ServiceDelta(Struct, frozen=True):
    """How errors changed after the newest deployment of a service."""

    service: str
    chip: Chip
    delta: ErrorDelta


class OnCall(Document, frozen=True, kw_only=True):
    """The page for a person on call.

    Attributes:
        counts: Of the deployments in the window and filter, by state, the worst first.
        in_view: How many they are.
        total: Of the store.
        suspects: Undecided or active, the worst first.
        stream: The newest first.
        stream_total: In the window and filter; counted to 10,000.
        notices: What holds whole services up, what is longest so first.
        findings: Open ones that matter now, the worst first.
        selected: The deployment of `dep`; without it the first suspect.
    """

    window: Window
    filter: ShownFilter
    verdict: Judgement
    notices: list[Notice]
    counts: list[StateCount]
    in_view: int
    total: int
    suspects: list[Chip]
    suspects_total: int
    lanes: list[Lane]
    lanes_total: int
    marks: Marks
    canaries: list[Canary]
    canaries_total: int
    rollbacks: list[Rollback]
    rollbacks_total: int
    deltas: list[ServiceDelta]
    deltas_total: int
    stream: list[Event]
    stream_total: int
    findings: list[ShownFinding]
    findings_total: int
    selected: Selected | None


class Events(Struct, frozen=True):
    """What was added to the stream behind an entry, the newest first.

    Attributes:
        items: At most 200.
        left_out: There are more; read the page afresh.
        newest: The last entry that the answer has seen; ask behind it the next time.
    """

    items: list[Event]
    left_out: bool
    newest: int
    as_of: int
    now_at: str
