"""The dashboards for Grafana, read as Grafana reads them, and asked of a real Prometheus.

Grafana itself is not run: variables are put in here as its documentation says.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode
from urllib.request import urlopen

Json = dict[str, Any]
Series = list[tuple[dict[str, str], float]]

PLACE = Path(__file__).parents[2] / "deploy" / "grafana"
DASHBOARDS = {each.stem: json.loads(each.read_text()) for each in sorted(PLACE.glob("*.json"))}
SECONDS = 60

_VARIABLE = re.compile(r"\$(?:\{([a-z_]+)(?::[a-z:]+)?\}|([a-z_]+))")
_LABEL_VALUES = re.compile(r"label_values\((.*), ([a-z_]+)\)")


class Asked(NamedTuple):
    """One expression of a dashboard.

    Attributes:
        name: Where it stands.
        expr: With variables.
        labels: That are shown of its series.
    """

    name: str
    expr: str
    labels: frozenset[str]


def expressions() -> Iterator[Asked]:
    """Yield every expression of every panel and annotation."""
    for name, board in DASHBOARDS.items():
        for panel in board["panels"]:
            for target in panel.get("targets", ()):
                where = f"{name}: {panel['title']} {target['refId']}"
                yield Asked(where, target["expr"], _shown(panel, target))
        for lines in board["annotations"]["list"]:
            labels = set(re.findall(r"{{(\w+)}}", lines["titleFormat"] + lines["textFormat"]))
            labels |= set(lines["tagKeys"].split(","))
            yield Asked(f"{name}: {lines['name']}", lines["expr"], frozenset(labels))


def _shown(panel: Json, target: Json) -> frozenset[str]:
    labels = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
    for each in panel.get("transformations", ()):
        labels |= {name for name in each["options"].get("includeByName", ()) if name[0] != "V"}
    return frozenset(labels)


def queries() -> Iterator[tuple[str, str, str]]:
    """Yield every query of a variable: where it stands, the selector, and the label."""
    for name, board in DASHBOARDS.items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                found = _LABEL_VALUES.fullmatch(variable["query"]["query"])
                assert found is not None, variable
                yield f"{name}: {variable['name']}", found[1], found[2]


def choices() -> dict[str, list[str]]:
    """Return what each variable that has a fixed list may be, what it is at first before."""
    return {
        variable["name"]: [option["value"] for option in variable["options"]]
        for board in DASHBOARDS.values()
        for variable in board["templating"]["list"]
        if variable["type"] == "custom"
    }


def put_in(expr: str, values: Mapping[str, str]) -> str:
    """Return an expression with its variables replaced; KeyError for one that has no value."""
    return _VARIABLE.sub(lambda found: values[found[1] or found[2]], expr)


def series(url: str, expr: str, at: float) -> Series:
    """Return what an expression is at a second; what Prometheus refuses is an error."""
    asked = urlencode({"query": expr, "time": f"{at:.3f}"})
    return [
        (each["metric"], float(each["value"][1]))
        for each in _data(f"{url}/api/v1/query?{asked}")["result"]
    ]


def label_values(url: str, selector: str, label: str) -> list[str]:
    """Return the values that a label has."""
    found: list[str] = _data(f"{url}/api/v1/label/{label}/values?match[]={quote(selector)}")
    return found


def _data(address: str) -> Any:  # noqa: ANN401 - of JSON
    with urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 - our own address
        return json.load(answer)["data"]
