"""Entries, events and pages say what was amended, what was taken back, by whom and why."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_world import PageDoor

from deploymark.errors import StoreUnavailableError
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import AMENDMENT, RETRACTION, Role
from deploymark.testing.clock import START_MS

AT = {"reason": "It was a mistake.", "timestamp": format_instant(START_MS)}
TICKETS = ["CHG1", "CHG2"]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[PageDoor]:
    with PageDoor(tmp_path) as found:
        yield found


def correct(door: PageDoor, index: int) -> tuple[int, int]:
    """Amend an entry and take it back; return the two entries that do."""
    changes = {"/owner": "team:b", "/version": "1.1", "/change_tickets/0": "CHG3"}
    return (
        door.tell(AMENDMENT, index=index, changes=changes, **AT),
        door.tell(RETRACTION, index=index, **AT),
    )


@pytest.fixture
def said(door: PageDoor) -> int:
    return door.say(
        0, phase="applied", version="1.0", owner="team:a", reason="Why.", change_tickets=TICKETS
    )


@pytest.mark.parametrize("path", ["/v1/markers", "/v1/entries?type=marker", "/v1/markers/{}"])
def test_an_entry_shows_its_corrections_beside_what_was_signed(
    door: PageDoor, said: int, path: str
) -> None:
    amended, retracted = correct(door, said)
    found = door.look(path.format(said)).json
    view = found["items"][0] if "items" in found else found
    assert (view["marker"]["owner"], view["marker"]["version"]) == ("team:a", "1.0")
    assert (view["amended"]["owner"], view["amended"]["version"]) == ("team:b", "1.1")
    assert view["amended"]["change_tickets"] == ["CHG3", "CHG2"]
    assert view["amended"]["reason"] == "Why."
    assert [each["index"] for each in view["amendments"]] == [amended]
    assert view["retracted"]["index"] == retracted
    assert view["retracted"]["reason"] == "It was a mistake."
    assert view["retracted"]["by"]
    assert view["retracted"]["at"]


def test_what_was_not_corrected_says_so(door: PageDoor, said: int) -> None:
    view = door.look(f"/v1/markers/{said}").json
    assert (view["retracted"], view["amendments"]) == (None, [])
    assert "amended" not in view


def test_an_entry_is_shown_while_views_are_built(
    door: PageDoor, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(door, said)

    def building(*_: object) -> None:
        raise StoreUnavailableError("The views are being built from the log.")

    monkeypatch.setattr(type(door.parts.broker), "corrections", building)
    view = door.look(f"/v1/markers/{said}").json
    assert (view["retracted"], view["amendments"]) == (None, None)
    page = door.look(f"/audit/{said}", Role.ADMIN).json
    assert [each["what"] for each in page["missing"]].count("corrections") == 1


def test_of_many_amendments_the_newest_are_listed_and_all_count(
    door: PageDoor, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploymark.projections.broker.corrected.MAX_LISTED", 2)
    first = door.tell(AMENDMENT, index=said, changes={"/author": "ann"}, **AT)
    for owner in ("team:b", "team:c"):
        door.tell(AMENDMENT, index=said, changes={"/owner": owner}, **AT)
    view = door.look(f"/v1/markers/{said}").json
    assert [each["index"] for each in view["amendments"]] == [first + 1, first + 2]
    assert (view["amended"]["author"], view["amended"]["owner"]) == ("ann", "team:c")
    (event,) = door.look("/v1/timeline").json["items"]
    assert len(event["amendments"]) == 2


def test_the_timeline_shows_corrections_of_an_event(door: PageDoor, said: int) -> None:
    amended, retracted = correct(door, said)
    (event,) = door.look("/v1/timeline").json["items"]
    assert event["retracted"]["index"] == retracted
    assert [each["index"] for each in event["amendments"]] == [amended]
    assert event["text"] == "1.0 (Why.)"


def test_pages_say_who_took_it_back_and_why(door: PageDoor, said: int) -> None:
    _, retracted = correct(door, said)
    name = door.look(f"/v1/markers/{said}").json["ids"]["deployment_id"]
    remark = f"in entry {retracted}: It was a mistake."

    page = door.look(f"/d/{name}").json
    chip = page["selected"]["chip"]
    assert (chip["version"], chip["owner"]) == ("1.1", "team:b")
    assert chip["reason"].startswith("Retracted by ")
    assert chip["reason"].endswith(remark)
    assert page["verdict"] == chip["reason"]
    (line,) = page["entries"]
    assert "amended: change_tickets/0 is CHG3, owner is team:b, version is 1.1;" in line["sentence"]
    assert line["sentence"].endswith(remark)

    audit = door.look("/audit", Role.ADMIN).json
    sentences = {each["index"]: each["sentence"] for each in audit["entries"]}
    assert sentences[said].endswith(remark)
    entry = door.look(f"/audit/{said}", Role.ADMIN).json
    assert entry["entry"]["sentence"].endswith(remark)
    assert entry["content"]["owner"] == "team:a"

    (event,) = door.look("/oncall").json["stream"]
    assert event["sentence"].endswith(remark)
    assert (event["version"], event["who"]) == ("1.1", "team:b")


def test_an_event_names_its_deployment_as_it_was_amended_under_any_name(door: PageDoor) -> None:
    commit, action = "a" * 40, "ci/1"
    first = door.say(0, phase="planned", commit_hash=commit, action=action, owner="team:a")
    digest = {"digest": f"sha256:{'b' * 64}"}
    other = door.say(1, phase="applied", commit_hash=commit, action=action, artifact=digest)
    door.tell(AMENDMENT, index=first, changes={"/owner": "team:b"}, **AT)
    events = {each["index"]: each for each in door.look("/oncall").json["stream"]}
    assert [events[index]["who"] for index in (first, other)] == ["team:b", "team:b"]


BAD = [
    {"version": "2"},
    {"/": "2"},
    {"/changes": 5},
    {"/build_url": 5},
    {"/labels": 5},
    {"/labels/tag.1": 5},
    {"/phase": "nonsense"},
    {"/version": 7},
    {"/service": None},
    {"/timestamp": 9},
]
"""What an earlier release let in."""


def admit_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let in what an earlier release let in."""
    monkeypatch.setattr("deploymark.ingest.receive.check_correction", lambda *_: None)


