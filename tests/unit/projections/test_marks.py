"""What is drawn of runs: lanes, how they are shown, windows merged by column, lists, counts."""

import pathlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from broker_markers import DAY, HOUR, MINUTE, ci, stated
from outcome_stories import Story, named
from sqlalchemy import select

from deploymark.errors import QueryError
from deploymark.model.vocabulary import Kind
from deploymark.projections.broker.documents import STATES
from deploymark.projections.broker.marks import KNOWN, MARK, MAX_LANES, TALLY, MarkRow
from deploymark.projections.broker.marks_query import MAX_DRAWN_LANES, MAX_KEPT, MarkQuery, Marks
from deploymark.projections.broker.shown_state import RANK, SHOWN, ShownState, shown_of
from deploymark.testing.clock import START_MS

DAY_MS = DAY * 1_000


class Drawn(Story):
    """A story of which is asked what is drawn."""

    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.marks = Marks(self.log.views)

    def rows(self) -> list[MarkRow]:
        """Return everything that is drawn, by time and lane."""
        with self.log.views.reading() as connection:
            found = [MarkRow._make(row) for row in connection.execute(select(MARK))]
        return sorted(found, key=lambda row: (row.at_ms, row.lane))

    def shown(self) -> list[tuple[str, ShownState]]:
        return [(row.version, SHOWN[row.rank]) for row in self.rows()]

    def tally(self) -> dict[int, int]:
        with self.log.views.reading() as connection:
            return {row[0]: row[1] for row in connection.execute(select(TALLY))}

    def deploy(self, version: str, at: float, phase: str = "applied", **more: Any) -> None:  # noqa: ANN401 - of a marker
        self.say(ci(phase, version, version=version, **more), at)


@pytest.fixture
def story(tmp_path: pathlib.Path) -> Iterator[Drawn]:
    found = Drawn(tmp_path)
    yield found
    found.close()


def query(since: float = 0, until: float = DAY, **more: Any) -> MarkQuery:  # noqa: ANN401 - of it
    since_ms, until_ms = (START_MS + round(at * 1_000) for at in (since, until))
    return MarkQuery(since_ms=since_ms, until_ms=until_ms, **more)


# One run -----------------------------------------------------------------------------------------


def test_every_state_of_the_broker_is_shown_somehow() -> None:
    document = {"kind": "deployment", "binding": "none", "strategy": None, "track": None}
    for state in STATES:
        assert shown_of({**document, "state": state, "phases": {}}) in ShownState


_CANARIES = {
    "a canary is one while nobody promoted it": ("running", {}, "canary", ShownState.CANARY),
    "a promoted one is none": ("running", {"promoted": 1}, "canary", ShownState.HEALTHY),
    "one that failed failed": ("failed", {}, "canary", ShownState.FAILED),
    "one that is planned has not begun": ("planned", {}, "canary", ShownState.PLANNED),
    "a rolling one that runs is well": ("running", {}, "rolling", ShownState.HEALTHY),
}


@pytest.mark.parametrize("case", _CANARIES.values(), ids=_CANARIES)
def test_a_canary_is_shown_until_it_is_decided(
    case: tuple[str, dict[str, int], str, ShownState],
) -> None:
    state, phases, strategy, expected = case
    document = {"kind": "deployment", "binding": "none", "track": None}
    assert (
        shown_of({**document, "state": state, "phases": phases, "strategy": strategy}) is expected
    )


def test_what_runs_with_another_artifact_is_unknown() -> None:
    document: dict[str, Any] = {"kind": "deployment", "strategy": None, "track": None, "phases": {}}
    shown = shown_of({**document, "state": "running", "binding": "mismatched"})
    assert shown is ShownState.UNKNOWN


