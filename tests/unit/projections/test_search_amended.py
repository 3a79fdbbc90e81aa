"""What was amended is found by its newer values, and by those that were signed."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from projected_log import Projected, leaf_of, marker

from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import AMENDMENT
from deploymark.testing.clock import START_MS

NOW = format_instant(START_MS)
FULL: dict[str, Any] = marker(
    0,
    service="checkout",
    owner="team:payments",
    version="2.31.0",
    change_tickets=["CHG1", "CHG2"],
)


@pytest.fixture
def projected(tmp_path: pathlib.Path) -> Iterator[Projected]:
    made = Projected(tmp_path)
    yield made
    made.close()


NEWER: dict[str, tuple[str, dict[str, tuple[str, ...]]]] = {
    "its owner": ("/owner", {"owner": ("new",)}),
    "its version": ("/version", {"version": ("new",)}),
    "its tag": ("/artifact/tag", {"tag": ("new",)}),
    "its build": ("/build_id", {"build_id": ("new",)}),
    "its correlation id": ("/correlation_id", {"correlation_id": ("new",)}),
    "a ticket": ("/change_tickets/1", {"ticket": ("new",)}),
}


@pytest.mark.parametrize(("pointer", "asked"), NEWER.values(), ids=NEWER)
def test_a_marker_is_found_by_what_it_was_amended_to(
    projected: Projected, pointer: str, asked: dict[str, tuple[str, ...]]
) -> None:
    said = {"index": 0, "changes": {pointer: "new"}, "reason": "r", "timestamp": NOW}
    again = {**said, "reason": "again"}
    projected.add(leaf_of(FULL), leaf_of(said, AMENDMENT))
    projected.add(leaf_of(again, AMENDMENT))
    assert projected.markers(**asked) == [0]
    assert projected.markers(owner=("team:payments",), version=("2.31.0",)) == [0]
    assert projected.markers(**asked, service=("checkout",)) == [0]


def test_what_is_no_word_of_an_earlier_entry_finds_nothing(projected: Projected) -> None:
    changes = {"/owner": None, "/service": "new", "/attempt": 2, "/labels/owner": "new"}
    said = {"index": 0, "changes": changes, "reason": "r", "timestamp": NOW}
    later = {**said, "index": 3, "changes": {"/owner": "late"}}
    projected.add(leaf_of(FULL), leaf_of(said, AMENDMENT), leaf_of(later, AMENDMENT))
    projected.add(leaf_of({**FULL, "version": "2.32.0"}))
    assert projected.markers(service=("new",)) == projected.markers(owner=("new",)) == []
    assert projected.markers(owner=("late",)) == []
    assert projected.markers(owner=("team:payments",)) == [3, 0]
