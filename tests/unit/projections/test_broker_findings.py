"""Findings that stand in the log, as the broker keeps them."""

from deploymark.model.entries import Finding
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.findings import MAX_INDEXES, entry_row, join_rows


def _finding(indexes: range) -> Finding:
    return Finding(
        code=FindingCode.MARKER_CONFLICT,
        state="counted",
        severity="warning",
        message="Another content was sent.",
        timestamp="2026-11-23T06:00:00.000Z",
        indexes=tuple(indexes),
    )


def test_a_finding_names_its_newest_entries_alone_and_when_it_comes_again() -> None:
    first = entry_row(_finding(range(40)), 100, 0)
    assert first.document["indexes"] == [*range(41 - MAX_INDEXES, 40), 100]
    again = join_rows(first, entry_row(_finding(range(50, 52)), 101, 0))
    assert again.document["indexes"] == [*range(44 - MAX_INDEXES, 40), 100, 50, 51, 101]
