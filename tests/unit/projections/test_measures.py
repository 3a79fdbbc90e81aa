"""What the measures say of themselves."""

import pytest

from deploymark.model.difference import Difference, Tally
from deploymark.model.proportion import Proportion
from deploymark.projections.measures import (
    MEASURES,
    DeltaReading,
    Reading,
    Spread,
    quantile,
    read_all,
    shown,
    shown_delta,
)
from generated_pages import ROOT

_PAGE = (ROOT / "docs" / "reference" / "measures.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MEASURES)
def test_the_docs_say_the_formula_and_its_version_word_for_word(name: str) -> None:
    measure = MEASURES[name]
    part = _PAGE.partition(f"## {name}: {measure.title}\n")[2].partition("\n## ")[0]
    said = " ".join(part.split())
    for text in (
        f"`{measure.formula}`",
        f"version {measure.version},",
        f"target {measure.target:g}",
        measure.counts,
        measure.leaves_out,
    ):
        assert text in said, text


def test_a_measure_is_shown_with_everything_that_it_rests_on() -> None:
    reading = Reading(Proportion(8, 10), 0, 60_000)
    assert shown(MEASURES["M3"], reading) == {
        "measure": "M3",
        "title": "Marker ingestion rate",
        "numerator": 8,
        "denominator": 10,
        "value": 0.8,
        "interval": {
            "method": "wilson",
            "confidence": 0.95,
            "low": pytest.approx(0.490162),
            "high": pytest.approx(0.943318),
        },
        "target": 0.99,
        "aim": "at_least",
        "formula": MEASURES["M3"].formula,
        "formula_version": 1,
        "counts": MEASURES["M3"].counts,
        "leaves_out": MEASURES["M3"].leaves_out,
        "window": {"since": "1970-01-01T00:00:00.000Z", "until": "1970-01-01T00:01:00.000Z"},
    }


def test_a_measure_of_times_is_shown_with_them() -> None:
    reading = Reading(Proportion(1, 2), 0, 60_000, Spread(30.0, 900.0, 600))
    told = shown(MEASURES["M11"], reading)
    assert told["seconds"] == {"median": 30.0, "p95": 900.0, "within": 600}


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 5), (0.95, 10), (0.0, 1), (0.1, 1), (0.11, 2), (1.0, 10)]
)
def test_a_quantile_is_a_time_that_was_measured(share: float, expected: float) -> None:
    assert quantile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == expected
    assert quantile([], share) is None


def test_the_difference_is_shown_with_both_windows_and_what_is_left_out() -> None:
    difference = Difference(Tally(4, 1_000, 1_000), Tally(16.5, 1_000, 1_000))
    told = shown_delta(MEASURES["M4"], DeltaReading(difference, 3, {"not_over": 1}, 0, 60_000))
    assert told["before"] == {"numerator": 4, "denominator": 1_000, "seen": 1_000, "value": 0.004}
    assert told["after"]["numerator"] == 16.5
    assert told["value"] == pytest.approx(0.0125)
    assert told["interval"]["method"] == "newcombe"
    assert (told["deployments"], told["left_out"]) == (3, {"not_over": 1})
    assert (told["target"], told["aim"]) == (0.005, "at_most")
    nothing = shown_delta(MEASURES["M4"], DeltaReading(Difference(), 0, {}, 0, 60_000))
    assert (nothing["value"], nothing["interval"]) == (None, None)


def test_nothing_counted_is_no_value_rather_than_a_perfect_one() -> None:
    told = shown(MEASURES["M3"], Reading(Proportion(0, 0), None, 0))
    assert (told["value"], told["interval"], told["window"]["since"]) == (None, None, None)


def test_a_measure_without_a_source_does_not_appear_and_the_others_stand_in_order() -> None:
    reading = Reading(Proportion(1, 1), None, 0)
    assert list(read_all({"M10": lambda: reading, "M2": lambda: reading})) == ["M2", "M10"]
