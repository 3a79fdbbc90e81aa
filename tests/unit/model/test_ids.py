import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import IdError
from deploymark.model.ids import check_given_id, encode_id, ids_of_marker, marker_id, subject_of

MARKER = {"service": "s", "environment": "e", "phase": "applied", "version": "1"}
TEXTS = st.none() | st.text(max_size=8)


@given(st.lists(TEXTS | st.lists(TEXTS)))
def test_a_derived_id_is_a_label_a_url_segment_and_a_given_id(array: list[Any]) -> None:
    identifier = encode_id("d-", array)
    assert re.fullmatch("d-[0-7][0-9a-hjkmnp-tv-z]{25}", identifier)
    assert check_given_id(identifier) == identifier


@given(st.sampled_from(["cluster", "region", "namespace", "workload", "colour"]), TEXTS, TEXTS)
def test_two_places_have_one_marker_id_only_when_they_are_the_same(
    name: str, first: str | None, second: str | None
) -> None:
    one, two = (marker_id("d", {**MARKER, "target": {name: value}}) for value in (first, second))
    assert (one == two) == (first == second)


@given(st.dictionaries(st.sampled_from(["owner", "reason", "timestamp", "attempt"]), st.text()))
def test_descriptive_fields_change_no_id(more: dict[str, Any]) -> None:
    assert ids_of_marker(MARKER | more) == ids_of_marker(MARKER)


@pytest.mark.parametrize(
    "fields",
    [
        {"service": "s"},
        {"kind": "config", "key": "k"},
        {"kind": "config", "revision": "1"},
        {"kind": "config", "version": "1"},
        {"artifact": None},
    ],
)
def test_a_marker_about_nothing_has_no_subject(fields: dict[str, Any]) -> None:
    with pytest.raises(IdError):
        subject_of(fields)


@pytest.mark.parametrize("carried", ["m-" + "0" * 26, "anything"])
def test_a_marker_id_that_does_not_follow_from_the_content_is_refused(carried: str) -> None:
    with pytest.raises(IdError) as caught:
        ids_of_marker({**MARKER, "marker_id": carried})
    assert caught.value.field == "/marker_id"


def test_a_malformed_deployment_id_is_refused_with_its_field() -> None:
    with pytest.raises(IdError) as caught:
        ids_of_marker({**MARKER, "deployment_id": "x" * 200})
    assert caught.value.field == "/deployment_id"
    assert "200 characters" in caught.value.message
    assert len(caught.value.message) < 200
