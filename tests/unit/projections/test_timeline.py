"""The timeline: what happened, when, and to which deployment it belongs."""

import pathlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from broker_markers import (
    HOUR,
    MINUTE,
    Fields,
    ci,
    digest_of,
    gone,
    id_of,
    orchestrated,
    own_id,
    pod,
    stated,
)
from msgspec import structs
from projected_log import Projected, append, leaf_of

from deploymark.errors import QueryError
from deploymark.model.instants import format_instant
from deploymark.model.leaf import encode_leaf
from deploymark.model.vocabulary import DECISION, FINDING, INCIDENT, VERDICT
from deploymark.projections.broker.run import MAX_JOINS
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.expectations import Expectations, ExpectedService
from deploymark.projections.timeline import MAX_TEXT, TimelineView
from deploymark.projections.timeline_query import Timeline, TimelineQuery
from deploymark.testing.clock import START_MS

Item = dict[str, Any]


class Told:
    """A log, its timeline, and the broker beside it."""

    def __init__(self, folder: pathlib.Path, expectations: Expectations | None = None) -> None:
        self.log = Projected(folder, views=[BrokerView(expectations), TimelineView(expectations)])
        self.timeline = Timeline(self.log.views)

    def say(self, fields: Fields, at: float, *, received: float | None = None, **more: Any) -> None:  # noqa: ANN401 - of a leaf
        """Let something be said, claimed and received at these seconds."""
        came = START_MS + int(1_000 * (at if received is None else received))
        said = {"timestamp": format_instant(START_MS + int(1_000 * at)), **fields}
        append(self.log.store, [encode_leaf(leaf_of(said, received_at_ms=came, **more))], [came])
        self.log.runner.catch_up()

    def ask(self, **asked: Any) -> list[Item]:  # noqa: ANN401 - any filter
        """Return the items of all pages."""
        query = TimelineQuery(**asked)
        items: list[Item] = []
        while True:
            page = self.timeline.events(query)
            items += page.items
            if page.next_cursor is None:
                return items
            query = structs.replace(query, cursor=page.next_cursor)

    def events(self, **asked: Any) -> list[str]:  # noqa: ANN401 - any filter
        return [item["event"] for item in self.ask(**asked)]


@pytest.fixture
def told(tmp_path: pathlib.Path) -> Iterator[Told]:
    found = Told(tmp_path)
    yield found
    found.log.close()


def finding(state: str = "opened", **more: object) -> Fields:
    return stated(
        {
            "code": "rollout_partial",
            "state": state,
            "severity": "warning",
            "message": "It is not live in ap.",
            "service": "checkout",
            "environment": "prod",
            **more,
        }
    )


def verdict(deployment: str) -> Fields:
    return {
        "deployment_id": deployment,
        "service": "checkout",
        "environment": "prod",
        "result": "fail",
        "advice": "roll_back",
        "look": 1,
        "score": 3,
        "inputs_digest": digest_of("inputs"),
        "judge": "judge/1",
        "reasons": ["errors"],
    }


def decision(deployment: str) -> Fields:
    return {
        "action": "roll_back",
        "stage": "executed",
        "environment": "prod",
        "service": "checkout",
        "actor": "policy",
        "deployment_id": deployment,
        "target_deployment_id": "d-before",
        "outcome": "succeeded",
        "reason": "errors",
    }


# What stands in it -------------------------------------------------------------------------------


def test_what_is_told_last_happened_first_when_its_clock_says_so(told: Told) -> None:
    told.say(ci("applied", "v2"), at=40)
    told.say(ci("failed", "v1"), at=10, received=50)
    assert told.events() == ["applied", "failed"]
    assert told.ask()[1]["at"] == format_instant(START_MS + 10_000)


def test_a_claim_that_cannot_be_right_is_placed_by_when_it_came(told: Told) -> None:
    told.say(ci("planned"), at=HOUR, received=0)
    told.say(ci("applied"), at=0, received=HOUR)
    assert [item["at"] for item in told.ask()] == [
        format_instant(START_MS + 1_000 * HOUR),
        format_instant(START_MS),
    ]


def test_instances_that_come_and_go_are_no_events(told: Told) -> None:
    told.say(pod("uid-1"), at=0)
    told.say(gone("uid-1"), at=1)
    told.say(ci("removed", place="eu"), at=2)
    assert told.events() == ["removed"]


def test_what_a_person_asks_for_is_asked_and_an_approval_is_one(told: Told) -> None:
    for at, action in ((70, "roll_back"), (80, "approve")):
        said = {**decision("d-some~1"), "action": action, "stage": "approved"}
        del said["outcome"]
        told.say(said, at=at, payload_type=DECISION)
    assert told.events() == ["approve approved", "roll_back asked"]


