"""What would become of a captured request, as a server makes it; and where its fields come from."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest

from deploymark.errors import UsageError
from deploymark.ingest.privacy import PrivacyRules
from deploymark.model.mapping import Pattern, TextMapping
from deploymark.ports import Dialect, ForeignRequest, Write
from deploymark.runtime.dialects import all_dialects, mappings_of
from deploymark.server.dialects.understanding import Origin, Understood, route_of, understood
from deploymark.testing.dialect import call_of, read_stories
from deploymark.testing.dialect_bench import Call, in_json, open_bench
from deploymark.testing.dialect_bench import route_of as told_route

_GOLDEN = Path(__file__).parents[2] / "golden" / "dialects"
_MOUNTED = mappings_of({})
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _understood(call: Call, mapping: TextMapping | None = None) -> Understood:
    path, _, query = call.path.partition("?")
    mounted, route, parameters = route_of(_MOUNTED, call.method, unquote(path))
    form = "form" in call.headers.get("content-type", "")
    request = ForeignRequest(
        method=call.method,
        path=parameters,
        query=tuple(parse_qsl(query, keep_blank_values=True)),
        headers=call.headers,
        body=call.body,
        form=dict(parse_qsl(call.body.decode())) if form else {},
        received_ms=1_790_000_000_000,
        mapping=mapping or TextMapping(),
    )
    return understood(mounted, route, request, PrivacyRules())


_SAYING = [each for each in all_dialects() if any(isinstance(r.does, Write) for r in each.routes)]


@pytest.mark.parametrize("dialect", _SAYING, ids=lambda each: each.name)
def test_it_understands_what_a_server_writes_down(dialect: Dialect) -> None:
    compared = 0
    for steps in read_stories(_GOLDEN / dialect.name).values():
        calls = [call_of(step) for step in steps]
        call = next((c for c in calls if isinstance(told_route(dialect, c).does, Write)), None)
        if call is None:
            continue
        with open_bench(dialect) as bench:
            since = bench.size
            status = bench.ask(call).status
            written = [each for each in bench.entries(since) if each["type"] == "marker"]
        found = _understood(call)
        assert found.dialect == dialect.name
        assert (found.refused or any(each.refused for each in found.markers)) == (status >= 400)
        for marker, entry in zip(found.markers, written, strict=status < 400):
            if marker.fields.get("revision") != entry["marker"].get("revision"):
                continue  # it hashes the minute, where the request claims none
            assert marker.deployment_id == entry["ids"]["deployment_id"]
            assert marker.marker_id == entry["ids"]["marker_id"]
            compared += 1
    assert compared


def _annotated(text: str, *tags: str) -> Call:
    return in_json("POST", "/api/annotations", {"text": text, "tags": tags, "time": 10**12})


def test_it_says_where_each_field_comes_from() -> None:
    mapping = TextMapping(
        defaults={"owner": "team:a", "environment": "unused"},
        patterns=(Pattern(text="Deployed (?P<version>[0-9.]+)"),),
    )
    (marker,) = _understood(
        _annotated("Deployed 1.2 for me", "service:web", "env:prod"), mapping
    ).markers
    origins = marker.origins
    assert origins["service"] == origins["environment"] == Origin.TAG
    assert (origins["version"], origins["owner"]) == (Origin.PATTERN, Origin.DEFAULT)
    assert origins["phase"] == Origin.GUESS
    assert origins["emitter"] == Origin.GATEWAY
    assert marker.unmapped == []


def test_what_a_request_states_is_told_from_what_a_dialect_guesses() -> None:
    body = {"environment": "prod", "sha": _COMMIT, "ref": "main", "status": "success"}
    call = in_json("POST", "/api/v4/projects/acme%2Fshop/deployments", body)
    (marker,) = _understood(call).markers
    assert marker.fields["service"] == "shop"
    assert marker.origins["service"] == Origin.GUESS
    assert marker.origins["environment"] == marker.origins["commit_hash"] == Origin.STATED


def test_it_says_what_a_mapping_could_say() -> None:
    found = _understood(_annotated("Rebooted", "env:prod"))
    (marker,) = found.markers
    assert marker.unmapped == ["service", "version"]
    assert list(found.wanted) == ["service", "version"]
    assert marker.origins["service"] == Origin.NOBODY


def test_it_says_what_keeps_a_request_from_being_taken_and_which_default_would_mend_it() -> None:
    call = in_json("POST", "/api/v4/projects/7/deployments", {"sha": _COMMIT})
    found = _understood(call)
    assert found.refused
    assert "environment is missing" in found.says
    assert list(found.wanted) == ["environment"]


def test_what_is_personal_is_kept_beside_the_marker() -> None:
    (marker,) = _understood(_annotated("ask ann@example.org", "service:web")).markers
    assert "reason" not in marker.fields
    assert marker.beside == {"text": "ask ann@example.org"}


@pytest.mark.parametrize(
    ("method", "path", "says"),
    [
        ("GET", "/api/annotations", "only reads"),
        ("PUT", "/api/annotations/5", "corrects what was told before"),
        ("POST", "/api/v2/deployments/gates/evaluation", "asks the gate"),
    ],
)
def test_what_makes_no_marker_is_said_to(method: str, path: str, says: str) -> None:
    found = _understood(in_json(method, path, {"text": "x"}))
    assert says in found.says
    assert not found.refused
    assert not found.markers


def test_an_address_is_found_by_its_method_and_one_that_is_none_is_refused() -> None:
    path = "/api/v4/projects/1/deploys"
    assert route_of(_MOUNTED, "POST", path)[0].dialect.name == "airbrake_deploys"
    assert route_of(_MOUNTED, "GET", path)[0].dialect.name == "gitlab_deployments"
    with pytest.raises(UsageError, match="takes POST, and not PUT"):
        route_of(_MOUNTED, "PUT", "/v2/change/enqueue")
    with pytest.raises(UsageError, match="No dialect takes"):
        route_of(_MOUNTED, "POST", "/nowhere")


def test_a_hostile_body_is_refused_and_no_more() -> None:
    body: Any = [[]]
    found = _understood(in_json("POST", "/api/annotations", body))
    assert found.refused
    assert "not a JSON object" in found.says
