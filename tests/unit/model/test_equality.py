from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.equality import differing, ignored, significant

NAMES = ["service", "phase", "version", "owner", "labels", "target", "artifact", "emitter", "flags"]
PARTS = st.none() | st.text(max_size=3) | st.integers() | st.lists(st.integers(), max_size=2)
VALUES = PARTS | st.dictionaries(st.sampled_from(["cluster", "digest", "instance", "x"]), PARTS)
MARKERS = st.dictionaries(st.sampled_from(NAMES), VALUES)


@given(MARKERS)
def test_a_marker_equals_itself(fields: dict[str, Any]) -> None:
    assert differing(fields, fields) == ignored(fields, fields) == []


@given(MARKERS, MARKERS)
def test_the_order_of_two_markers_does_not_matter(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    assert differing(first, second) == differing(second, first)
    assert ignored(first, second) == ignored(second, first)


@given(MARKERS, MARKERS)
def test_nothing_is_both_significant_and_ignored_in_markers_of_one_phase(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    second = {**second, "phase": first.get("phase")}
    assert not set(differing(first, second)) & set(ignored(first, second))


def test_the_significant_fields_of_a_running_marker_identify_instance_and_digest() -> None:
    fields = {
        "service": "s", "environment": "e", "phase": "running", "version": "1",
        "artifact": {"digest": "d", "tag": "t"},
        "target": {"cluster": "c", "instance": "i", "instance_uid": "u"},
    }  # fmt: skip
    assert significant(fields) == {
        "service": "s", "environment": "e", "kind": "deployment", "phase": "running",
        "artifact.digest": "d", "target.instance_uid": "u",
    }  # fmt: skip
