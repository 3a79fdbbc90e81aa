"""What goes wrong between a deploy and the log, and what becomes of it then."""

import socket
from collections.abc import Iterator

import pytest
from team import Team


@pytest.fixture
def hanging_server() -> Iterator[str]:
    """The URL of a server that takes every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def phases(team: Team, after: int) -> list[str]:
    return [each["marker"]["phase"] for each in team.markers(after)]


def test_one_call_or_one_post_from_ci_is_a_marker(team: Team) -> None:  # A1
    said = team.deploy(100, 1)
    assert phases(team, said["index"]) == ["planned", "applying", "applied"]
    marker = {"service": "shop", "environment": "prod", "phase": "planned", "version": "9"}
    status, answer = team.request("ci", "POST", "/v1/markers", marker)
    assert (status, answer["index"]) == (201, said["index"] + 1)


def test_markers_of_deploys_without_a_server_are_kept_and_come_in_order(team: Team) -> None:  # F1
    team.stop_server()
    for run, version in ((100, 1), (101, 2), (102, 1)):
        assert team.deploy(run, version)["state"] == "spooled"
    team.serve()
    # Nobody has to flush: the next call delivers what waits before it.
    assert team.deploy(103, 2)["index"] == 13
    markers = team.markers(after=13)
    actions = [each["marker"]["action"][-3:] for each in markers]
    assert actions == ["100"] * 3 + ["101"] * 3 + ["102"] * 3 + ["103"] * 3
    assert phases(team, 13) == ["planned", "applying", "applied"] * 4
    team.await_accounts(accepted=12, duplicates=0)


def test_what_the_token_may_not_say_stays_behind_and_holds_nothing_up(team: Team) -> None:  # F1
    assert team.deploy(100, 1, "true", environment="staging")["state"] == "spooled"
    assert team.deploy(101, 1)["index"] == 4
    assert "3 left in the spool" in team.command("flush", role="ci").stdout


def test_a_retry_that_says_the_same_is_one_marker_however_it_comes(team: Team) -> None:  # F3
    first = team.deploy(100, 1)
    retried = team.deploy(100, 1, attempt=2)
    assert (retried["index"], retried["duplicate"]) == (first["index"], True)
    assert phases(team, first["index"]) == ["planned", "applying", "applied"]
    team.await_accounts(accepted=3, duplicates=3)


def test_a_retry_that_says_otherwise_is_a_conflict_and_the_first_stands(team: Team) -> None:  # F3
    first = team.deploy(100, 1)
    other = team.deploy(100, 1, attempt=2, commit="0" * 40)
    assert (other["state"], other["code"]) == ("refused", "marker_conflict")
    assert len((team.spool / "refused.ndjson").read_text().splitlines()) == 3
    markers = team.markers(after=first["index"])
    assert [each["index"] for each in markers] == [2, 3, 4]
    assert len({each["marker"]["commit_hash"] for each in markers} - {"0" * 40}) == 1


def test_a_server_that_hangs_does_not_hold_up_the_deploy(
    team: Team, hanging_server: str
) -> None:  # F8
    # It never answers: a deploy that waited for it would never end.
    assert team.deploy(100, 1, url=hanging_server, budget="0.2")["state"] == "spooled"
    assert team.answered() == 1
    # What was made for the one that hangs is never delivered to another one.
    assert team.deploy(101, 2)["index"] == 4
    assert phases(team, 4) == ["planned", "applying", "applied"]


def test_a_spool_that_cannot_be_written_does_not_hold_up_the_deploy(team: Team) -> None:  # F8
    team.spool.parent.mkdir(parents=True)
    team.spool.write_text("a file where the folder should be")
    said = team.deploy(100, 1)
    assert said["state"] == "delivered"
    assert team.answered() == 1
