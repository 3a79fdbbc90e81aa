"""Each requirement names tests that exist."""

import ast
import functools

import pytest

from generated_pages import ROOT, coverage_table

_KNOWN_SO_FAR = ("P1", "P2", "P5", "P7", "A5", "F3", "F5", "X1", "X10")
_TABLE = coverage_table()


def test_every_requirement_known_so_far_is_listed() -> None:
    assert [name for name in _KNOWN_SO_FAR if name not in _TABLE] == []


@pytest.mark.parametrize("name", _TABLE)
def test_a_requirement_is_shown_or_says_what_is_missing(name: str) -> None:
    row = _TABLE[name]
    assert set(row) <= {"title", "means", "shown_by", "missing"}
    assert row["title"]
    assert row["means"]
    assert row["shown_by"] or row.get("missing")


@functools.cache
def _tests_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        each.name
        for each in ast.walk(tree)
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


@pytest.mark.parametrize("name", _TABLE)
def test_every_test_that_a_requirement_names_exists(name: str) -> None:
    missing = []
    for test in _TABLE[name]["shown_by"]:
        path, *names = test.split("::")
        if not names or not (ROOT / path).is_file() or not set(names) <= _tests_of(path):
            missing.append(test)
    assert missing == []