@pytest.mark.parametrize("changes", BAD, ids=lambda each: next(iter(each)))
def test_what_no_marker_says_is_listed_and_not_taken_over(
    door: PageDoor, said: int, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    admit_any(monkeypatch)
    amended = door.tell(AMENDMENT, index=said, changes={**changes, "/owner": "team:b"}, **AT)
    for path in ("/v1/markers", "/v1/entries", "/v1/timeline", "/v1/deployments"):
        assert door.look(path).status == 200, path
    view = door.look(f"/v1/markers/{said}").json
    assert view["amended"] == view["marker"]
    (listed,) = view["amendments"]
    assert listed["index"] == amended
    assert listed["not_taken_over"]

    name = view["ids"]["deployment_id"]
    for path in (f"/d/{name}", "/debug", "/oncall"):
        assert door.browse(path, Role.ADMIN).status == 200, path
    chip = door.look(f"/d/{name}").json["selected"]["chip"]
    assert (chip["version"], chip["owner"]) == ("1.0", "team:a")


def test_what_would_leave_no_marker_says_why_it_is_not_taken_over(
    door: PageDoor, said: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit_any(monkeypatch)
    door.tell(AMENDMENT, index=said, changes={"/version": None}, **AT)
    view = door.look(f"/v1/markers/{said}").json
    assert view["amended"]["version"] == "1.0"
    assert "no valid one" in view["amendments"][0]["not_taken_over"]
