"""What the documents of all pages are made of. The page's own types are generated from these.

Single times are RFC 3339 under `…_at`, times in bulk milliseconds under `…_ms`. Nothing may be left
out: what is not known is null, and `missing` says why and how to get it. A list that may be cut
stands beside its `…_total`.
"""

from enum import StrEnum

from msgspec import Struct

from deploymark.projections.broker.shown_state import ShownState


class Range(StrEnum):
    """How far back a page looks from now."""

    QUARTER_HOUR = "15m"
    HOUR = "1h"
    SIX_HOURS = "6h"
    DAY = "24h"
    WEEK = "7d"


class DeltaResult(StrEnum):
    """What comparing the errors after a deployment with those before came to.

    The first three are said by the interval; the others say why there is no comparison.
    """

    WORSE = "worse"
    BETTER = "better"
    SAME = "same"
    NO_TELEMETRY = "no_telemetry"
    NOT_LIVE = "not_live"
    NOT_YET = "not_yet"
    NOT_KEPT = "not_kept"
    WAITING = "waiting"


class LookResult(StrEnum):
    """What one look at a canary found."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class ActionName(StrEnum):
    """What a person may ask of a rollout."""

    ROLL_BACK = "roll_back"
    PROMOTE = "promote"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"


class Missing(Struct, frozen=True):
    """Something that the page would show and nobody knows.

    Attributes:
        what: The field of the document, `canaries` say.
        sentence: What is not there and how to get it.
        again_seconds: It comes by itself: ask for the document again after so long; else null.
    """

    what: str
    sentence: str
    again_seconds: int | None = None


class Document(Struct, frozen=True, kw_only=True):
    """What every page's document begins with.

    Attributes:
        as_of: How many entries of the log the answer has seen.
        now_at: The server's time.
        missing: What is not known.
        simulated: The fleet behind it is made up; the page says so.
    """

    as_of: int
    now_at: str
    missing: list[Missing]
    simulated: bool


class Window(Struct, frozen=True):
    """The time that a page looks at.

    Attributes:
        range: As asked; null for `since` and `until`.
        follows_now: It ends now, so that live events belong to it.
        width: Columns that it is drawn in; what is merged is merged by them.
    """

    range: Range | None
    since_at: str
    until_at: str
    since_ms: int
    until_ms: int
    follows_now: bool
    width: int


class FilterWord(Struct, frozen=True):
    """One word of a filter as it was understood.

    Attributes:
        field: `service`, `environment`, `state`, `owner`, `cluster`, `kind`; `text` for a free
            word.
    """

    field: str
    value: str


class ShownFilter(Struct, frozen=True):
    """The filter as it was asked and understood.

    Attributes:
        not_understood: A sentence about words that choose nothing, "" without any.
    """

    q: str
    words: list[FilterWord]
    not_understood: str


class StateCount(Struct, frozen=True):
    """How many stand in one state; states that nothing stands in are left out."""

    state: ShownState
    count: int


class ErrorDelta(Struct, frozen=True):
    """How often requests failed after a deployment went live, against before.

    Attributes:
        before, after: Shares from 0 to 1.
        points: Difference in percentage points.
        low, high: Its interval at 95 %, in percentage points.
        before_requests, after_requests: How many were counted.
        after_seconds: How long after is counted; half an hour when it is over.
        result: What it comes to.
    """

    before: float | None
    after: float | None
    points: float | None
    low: float | None
    high: float | None
    before_requests: float
    after_requests: float
    after_seconds: int
    result: DeltaResult


class Chip(Struct, frozen=True):
    """One deployment in a line.

    Attributes:
        id: `d-…~n`.
        version: What people call it: version, tag, else the beginning of commit or digest.
        kind: `deployment`, or what other change it is.
        at: When it went live, else when it opened.
        live: `at` is when it went live.
        places: Clusters, else regions; the first of them.
        score: Of its newest verdict, 0 (failure proven) to 100.
        reason: Why it is suspect or undecided.
    """

    id: str
    service: str
    environment: str
    version: str
    kind: str
    state: ShownState
    owner: str | None
    author: str | None
    at: str
    live: bool
    places: list[str]
    places_total: int
    score: float | None
    delta: ErrorDelta | None
    ticket: str | None
    reason: str | None


class Event(Struct, frozen=True):
    """One row of the stream.

    Attributes:
        index: Of its entry; each event has one of its own.
        type: `marker`, `verdict`, `decision`, `incident` or `finding`.
        event: Phase of a marker, result of a verdict, action and stage of a decision, state of a
            finding.
        version: Of the deployment, null where none is known.
        who: Owner of the deployment, else its author.
        place: Cluster or region that it names, else the environment.
        state: How the deployment stands now; null for what is about none.
        id: The deployment, `d-…~n`.
        sentence: What it says.
    """

    index: int
    at: str
    at_ms: int
    type: str
    event: str
    service: str | None
    environment: str | None
    version: str | None
    who: str | None
    place: str | None
    state: ShownState | None
    id: str | None
    sentence: str


class ShownFinding(Struct, frozen=True):
    """Something that is wrong.

    Attributes:
        severity: `info`, `warning` or `critical`.
        hint: What to do.
        id: The deployment that it is about.
        about: The cluster, emitter or instance in question.
    """

    code: str
    severity: str
    service: str | None
    environment: str | None
    id: str | None
    about: str | None
    message: str
    hint: str
    opened_at: str
    closed_at: str | None


class NoticeKind(StrEnum):
    """What a notice is about."""

    FREEZE = "freeze"
    SOURCE = "source"


class Notice(Struct, frozen=True):
    """Something that holds whole services up, whichever deployment one looks at.

    Attributes:
        hint: What to do.
        since_at: Since when it is so; null where that is not known.
    """

    kind: NoticeKind
    sentence: str
    hint: str
    since_at: str | None


class Source(Struct, frozen=True):
    """Whether one kind of emitter spoke of a deployment."""

    kind: str
    seen: bool
    last_at: str | None


class ActionOffer(Struct, frozen=True):
    """What the caller could ask for.

    Attributes:
        allowed: It may be asked for now.
        why_not: A sentence when it may not.
        expected_index: To be sent with it: the newest entry of the rollout that this shows.
    """

    action: ActionName
    allowed: bool
    why_not: str | None
    expected_index: int | None


class Selected(Struct, frozen=True):
    """The deployment that is selected, with what one may do about it.

    Attributes:
        previous: What ran before it, `d-…` or `d-…~n`, as its markers say or as the views show.
        confirm: What is typed to confirm an action: the service's name.
    """

    chip: Chip
    artifact: str | None
    digest: str | None
    commit_hash: str | None
    owner: str | None
    tickets: list[str]
    strategy: str | None
    previous: str | None
    opened_at: str
    live_at: str | None
    ended_at: str | None
    sources: list[Source]
    actions: list[ActionOffer]
    confirm: str


class ScorePoint(Struct, frozen=True):
    """The score of one look."""

    at_ms: int
    score: float
    result: LookResult


class Bands(Struct, frozen=True):
    """Between which scores nothing is decided: fails at or below, passes at or above."""

    fails_at: float
    passes_at: float


class Canary(Struct, frozen=True):
    """A rollout by steps.

    Attributes:
        planned: A plan here rolls it out, and judges it.
        step: From 1; null before the first.
        steps: Weight of each step, in percent.
        weight: Percent of the traffic that it has.
        verdict: Of its newest look.
        reason: What it waits for, in a sentence.
    """

    chip: Chip
    planned: bool
    step: int | None
    steps: list[float]
    weight: float | None
    points: list[ScorePoint]
    points_total: int
    bands: Bands
    next_look_at: str | None
    verdict: LookResult | None
    reason: str | None
