"""The pages of guards and of policy say what the code asks, with its bounds and settings."""

import importlib
import re

import msgspec
import pytest

from deploymark.act.guards import GUARDS
from deploymark.judge.policy import PolicyFacts, Rule
from generated_pages import ROOT

_REFERENCE = ROOT / "docs" / "reference"
GUARDS_PAGE = (_REFERENCE / "guards.md").read_text(encoding="utf-8")
POLICY_PAGE = (_REFERENCE / "policy.md").read_text(encoding="utf-8")
BOUNDS = re.findall(r"\| ([0-9,]+)( s)? \| `([\w.]+)\.(\w+)` \|", GUARDS_PAGE)
KINDS = {str(kind.__struct_config__.tag): kind for kind in Rule.__args__}


@pytest.mark.parametrize(("number", "unit", "module", "name"), BOUNDS)
def test_a_bound_of_a_guard_is_what_the_page_says(
    number: str, unit: str, module: str, name: str
) -> None:
    set_to = getattr(importlib.import_module(module), name)
    assert int(number.replace(",", "")) * (1_000 if unit else 1) == set_to
    assert bool(unit) == name.endswith("_MS")


def test_every_bound_of_the_page_of_guards_is_compared() -> None:
    assert len(BOUNDS) == GUARDS_PAGE.count("| `deploymark.")


def test_every_guard_stands_on_the_page_in_its_order() -> None:
    told = re.findall(r"^\| `([a-z_]+)` \|", GUARDS_PAGE, re.MULTILINE)
    assert told == [each.__name__.removeprefix("guard_") for each in GUARDS]


def test_every_kind_of_rule_stands_on_the_page_with_its_settings() -> None:
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*)$", POLICY_PAGE, re.MULTILINE))
    common = {"name", "services", "environments", "effect", "why", "examples"}
    for name, kind in KINDS.items():
        own = {field.name for field in msgspec.structs.fields(kind)} - common
        assert {each for each in own if f"`{each}`" not in rows[name]} == set()


def test_every_fact_stands_on_the_page() -> None:
    told = POLICY_PAGE.partition("## Facts of examples")[2].partition("## The gate")[0]
    assert [name for name in PolicyFacts.__struct_fields__ if f"`{name}`" not in told] == []
