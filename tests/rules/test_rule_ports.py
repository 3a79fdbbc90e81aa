"""Every port comes with a suite that any implementation of it can be put through."""

import ast
import re

import pytest

from generated_pages import ROOT

_WITHOUT_A_SUITE = {
    "Clock": "one method; its only promise is the unit, which the type names",
    "DialectGate": "the gate itself, for one caller; datadog-ci asks it before a real server",
    "DialectRecords": "what a Dialect looks at; the golden files of exercise_dialect ask for it",
    "LogReader": "the reading half of LogStore; exercise_log_store asks through it",
    "Meter": "one method that returns nothing; what it counts is asserted where it is counted",
}
_TABLES = ("Dialect",)
"""Ports that are values: a vendor fills one, and its promises are tested all the same."""

_SOURCE = ROOT / "src" / "deploymark"
_TESTING = _SOURCE / "testing"


def _ports() -> list[str]:
    return [
        each.name
        for module in (_SOURCE / "ports").glob("*.py")
        for each in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(each, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id == "Protocol" for base in each.bases)
    ]


def _suites() -> set[str]:
    return {
        each.name
        for module in _TESTING.rglob("*.py")
        for each in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(each, ast.FunctionDef) and each.name.startswith("exercise_")
    }


def _suite_name(port: str) -> str:
    return "exercise_" + re.sub(r"(?<!^)(?=[A-Z])", "_", port).lower()


@pytest.mark.parametrize("port", _ports())
def test_a_port_has_a_suite_or_a_reason_why_not(port: str) -> None:
    assert (_suite_name(port) in _suites()) != (port in _WITHOUT_A_SUITE)


@pytest.mark.parametrize("table", _TABLES)
def test_a_table_that_vendors_fill_has_a_suite(table: str) -> None:
    assert _suite_name(table) in _suites()


def test_every_exception_names_a_port_that_exists() -> None:
    assert set(_WITHOUT_A_SUITE) <= set(_ports())
