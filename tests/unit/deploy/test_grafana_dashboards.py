"""The dashboards for Grafana: well made, bound to what exists, and open about what is missing.

That they stand as their source writes them is tested with the other generated pages; what a real
Prometheus answers them, by a scenario.
"""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from deploymark.projections.measures import MEASURES
from generated_pages import DOCS, ROOT

Json = dict[str, Any]

PLACE = ROOT / "deploy" / "grafana"
BOARDS: dict[str, Json] = {
    each.stem: json.loads(each.read_text(encoding="utf-8")) for each in sorted(PLACE.glob("*.json"))
}
CORE = {"row", "stat", "timeseries", "table", "text"}
OF_GRAFANA = {"__rate_interval", "__from", "__to", "__all", "__url_time_range"}
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
PAGES = {"oncall": "/oncall?", "executive": "/exec", "debug": "/debug?dep="}

each_board = pytest.mark.parametrize("name", BOARDS)


def panels(name: str) -> list[Json]:
    found: list[Json] = BOARDS[name]["panels"]
    return found


def counted(name: str) -> list[Json]:
    """Return the panels with numbers."""
    return [panel for panel in panels(name) if panel["type"] not in {"row", "text"}]


def variables(name: str) -> dict[str, Json]:
    return {each["name"]: each for each in BOARDS[name]["templating"]["list"]}


def expressions(name: str) -> Iterator[str]:
    for panel in counted(name):
        yield from (target["expr"] for target in panel["targets"])
    yield from (each["expr"] for each in BOARDS[name]["annotations"]["list"])
    for variable in variables(name).values():
        if variable["type"] == "query":
            yield variable["query"]["query"]


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in strings(each))
    elif isinstance(value, list):
        yield from (text for each in value for text in strings(each))


def test_there_is_one_for_each_page_and_each_keeps_its_address() -> None:
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "debug": "deploymark-debug",
        "executive": "deploymark-exec",
        "oncall": "deploymark-oncall",
    }


@each_board
def test_panels_have_ids_of_their_own_and_do_not_overlap(name: str) -> None:
    ids = [panel["id"] for panel in panels(name)]
    assert len(ids) == len(set(ids))
    places = [panel["gridPos"] for panel in panels(name)]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


@each_board
def test_an_import_brings_no_id_and_needs_no_plugin(name: str) -> None:
    board = BOARDS[name]
    assert "id" not in board
    assert board["schemaVersion"] == 41
    assert {panel["type"] for panel in panels(name)} <= CORE
    for each in (*counted(name), *board["annotations"]["list"]):
        assert each["datasource"] == DATASOURCE
    assert variables(name)["datasource"]["query"] == "prometheus"


@each_board
def test_a_panel_says_what_it_counts_and_leads_to_the_page(name: str) -> None:
    for panel in panels(name):
        if panel["type"] == "row":
            continue
        (link,) = panel["links"]
        assert link["url"].startswith("${deploymark_url}" + PAGES[name]), panel["title"]
        counts, _, led = panel["description"].partition("\n\n")
        assert counts.endswith("."), panel["title"]
        assert link["url"] in led
    assert variables(name)["deploymark_url"]["type"] == "textbox"


@each_board
def test_a_series_has_a_name_and_a_number_has_a_unit(name: str) -> None:
    for panel in counted(name):
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))
        for target in panel["targets"]:
            assert target["legendFormat"], panel["title"]
            assert target["datasource"] == DATASOURCE


@each_board
def test_every_variable_is_there_and_each_is_used(name: str) -> None:
    used = {
        found
        for text in strings(BOARDS[name])
        for pair in re.findall(r"\$(?:\{(\w+)[:}]|(\w+))", text)
        for found in pair
        if found
    }
    assert used - OF_GRAFANA == set(variables(name))


@each_board
def test_a_metric_is_explained_or_named_by_a_variable(name: str) -> None:
    page = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(deploymark_[a-z_]+)", page))
    for expression in expressions(name):
        used = set(re.findall(r"(?<!\$\{)\bdeploymark_[a-z_]+", expression))
        assert {re.sub(r"_bucket$", "", each) for each in used} <= explained, expression
        bare = re.sub(r'"[^"]*"|\$\{[^}]*\}', "", expression)
        named = re.findall(r"\b([a-z_]+)(?:\{|\[)", bare)
        assert [each for each in named if not each.startswith("deploymark_")] == [], expression


@each_board
def test_lines_are_drawn_at_the_time_that_is_the_value(name: str) -> None:
    lines = BOARDS[name]["annotations"]["list"]
    assert [each["name"] for each in lines] == ["Began", "Went live", "Failed", "Rolled back"]
    for each in lines:
        assert each["useValueForTime"]
        assert each["enable"]
        assert each["expr"].endswith(") * 1000")
        assert (each["expr"], each["step"]) == (each["target"]["expr"], each["target"]["interval"])


@each_board
def test_the_dashboards_lead_to_each_other_in_the_same_window(name: str) -> None:
    first, page = BOARDS[name]["links"]
    assert (first["type"], first["tags"]) == ("dashboards", BOARDS[name]["tags"])
    assert (first["keepTime"], first["includeVars"]) == (True, True)
    assert page["url"].startswith("${deploymark_url}" + PAGES[name])


@each_board
def test_a_measure_is_red_where_its_target_is_missed(name: str) -> None:
    shown = {
        found: panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        for panel in counted(name)
        if panel["type"] == "stat"
        for found in re.findall(r"^(M\d+): .* Target: ", panel["description"])
    }
    for measure, (below, above) in shown.items():
        known = MEASURES[measure]
        colours = ("red", "green") if known.aim == "at_least" else ("green", "red")
        assert (below["color"], above["color"]) == colours, measure
        assert above["value"] == pytest.approx(known.target, abs=1e-6), measure
        # What is to be at most so much may be exactly that.
        assert (above["value"] > known.target) == (known.aim == "at_most"), measure


def test_the_executive_has_every_measure() -> None:
    told = " ".join(panel.get("description", "") for panel in panels("executive"))
    assert {name for name in MEASURES if not re.search(rf"\b{name}: ", told)} == set()


def test_the_page_shows_the_lines_as_they_are_and_a_provider_that_grafana_reads() -> None:
    page = (DOCS / "howto" / "grafana-dashboards.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (drawn,) = {
        each["expr"].replace(',environment=~"$environment"', "")
        for each in BOARDS["oncall"]["annotations"]["list"]
        if each["name"] == "Went live"
    }
    assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", drawn)
    (given,) = re.findall(r"^```yaml\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (provider,) = yaml.safe_load(given)["providers"]
    assert (provider["type"], set(provider["options"])) == ("file", {"path"})
    assert {f"`{name}.json`" for name in BOARDS} == set(re.findall(r"`\w+\.json`", page))
    assert {board["uid"] for board in BOARDS.values()} == set(re.findall(r"`/d/([\w-]+)`", page))


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("oncall", {"scores of canaries", "which hosts a rollback"}),
        ("executive", {"incidents", "MTTC", "MTTR", "from a commit to its deployment"}),
        ("debug", {"traces", "lines of logs", "slowest spans", "proof"}),
    ],
)
def test_what_prometheus_has_no_numbers_of_is_said_in_words(name: str, missing: set[str]) -> None:
    (told,) = [panel["options"]["content"] for panel in panels(name) if panel["type"] == "text"]
    words = " ".join(told.split())
    assert {each for each in missing if each not in words} == set()
    assert "](${deploymark_url}" + PAGES[name].rstrip("?") in words
