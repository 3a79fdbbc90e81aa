"""What an amendment may change in a marker, and what the marker is then."""

from typing import Any

import pytest

from deploymark.errors import MarkerError
from deploymark.model.amending import check_changes, lay_over, set_pointer, why_not

FIELDS = {
    "service": "shop",
    "environment": "prod",
    "phase": "applied",
    "version": "1.0",
    "labels": {"tag.1": "a"},
    "change_tickets": ["CHG1"],
    "kind": "deployment",
}


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "2"},
        {"": "2"},
        {"/": "2"},
        {"/a~2": "2"},
        {"/bogus": "2"},
        {"/bogus/x": "2"},
        {"/artifact_digest": "sha256:" + "a" * 64},
        {"/changes": 5},
        {"/changes/x": "c"},
        {"/change_tickets/7": 5},
        {"/build_url": 5},
        {"/labels": 5},
        {"/labels/tag.1": 5},
        {"/phase": "nonsense"},
        {"/version": 7},
        {"/version/a": "x"},
        {"/service": None},
        {"/timestamp": 9},
        {"/timestamp": "yesterday"},
        {"/rollout/strategy": "hope"},
    ],
)
def test_what_would_be_wrong_in_every_marker_is_refused_and_says_where(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(MarkerError) as caught:
        check_changes(changes)
    assert caught.value.field.startswith("/changes/")
    assert caught.value.hint
    with pytest.raises(MarkerError):
        lay_over(FIELDS, changes)
    assert why_not(changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"/version": "2"},
        {"/owner": None},
        {"/evidence/digest": None},
        {"/flags/3/variant": "on"},
        {"/labels/a~1b": "x"},
        {"/rollout/steps/0": 10},
        {"/change_tickets/0": None},
        {"/changes/0/commit": "c0"},
    ],
)
def test_what_a_marker_may_say_an_amendment_may_say(changes: dict[str, Any]) -> None:
    check_changes(changes)
    assert why_not(changes, FIELDS) == ""


def test_all_changes_of_an_amendment_count_or_none() -> None:
    assert lay_over(FIELDS, {"/version": "2", "/owner": "me"}) == {
        **FIELDS,
        "version": "2",
        "owner": "me",
    }
    with pytest.raises(MarkerError, match="no valid one"):
        lay_over(FIELDS, {"/version": None, "/owner": "me"})
    assert lay_over(FIELDS, {"/version": None, "/commit_hash": "a" * 40})["commit_hash"]
    assert FIELDS["version"] == "1.0"


def test_a_pointer_that_leads_nowhere_changes_nothing() -> None:
    fields: dict[str, Any] = {"version": "1", "changes": [{"commit": "c0"}]}
    for pointer in ("/version/a", "/changes/5/commit", "/changes/x", "/changes"):
        set_pointer(fields, f"{pointer}/b" if pointer == "/changes" else pointer, "v")
    assert fields == {"version": "1", "changes": [{"commit": "c0"}]}
    set_pointer(fields, "/a~1b/c~0d", "v")
    assert fields["a/b"] == {"c~d": "v"}


def test_a_pointer_changes_one_of_a_list_adds_to_it_or_takes_one_away() -> None:
    fields: dict[str, Any] = {"change_tickets": ["CHG1", "CHG2"]}
    set_pointer(fields, "/change_tickets/2", "CHG3")
    set_pointer(fields, "/change_tickets/0", None)
    set_pointer(fields, "/change_tickets/1", "CHG4")
    set_pointer(fields, "/change_tickets/9", "CHG9")
    set_pointer(fields, "/approvers/0", "ada")
    assert fields == {"change_tickets": ["CHG2", "CHG4"], "approvers": ["ada"]}


def test_what_was_wrong_before_is_no_reason_to_refuse_a_change() -> None:
    assert lay_over({**FIELDS, "owner": 5}, {"/version": "2"})["version"] == "2"
