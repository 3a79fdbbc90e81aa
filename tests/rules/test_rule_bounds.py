"""The bounds that the page of the broker states are those of the code."""

import importlib
import re

import pytest

from deploymark.cli.findings import _REFUSED
from deploymark.ingest.refusals import CODES
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.findings import COURSES, TEXTS
from deploymark.projections.broker.fit import EXPLICIT, STATED, UNPLANNED
from generated_pages import ROOT

PAGE = (ROOT / "docs" / "reference" / "broker.md").read_text(encoding="utf-8")
BOUNDS = re.findall(r"\| ([0-9,]+)( s)? \| `([\w.]+)\.(\w+)` \|", PAGE)


@pytest.mark.parametrize(("number", "unit", "module", "name"), BOUNDS)
def test_a_bound_is_what_the_page_says(number: str, unit: str, module: str, name: str) -> None:
    set_to = getattr(importlib.import_module(module), name)
    assert int(number.replace(",", "")) * (1_000 if unit else 1) == set_to
    assert bool(unit) == name.endswith("_MS")


def test_every_bound_of_the_page_is_compared() -> None:
    assert len(BOUNDS) == PAGE.count("| `deploymark.")


def test_every_rule_of_joining_is_explained() -> None:
    rules = [EXPLICIT, STATED, UNPLANNED, "external", "digest", "commit", "version"]
    assert [rule for rule in rules if f"| `{rule}` |" not in PAGE] == []


def test_every_finding_has_a_course() -> None:
    assert set(COURSES) == set(FindingCode)
    refusals = {code for code, course in COURSES.items() if course.found_by == "refusals"}
    assert set(TEXTS) == set(COURSES) - refusals


def test_what_refusals_become_is_told_with_who_tried() -> None:
    refused = {code for code, course in COURSES.items() if "refusals" in course.found_by}
    assert refused == set(CODES.values())
    assert refused == _REFUSED
