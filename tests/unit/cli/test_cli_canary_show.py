"""What is said of one rollout follows from the answer of the server."""

from typing import Any

import pytest

from deploymark.cli.canary_show import next_of, say, standing
from deploymark.cli.output import Output

SHOWN: dict[str, Any] = {
    "deployment_id": "d-new~1",
    "service": "shop",
    "environment": "prod",
    "version": "v3",
    "digest": None,
    "owner": None,
    "state": "open",
    "live_at": None,
    "target_deployment_id": "d-old~1",
    "step": 1,
    "steps": [5, 25],
    "weight": 5,
    "since": None,
    "look": 0,
    "next_look_at": "2026-11-23T12:00:30.000Z",
    "verdict": None,
    "paused_by": None,
    "ended": None,
    "superseded_by": None,
    "unknown": None,
    "failed": None,
    "silence": None,
    "frozen": [],
    "doing": None,
    "wants": None,
    "instances": {"started": 4, "running": 4, "observed": 4, "other": 0},
    "newest_index": 40,
    "looks": [],
    "decisions": [],
}


def _said(capsys: pytest.CaptureFixture[str], **changes: object) -> str:
    say({**SHOWN, **changes}, Output(json=False))
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_it_says_when_the_next_look_is_due(capsys: pytest.CaptureFixture[str]) -> None:
    assert "next look      due at 2026-11-23T12:00:30.000Z" in _said(capsys)
    assert "due at" not in _said(capsys, next_look_at=None)


@pytest.mark.parametrize(("count", "earlier"), [(20, ""), (23, "3 earlier ones are not shown")])
def test_decisions_that_are_not_shown_are_counted(
    capsys: pytest.CaptureFixture[str], count: int, earlier: str
) -> None:
    one = {"received_at": "", "action": "pause", "stage": "approved", "actor": "ann"}
    shown = _said(capsys, decisions=[{**one, "index": index} for index in range(count)])
    assert ("not shown" in shown) == bool(earlier)
    assert earlier in shown


def test_what_made_room_for_a_newer_one_is_not_said_to_be_bad() -> None:
    shown = {**SHOWN, "ended": "rolled_back", "superseded_by": "d-newer~1"}
    assert standing(shown) == "It made room for d-newer~1."


@pytest.mark.parametrize("move", ["hold", "page"])
def test_an_older_canary_in_the_way_is_returned_by_name(move: str) -> None:
    wants = {"move": move, "reason": "because", "guards": [], "older_deployment_id": "d-older~1"}
    what, command = next(next_of({**SHOWN, "step": 0, "wants": wants}))
    assert "older canary" in what
    assert command.startswith("deploymark rollback d-older~1")


def test_an_older_canary_that_is_being_returned_needs_nobody() -> None:
    wants = {"move": "wait", "reason": "because", "guards": [], "older_deployment_id": "d-older~1"}
    what, _ = next(next_of({**SHOWN, "step": 0, "wants": wants}))
    assert what.startswith("Nothing")


RETURNED = {"index": 50, "action": "roll_back", "reason": "Things are not well again."}
FREEZE = {"service": "shop", "environment": "prod", "by": "ada", "reason": "A sale goes on."}


@pytest.mark.parametrize(
    ("changes", "now", "next_"),
    [
        ({"doing": "roll_back"}, "It is being done: roll back.", "Wait"),
        ({"failed": RETURNED}, "To roll back it failed (entry 50)", "Look at what the traffic"),
        ({"unknown": 51}, "What came of entry 51 is not known", "Look at what the traffic"),
    ],
    ids=["under way", "failed", "not known"],
)
def test_a_promoted_release_that_is_returned_is_not_said_to_be_done(
    changes: dict[str, Any], now: str, next_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = {**SHOWN, "ended": "promoted", "weight": 100, **changes}
    assert standing(shown).startswith(now)
    what, _ = next(next_of(shown))
    assert what.startswith(next_)
    said = _said(capsys, ended="promoted", weight=100, **changes)
    assert "Nothing: it is done" not in said
    assert "100 % of the traffic" not in said
    assert "deploymark promote" not in said  # it was


def test_what_could_not_be_done_is_resumed_and_not_approved() -> None:
    shown = {**SHOWN, "failed": {"index": 50, "action": "shift", "reason": "The mesh is away."}}
    assert standing(shown) == "To shift it failed (entry 50): The mesh is away."
    commands = [command for _, command in next_of(shown)]
    assert any(each.startswith("deploymark canary resume d-new~1") for each in commands)
    assert not any(each.startswith("deploymark approve") for each in commands)


def test_a_freeze_is_said_with_how_to_lift_it(capsys: pytest.CaptureFixture[str]) -> None:
    wants: dict[str, Any] = {
        "move": "hold",
        "reason": "Guarded.",
        "guards": [],
        "older_deployment_id": None,
    }
    shown = {**SHOWN, "frozen": [FREEZE], "wants": wants}
    frozen = "Frozen by ada: A sale goes on. Nothing is done by itself."
    assert standing(shown) == frozen
    said = _said(capsys, frozen=[FREEZE], wants=wants)
    assert f"frozen         {frozen}" in said
    assert "deploymark freeze --lift --environment prod --service shop --reason" in said
    everywhere = {**FREEZE, "service": "*", "environment": "*"}
    assert "--lift --environment '*' --reason" in _said(capsys, frozen=[everywhere])


def test_where_a_return_leads_is_said_of_what_was_returned_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "returned to    d-old~1" in _said(capsys, ended="rolled_back")
    assert "no earlier release is known here" in _said(capsys, target_deployment_id=None)


def test_a_source_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    away = "The Prometheus main did not answer: timed out."
    assert standing({**SHOWN, "silence": away}) == away
    wants: dict[str, Any] = {
        "move": "wait",
        "reason": "It is open.",
        "guards": [],
        "older_deployment_id": None,
    }
    assert standing({**SHOWN, "silence": away, "wants": wants}) == f"It is open. {away}"
    assert f"source         {away}" in _said(capsys, silence=away)


def test_who_waits_for_the_binding_is_led_to_the_instances() -> None:
    guard = {"name": "binding", "held": False, "reason": "Two of four."}
    shown = {**SHOWN, "wants": {"move": "wait", "reason": "Guarded.", "guards": [guard]}}
    commands = [command for _, command in next_of(shown)]
    assert "deploymark instances --deployment-id d-new~1" in commands
