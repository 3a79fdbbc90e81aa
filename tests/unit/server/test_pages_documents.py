"""The documents of the other pages, from a small fleet with one deployment of each kind."""

import base64
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from jsonschema import validate
from page_world import PageDoor, boot_of, judge

from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Role
from deploymark.server.openapi import document_of
from deploymark.server.operations import OPERATIONS
from deploymark.testing.clock import START_MS

MINUTE, HOUR = 60, 3_600
DIGEST = f"sha256:{'4e' * 32}"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageDoor]:
    with PageDoor(tmp_path_factory.mktemp("fleet")) as door:
        door.runner.catch_up()
        for second in range(-1_800, 600, 10):
            door.count(second, 0 if second < 0 else 5, 100, deployment="")
        door.say(-HOUR, version="1.0", phase="applied", owner="ana", target={"cluster": "eu-1"})
        door.say(-30 * MINUTE, version="1.1", phase="applied", target={"cluster": "eu-1"})
        door.say(
            0,
            version="2.0",
            phase="applied",
            owner="bob",
            author="chen",
            artifact={"digest": DIGEST},
            change_tickets=["CHG-1"],
            changes=[{"commit": "abc123", "title": "Fix it"}],
            build_url="https://ci.example/1",
            target={"cluster": "eu-1"},
            emitter={"kind": "ci", "id": "deploy.yml"},
        )
        door.say(
            30,
            phase="running",
            artifact={"digest": DIGEST},
            target={"cluster": "eu-1", "instance": "pod-1", "instance_uid": "u-1"},
            emitter={"kind": "orchestrator", "id": "observer"},
            evidence={"digest": DIGEST, "basis": "observed"},
        )
        door.say(60, service="cart", version="7", phase="failed", owner="bob")
        door.say(90, service="cart", kind="config", key="ttl", value="5s", phase="applied")
        door.log.publish()
        yield door


def _page(door: PageDoor, path: str) -> dict[str, Any]:
    reply = door.look(path)
    assert reply.status == 200, reply.body
    document: dict[str, Any] = reply.json
    return document


def _named(door: PageDoor, version: str) -> str:
    items = _page(door, "/deployments")["items"]
    return str(next(each["id"] for each in items if each["version"] == version))


# Each document is what OpenAPI says it is --------------------------------------------------------

_PATHS = (
    "/oncall",
    "/debug",
    "/exec",
    "/deployments",
    "/d/{id}",
    "/compare/{id}..{other}",
    "/services",
    "/services/checkout",
    "/fleet",
    "/audit",
    "/audit/3",
    "/v1/events?behind=-1",
    "/v1/series?service=checkout&environment=prod",
)


@pytest.mark.parametrize("path", _PATHS)
def test_a_document_is_what_openapi_says(door: PageDoor, path: str) -> None:
    told = document_of(OPERATIONS)
    path = path.format(id=_named(door, "2.0"), other=_named(door, "1.0"))
    plain = path.partition("?")[0]
    found = next(
        spoken
        for address, spoken in told["paths"].items()
        if address == plain or _fits(address, plain)
    )
    schema = found["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": {"schemas": _closed(told["components"]["schemas"])}}
    validate(_page(door, path), whole)


def _closed(schemas: dict[str, Any]) -> dict[str, Any]:
    """Return schemas that take nothing but what they name: types are made from them."""
    return {
        name: {**schema, "additionalProperties": False} if "properties" in schema else schema
        for name, schema in schemas.items()
    }


def _fits(address: str, path: str) -> bool:
    parts, said = address.split("/"), path.split("/")
    return len(parts) == len(said) and all(
        a.startswith("{") or a == b for a, b in zip(parts, said, strict=True)
    )


def test_nothing_in_a_document_may_be_left_out() -> None:
    schemas = document_of(OPERATIONS)["components"]["schemas"]
    for name in ("OnCall", "Chip", "DeploymentPage", "Exec", "Fleet", "Debug", "SeriesSet", "Boot"):
        assert set(schemas[name]["required"]) == set(schemas[name]["properties"]), name


# Names in addresses ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "service",
    [
        "team/web",
        "/web/",
        "a//b",
        "a/../b",
        "</script><script>alert(1)</script>",
        "100%",
        "%2F",
        "what?",
        "#1",
        "check out",
        "a&b=c+d",
        "größe",
        "two\nlines\n",
        "w" * 256,
    ],
)
def test_every_service_that_is_admitted_has_its_page(tmp_path: Path, service: str) -> None:
    with PageDoor(tmp_path) as door:
        door.say(0, service=service, version="1", phase="applied")
        for safe in ("", "/"):  # as our links write it, and as a proxy may hand it on
            address = f"/services/{quote(service, safe=safe)}"
            assert door.look(address).json["service"] == service
            boot = boot_of(door.browse(address))
            assert boot["page"] == "service"
            assert boot["document"]["service"] == service


