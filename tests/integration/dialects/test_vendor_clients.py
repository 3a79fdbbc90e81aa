"""Clients of Datadog, PagerDuty and New Relic, as they come from PyPI, at another address."""

import subprocess
from pathlib import Path
from typing import Any

import pagerduty
import pytest
from datadog import api
from datadog.api.events import Event
from datadog.api.exceptions import ApiError
from dialect_server import BIN, SECONDS, DialectServer, dialect_server, plain_environment
from tls_front import tls_front

_TIMESTAMP = "2026-11-18T11:06:40.000000+00:00Z"  # as PagerDuty's libraries write it
_EVENT: dict[str, Any] = {
    "title": "Released",
    "text": "Version 7",
    "tags": ["service:cart", "env:prod", "version:7"],
    "date_happened": 1_795_000_000,
}


@pytest.fixture
def datadog(server: DialectServer, monkeypatch: pytest.MonkeyPatch) -> DialectServer:
    """Return a server to which Datadog's library for Python talks."""
    monkeypatch.setattr(api, "_api_host", server.url)
    monkeypatch.setattr(api, "_api_key", server.token)
    monkeypatch.setattr(api, "_application_key", None)
    monkeypatch.setattr(api, "_mute", False)
    return server


def test_an_event_of_datadogs_library_is_a_deployment(datadog: DialectServer) -> None:
    told = [Event.create(**_EVENT)["event"]["id"] for _ in range(2)]

    [marker] = datadog.markers()
    assert {name: marker[name] for name in ("service", "environment", "version", "kind")} == {
        "service": "cart",
        "environment": "prod",
        "version": "7",
        "kind": "deployment",
    }
    assert len(set(told)) == 1
    shown = Event.get(told[0])["event"]
    assert (shown["title"], shown["text"], shown["tags"]) == (
        _EVENT["title"],
        _EVENT["text"],
        _EVENT["tags"],
    )
    found = Event.query(start=1_794_999_999, end=1_795_000_001)["events"]
    assert [each["id"] for each in found] == [told[0]]


def test_datadogs_library_reads_why_it_is_refused(
    datadog: DialectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "_api_key", datadog.new_token("narrow", services=["web"]))
    with pytest.raises(ApiError, match="token:narrow may not say this: service"):
        Event.create(**_EVENT)


def test_a_change_event_of_pagerdutys_library_is_a_deployment(
    server: DialectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    details: Any = {"service": "cart", "env": "prod", "version": "7", "run": 4711}
    with tls_front(server.url, "localhost", server.place) as front:
        monkeypatch.setenv("SSL_CERT_FILE", str(front.certificate))
        address = f"https://127.0.0.1:{front.port}"
        with pagerduty.EventsApiV2Client(server.token, base_url=address) as client:
            for _ in range(2):
                # Without a timestamp this release fails by itself, before it sends anything.
                client.submit(
                    "Released 7", source="ci", custom_details=details, timestamp=_TIMESTAMP
                )

    [marker] = server.markers()
    assert (marker["service"], marker["version"], marker["action"]) == ("cart", "7", "4711")
    assert (marker["reason"], marker["labels"]["source"]) == ("Released 7", "ci")
    assert marker["timestamp"] == "2026-11-18T11:06:40.000Z"


def test_new_relics_agent_records_a_deployment(tmp_path: Path) -> None:
    configuration = """
[dialects.newrelic_deployments.tokens.ci]
defaults = {environment = "prod"}
"""
    with (
        dialect_server(tmp_path, configuration) as server,
        tls_front(server.url, "localhost", tmp_path) as front,
    ):
        (tmp_path / "newrelic.ini").write_text("[newrelic]\napp_name = My checkout\n")
        told = {
            "NEW_RELIC_HOST": "127.0.0.1",
            "NEW_RELIC_PORT": str(front.port),
            "NEW_RELIC_API_KEY": server.token,
            "NEW_RELIC_CA_BUNDLE_PATH": str(front.certificate),
        }
        for _ in range(2):
            done = subprocess.run(
                [
                    *(BIN / "newrelic-admin", "record-deploy", "newrelic.ini", "Released"),
                    *("2.31.0", "Correct the sum", "ann"),
                ],
                cwd=tmp_path,
                env=plain_environment(tmp_path, told),
                capture_output=True,
                encoding="utf-8",
                timeout=SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

        [marker] = server.markers()
        [deployment] = server.deployments()
    assert {name: marker[name] for name in ("service", "environment", "version", "deployer")} == {
        "service": "My checkout",
        "environment": "prod",
        "version": "2.31.0",
        "deployer": "ann",
    }
    assert marker["reason"] == "Released\n\nCorrect the sum"
    assert deployment["state"] == "running"