def test_a_run_is_drawn_in_each_of_its_clusters_and_counted_once(story: Drawn) -> None:
    for place in ("eu-1", "us-1", {"region": "ap"}):
        story.say(ci("applied", "v1", version="1.0", place=place), MINUTE)
    assert [row.lane for row in story.rows()] == ["ap", "eu-1", "us-1"]
    assert [row.first for row in story.rows()] == [1, 0, 0]
    seen = story.marks.overview(query(), 100)
    assert sum(seen.counts.values()) == seen.total == 1
    assert seen.marks_total == 3
    assert [lane.name for lane in seen.lanes] == ["ap", "eu-1", "us-1"]


def test_a_run_without_a_place_is_drawn_in_its_environment(story: Drawn) -> None:
    story.deploy("1.0", 0)
    assert [(row.lane, row.lane_kind) for row in story.rows()] == [("prod", 2)]


def test_a_run_is_drawn_in_so_many_lanes_and_no_more(story: Drawn) -> None:
    for number in range(MAX_LANES + 2):
        story.write(ci("applied", "v1", place=f"c-{number:03}"), number)
    story.log.runner.catch_up()
    assert len(story.rows()) == MAX_LANES


def test_what_changes_moves_its_mark_and_leaves_none_behind(story: Drawn) -> None:
    story.deploy("1.0", 0, "planned")
    assert story.shown() == [("1.0", ShownState.PLANNED)]
    story.deploy("1.0", MINUTE)
    story.deploy("1.0", 2 * MINUTE, "failed")
    assert story.shown() == [("1.0", ShownState.FAILED)]
    assert story.tally() == {RANK[ShownState.FAILED]: 1}


def test_a_change_of_configuration_is_shown_as_such(story: Drawn) -> None:
    fields = {"service": "checkout", "environment": "prod", "kind": "config", "key": "timeouts"}
    story.say(stated({**fields, "phase": "applied", "value": "5s"}), 0)
    (row,) = story.rows()
    assert (SHOWN[row.rank], row.version, row.kind) == (
        ShownState.CONFIG,
        "timeouts 5s",
        Kind.CONFIG,
    )


def test_the_counts_are_those_of_the_rows(story: Drawn) -> None:
    for number in range(12):
        phase = ("applied", "failed", "planned")[number % 3]
        story.deploy(f"1.{number}", number * HOUR, phase, place=("eu-1", "us-1")[number % 2])
    counted = Counter(row.rank for row in story.rows() if row.first)
    assert story.tally() == dict(counted)
    with story.log.views.reading() as connection:
        known = [tuple(row) for row in connection.execute(select(KNOWN))]
    assert known == [("checkout", "prod")]


# Windows -----------------------------------------------------------------------------------------


def test_marks_of_one_column_are_one_and_the_worst_newest_stands_for_them(story: Drawn) -> None:
    for number, (phase, service) in enumerate(
        (("failed", "a"), ("failed", "b"), ("planned", "c"), ("planned", "d"))
    ):
        story.say(ci(phase, service, service=service, version=service, place="eu-1"), number)
    (cell,) = story.marks.overview(query(), 100).cells
    assert (cell.runs, SHOWN[cell.rank], cell.service) == (4, ShownState.FAILED, "b")


def test_calm_ones_are_merged_wider_and_never_with_others(story: Drawn) -> None:
    # A day in 96 columns of a quarter of an hour; calm ones four of them wide.
    kind = {"kind": "config", "service": "checkout", "environment": "prod", "phase": "applied"}
    for number in range(4):
        said = {**kind, "key": f"k{number}", "value": "x"}
        story.say(stated(said), (15 * number + 1) * MINUTE)
    story.deploy("1.0", 20 * MINUTE, "failed")
    cells = story.marks.overview(query(), 96).cells
    assert [(cell.runs, SHOWN[cell.rank]) for cell in cells] == [
        (1, ShownState.FAILED),
        (4, ShownState.CONFIG),
    ]


def test_a_window_holds_what_went_live_in_it(story: Drawn) -> None:
    for hour in range(6):
        story.deploy(f"1.{hour}", hour * HOUR, "failed")
    seen = story.marks.overview(query(2 * HOUR, 4 * HOUR), 100)
    assert [cell.version for cell in seen.cells] == ["1.2", "1.3"]
    assert (sum(seen.counts.values()), seen.total) == (2, 6)


