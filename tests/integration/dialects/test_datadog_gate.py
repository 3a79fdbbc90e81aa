"""Datadog's gate protocol, as its API describes it, before a server with a policy."""

import http.client
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dialect_server import SECONDS, DialectServer, dialect_server

_PATH = "/api/v2/deployments/gates/evaluation"
_ASKED = {"data": {"attributes": {"service": "checkout", "env": "prod"}}}
_CONFIGURATION = """
[[policy.rules]]
name = "owned"
kind = "owner"
environments = ["prod"]
"""


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[DialectServer]:
    """Return a server with a policy."""
    with dialect_server(tmp_path, _CONFIGURATION) as server:
        yield server


def _ask(
    server: DialectServer, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=SECONDS)
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"} | named)
    answer = connection.getresponse()
    content = json.loads(answer.read())
    connection.close()
    return answer.status, content


def _mark(server: DialectServer, **fields: str) -> None:
    marker = {"service": "checkout", "environment": "prod", "phase": "planned", **fields}
    emitter = {"kind": "ci", "id": "deploy.yml"}
    bearer = f"Bearer {server.token}"
    status, content = _ask(
        server, "POST", "/v1/markers", {**marker, "emitter": emitter}, Authorization=bearer
    )
    assert status == 201, content


def test_an_evaluation_that_ended_stays_as_it_is_and_one_that_did_not_is_asked_anew(
    gated: DialectServer,
) -> None:
    keys = {"DD_API_KEY": "nobody looks", "DD_APPLICATION_KEY": gated.new_token("gate", "reader")}

    def begin() -> str:
        status, begun = _ask(gated, "POST", _PATH, _ASKED, **keys)
        assert status == 202, begun
        identity: str = begun["data"]["attributes"]["evaluation_id"]
        return identity

    def look(identity: str) -> dict[str, Any]:
        status, shown = _ask(gated, "GET", f"{_PATH}/{identity}", **keys)
        assert status == 200, shown
        attributes: dict[str, Any] = shown["data"]["attributes"]
        return attributes

    _mark(gated, version="1")
    failed = begin()
    _mark(gated, version="2", phase="applied", owner="payments")
    open_ = begin()
    _mark(gated, version="3", owner="payments")
    passed = begin()

    assert [look(each)["gate_status"] for each in (failed, open_, passed)] == [
        "fail",
        "in_progress",
        "pass",
    ]
    shown = look(failed)
    assert shown["evaluation_id"] == failed
    assert "policy:owned" in [each["name"] for each in shown["rules"]]
    _mark(gated, version="1", phase="applying", owner="payments")
    assert look(failed)["gate_status"] == "fail"  # though it would not by now
    assert "policy:owned" in [each["name"] for each in look(failed)["rules"]]


def test_only_a_reader_asks_and_only_for_evaluations(gated: DialectServer) -> None:
    _mark(gated, version="1")
    assert _ask(gated, "POST", _PATH, _ASKED, DD_API_KEY=gated.token)[0] == 403
    reader = gated.new_token("gate", "reader")
    for index in (1, 2**48 - 1):
        identity = f"{_PATH}/00000000-0000-8000-8000-{index:012x}"
        status, said = _ask(gated, "GET", identity, DD_API_KEY=reader)
        assert (status, said["errors"][0]["title"]) == (404, "Not Found")
