"""How the broker is asked: pages, filters, names, and what it refuses."""

import pathlib
from collections.abc import Iterator

import msgspec
import pytest
from projected_log import Projected, digest, leaf_of, marker
from sqlalchemy import event

from deploymark.errors import NotFoundError, QueryError
from deploymark.model.ids import deployment_id
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf
from deploymark.model.vocabulary import AMENDMENT, DECISION, VERDICT
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.questions import DeploymentQuery, FindingQuery, InstanceQuery
from deploymark.projections.broker.rulings import MAX_RULINGS
from deploymark.projections.broker.view import BrokerView
from deploymark.server.parameters import _Cursor
from deploymark.testing.clock import START_MS

ONE = digest("one")
AT = format_instant(START_MS)


@pytest.fixture
def log(tmp_path: pathlib.Path) -> Iterator[Projected]:
    projected = Projected(tmp_path, views=[BrokerView()])
    yield projected
    projected.views.close()


def _deploy(log: Projected, count: int) -> None:
    log.add(
        *[
            leaf_of(marker(n, emitter={"kind": "ci"}), received_at_ms=START_MS + 1_000 * n)
            for n in range(count)
        ]
    )


def test_pages_hold_every_deployment_once_and_the_newest_first(log: Projected) -> None:
    _deploy(log, 25)
    query = BrokerQuery(log.views)
    seen: list[str] = []
    cursor = None
    while True:
        page = query.deployments(DeploymentQuery(limit=4, cursor=cursor))
        seen += [each["version"] for each in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        _deploy(log, 1)  # what comes meanwhile moves no page
    assert seen == [f"1.{n}" for n in reversed(range(25))]


def test_a_long_page_asks_the_database_no_more_often_than_a_short_one(log: Projected) -> None:
    _deploy(log, 40)
    query = BrokerQuery(log.views)
    asked: list[str] = []
    event.listen(
        log.views.engine, "before_cursor_execute", lambda *given: asked.append(str(given[2]))
    )
    query.deployments(DeploymentQuery(limit=1))
    few = len(asked)
    query.deployments(DeploymentQuery(limit=40))
    assert len(asked) == 2 * few


def test_a_cursor_belongs_to_its_query(log: Projected) -> None:
    _deploy(log, 5)
    query = BrokerQuery(log.views)
    cursor = query.deployments(DeploymentQuery(limit=2)).next_cursor
    with pytest.raises(QueryError, match="another query"):
        query.deployments(DeploymentQuery(service=("a",), cursor=cursor))
    with pytest.raises(QueryError, match="no cursor"):
        query.deployments(DeploymentQuery(cursor="x"))


def test_filters_are_checked_before_anything_is_read(log: Projected) -> None:
    query = BrokerQuery(log.views)
    for asked in (
        DeploymentQuery(state=("done",)),
        DeploymentQuery(kind=("code",)),
        DeploymentQuery(since="yesterday"),
        DeploymentQuery(limit=0),
    ):
        with pytest.raises(QueryError):
            query.deployments(asked)
    with pytest.raises(QueryError):
        query.instances(InstanceQuery(status=("fine",)))
    with pytest.raises(QueryError):
        query.findings(FindingQuery(code=("trouble",)))
    log.add(leaf_of(marker(0)))
    with pytest.raises(QueryError):
        query.findings(FindingQuery(deployment_id=("?",)))


def test_deployments_are_found_by_what_they_are(log: Projected) -> None:
    _deploy(log, 6)
    log.add(leaf_of(marker(9, phase="failed"), received_at_ms=START_MS + 60_000))
    query = BrokerQuery(log.views)
    found = query.deployments(DeploymentQuery(state=("failed",))).items
    assert [each["version"] for each in found] == ["1.9"]
    found = query.deployments(DeploymentQuery(service=("service-1",), state=("running",))).items
    assert [each["version"] for each in found] == ["1.4"]
    late = query.deployments(DeploymentQuery(since=found[0]["opened_at"])).items
    assert len(late) == 3


def test_a_deployment_comes_before_those_that_only_gave_its_id(log: Projected) -> None:
    own = deployment_id("pay", "prod", ONE, "run-1")
    evil = marker(0, service="evil", deployment_id=own)
    mine = marker(1, service="pay", action="run-1", artifact={"digest": ONE})
    log.add(leaf_of(evil), leaf_of(mine, occurrence=2, received_at_ms=START_MS + 1_000))
    query = BrokerQuery(log.views)
    shown = query.deployment(own)
    assert (shown["service"], shown["occurrence"]) == ("pay", 2)
    assert [each["service"] for each in shown["changes"]] == ["evil"]
    assert query.deployment(f"{own}~1")["service"] == "evil"
    with pytest.raises(NotFoundError):
        query.deployment(f"{own}~3")
    with pytest.raises(NotFoundError):
        query.deployment("d-nothing")


def test_whose_id_it_is_follows_from_what_was_said_first(log: Projected) -> None:
    own = deployment_id("pay", "prod", "version:1.1", "run-1")
    mine = marker(1, service="pay", version="1.1", action="run-1")
    evil = marker(0, service="evil", deployment_id=own)
    amendment = {"index": 0, "changes": {"/version": "2"}, "reason": "r", "timestamp": AT}
    log.add(
        leaf_of(mine),
        leaf_of(evil, occurrence=2, received_at_ms=START_MS + 1_000),
        leaf_of(amendment, AMENDMENT),
    )
    shown = BrokerQuery(log.views).deployment(own)
    assert (shown["service"], shown["version"]) == ("pay", "2")
    assert [each["service"] for each in shown["changes"]] == ["evil"]


def _decision(name: str, environment: str, look: int) -> Leaf:
    stated = {"action": "pause", "stage": "decided", "actor": "policy", "verdict_index": look}
    at = {"timestamp": "2026-11-18T11:06:51.000Z", "environment": environment}
    return leaf_of({**stated, **at, "deployment_id": name}, DECISION)


def test_what_was_decided_of_a_later_occurrence_hides_nothing_of_an_earlier_one(
    log: Projected,
) -> None:
    _deploy(log, 1)
    query = BrokerQuery(log.views)
    (one,) = query.deployments(DeploymentQuery()).items
    name, environment = one["deployment_id"], one["environment"]
    log.add(_decision(f"{name}~1", environment, 7))
    log.add(*[_decision(f"{name}~2", environment, look) for look in range(MAX_RULINGS)])
    log.add(*[_decision(f"{name}~1", "elsewhere", look) for look in range(MAX_RULINGS)])
    assert [each["verdict_index"] for each in query.deployment(name)["decisions"]] == [7]
    log.add(*[_decision(name, environment, look) for look in range(MAX_RULINGS + 1)])
    shown = [each["verdict_index"] for each in query.deployment(name)["decisions"]]
    assert shown == [*range(MAX_RULINGS, 0, -1)]


def test_a_deployment_is_shown_with_what_was_judged_and_decided_about_it(log: Projected) -> None:
    _deploy(log, 2)
    query = BrokerQuery(log.views)
    one, other = query.deployments(DeploymentQuery()).items
    assert one["verdicts"] == one["decisions"] == []
    name = one["deployment_id"]
    here = {"service": one["service"], "environment": one["environment"]}
    judged = {
        **here,
        "result": "fail",
        "advice": "pause",
        "look": 1,
        "score": 3,
        "inputs_digest": f"sha256:{'1' * 64}",
        "judge": "judge/1",
        "timestamp": "2026-11-18T11:06:50.000Z",
    }
    decided = {
        **here,
        "action": "pause",
        "stage": "decided",
        "actor": "policy",
        "timestamp": "2026-11-18T11:06:51.000Z",
    }
    elsewhere = {"environment": "elsewhere"}
    log.add(
        leaf_of({**judged, "deployment_id": f"{name}~1"}, VERDICT),
        leaf_of({**judged, "deployment_id": f"{name}~1", "look": 2}, VERDICT),
        leaf_of({**judged, "deployment_id": f"{name}~2"}, VERDICT),
        leaf_of({**judged, **elsewhere, "deployment_id": f"{name}~1"}, VERDICT),
        leaf_of({**decided, "deployment_id": name, "verdict_index": 2}, DECISION),
        leaf_of({**decided, "action": "freeze"}, DECISION),
    )
    shown = query.deployment(name)
    assert [each["look"] for each in shown["verdicts"]] == [2, 1]
    assert shown["verdicts"][1]["index"] == 2
    assert [each["verdict_index"] for each in shown["decisions"]] == [2]
    assert query.deployment(other["deployment_id"])["verdicts"] == []


def test_the_cursor_behind_the_longest_names_can_be_sent(log: Projected) -> None:
    names = {"service": "\u001b" * 256, "environment": "\u001b" * 256}
    log.add(
        *[
            leaf_of(marker(n, **names, target={"instance_uid": f"{n}" * 256}, phase="running"))
            for n in range(3)
        ]
    )
    query = BrokerQuery(log.views)
    for cursor in (
        query.deployments(DeploymentQuery(limit=1)).next_cursor,
        query.instances(InstanceQuery(limit=1)).next_cursor,
    ):
        assert cursor is not None
        assert msgspec.convert(cursor, _Cursor) == cursor