def test_verdicts_decisions_incidents_and_findings_stand_beside_markers(told: Told) -> None:
    name = id_of(ci("planned"))
    told.say(ci("planned", version="2.31.0", reason="hotfix"), at=0)
    told.say(verdict(f"{name}~1"), at=60, payload_type=VERDICT)
    told.say(decision(f"{name}~1"), at=70, payload_type=DECISION)
    told.say(finding(), at=80, payload_type=FINDING)
    told.say(finding("closed"), at=90, payload_type=FINDING)
    incident = {"incident_id": "inc-1", "severity": "sev1", "title": "Carts are lost"}
    here = {"environment": "prod", "action": "opened"}
    told.say({**incident, **here, "services": ["checkout"]}, at=100, payload_type=INCIDENT)
    told.say({**incident, **here, "services": ["a", "b"]}, at=110, payload_type=INCIDENT)
    shown = [
        (item["type"], item["event"], item["service"], item["text"]) for item in told.ask()[::-1]
    ]
    assert shown == [
        ("marker", "planned", "checkout", "2.31.0 (hotfix)"),
        ("verdict", "fail", "checkout", "score 3, advice roll_back (errors)"),
        ("decision", "roll_back executed", "checkout", "by policy to d-before succeeded (errors)"),
        ("finding", "opened", "checkout", "rollout_partial: It is not live in ap."),
        ("finding", "closed", "checkout", "rollout_partial: It is not live in ap."),
        ("incident", "opened", "checkout", "inc-1 Carts are lost"),
        ("incident", "opened", None, "inc-1 Carts are lost (a, b)"),
    ]
    assert [item["type"] for item in told.ask(deployment_id=(name,))] == [
        "decision",
        "verdict",
        "marker",
    ]


def test_a_canary_says_how_far_it_is_and_a_flag_which_it_is(told: Told) -> None:
    told.say(ci("applied", weight=5.0), at=0)
    told.say(ci("applied", kind="feature_flag", key="dark", revision="on"), at=1)
    told.say(ci("applied", version="x" * 255, reason="y" * 255), at=2)
    long, flag, canary = [item["text"] for item in told.ask()]
    assert canary.endswith(" at 5 %")
    assert flag == "feature_flag dark on"
    assert (len(long), long[-1]) == (MAX_TEXT, "…")


def test_other_entries_are_no_events(told: Told) -> None:
    said = {"index": 0, "reason": "wrong"}
    told.say(said, at=0, payload_type=VERDICT.replace("verdict", "retraction"))
    assert told.ask() == []
    assert told.timeline.events(TimelineQuery()).as_of == 1


# Which deployment --------------------------------------------------------------------------------


def test_a_joined_word_is_shown_with_the_deployment_that_it_was_joined_to(told: Told) -> None:
    told.say(ci("planned", place="eu"), at=0)
    told.say(orchestrated("applied", place="eu"), at=MINUTE)
    name = id_of(ci("planned"))
    applied, planned = told.ask()
    assert (applied["deployment_id"], applied["occurrence"], applied["rule"]) == (name, 1, "digest")
    assert applied["filed_as"] == f"{own_id('v1')}~1"
    assert (planned["rule"], planned["filed_as"]) == ("derived", f"{name}~1")
    for asked in (name, f"{name}~1"):
        assert told.events(deployment_id=(asked,)) == ["applied", "planned"]
    # Under the id of no deployment stands only what was joined elsewhere.
    assert told.events(deployment_id=(own_id("v1"),)) == []
    assert told.events(deployment_id=(f"{name}~2",)) == []


def test_intent_that_comes_later_takes_what_nobody_had_announced(told: Told) -> None:
    told.say(orchestrated("applied", place="eu"), at=0)
    assert [item["deployment_id"] for item in told.ask()] == [own_id("v1")]
    told.say(ci("planned", place="eu"), at=MINUTE)
    name = id_of(ci("planned"))
    assert {item["deployment_id"] for item in told.ask()} == {name}
    for asked in (name, own_id("v1")):  # which is an alias now
        assert told.events(deployment_id=(asked,)) == ["planned", "applied"]


def test_the_id_of_a_commit_is_another_name_of_that_of_its_digest(told: Told) -> None:
    by_commit = ci("planned", artifact=None)
    told.say(by_commit, at=0)
    told.say(ci("applied"), at=MINUTE)
    assert {item["deployment_id"] for item in told.ask()} == {id_of(ci("applied"))}
    assert told.events(deployment_id=(id_of(by_commit),)) == ["applied", "planned"]
    told.say(verdict(id_of(by_commit)), at=2 * MINUTE, payload_type=VERDICT)
    shown = told.ask(type=("verdict",))[0]
    assert (shown["deployment_id"], shown["occurrence"]) == (id_of(ci("applied")), None)
    assert shown["filed_as"] == id_of(by_commit)


def test_a_join_that_the_broker_lists_no_longer_is_shown_as_filed(told: Told) -> None:
    told.say(ci("applied", place="eu"), at=0)
    for number in range(MAX_JOINS):
        told.say(orchestrated("applying", place="eu"), at=1 + number)
    first, *_, last = told.ask()[::-1]
    assert first["rule"] == "derived"
    assert (last["rule"], last["deployment_id"]) == (None, own_id("v1"))