# Deployment --------------------------------------------------------------------------------------


def test_a_deployment_shows_how_far_it_came_and_what_is_missing(door: PageDoor) -> None:
    page = _page(door, f"/d/{_named(door, '2.0')}")
    trail = {each["step"]: each for each in page["trail"]}
    assert trail["intent"]["who"] == "token:emitter"
    assert trail["applied"]["index"] == 3
    assert trail["running"]["index"] == 4
    assert "No verdict" in trail["verified"]["missing"]
    assert page["proof"]["binding"] == "observed"
    assert page["proof"]["published"] is True
    assert page["receipt_index"] == 4
    assert "deploymark verify 4.receipt" in page["verify_command"]


def test_a_deployment_shows_where_it_runs_and_what_came_with_it(door: PageDoor) -> None:
    page = _page(door, f"/d/{_named(door, '2.0')}")
    assert page["instances"] == {
        "expected": None,
        "confirmed": 1,
        "unproven": 0,
        "mismatched": 0,
        "share": 1.0,
    }
    assert [area["cluster"] for area in page["areas"]] == ["eu-1"]
    assert [(each["kind"], each["what"]) for each in page["changes"]] == [
        ("commit", "abc123 Fix it"),
        ("ticket", "CHG-1"),
        ("build", "Build"),
    ]
    assert page["changes"][-1]["link"] == "https://ci.example/1"
    assert page["previous"]["version"] == "1.1"
    assert {"field": "version", "a": "1.1", "b": "2.0"} in page["changed"]
    assert page["delta"]["result"] == "worse"


def test_what_ran_before_a_canary_is_what_runs_beside_it(tmp_path: Path) -> None:
    with PageDoor(tmp_path) as door:
        door.say(0, version="1", phase="applied")
        door.say(60, version="2", phase="applied")
        door.say(70, version="2", phase="failed")
        rollout = {"strategy": "canary", "weight": 5}
        door.say(90, version="3", phase="applied", rollout=rollout)
        stable, canary = _named(door, "1"), _named(door, "3")
        page = _page(door, f"/d/{canary}")
        assert page["selected"]["previous"] == page["previous"]["id"] == stable
        assert {"field": "version", "a": "1", "b": "3"} in page["changed"]
        assert _page(door, f"/d/{stable}")["selected"]["previous"] is None


def test_what_is_not_verified_says_what_is_known_of_verdicts(tmp_path: Path) -> None:
    with PageDoor(tmp_path) as door:
        door.say(0, version="1", phase="applied")
        name = _named(door, "1")
        judge(door, name, 100)
        trail = {each["step"]: each for each in _page(door, f"/d/{name}")["trail"]}
    said = "It was judged and did not pass: the newest verdict is inconclusive."
    assert trail["verified"]["missing"] == said


def test_a_link_that_is_none_is_not_shown_as_one(door: PageDoor) -> None:
    door.say(200, service="evil", version="1", phase="applied", build_url="javascript:alert(1)")
    page = _page(door, f"/d/{_named(door, '1')}")
    assert page["changes"] == []


# Compare, debug ----------------------------------------------------------------------------------


def test_two_deployments_are_compared_field_by_field(door: PageDoor) -> None:
    old, new = _named(door, "1.0"), _named(door, "2.0")
    page = _page(door, f"/compare/{old}..{new}")
    assert {"field": "owner", "a": "ana", "b": "bob"} in page["fields"]
    assert "environment" not in [each["field"] for each in page["fields"]]
    assert ([each["version"] for each in page["between"]], page["between_total"]) == (["1.1"], 1)
    assert page["same_service"] is True
    assert page["red_a"] is None
    assert "red" in [each["what"] for each in page["missing"]]


def test_requests_of_its_own_instances_are_compared(door: PageDoor) -> None:
    name = _named(door, "2.0").partition("~")[0]
    for second in range(0, 120, 10):
        door.count(second, 10, 100, deployment=name, pod="own")
    red = _page(door, f"/compare/{_named(door, '1.0')}..{name}")["red_b"]
    assert (red["requests"], red["minutes"], red["error_share"]) == (1_200, 2.0, 0.1)
    assert (red["latency_p50_ms"], red["latency_p95_ms"]) == (100.0, 500.0)
    aligned = _page(door, f"/debug?dep={name}")["aligned"]
    assert aligned[0]["seconds"] == [0, 30, 60, 90]
    assert aligned[0]["requests_per_second"] == [10.0] * 4


