"""The table of operations: who may do what, and that nothing is answered beside it."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Literal

import pytest
from door_samples import Door, Reply, marker
from msgspec import Meta

from deploymark.errors import RequestError
from deploymark.model.limits import DeploymentName
from deploymark.model.vocabulary import Role
from deploymark.server.operation import Operation, Parameter, _converted
from deploymark.server.operations import OPERATIONS

EVERYONE = "everyone"
KNOWN = "reader emitter operator admin"
READERS = "reader operator admin"
WRITERS = "emitter admin"

# Who may, written down a second time on purpose: a slip in the table must not go unnoticed.
MAY = {
    "admit_markers": f"{EVERYONE} {WRITERS}",  # an anonymous caller is admission's question
    "list_markers": READERS,
    "show_marker": READERS,
    "show_receipt": KNOWN,
    "admit_entries": f"{EVERYONE} {WRITERS}",
    "list_entries": READERS,
    "show_entry": READERS,
    "follow": READERS,
    "keep_detail": WRITERS,
    "show_detail": READERS,
    "erase_detail": "admin",
    "list_deployments": READERS,
    "show_deployment": READERS,
    "list_instances": READERS,
    "list_findings": READERS,
    "show_coverage": READERS,
    "list_timeline": READERS,
    "list_emitters": READERS,
    "page_oncall": READERS,
    "page_debug": READERS,
    "page_exec": READERS,
    "page_deployments": READERS,
    "page_deployment": READERS,
    "page_compare": READERS,
    "page_services": READERS,
    "page_service": READERS,
    "page_fleet": READERS,
    "page_audit": READERS,
    "page_entry": READERS,
    "page_frozen": READERS,
    "keep_view": READERS,
    "list_events": READERS,
    "show_series": READERS,
    "show_asset": EVERYONE,
    "show_icon": EVERYONE,
    "list_rollouts": READERS,
    "show_rollout": READERS,
    "show_evidence": READERS,
    "act": "operator admin",
    "show_gate": READERS,
    "ask_gate": READERS,
    "list_slis": READERS,
    "list_sli_items": READERS,
    "take_traces": f"{EVERYONE} {WRITERS}",  # as markers: the room asks what may be said
    "take_metrics": f"{EVERYONE} {WRITERS}",
    "take_logs": f"{EVERYONE} {WRITERS}",
    "show_red": READERS,
    "show_marked": READERS,
    "show_traces": READERS,
    "show_logs": READERS,
    "list_schemas": EVERYONE,
    "show_schema": EVERYONE,
    "list_tokens": "admin",
    "issue_token": "admin",
    "exchange_token": EVERYONE,
    "revoke_token": "admin",
    "show_session": KNOWN,
    "open_session": EVERYONE,
    "close_session": KNOWN,
    "list_keys": READERS,
    "register_key": "admin",
    "show_checkpoint": EVERYONE,
    "show_bundle": READERS,
    "show_tile": EVERYONE,
    "show_policy": EVERYONE,
    "metrics": READERS,
    "healthz": EVERYONE,
    "readyz": EVERYONE,
    "openapi": EVERYONE,
    "show_problem": EVERYONE,
    "about": EVERYONE,
}
_SEGMENTS = {
    "index": "1",
    "digest": f"sha256:{'0' * 64}",
    "id": "d-one",
    "name": "marker",
    "version": "1",
    "code": "bad_marker",
    "level": "0",
    "measure": "M1",
    "pair": "d-one..d-two",
    "service": "checkout",
    "hash": "0" * 64,
}
_TYPED = {"issue_token", "register_key", "open_session", "act", "ask_gate", "keep_view"}


def _ask(door: Door, operation: Operation, role: Role | None) -> Reply:
    path = re.sub(
        r"\{(\w+)(:path)?\}", lambda m: "000.p/1" if m[2] else _SEGMENTS[m[1]], operation.path
    )
    if operation.name == "erase_detail":
        path += "?reason=asked"
    if operation.name == "list_events":
        path += "?behind=0"
    # A stream would not end; nothing is said about who may by asking for its head only.
    method = "HEAD" if operation.name == "follow" else operation.method
    body = json.dumps({} if operation.name in _TYPED else marker(1)).encode()
    return door.ask(method, path, role, body, {"content-type": "application/json"})


@pytest.fixture(scope="module")
def looked_at() -> Iterator[Door]:
    with Door() as door:
        door.post(marker(1))
        door.log.publish()
        yield door


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_each_operation_lets_in_whom_it_should(looked_at: Door, operation: Operation) -> None:
    may = MAY[operation.name].split()
    for role in (None, *Role):
        reply = _ask(looked_at, operation, role)
        word = role or EVERYONE
        if word in may or (role and may == [EVERYONE]):
            assert reply.status not in {401, 403} or word == EVERYONE, (role, reply.body)
        else:
            assert reply.status == (403 if role else 401), (role, reply.body)


def test_anonymous_markers_are_refused_by_admission_and_not_at_the_door(door: Door) -> None:
    refused = door.post(marker(1), role=None)
    assert refused.status in {401, 403}
    batch = door.post([marker(1)], role=None)
    assert [result["code"] for result in batch.json["results"]] == [refused.json["code"]]


def test_every_operation_says_who_may() -> None:
    assert [each.name for each in OPERATIONS] == list(MAY)


def test_names_and_addresses_are_unique() -> None:
    assert len({each.name for each in OPERATIONS}) == len(OPERATIONS)
    assert len({(each.method, each.path) for each in OPERATIONS}) == len(OPERATIONS)


def test_no_address_is_answered_beside_the_table(door: Door) -> None:
    answered = {route.path for route in door.app._router.routes}  # type: ignore[attr-defined]
    assert answered == {each.path for each in OPERATIONS}
    for path in ("/v1", "/v1/markers/", "/docs", "/v1/markers/1/", "//", "/log/tile/0", "/v2"):
        assert door.ask("GET", path, Role.ADMIN).status == 404, path


def test_a_method_that_is_not_taken_is_answered_with_those_that_are(door: Door) -> None:
    refused = door.ask("PATCH", "/v1/markers", Role.ADMIN)
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, POST")
    assert door.ask("OPTIONS", "/v1/stream").headers["allow"] == "GET, HEAD"
    assert door.ask("GET", "/v1/details").headers["allow"] == "POST"


def test_a_head_says_what_a_get_would(looked_at: Door) -> None:
    got = looked_at.ask("GET", "/v1/markers/1", Role.READER)
    head = looked_at.ask("HEAD", "/v1/markers/1", Role.READER)
    assert (head.status, head.headers) == (got.status, got.headers)


def test_an_emitter_gets_its_own_receipts_and_no_other(looked_at: Door) -> None:
    assert looked_at.ask("GET", "/v1/markers/1/receipt", Role.EMITTER).status == 200
    other = looked_at.ask("GET", "/v1/markers/0/receipt", Role.EMITTER)
    assert (other.status, other.json["code"]) == (403, "forbidden")
    assert looked_at.ask("GET", "/v1/markers/0/receipt", Role.READER).status == 200


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_what_an_operation_answers_is_in_the_table(looked_at: Door, operation: Operation) -> None:
    document = looked_at.ask("GET", "/openapi.json").json
    path = operation.path.replace(":path", "")
    told = document["paths"][path][operation.method.lower()]["responses"]
    for role in (None, Role.ADMIN):
        reply = _ask(looked_at, operation, role)
        kinds = told[str(reply.status)].get("content", {"": None})
        kind = "" if reply.status == 204 else reply.headers["content-type"].partition(";")[0]
        assert kind in kinds, (role, reply)


def test_every_answer_carries_the_security_headers(looked_at: Door) -> None:
    for path in ("/", "/nix", "/v1/markers", "/log/tile/0/000.p/1", "/log/checkpoint"):
        said = looked_at.ask("GET", path, Role.READER).headers
        assert said["x-content-type-options"] == "nosniff", path
        assert said["referrer-policy"] == "no-referrer"
        assert said["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in said["content-security-policy"]
        assert "access-control-allow-origin" not in said
        assert "cache-control" in said


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        (Literal["1h", "6h"], "5y", "It is one of 1h, 6h."),
        (Role, "boss", "It is one of reader, emitter, operator, admin."),
        (DeploymentName, "d_!", "It is a deployment id, or one occurrence of it as `id~2`."),
        (Annotated[str, Meta(pattern="^a$")], "b", "It does not have the form that this needs."),
        (Annotated[int, Meta(ge=1)], "0", "Expected `int` >= 1."),
    ],
)
def test_a_parameter_that_is_refused_says_what_it_may_be(
    kind: object, text: str, wanted: str
) -> None:
    with pytest.raises(RequestError) as refused:
        _converted(Parameter("some", kind, "Something."), text)
    assert refused.value.message == f"The parameter 'some' is {text!r}: {wanted}"
