"""Webhooks that come in any order, again, and for nobody: what golden files cannot tell of now."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploymark.integrations.argocd_notifications import DIALECT as ARGOCD
from deploymark.integrations.cloudevents import DIALECT as CLOUDEVENTS
from deploymark.integrations.flux_events import DIALECT as FLUX
from deploymark.integrations.gitlab_deployments import DIALECT as GITLAB
from deploymark.ports import Dialect
from deploymark.testing.dialect_bench import Call, in_json, open_bench

_SHA = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1"


def _argocd(phase: str, at: str) -> Call:
    said = {"application": "web", "environment": "prod", "revision": _SHA, "started_at": at}
    words = {"applying": "Running", "failed": "Failed", "applied": "Succeeded"}
    return in_json("POST", "/hooks/argocd", {**said, "phase": words[phase], "finished_at": at})


def _flux(phase: str, at: str) -> Call:
    words = {
        "applying": "Progressing",
        "failed": "HealthCheckFailed",
        "applied": "ReconciliationSucceeded",
    }
    said: dict[str, Any] = {
        "involvedObject": {"kind": "Kustomization", "namespace": "apps", "name": "web"},
        "severity": "error" if phase == "failed" else "info",
        "reason": words[phase],
        "timestamp": at,
        "metadata": {"revision": f"main@sha1:{_SHA}", "env": "prod"},
    }
    return in_json("POST", "/hooks/flux", said)


def _gitlab(phase: str, at: str) -> Call:
    words = {"applying": "running", "failed": "failed", "applied": "success"}
    said = {
        "object_kind": "deployment",
        "status": words[phase],
        "status_changed_at": at,
        "environment": "prod",
        "project": {"path_with_namespace": "acme/web"},
        "short_sha": _SHA[:8],
    }
    return in_json("POST", "/hooks/gitlab", said)


@pytest.mark.parametrize("end", ["applied", "failed"])
@pytest.mark.parametrize(
    ("dialect", "told"),
    [(ARGOCD, _argocd), (FLUX, _flux), (GITLAB, _gitlab)],
    ids=lambda each: getattr(each, "name", ""),
)
def test_an_end_before_its_start_is_one_deployment(dialect: Dialect, told: Any, end: str) -> None:  # noqa: ANN401 - a builder of calls
    now = datetime.now(UTC).replace(microsecond=0)
    began, ended = (now - timedelta(seconds=20)).isoformat(), now.isoformat()
    with open_bench(dialect) as bench:
        for call in (told(end, ended), told("applying", began), told(end, ended)):
            assert bench.ask(call).status < 300
        assert [each["marker"]["phase"] for each in bench.entries(1)] == [end, "applying"]
        [only] = bench.deployments()
    assert only.endswith("~1")


def test_a_deployment_that_was_replaced_is_not_deployed_anew_by_an_old_delivery() -> None:
    old, new = "2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z"
    with open_bench(ARGOCD) as bench:
        first = _argocd("applied", old)
        bench.ask(first)
        other = in_json(
            "POST",
            "/hooks/argocd",
            {
                "application": "web",
                "environment": "prod",
                "revision": _SHA[::-1],
                "phase": "Succeeded",
                "finished_at": new,
            },
        )
        bench.ask(other)
        size = bench.size
        assert bench.ask(first).status == 200
        assert bench.size == size


def test_nobody_makes_the_server_read_a_body() -> None:
    with open_bench(CLOUDEVENTS) as bench:
        call = Call(method="OPTIONS", path="/events", body=b"x" * 2_000_000)
        assert bench.ask(call).status == 200
        post = Call(method="POST", path="/events", body=b"x" * 2_000_000)
        assert bench.ask(post).status == 413
