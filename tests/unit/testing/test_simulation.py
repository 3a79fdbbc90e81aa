"""The simulated fleet is the same by its seed, and says what a fleet would say."""

import json
import tomllib
from collections import Counter
from typing import Any

import pytest

from deploymark.model.ids import ids_of_marker
from deploymark.runtime.config import parse_configuration
from deploymark.testing.clock import START_MS
from deploymark.testing.simulation.history import History, history
from deploymark.testing.simulation.load import KEPT_SECONDS, METRICS, reported_since, reports
from deploymark.testing.simulation.services import SERVICES, configuration

NOW_S = START_MS / 1_000
SEED = 1


@pytest.fixture(scope="module")
def past() -> History:
    return history(SEED, NOW_S)


def phases(past: History, *wanted: str) -> list[dict[str, Any]]:
    return [each for each in past.markers if each["phase"] in wanted]


def test_the_same_seed_gives_the_same_markers_and_another_one_others(past: History) -> None:
    assert history(SEED, NOW_S).markers == past.markers
    assert history(SEED + 1, NOW_S).markers != past.markers


def test_ids_do_not_follow_from_when_it_ends(past: History) -> None:
    later = history(SEED, NOW_S + 3_600)
    assert [each.id for each in later.told] == [each.id for each in past.told]


@pytest.mark.parametrize("seed", range(5))
def test_what_a_page_shows_is_there_whatever_the_seed(seed: int) -> None:
    past = history(seed, NOW_S)
    kinds = Counter(each.get("kind", "deployment") for each in past.markers)
    assert {"deployment", "config", "feature_flag", "schema_migration"} <= set(kinds)
    assert phases(past, "failed")
    assert phases(past, "rolled_back")
    assert {each["service"] for each in past.markers} == {each.name for each in SERVICES}
    assert min(each["timestamp"] for each in past.markers) < "2026-10-27"
    strategies = {
        each["rollout"].get("strategy") for each in phases(past, "failed") if "rollout" in each
    }
    assert "canary" in strategies


def test_what_ci_says_has_the_id_that_others_name(past: History) -> None:
    named = {each["deployment_id"] for each in past.markers if "deployment_id" in each}
    said = {ids_of_marker(each)[0] for each in past.markers if "owner" in each}
    assert named <= said


def test_no_word_of_a_game_day_is_said(past: History) -> None:
    assert "gameday" not in json.dumps(past.markers)


def test_nothing_is_said_of_the_silent_zone_by_what_is_newest_there(past: History) -> None:
    newest = [each for each in past.told if each.service.name == "search"][-1].id
    zones = {
        (each["target"]["cluster"], each["target"]["zone"])
        for each in phases(past, "running")
        if each.get("deployment_id") == newest
    }
    assert ("ap-1", "b") in zones
    assert ("ap-1", "c") not in zones


def test_telemetry_is_of_deployments_that_were_told_and_of_the_time_that_is_kept(
    past: History,
) -> None:
    ids = {each.id for each in past.told}
    times: list[int] = []
    for path, body in reports(SEED, past):
        ((resource,),) = json.loads(body).values()
        said = {each["key"]: each["value"] for each in resource["resource"]["attributes"]}
        assert said["deployment.id"]["stringValue"] in ids
        if path == METRICS:
            histogram = resource["scopeMetrics"][0]["metrics"][0]["histogram"]
            for point in histogram["dataPoints"]:
                assert sum(map(int, point["bucketCounts"])) == int(point["count"])
                times.append(int(point["timeUnixNano"]) // 1_000_000_000)
    assert NOW_S - KEPT_SECONDS <= min(times) < NOW_S - 40 * 3_600
    assert max(times) == int(NOW_S)


def test_what_stands_reports_on(past: History) -> None:
    services = set()
    for _, body in reported_since(SEED, past, NOW_S, NOW_S + 15):
        ((resource,),) = json.loads(body).values()
        services.add(resource["resource"]["attributes"][0]["value"]["stringValue"])
    assert services == {each.name for each in SERVICES}


def test_a_server_is_told_that_it_is_simulated_and_what_to_expect() -> None:
    found = parse_configuration(tomllib.loads(configuration()))
    assert found.server.simulated
    assert set(found.services) == {each.name for each in SERVICES}
