"""What a search finds, page by page, and what it refuses to look for."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from projected_log import Projected, append, digest, leaf_of, marker

from deploymark.errors import QueryError, StoreUnavailableError
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import DECISION, FINDING, INCIDENT, RETRACTION
from deploymark.projections import search
from deploymark.projections.database import open_views
from deploymark.projections.search_query import EntryQuery, MarkerQuery, plan_query
from deploymark.testing.clock import START_MS

NOW = format_instant(START_MS)
FULL: dict[str, Any] = {
    "service": "checkout",
    "environment": "prod",
    "phase": "running",
    "kind": "deployment",
    "artifact": {
        "digest": digest("index"),
        "tag": "2.31.0",
        "platforms": {"linux/amd64": digest("amd64"), "linux/arm64": digest("arm64")},
    },
    "version": "2.31.0",
    "commit_hash": "0123456789abcdef0123456789abcdef01234567",
    "build_id": "4711",
    "correlation_id": "run-9",
    "deployment_id": "checkout-9",
    "target": {
        "cluster": "eu-1",
        "region": "eu-west-1",
        "zone": "a",
        "instance": "pod/checkout-7c",
        "instance_uid": "7c-uid",
    },
    "owner": "team:payments",
    "change_tickets": ["CHG1", "CHG2"],
    "evidence": {"basis": "observed", "digest": digest("observed")},
}


@pytest.fixture
def projected(tmp_path: pathlib.Path) -> Iterator[Projected]:
    made = Projected(tmp_path)
    yield made
    made.close()


def finding(**changes: object) -> Leaf:
    fields = {
        "code": "clock_skew",
        "message": "An hour ahead.",
        "severity": "warning",
        "state": "opened",
        "timestamp": NOW,
        **changes,
    }
    return leaf_of(fields, FINDING)


FOUND_BY: dict[str, dict[str, str]] = {
    "its service": {"service": "checkout"},
    "its environment": {"environment": "prod"},
    "its cluster": {"cluster": "eu-1"},
    "its region": {"region": "eu-west-1"},
    "its zone": {"zone": "a"},
    "its instance": {"instance": "pod/checkout-7c"},
    "the uid of its instance": {"instance": "7c-uid"},
    "its digest": {"digest": digest("index")},
    "the digest of a platform": {"digest": digest("arm64")},
    "the digest that was observed": {"digest": digest("observed")},
    "its commit": {"commit": "0123456789abcdef0123456789abcdef01234567"},
    "seven digits of its commit": {"commit": "0123456"},
    "more digits of its commit": {"commit": "0123456789abcd"},
    "its tag": {"tag": "2.31.0"},
    "its version": {"version": "2.31.0"},
    "its build": {"build_id": "4711"},
    "its first ticket": {"ticket": "CHG1"},
    "its second ticket": {"ticket": "CHG2"},
    "its owner": {"owner": "team:payments"},
    "its kind": {"kind": "deployment"},
    "its phase": {"phase": "running"},
    "its correlation id": {"correlation_id": "run-9"},
    "its deployment": {"deployment_id": "checkout-9"},
    "its deployment, in capitals": {"deployment_id": "CHECKOUT-9"},
    "its occurrence": {"deployment_id": "checkout-9~2"},
    "all of it": {
        "service": "checkout",
        "environment": "prod",
        "phase": "running",
        "ticket": "CHG2",
        "commit": "01234567",
        "deployment_id": "checkout-9~2",
        "since": "2020-01-01T00:00:00Z",
    },
}
NOT_FOUND_BY: dict[str, dict[str, str]] = {
    "its service in capitals": {"service": "Checkout"},
    "a part of its service": {"service": "check"},
    "a commit that only begins like it": {"commit": "0123456f"},
    "a digit more than its commit has": {"commit": "0123456789abcdef0123456789abcdef012345670"},
    "another occurrence": {"deployment_id": "checkout-9~1"},
    "its service and another environment": {"service": "checkout", "environment": "staging"},
    "the value of another filter": {"version": "checkout"},
    "text that no entry can hold": {"service": "\ud800\0"},
}


def _query(filters: dict[str, str]) -> dict[str, Any]:
    whole = {"since", "until"}
    return {name: value if name in whole else (value,) for name, value in filters.items()}


@pytest.mark.parametrize("filters", FOUND_BY.values(), ids=FOUND_BY.keys())
def test_a_marker_is_found_by(projected: Projected, filters: dict[str, str]) -> None:
    others = [leaf_of(marker(n, kind="config", key="k", revision="r")) for n in range(3)]
    others = [leaf for leaf in others if "environment" not in filters and "kind" not in filters]
    projected.add(leaf_of(FULL, occurrence=2), *others)
    assert projected.markers(**_query(filters)) == [0]


@pytest.mark.parametrize("filters", NOT_FOUND_BY.values(), ids=NOT_FOUND_BY.keys())
def test_a_marker_is_not_found_by(projected: Projected, filters: dict[str, str]) -> None:
    projected.add(leaf_of(FULL, occurrence=2))
    assert projected.markers(**_query(filters)) == []


def test_several_values_of_one_filter_widen_the_search(projected: Projected) -> None:
    projected.add(*(leaf_of(marker(n)) for n in range(6)))
    assert projected.markers(service=("service-0", "service-2")) == [5, 3, 2, 0]
    assert projected.markers(service=("service-0", "service-2"), version=("1.2", "1.4")) == [2]


def test_an_occurrence_and_a_whole_deployment_can_be_asked_for_together(
    projected: Projected,
) -> None:
    leaves = [
        leaf_of(marker(n, deployment_id=name), occurrence=number)
        for n, (name, number) in enumerate([("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)])
    ]
    projected.add(*leaves)
    assert projected.markers(deployment_id=("a~2", "b")) == [3, 2, 1]
    assert projected.markers(deployment_id=("a",), order="oldest") == [0, 1]


def test_pages_keep_their_place_while_entries_arrive(projected: Projected) -> None:
    projected.add(*(leaf_of(marker(n)) for n in range(5)))
    first = projected.search.markers(MarkerQuery(limit=2))
    projected.add(*(leaf_of(marker(n)) for n in range(5, 9)))
    second = projected.search.markers(MarkerQuery(limit=2, cursor=first.next_cursor))
    third = projected.search.markers(MarkerQuery(limit=2, cursor=second.next_cursor))
    assert [first.indexes, second.indexes, third.indexes] == [(4, 3), (2, 1), (0,)]
    assert (first.as_of, second.as_of, third.next_cursor) == (5, 9, None)


def test_the_last_full_page_has_no_cursor(projected: Projected) -> None:
    projected.add(*(leaf_of(marker(n)) for n in range(4)))
    assert projected.search.markers(MarkerQuery(limit=4)).next_cursor is None


def test_times_mean_when_the_log_received_it_and_need_not_rise(projected: Projected) -> None:
    seconds = [5, 6, 1, 2, 9, 3]
    bodies = [encode_leaf(leaf_of(marker(n, timestamp=NOW))) for n in range(len(seconds))]
    append(projected.store, bodies, [START_MS + 1_000 * each for each in seconds])
    projected.runner.catch_up()

    def at(second: int) -> str:
        return format_instant(START_MS + 1_000 * second)

    assert projected.markers(since=at(2), until=at(6)) == [5, 3, 0]
    assert projected.markers(since=at(9)) == [4]
    assert projected.markers(until=at(1)) == []
    assert projected.markers(since=at(10)) == []


def test_blocks_of_another_time_are_left_out_without_losing_any(
    projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "BLOCK_ENTRIES", 2)
    seconds = [1, 2, 3, 9, 4, 5, 6, 0, 7, 8]
    bodies = [encode_leaf(leaf_of(marker(n))) for n in range(len(seconds))]
    for start in range(0, len(seconds), 3):  # batches that end inside a block
        part = slice(start, start + 3)
        append(projected.store, bodies[part], [START_MS + each for each in seconds[part]])
        projected.runner.catch_up()
    for low in range(11):
        for high in range(11):
            times = (format_instant(START_MS + low), format_instant(START_MS + high))
            wanted = [n for n in reversed(range(10)) if low <= seconds[n] < high]
            assert projected.markers(since=times[0], until=times[1]) == wanted


def test_a_search_that_finds_little_ends_a_page_at_its_bound(
    projected: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "SCAN_LIMIT", 10)
    # Neither filter is rare, and only the oldest entry has both.
    projected.add(
        leaf_of(marker(0, owner="a", target={"zone": "z"})),
        *(
            leaf_of(marker(n, owner="a" if n % 2 else "b", target={"zone": "zy"[n % 2]}))
            for n in range(1, 60)
        ),
    )
    query = MarkerQuery(owner=("a",), zone=("z",))
    page = projected.search.markers(query)
    assert page.indexes == ()
    assert page.next_cursor is not None
    assert projected.follow(query) == [0]


def test_entries_of_every_type_are_found(projected: Projected) -> None:
    decision = {
        "action": "promote",
        "actor": "policy",
        "environment": "prod",
        "stage": "decided",
        "timestamp": NOW,
        "deployment_id": "Checkout-9~2",
    }
    incident = {
        "action": "confirmed",
        "incident_id": "i-1",
        "timestamp": NOW,
        "confirmed_deployment_id": "checkout-9",
    }
    projected.add(
        leaf_of(FULL, occurrence=2),
        finding(),
        finding(code="marker_forged", deployment_id="checkout-9~1"),
        leaf_of(decision, DECISION),
        leaf_of(incident, INCIDENT),
        leaf_of({"index": 1, "reason": "twice", "timestamp": NOW}, RETRACTION),
    )
    assert projected.entries() == [5, 4, 3, 2, 1, 0]
    assert projected.entries(type=("finding",)) == [2, 1]
    assert projected.entries(type=("finding", "retraction"), limit=1) == [5, 2, 1]
    assert projected.entries(type=("verdict",)) == []
    assert projected.entries(code=("clock_skew",)) == [1]
    assert projected.entries(deployment_id=("checkout-9",)) == [4, 3, 2, 0]
    assert projected.entries(deployment_id=("checkout-9~2",)) == [3, 0]
    assert projected.entries(type=("marker",)) == projected.markers() == [0]
    assert projected.markers(deployment_id=("checkout-9",)) == [0]


REFUSED: dict[str, tuple[MarkerQuery | EntryQuery, str]] = {
    "a page of nothing": (MarkerQuery(limit=0), "/limit"),
    "a page that is too long": (MarkerQuery(limit=1_001), "/limit"),
    "an unknown phase": (MarkerQuery(phase=("aplied",)), "/phase"),
    "an unknown kind": (MarkerQuery(kind=("Deployment",)), "/kind"),
    "an unknown type": (EntryQuery(type=("findings",)), "/type"),
    "an unknown code": (EntryQuery(code=("skew",)), "/code"),
    "six digits of a commit": (MarkerQuery(commit=("012345",)), "/commit"),
    "a commit in capitals": (MarkerQuery(commit=("ABCDEF0",)), "/commit"),
    "a malformed deployment": (MarkerQuery(deployment_id=("a~0",)), "/deployment_id"),
    "a malformed time": (MarkerQuery(since="yesterday"), "/since"),
    "a day that does not exist": (MarkerQuery(until="2026-02-30T00:00:00Z"), "/until"),
    "too many values": (MarkerQuery(version=tuple(map(str, range(65)))), "/version"),
    "an unknown order": (MarkerQuery(order="random"), "/order"),  # type: ignore[arg-type]
    "a cursor of nothing": (MarkerQuery(cursor=""), "/cursor"),
    "a cursor that is no base64": (MarkerQuery(cursor="ü" * 20), "/cursor"),
    "a cursor that nobody gave": (MarkerQuery(cursor="AAAAAAAAAAAAAAAAAAAA"), "/cursor"),
}


@pytest.mark.parametrize(("query", "field"), REFUSED.values(), ids=REFUSED.keys())
def test_a_search_refuses(
    projected: Projected, query: MarkerQuery | EntryQuery, field: str
) -> None:
    projected.runner.catch_up()
    with pytest.raises(QueryError) as caught:
        projected.ask(query)
    assert caught.value.field == field


def test_a_near_word_is_suggested() -> None:
    with pytest.raises(QueryError) as caught:
        plan_query(MarkerQuery(phase=("aplied",)))
    assert caught.value.hint == "Did you mean `applied`?"


def test_a_cursor_of_another_query_or_one_changed_anywhere_is_refused(
    projected: Projected,
) -> None:
    projected.add(*(leaf_of(marker(n)) for n in range(4)))
    cursor = projected.search.markers(MarkerQuery(limit=1)).next_cursor
    assert cursor is not None
    for other in (MarkerQuery(phase=("applied",)), MarkerQuery(order="oldest"), EntryQuery()):
        values = {name: getattr(other, name) for name in other.__struct_fields__}
        with pytest.raises(QueryError):
            projected.ask(type(other)(**{**values, "cursor": cursor}))
    for place, letter in enumerate(cursor):
        changed = cursor[:place] + ("B" if letter != "B" else "C") + cursor[place + 1 :]
        with pytest.raises(QueryError):
            projected.search.markers(MarkerQuery(cursor=changed))


@given(st.text(max_size=40))
def test_no_text_makes_a_cursor_fail_otherwise(text: str) -> None:
    with pytest.raises(QueryError):
        plan_query(MarkerQuery(cursor=text))


def test_a_search_before_the_view_is_built_asks_to_come_again(tmp_path: pathlib.Path) -> None:
    views = open_views(tmp_path / "views.db")
    with pytest.raises(StoreUnavailableError, match="being built"):
        search.Search(views).markers(MarkerQuery())
    views.close()


# Against a naive filter ---------------------------------------------------------------------------

_SOME = ("a", "b", "c")
_COMMITS = ("0123456", "01234567", "0123456789", "fedcba98")
_DEPLOYMENTS = ("d-a", "d-b")
_FIELDS = ("service", "environment", "version", "owner", "build_id")


@st.composite
def _leaves(draw: st.DrawFn) -> tuple[dict[str, Any], int, int]:
    some = st.sampled_from(_SOME)
    maybe = st.none() | some
    fields = marker(
        draw(st.integers(0, 9)),
        service=draw(some),
        environment=draw(some),
        phase=draw(st.sampled_from(("planned", "applied"))),
        version=draw(some),
        owner=draw(maybe),
        build_id=draw(maybe),
        commit_hash=draw(st.none() | st.sampled_from(_COMMITS)),
        deployment_id=draw(st.sampled_from(_DEPLOYMENTS)),
        change_tickets=draw(st.lists(some, max_size=3)),
        target={"cluster": draw(some)},
    )
    return fields, draw(st.integers(1, 3)), START_MS + draw(st.integers(0, 5))


@st.composite
def _queries(draw: st.DrawFn) -> MarkerQuery:
    def some(*words: str) -> tuple[str, ...]:
        wanted = (
            st.lists(st.sampled_from(words), max_size=2) if draw(st.booleans()) else st.just([])
        )
        return tuple(draw(wanted))

    def instant() -> str | None:
        after = draw(st.none() | st.integers(-1, 6))
        return None if after is None else format_instant(START_MS + after)

    return MarkerQuery(
        service=some(*_SOME),
        environment=some(*_SOME),
        version=some(*_SOME),
        owner=some(*_SOME),
        build_id=some(*_SOME),
        phase=some("planned", "applied", "running"),
        commit=some(*_COMMITS),
        deployment_id=some("d-a", "d-a~1", "d-a~2", "d-b~3", "d-c"),
        ticket=some(*_SOME),
        cluster=some(*_SOME),
        since=instant(),
        until=instant(),
        order=draw(st.sampled_from(("newest", "oldest"))),
        limit=draw(st.integers(1, 12)),
    )


def _fits(query: MarkerQuery, fields: dict[str, Any], occurrence: int, received_ms: int) -> bool:
    held: dict[str, set[Any]] = {
        **{name: {fields.get(name)} for name in (*_FIELDS, "phase")},
        "deployment_id": {
            fields["deployment_id"],
            f"{fields['deployment_id']}~{occurrence}",
        },
        "ticket": set(fields["change_tickets"]),
        "cluster": {fields["target"]["cluster"]},
    }
    commit = fields.get("commit_hash", "")
    received_at = format_instant(received_ms)
    return (
        all(not getattr(query, name) or held[name] & {*getattr(query, name)} for name in held)
        and (not query.commit or any(commit.startswith(digits) for digits in query.commit))
        and (query.since is None or received_at >= query.since)
        and (query.until is None or received_at < query.until)
    )


@settings(max_examples=40)
@given(st.lists(_leaves(), max_size=60), st.lists(_queries(), min_size=1, max_size=8), st.data())
def test_answers_equal_a_naive_filter_over_all_markers(
    tmp_path_factory: pytest.TempPathFactory,
    leaves: list[tuple[dict[str, Any], int, int]],
    queries: list[MarkerQuery],
    data: st.DataObject,
) -> None:
    projected = Projected(tmp_path_factory.mktemp("views"))
    with pytest.MonkeyPatch.context() as patch:
        for name, low, high in (
            ("SCAN_LIMIT", 13, 60),
            ("BLOCK_ENTRIES", 1, 20),
            ("_PROBE_ROWS", 1, 8),
            ("_CHUNK_ROWS", 1, 30),
        ):
            patch.setattr(search, name, data.draw(st.integers(low, high), label=name))
        bodies = [encode_leaf(leaf_of(fields, occurrence=n)) for fields, n, _ in leaves]
        times = [received_ms for _, _, received_ms in leaves]
        step = data.draw(st.integers(1, 30), label="batch")
        for start in range(0, len(bodies), step):  # incremental, and so a replay in one go
            append(projected.store, bodies[start : start + step], times[start : start + step])
            projected.runner.catch_up()
        projected.runner.catch_up()
        try:
            for query in queries:
                wanted = [n for n, each in enumerate(leaves) if _fits(query, *each)]
                wanted = wanted if query.order == "oldest" else wanted[::-1]
                assert projected.follow(query) == wanted
        finally:
            projected.close()
