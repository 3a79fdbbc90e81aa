"""The SDK of CloudEvents, as it comes from PyPI."""

import json
from datetime import UTC, datetime
from typing import Any

import requests
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from dialect_server import SECONDS, DialectServer

_DIGEST = "0b31b1c02ff458ad9b7b81cbdf8f028bd54699fa151f221d1e8de6817db93427"
_PURL = f"pkg:oci/checkout@sha256%3A{_DIGEST}?repository_url=registry.example.com/shop/checkout"

Json = dict[str, Any]


def _event(kind: str, number: int, content: Json, subject: str = "service/checkout") -> CloudEvent:
    """Return a CDEvent as producers wrap it."""
    named = f"dev.cdevents.{kind}.0.2.0"
    at = datetime(2026, 11, 23, 10, number, tzinfo=UTC)
    context = {
        "version": "0.4.1",
        "id": f"271069a8-{number}",
        "source": "/ci/acme",
        "type": named,
        "timestamp": at.isoformat(),
        "chainId": "4c8cb7dd",
    }
    told = {"context": context, "subject": {"id": subject, "content": content}}
    attributes = {
        "id": context["id"],
        "source": "/ci/acme",
        "type": named,
        "time": at,
        "datacontenttype": "application/json",
    }
    return CloudEvent({"specversion": "1.0", **attributes}, told)


def _send(server: DialectServer, message: HTTPMessage, token: str = "") -> requests.Response:
    headers = {**message.headers, "Authorization": f"Bearer {token or server.token}"}
    return requests.post(
        f"{server.url}/events", data=message.body, headers=headers, timeout=SECONDS
    )


def _deployed() -> CloudEvent:
    return _event("service.deployed", 1, {"environment": {"id": "prod"}, "artifactId": _PURL})


def test_an_event_in_every_mode_is_one_deployment(server: DialectServer) -> None:
    event = _deployed()
    batch = b"[%s,%s]" % (JSONFormat().write(event), JSONFormat().write(event))
    answers = [
        _send(server, to_structured_event(event)),
        _send(server, to_binary_event(event)),
        _send(server, HTTPMessage({"content-type": "application/cloudevents-batch+json"}, batch)),
    ]

    assert [each.status_code for each in answers] == [202, 202, 202]
    [marker] = server.markers()
    assert marker == {
        "service": "checkout",
        "environment": "prod",
        "artifact": {
            "name": "registry.example.com/shop/checkout",
            "digest": f"sha256:{_DIGEST}",
        },
        "action": "cdevents:4c8cb7dd",
        "kind": "deployment",
        "phase": "applied",
        "timestamp": "2026-11-23T10:01:00.000Z",
        "emitter": {"kind": "gateway", "id": "cloudevents"},
        "labels": {
            "dialect": "cloudevents",
            "sort": "service.deployed",
            "within": "/ci/acme",
            "event_id": "271069a8-1",
            "event_type": "dev.cdevents.service.deployed.0.2.0",
        },
    }
    [deployment] = server.deployments()
    assert {name: deployment[name] for name in ("service", "environment", "state")} == {
        "service": "checkout",
        "environment": "prod",
        "state": "running",
    }
    assert answers[2].json() == {"events": 2, "deployments": [deployment["deployment_id"]]}


def test_a_removal_ends_the_deployment(server: DialectServer) -> None:
    _send(server, to_structured_event(_deployed()))
    removed = _event("service.removed", 2, {"environment": {"id": "prod"}})
    answers = [_send(server, to_binary_event(removed)) for _ in range(2)]

    assert [each.status_code for each in answers] == [202, 202]
    assert [each["phase"] for each in server.markers()] == ["applied", "removed"]
    [deployment] = server.deployments()
    assert deployment["state"] == "removed"


def test_an_incident_is_told_from_its_start_to_its_end(server: DialectServer) -> None:
    about = {"environment": {"id": "prod"}, "service": {"id": "checkout"}}
    events = [
        _event("incident.detected", 3, {**about, "description": "It is slow"}, "incident-7"),
        _event("incident.resolved", 9, {**about, "description": "It is fast"}, "incident-7"),
    ]
    for event in [*events, *events]:
        assert _send(server, to_structured_event(event)).status_code == 202

    assert server.entries("incident") == [
        {
            "action": "opened",
            "incident_id": "incident-7",
            "services": ["checkout"],
            "environment": "prod",
            "title": "It is slow",
            "actor": "token:ci",
            "timestamp": "2026-11-23T10:03:00.000Z",
            "started_at": "2026-11-23T10:03:00.000Z",
        },
        {
            "action": "resolved",
            "incident_id": "incident-7",
            "services": ["checkout"],
            "environment": "prod",
            "title": "It is fast",
            "actor": "token:ci",
            "timestamp": "2026-11-23T10:09:00.000Z",
            "resolved_at": "2026-11-23T10:09:00.000Z",
        },
    ]


def test_whoever_asks_first_is_told_that_it_may_send(server: DialectServer) -> None:
    asked = {"WebHook-Request-Origin": "events.example.com", "WebHook-Request-Rate": "120"}
    answer = requests.options(f"{server.url}/events", headers=asked, timeout=SECONDS)

    assert answer.status_code == 200
    assert answer.headers["WebHook-Allowed-Origin"] == "events.example.com"
    assert answer.headers["WebHook-Allowed-Rate"] == "*"
    assert answer.headers["Allow"] == "OPTIONS, POST"
    assert (
        "WebHook-Allowed-Origin"
        not in requests.options(f"{server.url}/events", timeout=SECONDS).headers
    )


def test_a_sender_reads_why_it_is_refused(server: DialectServer) -> None:
    nobody = _send(server, to_structured_event(_deployed()), "dmk_nobody")
    assert nobody.status_code == 401
    narrow = server.new_token("narrow", services=["web"])
    refused = _send(server, to_structured_event(_deployed()), narrow)
    assert refused.status_code == 403
    assert "token:narrow may not say this: service" in refused.json()["error"]
    about = {"environment": {"id": "prod"}, "service": {"id": "checkout"}}
    incident = _event("incident.detected", 3, about, "incident-7")
    assert _send(server, to_structured_event(incident), narrow).status_code == 403
    half = json.dumps([json.loads(JSONFormat().write(_deployed())), {"id": "7"}]).encode()
    batch = HTTPMessage({"content-type": "application/cloudevents-batch+json"}, half)
    assert "Event 1 of the batch" in _send(server, batch).json()["error"]
    assert server.markers() == []