def test_lanes_with_trouble_come_before_full_ones(story: Drawn) -> None:
    for number in range(MAX_DRAWN_LANES + 3):
        phase = "failed" if number == MAX_DRAWN_LANES + 2 else "planned"
        story.write(ci(phase, f"v{number}", place=f"c-{number:03}"), number)
    story.log.runner.catch_up()
    seen = story.marks.overview(query(), 100)
    assert len(seen.lanes) == MAX_DRAWN_LANES
    assert seen.lanes_total == MAX_DRAWN_LANES + 3
    assert f"c-{MAX_DRAWN_LANES + 2:03}" in [lane.name for lane in seen.lanes]
    assert seen.marks_total - sum(cell.runs for cell in seen.cells) == 3


_FILTERS = {
    "service": ({"service": ("cart",)}, ["2.0"]),
    "state": ({"state": (ShownState.FAILED,)}, ["2.0"]),
    "owner or author": ({"owner": ("ana",)}, ["1.0", "2.0"]),
    "cluster": ({"cluster": ("us-1",)}, ["2.0"]),
    "beginning of a version": ({"text": ("1.",)}, ["1.0"]),
    "beginning of a service": ({"text": ("ca",)}, ["2.0"]),
    "words narrow": ({"text": ("ca", "1.")}, []),
    "environment": ({"environment": ("stage",)}, []),
}


@pytest.mark.parametrize("case", _FILTERS.values(), ids=_FILTERS)
def test_filters_choose_runs(story: Drawn, case: tuple[dict[str, Any], list[str]]) -> None:
    asked, versions = case
    story.say(ci("applied", "a", version="1.0", owner="ana", place="eu-1"), 0)
    said: dict[str, Any] = {"service": "cart", "author": "ana", "version": "2.0"}
    story.say(ci("failed", "b", place="us-1", **said), HOUR)
    found = story.marks.listed(query(**asked))
    assert sorted(row.version for row in found.rows) == versions
    counts, total = story.marks.counts(query(**asked))
    assert (sum(counts.values()), total) == (len(versions), 2)


# Lists -------------------------------------------------------------------------------------------


def test_pages_follow_each_other_without_a_gap_while_the_window_moves(story: Drawn) -> None:
    for number in range(5):
        story.deploy(f"1.{number}", number * HOUR)
    found, cursor = list[str](), None
    for page in range(3):
        asked = query(until=DAY + page, limit=2, cursor=cursor)
        listed = story.marks.listed(asked)
        found += [row.version for row in listed.rows]
        cursor = listed.next_cursor
    assert found == ["1.4", "1.3", "1.2", "1.1", "1.0"]
    assert cursor is None


def test_a_cursor_belongs_to_its_filter(story: Drawn) -> None:
    for number in range(3):
        story.deploy(f"1.{number}", number)
    cursor = story.marks.listed(query(limit=1)).next_cursor
    with pytest.raises(QueryError):
        story.marks.listed(query(limit=1, cursor=cursor, service=("cart",)))


def test_who_is_in_two_lanes_is_listed_once(story: Drawn) -> None:
    for place in ("eu-1", "us-1"):
        story.say(ci("applied", "v1", version="1.0", place=place), MINUTE)
    assert len(story.marks.listed(query(cluster=("eu-1", "us-1"))).rows) == 1
    counts, _ = story.marks.counts(query(cluster=("eu-1", "us-1")))
    assert sum(counts.values()) == 1


def test_the_newest_deployment_of_a_service_is_the_last_that_began(story: Drawn) -> None:
    story.deploy("1.0", 0)
    story.deploy("2.0", HOUR)
    story.deploy("3.0", 2 * HOUR, "planned")
    story.say(ci("applied", "s", version="0.1", environment="stage"), HOUR)
    names, total, cursor = story.marks.services(MarkQuery())
    assert (names, total, cursor) == (["checkout"], 1, None)
    found = story.marks.newest(names)
    assert [(row.environment, row.version) for row in found] == [("prod", "2.0"), ("stage", "0.1")]


