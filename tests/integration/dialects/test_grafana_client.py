"""grafana-client, as it comes from PyPI, with one URL changed."""

from pathlib import Path

import pytest
from dialect_server import DialectServer, dialect_server
from grafana_client import GrafanaApi, TokenAuth
from grafana_client.client import GrafanaClientError, GrafanaUnauthorizedError

_AT, _END = 1_795_000_000_000, 1_795_000_090_000
_TAGS = ["service:checkout", "env:prod", "version:2.31.0", "run:4711"]


def _grafana(server: DialectServer, token: str | None = None, *, basic: bool = False) -> GrafanaApi:
    secret = token or server.token
    return GrafanaApi.from_url(server.url, ("admin", secret) if basic else TokenAuth(secret))


def test_an_annotation_with_tags_is_a_deployment(server: DialectServer) -> None:
    annotations = _grafana(server).annotations

    added = annotations.add_annotation(time_from=_AT, tags=_TAGS, text="Released")

    assert added["message"] == "Annotation added"
    [marker] = server.markers()
    assert marker == {
        "service": "checkout",
        "environment": "prod",
        "version": "2.31.0",
        "action": "4711",
        "kind": "deployment",
        "phase": "applied",
        "timestamp": "2026-11-18T11:06:40.000Z",
        "reason": "Released",
        "emitter": {"kind": "gateway", "id": "grafana_annotations"},
        "labels": {
            "dialect": "grafana_annotations",
            **{f"tag.{number}": tag for number, tag in enumerate(_TAGS, 1)},
        },
    }
    entry = server.ask("GET", f"/v1/markers/{added['id']}")
    assert (entry["principal"], entry["assurance"]) == ("token:ci", "attributed")
    [deployment] = server.deployments()
    assert deployment["deployment_id"] == entry["ids"]["deployment_id"]
    assert deployment["state"] == "running"


def test_retries_and_jobs_that_run_again_are_one_deployment(server: DialectServer) -> None:
    annotations = _grafana(server, basic=True).annotations

    added = [
        annotations.add_annotation(time_from=_AT + number // 2, tags=_TAGS, text="Released")["id"]
        for number in range(4)
    ]

    assert len(set(added)) == 1
    assert len(server.markers()) == len(server.deployments()) == 1


def test_a_region_is_found_changed_and_taken_back(server: DialectServer) -> None:
    annotations = _grafana(server).annotations
    said = {"tags": _TAGS, "text": "Released"}
    added = annotations.add_annotation(time_from=_AT, time_to=_END, **said)["id"]
    other = annotations.add_annotation_graphite(what="Rebooted", tags=["ops"], when=_END // 1_000)

    assert [each["phase"] for each in server.markers()] == ["applying", "applied", "applied"]
    [found] = annotations.get_annotation(time_from=_AT, time_to=_END, tags=["env:prod"], limit=5)
    assert {name: found[name] for name in ("id", "time", "timeEnd", "text", "tags")} == {
        "id": added,
        "time": _AT,
        "timeEnd": _END,
        "text": "Released",
        "tags": _TAGS,
    }
    annotations.partial_update_annotation(added, time_to=_END + 5_000, tags=_TAGS, text="Late")
    annotations.update_annotation(other["id"], tags=["ops", "net"], text="Rebooted all")
    shown = annotations.get_annotation(tags=["ops"])
    assert [(each["id"], each["text"]) for each in shown] == [(other["id"], "Rebooted all")]
    [found] = annotations.get_annotation(tags=["env:prod"])
    assert (found["timeEnd"], found["text"]) == (_END + 5_000, "Late")

    assert annotations.delete_annotations_by_id(added) == {"message": "Annotation deleted"}
    assert [each["id"] for each in annotations.get_annotation()] == [other["id"]]
    assert len(server.markers()) == 3  # what was said stays in the log


def test_a_client_reads_why_it_is_refused(server: DialectServer) -> None:
    with pytest.raises(GrafanaUnauthorizedError):
        _grafana(server, "dm_nobody").annotations.add_annotation(text="x")
    narrow = server.new_token("narrow", services=["web"])
    with pytest.raises(GrafanaClientError, match="token:narrow may not say this: service"):
        _grafana(server, narrow).annotations.add_annotation(tags=_TAGS, text="Released")
    assert server.markers() == []


def test_a_text_is_mapped_by_the_configuration(tmp_path: Path) -> None:
    configuration = r"""
[dialects.grafana_annotations.tokens.ci]
defaults = {environment = "prod"}
patterns = [{text = '(?P<service>[-a-z]+) (?P<version>[0-9.]+) is out'}]
"""
    with dialect_server(tmp_path, configuration) as server:
        _grafana(server).annotations.add_annotation(time_from=_AT, text="checkout 2.31.0 is out")
        _grafana(server).annotations.add_annotation(time_from=_AT, text="The fair is open")

        mapped, other = server.markers()
    assert (mapped["service"], mapped["environment"], mapped["version"]) == (
        "checkout",
        "prod",
        "2.31.0",
    )
    assert (other["kind"], other["service"], other["reason"]) == (
        "infrastructure",
        "unmapped",
        "The fair is open",
    )