def test_debug_shows_each_instance_with_what_is_wanted_and_what_runs(door: PageDoor) -> None:
    page = _page(door, f"/debug?dep={_named(door, '2.0')}")
    (instance,) = page["instances"]
    assert (instance["wanted"], instance["running"]) == (DIGEST, DIGEST)
    assert (instance["status"], instance["basis"]) == ("confirmed", "observed")
    assert [row["event"] for row in page["events"]] == ["applied"]
    emitters = [each["emitter"] for each in page["emitters"]]
    assert emitters == ["observer", "deploy.yml", "token:emitter"]
    assert page["phases"][0]["phase"] == "applied"


def test_debug_without_a_name_shows_the_worst(door: PageDoor) -> None:
    worst = _page(door, "/oncall")["suspects"][0]
    assert _page(door, "/debug")["selected"]["chip"]["id"] == worst["id"]


# Many --------------------------------------------------------------------------------------------


def test_services_are_listed_with_their_newest_and_their_worst(door: PageDoor) -> None:
    page = _page(door, "/services?limit=1")
    assert page["total"] >= 2
    (cart,) = page["items"]
    assert (cart["service"], cart["state"], cart["owner"]) == ("cart", "failed", "bob")
    behind = _page(door, f"/services?limit=1&cursor={page['next_cursor']}")
    assert behind["items"][0]["service"] == "checkout"
    assert behind["items"][0]["newest"][0]["version"] == "2.0"
    assert "M1" in [each["id"] for each in page["measures"]]


def test_a_service_shows_its_history_a_page_at_a_time(door: PageDoor) -> None:
    page = _page(door, "/services/checkout?limit=2")
    assert [each["version"] for each in page["items"]] == ["2.0", "1.1"]
    assert page["total"] == 3
    behind = _page(door, f"/services/checkout?limit=2&cursor={page['next_cursor']}")
    assert [each["version"] for each in behind["items"]] == ["1.0"]
    assert behind["next_cursor"] is None


def test_the_fleet_shows_what_runs_in_each_cluster(door: PageDoor) -> None:
    page = _page(door, "/fleet?q=svc:checkout")
    assert [each["name"] for each in page["clusters"]] == ["eu-1"]
    (row,) = page["rows"]
    (cell,) = row["cells"]
    assert (cell["version"], cell["confirmed"], cell["state"]) == ("2.0", 1, "healthy")


def test_the_executive_numbers_add_up_and_name_their_lists(door: PageDoor) -> None:
    page = _page(door, "/exec")
    days = [each for each in page["days"] if each["succeeded"] + each["failed"]]
    assert sum(each["failed"] for each in days) == 1
    assert len(page["days"]) == 30
    failed = door.look(f"{days[-1]['list']}%20st:failed").json
    assert [each["service"] for each in failed["items"]] == ["cart"]
    assert page["teams"][0]["owner"] == "bob"
    assert page["success"]["denominator"] == page["success"]["numerator"] + 1
    assert door.look(page["success"]["list"]).status == 200
    for figure in (*page["dora"], *page["incidents"]):
        assert (figure["value"] is None) <= bool(figure["sentence"])
        if figure["list"]:
            assert door.look(figure["list"]).status == 200


def test_measures_that_are_being_counted_say_when_to_ask_again(
    door: PageDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(door.parts.measures), "lately", lambda _: None)
    (told,) = [each for each in _page(door, "/exec")["missing"] if each["what"] == "measures"]
    assert told["again_seconds"] == 2


# Audit -------------------------------------------------------------------------------------------


def test_an_entry_comes_with_all_that_its_proof_needs(door: PageDoor) -> None:
    page = _page(door, "/audit/3")
    leaf = base64.b64decode(page["leaf"]["leaf"])
    assert sha256(b"\0" + leaf).hexdigest() == page["leaf"]["hash"]
    assert page["receipt"].startswith("c2sp.org/tlog-proof@v1")
    assert page["content"]["version"] == "2.0"
    assert page["checkpoint"]["text"].startswith(page["checkpoint"]["origin"])
    assert (page["previous"], page["next"]) == (2, 4)
    payload = json.loads(base64.b64decode(page["leaf"]["payload"]))
    assert payload["predicate"]["version"] == "2.0"


