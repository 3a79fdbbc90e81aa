"""Dialects share one origin with our own interface: no address means two things."""

from itertools import combinations

import pytest

from deploymark.ports import Dialect, Signature
from deploymark.runtime.dialects import NAMES, all_dialects
from deploymark.server.dialects.mounting import overlap, paths_of
from deploymark.server.operations import OPERATIONS
from generated_pages import DOCS, ROOT

_DIALECTS = all_dialects()


def test_no_address_of_a_dialect_is_an_operation_of_ours() -> None:
    shared = [
        (route.path, operation.path)
        for dialect in _DIALECTS
        for route in dialect.routes
        for operation in OPERATIONS
        if overlap(route.path, operation.path)
    ]
    assert shared == []


def test_no_request_means_something_in_two_dialects() -> None:
    shared = [
        (one.name, other.name, mine.method, mine.path)
        for one, other in combinations(_DIALECTS, 2)
        for mine in one.routes
        for its in other.routes
        if mine.method == its.method and overlap(mine.path, its.path)
    ]
    assert shared == []


@pytest.mark.parametrize("dialect", _DIALECTS, ids=lambda each: each.name)
def test_a_special_address_stands_before_the_general_one(dialect: Dialect) -> None:
    routes = dialect.routes
    hidden = [
        (later.path, earlier.path)
        for earlier, later in combinations(routes, 2)
        if earlier.path != later.path
        and "{" in earlier.path
        and overlap(earlier.path, later.path)
        and _is_more_special(later.path, earlier.path)
    ]
    assert hidden == []


def _is_more_special(one: str, other: str) -> bool:
    return one.count("{") < other.count("{") or one.count("/") > other.count("/")


def test_templates_overlap_where_an_address_fits_both() -> None:
    assert overlap("/a/{x}", "/a/b/")
    assert not overlap("/a/{x}", "/a/b/c")
    assert overlap("/a/{x:path}/z", "/a/b/c/z")
    assert overlap("/a/{x:path}", "/{y}/b/c")
    assert not overlap("/a/{x:path}/y", "/a/b/z")
    assert not overlap("/api/{x:path}", "/v1/markers")


def test_a_route_is_answered_with_and_without_its_final_slash() -> None:
    route = _DIALECTS[0].routes[0]
    assert paths_of(route) == (route.path, f"{route.path}/")


def test_names_are_those_of_the_folders_and_of_the_dialects() -> None:
    assert [each.name for each in _DIALECTS] == list(NAMES)
    for name in NAMES:
        folder = ROOT / "src" / "deploymark" / "integrations" / name
        assert {"routes.py", "translation.py"} <= {each.name for each in folder.iterdir()}


def test_whoever_needs_a_secret_says_in_which_header_it_shows() -> None:
    headers = [
        each.header
        for dialect in _DIALECTS
        for route in dialect.routes
        for each in route.credentials
        if isinstance(each, Signature)
    ]
    assert all(header and header == header.lower() for header in headers)


@pytest.mark.parametrize("dialect", _DIALECTS, ids=lambda each: each.name)
def test_every_dialect_has_a_guide(dialect: Dialect) -> None:
    assert dialect.guide
    assert (DOCS / "howto" / f"{dialect.guide}.md").exists()
