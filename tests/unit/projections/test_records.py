"""What clients of other systems were told, read back from the log alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from projected_log import Projected, leaf_of

from deploymark.model.entries import Scope
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import AMENDMENT, MARKER, RETRACTION
from deploymark.ports import Record, RecordQuery
from deploymark.projections.records import RecordsView
from deploymark.projections.records_query import Records
from deploymark.testing.clock import START_MS

DIALECT = "grafana_annotations"


class Told:
    """A log and its records, with sentences about them."""

    def __init__(self, folder: Path) -> None:
        self.log = Projected(folder, views=[RecordsView()])
        self.records = Records(self.log.views, self.log.store)

    def mark(
        self,
        version: str,
        at_s: int = 0,
        *,
        by: str = "token:ci",
        occurrence: int = 1,
        **more: Any,  # noqa: ANN401 - any field
    ) -> int:
        """Say a marker of the gateway; gives its index."""
        tags = more.pop("tags", ())
        labels = {"dialect": DIALECT, **more.pop("labels", {})}
        labels |= {f"tag.{number}": tag for number, tag in enumerate(tags, 1)}
        fields = {
            "service": "web",
            "environment": "prod",
            "phase": "applied",
            "version": version,
            "timestamp": format_instant(START_MS + 1_000 * at_s),
            "emitter": {"kind": "gateway", "id": DIALECT},
            "labels": labels,
            **more,
        }
        leaf = leaf_of(fields, MARKER, occurrence=occurrence)
        self.log.add(structs.replace(leaf, principal=by))
        return self.log.store.head().size - 1

    def amend(self, index: int, **changes: Any) -> None:  # noqa: ANN401 - any value
        """Correct an entry; names are those of fields, with `__` for a slash."""
        said = {f"/{name.replace('__', '/')}": value for name, value in changes.items()}
        self._say(AMENDMENT, {"index": index, "changes": said})

    def retract(self, index: int) -> None:
        """Take an entry back."""
        self._say(RETRACTION, {"index": index})

    def _say(self, kind: str, fields: dict[str, Any]) -> None:
        more = {"reason": "a test", "timestamp": format_instant(START_MS)}
        self.log.add(leaf_of({**fields, **more}, kind))

    def find(self, index: int, by: str | None = None) -> Record | None:
        return self.records.of(DIALECT, by).find(index)

    def found(self, index: int) -> Record:
        record = self.find(index)
        assert record is not None
        return record

    def search(self, **asked: Any) -> list[int]:  # noqa: ANN401 - any filter
        """Return the indexes of records."""
        return [each.index for each in self.records.of(DIALECT).search(RecordQuery(**asked))]


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Return an empty log."""
    found = Told(tmp_path)
    yield found
    found.log.close()


def test_the_markers_of_one_occurrence_are_one_record(told: Told) -> None:
    first = told.mark("1", 10, phase="applying", build_url="https://ci/1")
    second = told.mark("1", 90, reason="done")

    record = told.found(second)
    assert (record.index, record.started_ms, record.ended_ms) == (
        first,
        START_MS + 10_000,
        START_MS + 90_000,
    )
    assert [(each.index, each.phase) for each in record.events] == [
        (first, "applying"),
        (second, "applied"),
    ]
    assert (record.fields["build_url"], record.text) == ("https://ci/1", "done")
    again = told.mark("1", 100, occurrence=2)
    assert told.search() == [again, first]


def test_what_no_dialect_translated_is_no_record(told: Told) -> None:
    told.mark("1", emitter={"kind": "ci"})
    index = told.mark("2")
    told.log.add(
        leaf_of({"service": "web", "environment": "e", "phase": "applied", "version": "3"})
    )
    assert told.search() == [index]
    assert told.records.of("other").search(RecordQuery()) == []
    assert told.find(99) is None


def test_a_scope_narrows_what_a_caller_sees_of_its_own(told: Told) -> None:
    """The name of a token may be given again, to a holder of another scope."""
    inside = [told.mark(str(n), n, service=f"shop-{n}") for n in range(4)]
    flag = told.mark("1", 4, service="shop-9", kind="config", key="ttl", value="5s")
    staging = told.mark("1", 5, service="shop-9", environment="staging")
    pay = told.mark("1", 6, service="pay")
    told.mark("1", 7, service="shop-9", by="token:other")
    scope = Scope(
        services=("shop-*",),
        environments=("pro*",),
        kinds=("deployment",),
        phases=("started",),  # of what it may say, not of what became of that
    )
    seen = told.records.of(DIALECT, "token:ci", scope)

    assert [seen.find(index) is not None for index in (*inside, flag, staging, pay)] == (
        [True] * 4 + [False] * 3
    )
    assert [each.index for each in seen.search(RecordQuery())] == inside[::-1]
    page = seen.search(RecordQuery(limit=2, offset=1))
    assert [each.index for each in page] == [inside[2], inside[1]]