def test_the_audit_finds_entries_and_says_how_old_the_checkpoint_is(door: PageDoor) -> None:
    page = _page(door, "/audit?limit=2")
    assert len(page["entries"]) == 2
    assert page["entries_total"] > 2
    behind = _page(door, f"/audit?limit=2&cursor={page['next_cursor']}")
    assert behind["entries"][0]["index"] == page["entries"][-1]["index"] - 1
    assert page["checkpoint"]["size"] == 7
    assert page["checkpoint"]["age_seconds"] is not None
    assert "witnesses" in [each["what"] for each in page["missing"]]
    found = _page(door, "/audit?ticket=CHG-1")
    assert [each["index"] for each in found["entries"]] == [3]
    assert _page(door, f"/audit?digest={DIGEST}")["entries"][0]["index"] == 4


# Frozen ------------------------------------------------------------------------------------------


def _keep(door: PageDoor, address: str, role: Role | None = Role.READER) -> Any:  # noqa: ANN401 - a reply
    body = msgspec.json.encode({"address": address})
    return door.ask("POST", "/v1/views", role, body, {"content-type": "application/json"})


def test_a_kept_page_stays_as_it_was(door: PageDoor) -> None:
    until = format_instant(START_MS + 100_000)
    reply = _keep(door, f"/oncall?until={until}&q=svc:cart")
    assert reply.status == 201
    before = _page(door, reply.json["address"])
    door.say(300, service="cart", version="8", phase="applied")
    after = _page(door, reply.json["address"])
    assert after["document"] == before["document"]
    assert after["document"]["filter"]["q"] == "svc:cart"
    assert (after["page"], after["frozen_by"]) == ("oncall", "token:reader")


_UNKEPT = {
    "/nix": 404,
    "/v1/tokens": 404,
    "https://evil.example/oncall": 400,
    "//evil.example/oncall": 400,
    "/oncall?range=9h": 400,
    "/d/d-nix": 404,
    f"/s/{'0' * 64}": 404,
}


@pytest.mark.parametrize(("address", "status"), _UNKEPT.items())
def test_only_a_page_can_be_kept(door: PageDoor, address: str, status: int) -> None:
    assert _keep(door, address).status == status


def test_another_detail_is_no_view(door: PageDoor) -> None:
    kept = door.ask(
        "POST", "/v1/details", Role.EMITTER, b"text", {"content-type": "text/plain"}
    ).json["digest"]
    assert door.look(f"/s/{kept.removeprefix('sha256:')}").status == 404


def test_nobody_keeps_without_end(tmp_path_factory: pytest.TempPathFactory) -> None:
    with PageDoor(tmp_path_factory.mktemp("keeping")) as own:
        own.runner.catch_up()
        statuses = [_keep(own, "/oncall").status for _ in range(11)]
    assert statuses == [201] * 10 + [429]


# Series ------------------------------------------------------------------------------------------


def test_series_are_merged_by_column_and_lose_no_spike(door: PageDoor) -> None:
    door.count(-7_000, 90, 100, service="spiky")
    for second in range(-6_990, 0, 10):
        door.count(second, 0, 100, service="spiky")
    page = _page(door, "/v1/series?range=6h&width=100&service=spiky&environment=prod")
    by = {each["name"]: each for each in page["items"]}
    assert max(by["errors"]["high"]) == 0.9
    assert min(by["errors"]["low"]) == 0.0
    assert by["errors"]["step_ms"] == 216_000
    assert len(by["errors"]["at_ms"]) <= 100
    assert by["requests"]["latest"] == 10.0
    assert by["latency_p95"]["unit"] == "ms"
    assert max(by["latency_p95"]["high"]) == 500.0
    assert "No gauge of saturation" in by["saturation"]["missing"]


def test_series_may_be_asked_for_by_name(door: PageDoor) -> None:
    page = _page(door, "/v1/series?names=requests&names=errors&service=nix")
    assert [each["name"] for each in page["items"]] == ["requests", "errors"]
    assert all("Nothing reported" in each["missing"] for each in page["items"])
    assert door.look("/v1/series?names=nix").status == 400


def test_four_charts_are_small(door: PageDoor) -> None:
    for second in range(0, 21_600, 20):
        errors = (second * 7_919) % 97
        door.count(second - 21_600, errors, 97 + (second * 104_729) % 89, service="busy")
    reply = door.look("/v1/series?range=6h&width=1000&service=busy&environment=prod")
    assert len(reply.body) <= 130 * 1_024
    assert len(reply.json["items"][0]["at_ms"]) > 900
