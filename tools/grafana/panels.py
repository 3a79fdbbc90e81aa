"""Panels of dashboards: values in, plain JSON out. What is shown is the dashboards' business."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from deploymark.projections.measures import MEASURES

Json = dict[str, Any]
Steps = Sequence[tuple[float | None, str]]
"""From which value on a number has which colour; None: from the lowest."""

COLUMNS: Final = 24
DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
URL: Final = "${deploymark_url}"
GREEN, ORANGE, RED, BLUE = "green", "orange", "red", "blue"

_JUST_ABOVE: Final = 1e-9
_WINDOW: Final = "since=${__from:date}&until=${__to:date}"
PAGES: Final = {
    "oncall": ("On-call page", f"{URL}/oncall?{_WINDOW}"),
    "exec": ("Executive page", f"{URL}/exec"),
    "debug": (
        "Debug page",
        f"{URL}/debug?dep=${{deployment_id}}~${{occurrence}}&{_WINDOW}",
    ),
    "audit": ("Audit page", f"{URL}/audit"),
}
"""What deploymark itself shows: title and address."""


class Target(NamedTuple):
    """One expression of a panel.

    Attributes:
        expr: In PromQL, with Grafana's variables.
        legend: What its series are called.
        at_once: Only the latest value, not a series over time.
        as_table: One row for each series, its labels as columns.
        interval: At least so far apart are the points; "" leaves that to Grafana.
    """

    expr: str
    legend: str
    at_once: bool = False
    as_table: bool = False
    interval: str = ""


class Panel(NamedTuple):
    """A panel before it has its place.

    Attributes:
        width: In columns, of 24.
        height: In rows of the grid.
        content: Everything but its id and place.
    """

    width: int
    height: int
    content: Json


class Look(NamedTuple):
    """How a graph is drawn.

    Attributes:
        unit: Grafana's name of it.
        steps: Drawn as lines, where there are any.
        bars: One for each value.
        stacked: One series upon the other.
        top: The highest value of the axis.
        links: Each series has `deployment_id` and `occurrence`, and leads to the dashboard of it.
    """

    unit: str = "none"
    steps: Steps = ()
    bars: bool = False
    stacked: bool = False
    top: float | None = None
    links: bool = False


class Rows(NamedTuple):
    """What a table shows.

    Attributes:
        columns: In this order, the field and its heading. Values of several targets are `Value #A`,
            `Value #B`; of one alone, `Value`. With `deployment_id` there is `occurrence`, and both
            keep their names: rows lead to the deployment.
        units: Of columns, by heading.
        newest: The heading by which rows are sorted, downwards.
    """

    columns: Mapping[str, str]
    units: Mapping[str, str] = {}
    newest: str = ""


def target_steps(measure: str) -> Steps:
    """Return the colours of a measure: red where its target is missed."""
    found = MEASURES[measure]
    if found.aim == "at_least":
        return ((None, RED), (found.target, GREEN))
    missed = found.target if found.aim == "below" else found.target + _JUST_ABOVE
    return ((None, GREEN), (missed, RED))


def measure_text(measure: str) -> str:
    """Return what a measure counts, and its target."""
    found = MEASURES[measure]
    words = {"at_least": "at least", "at_most": "at most", "below": "below"}[found.aim]
    return f"{found.id}: {found.formula}. Target: {words} {found.target:g}."


def row(title: str) -> Panel:
    """Return a heading over what follows."""
    return Panel(COLUMNS, 1, {"type": "row", "title": title, "collapsed": False, "panels": []})


def text(title: str, content: str, *, page: str, size: tuple[int, int] = (12, 5)) -> Panel:
    """Return words, where Prometheus has no numbers."""
    told = _told(title, "What Prometheus has no numbers of, and where to look instead.", page)
    options = {"mode": "markdown", "content": content}
    return Panel(*size, {"type": "text", **told, "options": options})


def stat(
    title: str,
    counts: str,
    *targets: Target,
    page: str,
    unit: str = "none",
    steps: Steps = ((None, BLUE),),
    size: tuple[int, int] = (4, 4),
) -> Panel:
    """Return numbers as they are now.

    Args:
        title: Of the panel.
        counts: What it counts, in words.
        targets: Asked at once.
        page: Of deploymark, by its name in `PAGES`.
        unit: Grafana's name of it.
        steps: Colours.
        size: Width and height.
    """
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "auto",
        "wideLayout": True,
    }
    defaults = {**_defaults(unit, steps), "noValue": "nothing counted"}
    at_once = [each._replace(at_once=True) for each in targets]
    content = _panel("stat", _told(title, counts, page), at_once, options, defaults)
    return Panel(*size, content)


def graph(
    title: str,
    counts: str,
    *targets: Target,
    page: str,
    look: Look = Look(),  # noqa: B008 - it cannot change
    size: tuple[int, int] = (12, 8),
) -> Panel:
    """Return series over time; arguments as of `stat`, and how they are drawn."""
    custom: Json = {
        "drawStyle": "bars" if look.bars else "line",
        "fillOpacity": 60 if look.bars else (30 if look.stacked else 0),
        "lineWidth": 1,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if look.stacked else "none"},
        "thresholdsStyle": {"mode": "line" if look.steps else "off"},
    }
    defaults = _defaults(look.unit, look.steps or ((None, GREEN),)) | {"custom": custom}
    defaults["color"] = {"mode": "palette-classic"}
    if look.top is not None:
        defaults |= {"min": 0, "max": look.top}
    if look.links:
        defaults["links"] = [_debug_link("__field.labels")]
    options = {
        "legend": {"calcs": ["lastNotNull"], "displayMode": "table", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    content = _panel("timeseries", _told(title, counts, page), targets, options, defaults)
    return Panel(*size, content)


def table(
    title: str,
    counts: str,
    *targets: Target,
    page: str,
    rows: Rows,
    size: tuple[int, int] = (24, 9),
) -> Panel:
    """Return rows of labels and values as they are now; arguments as of `stat`."""
    asked = [each._replace(at_once=True, as_table=True) for each in targets]
    organised = {
        "includeByName": dict.fromkeys(rows.columns, True),
        "indexByName": {name: at for at, name in enumerate(rows.columns)},
        "renameByName": dict(rows.columns),
    }
    overrides = [_override(name, "unit", unit) for name, unit in rows.units.items()]
    if "deployment_id" in rows.columns:
        leads = [_page_link(), _debug_link("__data.fields")]
        overrides.append(_override("deployment_id", "links", leads))
    options: Json = {"showHeader": True, "cellHeight": "sm"}
    if rows.newest:
        options["sortBy"] = [{"displayName": rows.newest, "desc": True}]
    defaults = _defaults("none", ((None, BLUE),)) | {"noValue": "-"}
    content = _panel("table", _told(title, counts, page), asked, options, defaults)
    content["fieldConfig"]["overrides"] = overrides
    content["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": organised},
    ]
    return Panel(*size, content)


def _panel(kind: str, told: Json, targets: Sequence[Target], options: Json, defaults: Json) -> Json:
    return {
        "type": kind,
        **told,
        "datasource": DATASOURCE,
        "targets": [_target(each, chr(ord("A") + at)) for at, each in enumerate(targets)],
        "options": options,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }


def _told(title: str, counts: str, page: str) -> Json:
    shown, url = PAGES[page]
    return {
        "title": title,
        "description": f"{counts}\n\n[{shown}]({url})",
        "links": [{"title": shown, "url": url, "targetBlank": True}],
    }


def _target(each: Target, ref: str) -> Json:
    return {
        "refId": ref,
        "datasource": DATASOURCE,
        "expr": each.expr,
        "legendFormat": each.legend,
        "instant": each.at_once,
        "range": not each.at_once,
        "format": "table" if each.as_table else "time_series",
        "interval": each.interval,
    }


def _defaults(unit: str, steps: Steps) -> Json:
    shown = [{"color": colour, "value": value} for value, colour in steps]
    return {"unit": unit, "thresholds": {"mode": "absolute", "steps": shown}}


def _override(name: str, what: str, value: object) -> Json:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": what, "value": value}],
    }


def _debug_link(labels: str) -> Json:
    named = "&".join(f"var-{n}=${{{labels}.{n}}}" for n in ("deployment_id", "occurrence"))
    kept = "${datasource:queryparam}&${deploymark_url:queryparam}&${__url_time_range}"
    return {"title": "Debug this deployment", "url": f"/d/deploymark-debug?{named}&{kept}"}


def _page_link() -> Json:
    occurrence = "${__data.fields.deployment_id}~${__data.fields.occurrence}"
    return {
        "title": "Open in deploymark",
        "url": f"{URL}/debug?dep={occurrence}",
        "targetBlank": True,
    }
