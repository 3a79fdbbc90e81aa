"""A dashboard around its panels: variables to choose by, lines at deployments, a place for each.

As Grafana's dashboard schema 41 (Grafana 11.6 and 12) has it.
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from grafana.panels import COLUMNS, DATASOURCE, PAGES, Json, Panel

SCHEMA_VERSION: Final = 41


class Title(NamedTuple):
    """What a dashboard is.

    Attributes:
        name: Of the page of deploymark that it stands beside; its uid follows from it.
        title, description: For people.
        since: How far back it looks, as `now-6h`.
        refresh: How often it is drawn anew, "" for never.
    """

    name: str
    title: str
    description: str
    since: str
    refresh: str


def datasource_variable() -> Json:
    """Return the choice of a Prometheus."""
    told = {"type": "datasource", "name": "datasource", "label": "Prometheus"}
    return {**told, "query": "prometheus", "refresh": 1, "options": []}


def text_variable(name: str, label: str, value: str) -> Json:
    """Return a text that whoever looks may change."""
    option = {"selected": True, "text": value, "value": value}
    told = {"type": "textbox", "name": name, "label": label, "query": value}
    return {**told, "current": option, "options": [option]}


def label_variable(name: str, label: str, query: str, *, many: bool = True) -> Json:
    """Return a choice among the values of a label.

    Args:
        name: Of the variable.
        label: Its heading.
        query: `label_values(selector, label)`.
        many: Several may be chosen, and all are at first.
    """
    found: Json = {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": many,
        "includeAll": many,
        "options": [],
    }
    if many:
        # Also what has no such label: an instance outside of any cluster.
        all_of_them = {"selected": True, "text": ["All"], "value": ["$__all"]}
        found |= {"allValue": ".*", "current": all_of_them}
    return found


def choice_variable(name: str, label: str, told: str, *values: str) -> Json:
    """Return a choice among fixed words, of which the first is taken; others may be typed."""
    options = [
        {"selected": at == 0, "text": value, "value": value} for at, value in enumerate(values)
    ]
    return {
        "type": "custom",
        "name": name,
        "label": label,
        "description": told,
        "query": ",".join(value.replace(",", "\\,") for value in values),
        "current": options[0],
        "options": options,
        "multi": False,
        "includeAll": False,
        "allowCustomValue": True,
    }


def marker_annotation(name: str, colour: str, expr: str, step: str) -> Json:
    """Return vertical lines at the times (in milliseconds) that are the values of an expression.

    The expression stands twice: older Grafana reads the first, newer one `target`.
    """
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": colour,
        "expr": expr,
        "step": step,
        "useValueForTime": True,
        "titleFormat": f"{{{{service}}}} {{{{version}}}}: {name.lower()}",
        "textFormat": "{{environment}}, {{owner}}, {{deployment_id}}~{{occurrence}}",
        "tagKeys": "service,environment,owner",
        "target": {
            "refId": "Anno",
            "datasource": DATASOURCE,
            "expr": expr,
            "interval": step,
            "range": True,
            "legendFormat": "{{deployment_id}}~{{occurrence}}",
        },
    }


def dashboard(
    title: Title, panels: Sequence[Panel], variables: Sequence[Json], annotations: Sequence[Json]
) -> str:
    """Return a dashboard as its file has it.

    Args:
        title: What it is.
        panels: From left to right, from the top down.
        variables: In the order in which they are chosen.
        annotations: Lines over every graph.
    """
    shown, url = PAGES[title.name]
    page = {"type": "link", "icon": "external link", "title": shown, "url": url, "tags": []}
    others = {"type": "dashboards", "icon": "dashboard", "title": "deploymark", "url": ""}
    shared = {"asDropdown": False, "tooltip": "", "targetBlank": False}
    document = {
        "uid": f"deploymark-{title.name}",
        "title": title.title,
        "description": title.description,
        "tags": ["deploymark"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "time": {"from": title.since, "to": "now"},
        "timezone": "browser",
        "refresh": title.refresh,
        "links": [
            {**shared, **others, "tags": ["deploymark"], "includeVars": True, "keepTime": True},
            {**shared, **page, "includeVars": False, "keepTime": False, "targetBlank": True},
        ],
        "templating": {"list": list(variables)},
        "annotations": {"list": list(annotations)},
        "panels": _laid_out(panels),
    }
    return json.dumps(document, indent=2) + "\n"


def _laid_out(panels: Sequence[Panel]) -> list[Json]:
    """Give each panel its id and its place, in lines as wide as the grid."""
    found: list[Json] = []
    x = y = tallest = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        found.append({"id": number, "gridPos": place, **panel.content})
        x, tallest = x + panel.width, max(tallest, panel.height)
    return found
