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