def test_occurrences_are_told_apart(told: Told) -> None:
    told.say(ci("applied"), at=0)
    told.say(ci("failed"), at=10)
    told.say(ci("applied"), at=20, occurrence=2)
    name = id_of(ci("applied"))
    assert told.events(deployment_id=(f"{name}~1",)) == ["failed", "applied"]
    assert told.events(deployment_id=(f"{name}~2",)) == ["applied"]


def test_a_service_has_the_name_that_the_configuration_gives_it(tmp_path: pathlib.Path) -> None:
    named = Expectations({"checkout": ExpectedService(workloads=("deploy/shop*",))})
    told = Told(tmp_path, named)
    seen = orchestrated("applied", service="shop", place={"workload": "deploy/shop-1"})
    told.say(ci("planned"), at=0)
    told.say(seen, at=1)
    assert [item["service"] for item in told.ask()] == ["checkout", "checkout"]
    assert {item["deployment_id"] for item in told.ask()} == {id_of(ci("planned"))}
    assert TimelineView(named).version != TimelineView().version
    told.log.close()


# How it is asked ---------------------------------------------------------------------------------


def test_events_are_found_by_what_they_are(told: Told) -> None:
    told.say(ci("planned", place="eu"), at=0)
    told.say(ci("applied", "v2", place={"cluster": "us", "region": "us-1"}), at=60)
    told.say(ci("failed", environment="test", service="other"), at=120)
    told.say(ci("applied", kind="config", key="k", service="other"), at=180)
    told.say(finding(), at=240, payload_type=FINDING)
    asked: dict[str, tuple[dict[str, Any], list[str]]] = {
        "service": ({"service": ("other",)}, ["applied", "failed"]),
        "services": ({"service": ("other", "none")}, ["applied", "failed"]),
        "environment": ({"environment": ("test",)}, ["failed"]),
        "kind": ({"kind": ("config",)}, ["applied"]),
        "phase": ({"phase": ("planned", "failed")}, ["failed", "planned"]),
        "type": ({"type": ("finding",)}, ["opened"]),
        "types": ({"type": ("finding", "marker"), "phase": ("failed",)}, ["failed"]),
        "no marker": ({"type": ("finding",), "phase": ("failed",)}, []),
        "cluster": ({"cluster": ("us",)}, ["applied"]),
        "since": ({"since": format_instant(START_MS + 180_000)}, ["opened", "applied"]),
        "until": ({"until": format_instant(START_MS + 60_000)}, ["planned"]),
    }
    for name, (filters, events) in asked.items():
        assert told.events(**filters) == events, name


def test_pages_hold_every_event_once_while_others_come(told: Told) -> None:
    for number in range(11):
        told.say(ci("applied", f"v{number}", version=str(number)), at=number // 2)
    seen: list[str] = []
    cursor = None
    while True:
        page = told.timeline.events(TimelineQuery(limit=3, cursor=cursor))
        seen += [item["text"] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        told.say(ci("applied", f"new {len(seen)}"), at=100 + len(seen))
    assert seen == [str(number) for number in reversed(range(11))]


def test_a_question_that_can_match_nothing_is_refused(told: Told) -> None:
    told.say(ci("applied"), at=0)
    for asked in (
        {"phase": ("done",)},
        {"kind": ("code",)},
        {"type": ("key",)},
        {"since": "yesterday"},
        {"limit": 0},
        {"cursor": "x"},
        {"deployment_id": ("?",)},
    ):
        with pytest.raises(QueryError):
            told.timeline.events(TimelineQuery(**asked))


# A view like any other ---------------------------------------------------------------------------


def test_a_replay_ends_with_the_same_rows_byte_for_byte(told: Told, tmp_path: pathlib.Path) -> None:
    for number in range(40):
        told.say(ci("planned", f"v{number % 7}"), at=100 - number, received=100 + number)
        told.say(orchestrated("applied", f"v{number % 5}", place="eu"), at=number)
        told.say(pod(f"uid-{number}", f"v{number % 5}", place="eu"), at=number)
        told.say(finding(), at=number, payload_type=FINDING)
    again = tmp_path / "again"
    again.mkdir()
    rebuilt = Projected(again, told.log.store, views=[BrokerView(), TimelineView()])
    rebuilt.runner.catch_up()
    assert dump(told.log.path) == dump(rebuilt.path)
    assert Timeline(rebuilt.views).events(TimelineQuery(limit=1_000)) == told.timeline.events(
        TimelineQuery(limit=1_000)
    )
    rebuilt.close()


def dump(path: pathlib.Path) -> list[bytes]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT * FROM timeline_event ORDER BY idx").fetchall()
    assert rows
    return [repr(row).encode() for row in rows]
