"""The numbers of thirty days, for somebody who answers for them; each with the list behind it."""

from collections.abc import Iterable, Mapping, Sequence
from shlex import quote
from typing import Any, Final
from urllib.parse import urlencode

from deploymark.model.environment import PRODUCTION, is_production
from deploymark.model.instants import format_instant
from deploymark.model.proportion import Proportion
from deploymark.projections.broker.fleet_query import DAY_MS, DayRow
from deploymark.projections.broker.shown_state import SHOWN, ShownState
from deploymark.projections.measures import MEASURES
from deploymark.server.pages.asked import Asked, window_of
from deploymark.server.pages.measures import measured, measures_of
from deploymark.server.pages.shapes import Window
from deploymark.server.pages.shapes_overview import (
    Aim,
    Day,
    Elsewhere,
    Exec,
    Figure,
    Measured,
    Team,
)

DAYS: Final = 30
TEAMS: Final = 50
ELSEWHERE: Final = 10

_PRODUCTION: Final = "production"
_NOBODY: Final = "no owner"
_FAILED: Final = (ShownState.FAILED,)
_UNDONE: Final = (ShownState.ROLLING_BACK, ShownState.ROLLED_BACK)


def executive(asked: Asked) -> Exec:
    """Return the page.

    Raises:
        RequestError: `until` is no time.
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    window = _window(asked)
    named = asked.parameters.get("environment")
    fleet = asked.sources.fleet
    environment, environments = _chosen(asked, named)
    rows = fleet.days(window.since_ms, window.until_ms, environments)
    places = [] if rows else fleet.places(window.since_ms, window.until_ms)
    items = _slis(asked, named)
    measures = [measured(item) for item in items]
    by = {each.id: each for each in measures}
    teams = _teams(rows, window)
    asked.miss(
        "incidents",
        "Incidents are not shown yet: MTTC, MTTR and deployment-linked incidents come with them.",
    )
    return Exec(
        **asked.head(asked.parts.runner.position()),
        window=window,
        environment=environment,
        notice=_notice(environment, environments, named=named, elsewhere=bool(places)),
        elsewhere=[_elsewhere(asked, *place) for place in places[:ELSEWHERE]],
        elsewhere_total=len(places),
        success=_success(rows, window, named),
        measures=measures,
        days=_days(rows, window, named),
        dora=_dora(rows, window, {item["measure"]: item for item in items}),
        incidents=_incidents(),
        coverage=[_covered(by[name]) for name in ("M10", "M3", "M8") if name in by],
        teams=teams[:TEAMS],
        teams_total=len(teams),
    )


def _chosen(asked: Asked, named: str | None) -> tuple[str, list[str]]:
    """Return what is shown, as it is called and which environments it is."""
    if named:
        return named, [named]
    known = asked.sources.fleet.environments()
    if len(known) == 1:
        (only,) = known
        return (_PRODUCTION if is_production(only) else only), known
    return _PRODUCTION, [name for name in known if is_production(name)]


def _notice(
    environment: str, environments: Sequence[str], *, named: str | None, elsewhere: bool
) -> str | None:
    if not named and environment != _PRODUCTION:
        return f"No environment is production by its name: {environment} is shown, the only one."
    if not elsewhere:
        return None
    if not environments:
        *words, last = sorted(PRODUCTION)
        return (
            "No environment is production by its name:"
            f" none has {', '.join(words)} or {last} as a word."
        )
    return f"No deployment of these {DAYS} days went live in {environment}, or failed there."


def _elsewhere(asked: Asked, environment: str, deployments: int) -> Elsewhere:
    until = asked.parameters.get("until")
    query = {"environment": environment} | ({"until": until} if until else {})
    return Elsewhere(environment, deployments, f"/exec?{urlencode(query)}")


def _window(asked: Asked) -> Window:
    until = asked.parameters.get("until")
    asked_for = {"until": until} if until else {}
    end_ms = window_of(asked_for, asked.now_ms).until_ms
    # Whole days (UTC), of which the last is today.
    until_ms = (end_ms // DAY_MS + 1) * DAY_MS
    since_ms = until_ms - DAYS * DAY_MS
    return Window(
        range=None,
        since_at=format_instant(since_ms),
        until_at=format_instant(end_ms if until is None else until_ms),
        since_ms=since_ms,
        until_ms=until_ms,
        follows_now=until is None,
        width=DAYS,
    )


def _slis(asked: Asked, environment: str | None) -> Sequence[Mapping[str, Any]]:
    """Return the measures of the last week, as they were counted last.

    Counting them over thirty days, or of one environment, goes through each deployment as well, and
    nobody keeps what comes of it; a page must not wait for that.
    """
    if environment is not None:
        asked.miss(
            "measures",
            f"The measures of {environment} alone are counted when they are asked for:"
            f" GET /v1/slis?environment={environment}.",
        )
        return []
    return measures_of(asked)


def _success(rows: Iterable[DayRow], window: Window, environment: str | None) -> Measured:
    """Return M1 of the thirty days, by how the deployments are shown now."""
    sums = _sums(rows)
    share = Proportion(sums[0], sum(sums))
    interval = share.interval()
    measure = MEASURES["M1"]
    value = share.value
    return Measured(
        id=measure.id,
        title=measure.title,
        value=value,
        numerator=share.numerator,
        denominator=share.denominator,
        low=None if interval is None else interval[0],
        high=None if interval is None else interval[1],
        target=measure.target,
        aim=Aim(measure.aim),
        met=None if value is None else value >= measure.target,
        unit="share",
        formula=measure.formula,
        since_at=window.since_at,
        until_at=window.until_at,
        list=_list(window, _filter(environment)),
    )


def _sums(rows: Iterable[DayRow]) -> list[int]:
    """Return how many succeeded, failed, and were rolled back."""
    sums = [0, 0, 0]
    for row in rows:
        sums[_kind(row)] += row.runs
    return sums


def _filter(environment: str | None) -> str:
    return f"kind:deployment env:{environment}" if environment else "kind:deployment"


def _list(window: Window, q: str, since_ms: int | None = None, until_ms: int | None = None) -> str:
    times = (since_ms or window.since_ms, until_ms or window.until_ms)
    since, until = map(format_instant, times)
    return f"/deployments?{urlencode({'since': since, 'until': until, 'q': q})}"


def _days(rows: Iterable[DayRow], window: Window, environment: str | None) -> list[Day]:
    sums = [[0, 0, 0] for _ in range(DAYS)]
    for row in rows:
        if 0 <= row.day < DAYS:
            sums[row.day][_kind(row)] += row.runs
    q = _filter(environment)
    found = []
    for day, (succeeded, failed, undone) in enumerate(sums):
        since_ms = window.since_ms + day * DAY_MS
        listed = _list(window, q, since_ms, since_ms + DAY_MS)
        date = format_instant(since_ms)[:10]
        found.append(Day(date, since_ms, succeeded, failed, undone, listed))
    return found


def _kind(row: DayRow) -> int:
    state = SHOWN[row.rank]
    return 1 if state in _FAILED else 2 if state in _UNDONE else 0


def _teams(rows: Iterable[DayRow], window: Window) -> list[Team]:
    sums: dict[str, list[int]] = {}
    for row in rows:
        sums.setdefault(row.owner, [0, 0, 0])[_kind(row)] += row.runs
    teams = []
    for owner, (succeeded, failed, undone) in sums.items():
        total = succeeded + failed + undone
        listed = _list(
            window, f"kind:deployment owner:{quote(owner)}" if owner else "kind:deployment"
        )
        share = succeeded / total if total else None
        teams.append(Team(owner or _NOBODY, total, failed, undone, share, listed))
    return sorted(teams, key=lambda team: (team.success or 0.0, -team.deployments, team.owner))


def _dora(
    rows: Iterable[DayRow], window: Window, items: Mapping[str, Mapping[str, Any]]
) -> list[Figure]:
    sums = _sums(rows)
    total = sum(sums)
    bad = sums[1] + sums[2]
    rollback: Mapping[str, Any] = items.get("M11", {}).get("seconds") or {}
    return [
        Figure(
            "deployment_frequency",
            "Deployment frequency",
            total / DAYS,
            "per_day",
            f"{total} deployments in {DAYS} days.",
            _list(window, "kind:deployment"),
        ),
        Figure(
            "change_failure_rate",
            "Change failure rate",
            bad / total if total else None,
            "share",
            f"{bad} of {total} failed or were rolled back."
            if total
            else "Nothing was deployed in these days.",
            _list(window, "kind:deployment st:failed st:rolled-back st:rolling-back"),
        ),
        Figure(
            "lead_time",
            "Lead time for changes",
            None,
            "seconds",
            "When its commits were made is not said by markers yet, so it is not known.",
            None,
        ),
        Figure(
            "time_to_restore",
            "Time to restore by rolling back",
            rollback.get("median"),
            "seconds",
            "The median from the first failing verdict to a rollback that succeeded (M11)."
            if rollback.get("median") is not None
            else "No rollback by deploymark succeeded in these days.",
            "/v1/slis/M11/items",
        ),
    ]


def _incidents() -> list[Figure]:
    later = "Incidents are not shown yet; post them to /v1/entries, they are kept in the log."
    return [
        Figure("incidents", "Incidents by deployments", None, "count", later, None),
        Figure("mttc", "Time to the cause (MTTC)", None, "seconds", later, None),
        Figure("mttr", "Time to repair (MTTR)", None, "seconds", later, None),
    ]


def _covered(each: Measured) -> Figure:
    counted = (
        f"{each.numerator:g} of {each.denominator:g}" if each.denominator else "Nothing counted"
    )
    return Figure(
        each.id, each.title, each.value, "share", f"{counted}: {each.formula}.", each.list
    )