def test_services_are_found_by_the_beginning_of_their_names(story: Drawn) -> None:
    story.deploy("1.0", 0)
    assert story.marks.services(MarkQuery(text=("ch",)))[0] == ["checkout"]
    assert story.marks.services(MarkQuery(text=("x",)))[:2] == ([], 0)


# Who is uneasy -----------------------------------------------------------------------------------


def test_what_failed_and_was_replaced_since_is_decided(story: Drawn) -> None:
    story.deploy("1.0", 0, "failed")
    now_ms = START_MS + HOUR * 1_000
    (uneasy,), _ = story.marks.uneasy(query(), now_ms)
    assert uneasy.version == "1.0"
    story.deploy("2.0", MINUTE)
    story.say(ci("promoted", "2.0", version="2.0"), 2 * MINUTE)
    found, _ = story.marks.uneasy(query(), now_ms)
    assert "1.0" not in [row.version for row in found if SHOWN[row.rank] is ShownState.FAILED]


def test_the_worst_comes_first_and_old_trouble_is_forgotten(story: Drawn) -> None:
    story.say(ci("failed", "a", service="old", version="1"), 0)
    story.say(ci("applying", "b", service="now", version="2"), 2 * DAY)
    story.say(ci("failed", "c", service="now-too", version="3"), 2 * DAY - HOUR)
    now_ms = START_MS + 2 * DAY_MS + 1_000
    found, _ = story.marks.uneasy(query(2 * DAY - MINUTE, 3 * DAY), now_ms)
    assert [row.service for row in found] == ["now-too", "now"]
    assert story.marks.uneasy(query(0, 3 * DAY), now_ms)[0] == found
    earlier, _ = story.marks.uneasy(query(0, HOUR), now_ms)
    assert [row.service for row in earlier] == ["old"]


def test_runs_are_found_by_their_names(story: Drawn) -> None:
    story.deploy("1.0", 0)
    identity, _, number = named(ci("applied", "1.0", version="1.0")).partition("~")
    wanted = ("checkout", "prod", identity, int(number or 1))
    assert [row.version for row in story.marks.named([wanted])] == ["1.0"]
    assert story.marks.named([(*wanted[:3], 7)]) == []
    assert len(story.marks.chosen(query(), [wanted])) == 1
    assert story.marks.chosen(query(until=0.001, since=-1), [wanted])[0].version == "1.0"
    assert story.marks.chosen(query(HOUR), [wanted]) == []


# What was told a moment ago ----------------------------------------------------------------------


def test_what_a_window_held_a_moment_ago_is_told_again(story: Drawn) -> None:
    story.deploy("1.0", 60)
    seen = story.marks.overview(query(0, HOUR), 100)
    assert story.marks.overview(query(0.9, HOUR + 0.9), 100) is seen
    assert story.marks.overview(query(0.9, HOUR), 100) is not seen  # it is of another length


@pytest.mark.parametrize(
    ("moved", "width"),
    [(1.5, 100), (-0.5, 100), (0.5, 10_000)],
    ids=["a moment is over", "it is of before", "a mark may stand in the next column"],
)
def test_what_a_window_holds_is_found_anew_when(story: Drawn, moved: float, width: int) -> None:
    story.deploy("1.0", 60)
    seen = story.marks.overview(query(0, HOUR), width)
    assert story.marks.overview(query(moved, HOUR + moved), width) is not seen


def test_what_is_added_is_seen_at_once(story: Drawn) -> None:
    story.deploy("1.0", 60)
    assert story.marks.overview(query(), 100).total == 1
    story.deploy("2.0", 120)
    assert story.marks.overview(query(), 100).total == 2


def test_only_so_many_windows_are_remembered(story: Drawn) -> None:
    seen = story.marks.overview(query(), 100)
    for width in range(MAX_KEPT - 1):
        story.marks.overview(query(), 200 + width)
    assert story.marks.overview(query(), 100) is seen
    story.marks.overview(query(), 300)
    assert story.marks.overview(query(), 100) is not seen
