"""Scopes: only `*` is special, and every dimension must agree."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.crypto.scope import allows_entry, marker_refusal, matches
from deploymark.model.entries import Scope

MATCHES = {
    "a literal is itself": ("checkout", "checkout", True),
    "a literal is nothing else": ("checkout", "checkout2", False),
    "case counts": ("Checkout", "checkout", False),
    "a star is everything": ("*", "checkout", True),
    "a star is also nothing": ("*", "", True),
    "a prefix": ("shop-*", "shop-checkout", True),
    "a suffix": ("*-prod", "eu-prod", True),
    "both ends": ("eu-*-prod", "eu-west-1-prod", True),
    "the ends may not overlap": ("aba*aba", "ababa", False),
    "the ends may touch": ("aba*aba", "abaaba", True),
    "parts come in order": ("*b*a*", "ab", False),
    "two stars": ("**", "x", True),
    "a question mark is itself": ("a?", "ab", False),
    "brackets are themselves": ("[ab]", "a", False),
    "a dot is itself": ("a.b", "axb", False),
    "a newline is a character like others": ("a*b", "a\nb", True),
    "an empty glob matches nothing but the empty": ("", "x", False),
}


@pytest.mark.parametrize(("glob", "value", "expected"), MATCHES.values(), ids=MATCHES)
def test_globs(glob: str, value: str, expected: bool) -> None:  # noqa: FBT001
    assert matches(glob, value) is expected


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_globs_agree_with_regular_expressions(glob: str, value: str) -> None:
    pattern = ".*".join(map(re.escape, glob.split("*")))
    assert matches(glob, value) is bool(re.fullmatch(pattern, value, re.DOTALL))


SCOPE = Scope(
    services=("checkout", "shop-*"), environments=("prod",), phases=("applied", "promoted")
)
MARKER = {"service": "checkout", "environment": "prod", "phase": "applied"}
REFUSED = {
    "another service": ({"service": "billing"}, "service"),
    "no service": ({"service": None}, "service"),
    "another environment": ({"environment": "staging"}, "environment"),
    "another phase": ({"phase": "running"}, "phase"),
    "a service that is no text": ({"service": ["checkout"]}, "service"),
}


def test_a_marker_within_every_list_is_allowed() -> None:
    assert marker_refusal(SCOPE, MARKER) == ""
    assert marker_refusal(SCOPE, {**MARKER, "service": "shop-eu", "kind": "config"}) == ""


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_marker_outside_one_list_is_refused_with_that_list(
    change: dict[str, object], reason: str
) -> None:
    assert marker_refusal(SCOPE, {**MARKER, **change}).startswith(reason)


def test_an_absent_kind_means_deployment() -> None:
    deployments = Scope(services=("*",), environments=("*",), kinds=("deployment",))
    assert marker_refusal(deployments, MARKER) == ""
    assert marker_refusal(deployments, {**MARKER, "kind": "config"}).startswith("kind")


def test_without_saying_more_a_key_may_sign_markers_only() -> None:
    assert allows_entry(SCOPE, "marker")
    assert not allows_entry(SCOPE, "key")
    assert not allows_entry(SCOPE, "markers")
