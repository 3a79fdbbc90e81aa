"""The page for a person on call: is it a deployment, which, whose, where, how bad."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from door_samples import marker
from page_world import PageDoor, boot_of, judge, look_at_oncall

from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import FINDING, Role
from deploymark.projections.expectations import (
    Expectations,
    ExpectedEnvironment,
    ExpectedService,
)
from deploymark.server.pages.asked import told_at
from deploymark.server.pages.events import silent_places, told_services
from deploymark.server.pages.oncall import LAG_MS
from deploymark.testing.clock import START_MS

MINUTE, HOUR = 60, 3_600
CALLER = "token:operator"


@pytest.fixture
def door(tmp_path: Path) -> Iterator[PageDoor]:
    with PageDoor(tmp_path) as fresh:
        fresh.runner.catch_up()
        yield fresh


def test_nothing_deployed_is_said_to_be_nothing(door: PageDoor) -> None:
    page = look_at_oncall(door)
    assert page["verdict"]["level"] == "quiet"
    assert page["verdict"]["sentence"] == "No deployment in view went live"
    assert (page["suspects"], page["marks"]["items"], page["total"]) == ([], [], 0)
    assert {each["what"] for each in page["missing"]} == {"canaries", "marks"}


def test_what_a_filter_leaves_out_is_not_said_to_be_nothing(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    told = door.look("/oncall?q=svc:chekout").json["verdict"]
    assert told["sentence"] == "No deployment of this filter went live"
    assert told["reason"].startswith("Nothing that the filter lets through went live from ")


def test_what_failed_and_was_replaced_is_said_where_nothing_looks_wrong(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    door.say(MINUTE, version="2.0", phase="failed")
    door.say(2 * MINUTE, version="3.0", phase="rolled_back")
    door.say(3 * MINUTE, version="4.0", phase="applied")
    told = look_at_oncall(door)["verdict"]
    assert told["sentence"] == "No deployment looks wrong"
    assert told["reason"] == (
        "1 failed and 1 was rolled back; what came after stands, and none is undecided."
    )


def test_a_canary_without_a_plan_is_said_to_have_none(door: PageDoor) -> None:
    door.say(0, version="3.0", phase="applied", rollout={"strategy": "canary", "weight": 5})
    assert [each["planned"] for each in look_at_oncall(door)["canaries"]] == [False]


def test_what_failed_is_named_with_its_owner_and_its_reason(door: PageDoor) -> None:
    door.say(
        0, version="2.31.0", phase="failed", owner="ana", reason="probe", target={"cluster": "eu"}
    )
    page = look_at_oncall(door)
    (suspect,) = page["suspects"]
    assert page["verdict"] == {
        "level": "failing",
        "sentence": "checkout 2.31.0 is failing",
        "reason": "It was said to have failed: probe",
        "id": suspect["id"],
    }
    assert (suspect["owner"], suspect["state"], suspect["places"]) == ("ana", "failed", ["eu"])


def test_a_silent_cluster_is_told_where_nothing_else_is_wrong(tmp_path: Path) -> None:
    expected = ExpectedService(environments={"prod": ExpectedEnvironment(clusters=("ap-1",))})
    with PageDoor(tmp_path, Expectations(services={"checkout": expected})) as door:
        door.runner.catch_up()
        door.say(0, version="1.0", phase="applied", target={"cluster": "ap-1"})
        door.tell(
            FINDING,
            code="instance_unmarked",
            state="opened",
            severity="warning",
            service="checkout",
            environment="prod",
            about="ap-1",
            message="checkout in prod has too few instances under a marker in ap-1",
            timestamp=format_instant(START_MS),
        )
        page = look_at_oncall(door)
        (column,) = door.look("/fleet").json["clusters"]
        before = format_instant(START_MS - HOUR)
        past = door.look(f"/oncall?since={format_instant(START_MS - 2 * HOUR)}&until={before}").json
    assert past["verdict"]["level"] == "quiet"
    assert page["verdict"]["level"] == "blind"
    sentence = page["verdict"]["sentence"]
    assert sentence.startswith("Some markers of checkout are missing from ap-1 since 20")
    for place in (page["lanes"][0], column):
        assert place["missing_since_at"] == format_instant(START_MS)
        assert place["missing_services"] == ["checkout"]
    assert "instance_unmarked" in [each["code"] for each in page["findings"]]


def test_a_place_names_every_service_that_is_missing_there_and_a_sentence_two() -> None:
    found = silent_places(
        {"code": "instance_unmarked", "about": "ap-1", "service": name, "opened_at": at}
        for name, at in (("web", "b"), ("cart", "a"), ("web", "c"), ("pay", "d"), (None, "e"))
    )
    assert found == {"ap-1": ("a", ("cart", "pay", "web"))}
    assert told_services(["cart", "pay", "web", "pay"]) == "cart, pay and 1 more"
    assert told_services(["cart", "pay"]) == "cart and pay"
    assert told_services([]) == ""


def test_a_canary_shows_its_looks_and_its_score(door: PageDoor) -> None:
    index = door.say(0, version="3.0", phase="applied", rollout={"strategy": "canary", "weight": 5})
    name = look_at_oncall(door)["suspects"][0]["id"]
    assert index == 1
    for number, score in enumerate((60.0, 75.5), 1):
        judge(door, name, number * MINUTE, look=number, score=score, reasons=["low_traffic"])
    page = look_at_oncall(door)
    (canary,) = page["canaries"]
    assert [point["score"] for point in canary["points"]] == [60.0, 75.5]
    assert (canary["verdict"], canary["step"], canary["points_total"]) == ("inconclusive", 1, 2)
    assert page["suspects"][0]["score"] == 75.5
    assert page["suspects"][0]["reason"] == "Undecided (low_traffic)."


def test_a_rollback_under_way_is_shown_with_what_it_returns_to(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    door.say(MINUTE, version="2.0", phase="applied")
    door.say(2 * MINUTE, version="2.0", phase="rolling_back")
    page = look_at_oncall(door)
    (rollback,) = page["rollbacks"]
    assert rollback["chip"]["version"] == "2.0"
    assert rollback["to_version"] == "1.0"
    assert rollback["began_at"] == format_instant(START_MS + 120_000)
    assert page["verdict"]["sentence"] == "checkout 2.0 is being rolled back"


def test_the_stream_tells_how_each_deployment_stands_now(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied", owner="ana", target={"cluster": "eu-1"})
    door.say(MINUTE, version="1.0", phase="failed")
    page = look_at_oncall(door)
    assert [row["event"] for row in page["stream"]] == ["failed", "applied"]
    first = page["stream"][-1]
    assert (first["state"], first["version"], first["who"], first["place"]) == (
        "failed",
        "1.0",
        "ana",
        "eu-1",
    )
    assert page["stream_total"] == 2


def test_a_filter_holds_for_everything_on_the_page(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="failed", owner="ana")
    door.say(MINUTE, service="cart", version="2.0", phase="failed", owner="bob")
    for q in ("owner:bob", "svc:cart", "2.", "cart", "st:failed%20owner:bob"):
        page = look_at_oncall(door, f"?q={q}")
        assert [each["service"] for each in page["suspects"]] == ["cart"], q
        assert [row["service"] for row in page["stream"]] == ["cart"], q
        assert [mark["service"] for mark in page["marks"]["items"]] == ["cart"], q
        assert (page["in_view"], page["total"]) == (1, 2), q


def test_a_window_may_be_named_by_its_ends(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    since, until = format_instant(START_MS - 1_000), format_instant(START_MS + 1_000)
    page = look_at_oncall(door, f"?since={since}&until={until}")
    assert page["window"]["follows_now"] is False
    assert page["in_view"] == 1
    assert door.look(f"/oncall?since={until}&until={since}").status == 400
    assert door.look(f"/oncall?since={since}&range=1h").status == 400
    assert door.look("/oncall?since=yesterday").status == 400


def test_the_selected_deployment_says_what_may_be_done_and_what_not(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="failed", owner="ana", change_tickets=["CHG-1"])
    name = look_at_oncall(door)["suspects"][0]["id"]
    selected = look_at_oncall(door, f"?dep={name}")["selected"]
    assert (selected["owner"], selected["tickets"], selected["confirm"]) == (
        "ana",
        ["CHG-1"],
        "checkout",
    )
    assert {offer["allowed"] for offer in selected["actions"]} == {False}
    assert "needs the role operator" in selected["actions"][0]["why_not"]
    reply = door.look(f"/oncall?dep={name}", Role.OPERATOR)
    assert "rolls nothing out" in reply.json["selected"]["actions"][0]["why_not"]


def test_a_selection_that_is_gone_is_said_to_be_missing(door: PageDoor) -> None:
    page = look_at_oncall(door, f"?dep=d-{'0' * 26}~1")
    assert page["selected"] is None
    assert "selected" in [each["what"] for each in page["missing"]]


# How old it is -----------------------------------------------------------------------------------


def _lag(door: PageDoor) -> list[str]:
    return [each["sentence"] for each in look_at_oncall(door)["missing"] if each["what"] == "lag"]


def test_views_that_are_far_behind_the_log_are_said_to_be(door: PageDoor) -> None:
    door.say(0, version="1.0", phase="applied")
    for number in range(2):
        assert door.post(marker(number)).status == 201
    door.log.clock.advance(LAG_MS / 1_000 - 0.001)
    assert _lag(door) == []
    door.log.clock.advance(0.001)
    (sentence,) = _lag(door)
    assert sentence.startswith(f"What came since {told_at(format_instant(START_MS))} is not shown")
    assert "the newest 2 entries" in sentence
    door.runner.catch_up()
    assert _lag(door) == []


# What a controller knows beside the markers ------------------------------------------------------


class OneRollout:
    """A controller with one rollout, in whatever state it is told."""

    def __init__(self, name: str, **state: object) -> None:
        self.refuses: dict[str, str] = {}
        self._shown = {
            "deployment_id": name,
            "service": "checkout",
            "environment": "prod",
            "target_deployment_id": None,
            "unknown": None,
            "failed": None,
            "frozen": [],
            "strategy": "canary",
            "step": 1,
            "steps": [5.0, 25.0],
            "weight": 5.0,
            "paused_by": None,
            "ended": None,
            "doing": None,
            "wants": None,
            "newest_index": 17,
            **state,
        }

    def newest(self) -> list[dict[str, Any]]:
        return [self._shown]

    def refused(self, name: str, scope: tuple[str, str], actor: str) -> dict[str, str]:
        assert (name, scope, actor) == (self._shown["deployment_id"], ("checkout", "prod"), CALLER)
        return self.refuses


_STATES: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "under way": (
        {"wants": {"reason": "Waits for 12 requests."}},
        "canary",
        "Waits for 12 requests.",
    ),
    "paused": ({"paused_by": "ana"}, "paused", "Paused by ana."),
    "going back": ({"doing": "roll_back"}, "rolling_back", "It is being rolled back."),
    "one cutover": ({"strategy": "blue_green"}, "rolling_out", None),
    "over": ({"ended": "promoted"}, "healthy", None),
    "going back after it was over": (
        {"ended": "promoted", "doing": "roll_back"},
        "rolling_back",
        "It is being rolled back.",
    ),
    "not gone back after it was over": (
        {
            "ended": "promoted",
            "failed": {"index": 9, "action": "roll_back", "reason": "The mesh is away."},
        },
        "paused",
        "The mesh is away.",
    ),
    "frozen": (
        {
            "frozen": [
                {"service": "*", "environment": "prod", "by": "ana", "reason": "A sale goes on."}
            ]
        },
        "canary",
        "Frozen by ana: A sale goes on.",
    ),
}


@pytest.mark.parametrize("case", _STATES.values(), ids=_STATES)
def test_what_a_controller_knows_is_laid_over_what_markers_say(
    tmp_path: Path, case: tuple[dict[str, Any], str, str | None]
) -> None:
    state, shown, reason = case
    with PageDoor(tmp_path, look_seconds={("checkout", "prod"): 60}) as door:
        door.runner.catch_up()
        door.say(0, version="1.0", phase="applied", target={"cluster": "eu-1"})
        name = door.look("/deployments").json["items"][0]["id"]
        door.use(rollouts=OneRollout(name, **state))
        page = door.look(f"/oncall?dep={name}", Role.OPERATOR).json
    assert page["counts"] == [{"state": shown, "count": 1}]
    assert [mark["state"] for mark in page["marks"]["items"]] == [shown]
    assert [row["state"] for row in page["stream"]] == [shown]
    chip = page["selected"]["chip"]
    assert (chip["state"], chip["reason"]) == (shown, reason)
    assert len(page["suspects"]) == (shown != "healthy")
    assert len(page["canaries"]) == (shown in {"canary", "paused"})


def test_what_holds_services_up_is_told_with_since_when_and_what_to_do(tmp_path: Path) -> None:
    frozen_at = format_instant(START_MS - 600_000)
    state: dict[str, Any] = {
        "frozen": [
            {
                "service": "*",
                "environment": "prod",
                "by": "ana",
                "reason": "A sale.",
                "since": frozen_at,
            }
        ],
        "silence": "The source main has not answered for 30 s.",
        "silent_ms": 30_000,
    }
    with PageDoor(tmp_path) as door:
        door.runner.catch_up()
        door.say(0, version="1.0", phase="applied")
        name = door.look("/deployments").json["items"][0]["id"]
        door.use(rollouts=OneRollout(name, **state))
        freeze, source = look_at_oncall(door)["notices"]
        elsewhere = look_at_oncall(door, "?q=env:test")["notices"]
        own = door.look(f"/d/{name}").json["notices"]
        door.say(MINUTE, version="2.0", phase="applied")
        over = door.look(f"/d/{name}").json
    assert freeze["sentence"] == "Everything in prod is frozen by ana: A sale."
    assert (freeze["kind"], freeze["since_at"]) == ("freeze", frozen_at)
    assert "deploymark freeze --lift" in freeze["hint"]
    assert source["sentence"] == "The source main has not answered for 30 s."
    assert source["since_at"] == format_instant(START_MS - 30_000)
    assert source["hint"].startswith("No look finds anything out until it answers")
    assert (own, elsewhere) == ([freeze, source], [])
    assert (over["selected"]["chip"]["state"], over["notices"]) == ("superseded", [])


def test_actions_are_offered_with_what_was_seen_of_the_rollout(tmp_path: Path) -> None:
    with PageDoor(tmp_path, look_seconds={("checkout", "prod"): 60}) as door:
        door.runner.catch_up()
        door.say(0, version="1.0", phase="applied")
        name = door.look("/deployments").json["items"][0]["id"]
        door.use(rollouts=OneRollout(name))
        offers = door.look(f"/oncall?dep={name}", Role.OPERATOR).json["selected"]["actions"]
        assert boot_of(door.browse("/oncall"))["settings"]["can_act"] is True
    told = {offer["action"]: (offer["allowed"], offer["why_not"]) for offer in offers}
    assert told == {
        "roll_back": (True, None),
        "promote": (True, None),
        "pause": (True, None),
        "resume": (False, "It is not paused."),
        "approve": (True, None),
    }
    assert {offer["expected_index"] for offer in offers} == {17}


def test_an_action_that_would_be_refused_is_not_offered(tmp_path: Path) -> None:
    with PageDoor(tmp_path, look_seconds={("checkout", "prod"): 60}) as door:
        door.runner.catch_up()
        door.say(0, version="1.0", phase="applied")
        name = door.look("/deployments").json["items"][0]["id"]
        rollouts = OneRollout(name, ended="promoted")
        rollouts.refuses = {"roll_back": "Something else is rolled out."}
        door.use(rollouts=rollouts)
        offers = door.look(f"/oncall?dep={name}", Role.OPERATOR).json["selected"]["actions"]
    told = {offer["action"]: (offer["allowed"], offer["why_not"]) for offer in offers}
    assert told["roll_back"] == (False, "Something else is rolled out.")
    assert told["promote"] == (False, "It is not being rolled out.")


# What keeps it live ------------------------------------------------------------------------------


def test_events_behind_an_entry_come_once_each(door: PageDoor) -> None:
    seen, behind = [], -1
    for number in range(5):
        index = door.say(number * MINUTE, version=f"1.{number}", phase="applied")
        if number % 2:
            reply = door.look(f"/v1/events?behind={behind}&after={index}").json
            seen += [row["index"] for row in reversed(reply["items"])]
            behind = reply["newest"]
    reply = door.look(f"/v1/events?behind={behind}").json
    seen += [row["index"] for row in reversed(reply["items"])]
    assert seen == [1, 2, 3, 4, 5]
    assert door.look(f"/v1/events?behind={reply['newest']}").json["items"] == []


def test_too_many_events_are_said_to_be_too_many(
    door: PageDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploymark.server.pages.oncall.NEWS", 2)
    for number in range(3):
        door.say(number, version=f"1.{number}", phase="applied")
    reply = door.look("/v1/events?behind=-1").json
    assert (len(reply["items"]), reply["left_out"]) == (2, True)
