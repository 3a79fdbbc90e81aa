import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import DeploymarkError
from deploymark.model.marker import decode_marker
from deploymark.model.schema import Problem, check_markers
from deploymark.model.vocabulary import MARKER

GOOD = {"service": "s", "environment": "e", "phase": "applied", "version": "1"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        json.dumps(GOOD, indent=2),
        json.dumps([GOOD, GOOD]),
        json.dumps(GOOD) + "\n" + json.dumps(GOOD) + "\n\n",
        json.dumps({**GOOD, "owner": "a\u2028b"}, ensure_ascii=False) + "\n" + json.dumps(GOOD),
        "[]",
    ],
)
def test_a_good_file_has_no_problems(text: str) -> None:
    assert check_markers(text) == []


def places(text: str) -> list[tuple[int, str]]:
    return [(problem.line, problem.pointer) for problem in check_markers(text)]


INDENTED = """
{
  "service": "",
  "phase": "aplied",
  "target": {
    "clustr": "x"
  },
  "links": [
    {"rel": "a", "href": "b"},
    {"rel": "a",
     "href": 5}
  ],
  "labels": {"a/b": "c:[{,}]", "n": 7},
  "timestamp": "soon"
}"""


def test_every_problem_of_a_marker_is_listed_with_its_line() -> None:
    assert sorted(places(INDENTED)) == [
        (2, "/artifact/digest"), (2, "/environment"), (3, "/service"), (4, "/phase"),
        (6, "/target/clustr"), (11, "/links/1/href"), (13, "/labels/n"), (14, "/timestamp"),
    ]  # fmt: skip


def test_problems_of_an_array_point_into_the_file() -> None:
    text = '[\n{"service": "s",\n"environment": "e", "phase": "x", "version": "1"},\n5]'
    assert places(text) == [
        (3, "/0/phase"), (4, "/1"),
    ]  # fmt: skip


def test_every_line_of_ndjson_is_checked_even_after_a_broken_one() -> None:
    lines = [json.dumps(GOOD), '{"a":', "", json.dumps({**GOOD, "x": 1}), '{"service":"s",}']
    found = check_markers("\n".join(lines))
    assert [(problem.line, problem.pointer) for problem in found] == [(2, ""), (4, "/x"), (5, "")]


def test_a_problem_says_what_to_do() -> None:
    assert check_markers(json.dumps({**GOOD, "cluster": "c"})) == [
        Problem(1, "/cluster", "/cluster is not a known field.",
                "`cluster` belongs at /target/cluster. Free pairs belong in `labels`."),
    ]  # fmt: skip


OTHER = {
    "an empty file": (" \n ", (1, "")),
    "a syntax error on line 3": ('{\n"service": "s",\n oops}', (3, "")),
    "a repeated key": (json.dumps(GOOD)[:-1] + ',\n"phase": "failed"}', (1, "/phase")),
    "a wrong marker id": (json.dumps({**GOOD, "marker_id": "m-1"}), (1, "/marker_id")),
    "an alias against its field": (
        json.dumps({**GOOD, "change_ticket": "a", "change_tickets": ["b"]}), (1, "/change_ticket")),
    "too large": (json.dumps({**GOOD, "changes": [{"title": "x" * 2000}] * 17}), (1, "")),
    "not JSON": ("service: s", (1, "")),
    "NaN": ('{"attempt": NaN}', (1, "")),
    "nested without end": ("[" * 20_000, (1, "")),
}  # fmt: skip


@pytest.mark.parametrize(("text", "place"), OTHER.values(), ids=OTHER)
def test_whatever_else_is_wrong_is_a_problem_too(text: str, place: tuple[int, str]) -> None:
    assert places(text) == [place]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
FIELDS = st.sampled_from(["service", "labels", "flags", "target", "timestamp", "kind", "x", "a/~b"])


@given(st.dictionaries(FIELDS, JSON), st.sampled_from([None, 1]))
def test_the_check_finds_a_problem_exactly_where_the_decoder_refuses(
    more: dict[str, Any], indent: int | None
) -> None:
    text = json.dumps({**GOOD, **more}, indent=indent)
    refused_at: list[str] = []
    try:
        decode_marker(text.encode(), MARKER)
    except DeploymarkError as error:
        refused_at.append(error.field)
    assert [problem.pointer for problem in check_markers(text)][:1] == refused_at


@given(st.text(max_size=30) | st.text('{}[]",:\\\n 1a', max_size=30))
def test_any_text_can_be_checked(text: str) -> None:
    for problem in check_markers(text):
        assert 1 <= problem.line <= text.count("\n") + 1