def test_amendments_count_in_the_order_of_the_log(told: Told) -> None:
    index = told.mark("1", 10, tags=["a", "b"], changes=[{"commit": "c0"}])
    told.amend(index, reason="first")
    told.amend(
        index,
        **{
            "reason": "second",
            "labels__tag.2": None,
            "changes__1__commit": "c1",
            "changes__9__commit": "lost",
            "timestamp": format_instant(START_MS + 70_000),
            "build_url": None,
        },
    )
    record = told.found(index)
    assert (record.text, record.tags) == ("second", ("a",))
    assert record.fields["changes"] == [{"commit": "c0"}, {"commit": "c1"}]
    assert record.ended_ms == START_MS + 70_000
    assert (record.received_ms, record.amended_ms) == (START_MS, START_MS + 2_000)
    assert told.search(tags=["b"]) == []
    assert told.search(tags=["a"]) == [index]


def test_a_beginning_may_be_said_by_a_label(told: Told) -> None:
    index = told.mark("1", 90, labels={"started_at": format_instant(START_MS + 30_000)})
    assert told.found(index).started_ms == START_MS + 30_000
    assert told.search(until_ms=START_MS + 29_999) == []
    assert told.search(until_ms=START_MS + 30_000) == [index]


def test_what_was_taken_back_is_not_there(told: Told) -> None:
    first = told.mark("1", phase="applying")
    second = told.mark("1", 5)
    told.retract(first)
    assert [each.index for each in told.found(first).events] == [second]
    told.retract(second)
    assert told.find(first) is told.find(second) is None
    assert told.search() == []


def test_corrections_of_anything_else_change_nothing(told: Told) -> None:
    other = told.mark("1", emitter={"kind": "ci"})
    index = told.mark("2")
    told.amend(other, version="9")
    told.retract(other)
    told.amend(1_000, version="9")
    assert told.found(index).fields["version"] == "2"


def test_records_are_found_by_what_they_say(told: Told) -> None:
    one = told.mark("1", 10, tags=["a", "b"], labels={"sort": "release", "within": "acme"})
    two = told.mark("2", 20, tags=["b"], service="api", release_id="api@2")
    three = told.mark("3", 30, environment="test")
    for asked, wanted in (
        ({}, [three, two, one]),
        ({"limit": 1, "offset": 1}, [two]),
        ({"sort": "release", "within": "acme"}, [one]),
        ({"service": "api"}, [two]),
        ({"environment": "test", "version": "3"}, [three]),
        ({"release": "api@2"}, [two]),
        ({"since_ms": START_MS + 20_000}, [three, two]),
        ({"tags": ["a", "b"]}, [one]),
        ({"tags": ["a", "b"], "any_tag": True}, [two, one]),
        ({"tags": ["c"]}, []),
        ({"limit": -1}, []),
    ):
        assert told.search(**asked) == wanted, asked


def test_an_emitter_sees_only_its_own(told: Told) -> None:
    index = told.mark("1", by="token:a")
    assert told.find(index, "token:b") is None
    assert told.found(index).principal == "token:a"
    assert told.records.of(DIALECT, "token:b").search(RecordQuery()) == []


def test_a_rebuild_gives_the_same(told: Told, tmp_path: Path) -> None:
    index = told.mark("1", 10, tags=["a"])
    told.amend(index, reason="second")
    told.mark("1", 20, phase="failed")
    folder = tmp_path / "again"
    folder.mkdir()
    anew = Projected(folder, told.log.store, [RecordsView()])
    anew.runner.catch_up()
    assert Records(anew.views, anew.store).of(DIALECT).find(index) == told.found(index)
    anew.close()


def test_an_amendment_that_leaves_no_marker_changes_nothing(told: Told) -> None:
    index = told.mark("1", 10, tags=["a"])
    before = told.found(index)
    for changes in ({"labels": 5}, {"labels__tag.1": 5}, {"phase": "nonsense"}, {"changes": 5}):
        told.amend(index, **changes, reason="second")
    told.log.add(leaf_of(_UNSLASHED, AMENDMENT))
    found = told.found(index)
    assert found.fields == before.fields
    assert [each.phase for each in found.events] == [each.phase for each in before.events]


_UNSLASHED = {
    "index": 0,
    "changes": {"version": "2"},
    "reason": "a test",
    "timestamp": format_instant(START_MS),
}
