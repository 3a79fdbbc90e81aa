"""Values as clients write them: what can be understood is, and nothing raises."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.model.tolerant import (
    bounded,
    commit_of,
    date_of,
    digest_of,
    flag_of,
    instant_of,
    member,
    milliseconds_of,
    number_of,
    text_of,
    texts_of,
)

_AT_MS = 1_795_000_000_000
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)

TIMES: dict[str, tuple[Any, int | None]] = {
    "seconds": (1_795_000_000, _AT_MS),
    "seconds with a fraction": (1_795_000_000.25, _AT_MS + 250),
    "milliseconds": (_AT_MS, _AT_MS),
    "milliseconds as text": (f" {_AT_MS} ", _AT_MS),
    "microseconds": (_AT_MS * 1_000, _AT_MS),
    "nanoseconds": (_AT_MS * 1_000_000, _AT_MS),
    "RFC 3339 with nine digits": ("2026-11-18T11:06:40.293532005Z", _AT_MS + 293),
    "with an offset": ("2026-11-18T12:06:40+01:00", _AT_MS),
    "as GitLab writes it": ("2026-11-18 12:06:40 +0100", _AT_MS),
    "as PagerDuty's libraries write it": ("2026-11-18T12:06:40.000000+01:00Z", _AT_MS),
    "UTC in words": ("2026-11-18 11:06:40 UTC", _AT_MS),
    "without a zone": ("2026-11-18T11:06:40", _AT_MS),
    "nothing": (None, None),
    "zero": (0, None),
    "before 1970": (-1, None),
    "after 9999": (10**24, None),
    "no day": ("2026-13-45T00:00:00Z", None),
    "a word": ("yesterday", None),
    "a boolean": (True, None),
    "no number": (float("nan"), None),
    "a list": ([_AT_MS], None),
}


@pytest.mark.parametrize("case", TIMES)
def test_a_time_is_understood_or_none(case: str) -> None:
    said, wanted = TIMES[case]
    assert milliseconds_of(said) == wanted


def test_a_time_is_written_as_markers_and_as_others_do() -> None:
    assert instant_of(1_795_000_000) == "2026-11-18T11:06:40.000Z"
    assert instant_of("") is None
    assert date_of(_AT_MS + 999) == "2026-11-18T11:06:40Z"


def test_texts_lose_what_no_marker_holds() -> None:
    assert text_of(" a\0b ") == "ab"
    assert text_of("a\ud800b") == "a?b"
    assert text_of(7) == "7"
    assert text_of(1.5) == "1.5"
    nothing: list[Any] = ["", " ", None, True, [], {}]
    assert [text_of(each) for each in nothing] == [None] * 6


def test_a_list_may_be_one_text() -> None:
    assert texts_of(["a", 7, None, {}, " b "]) == ("a", "7", "b")
    assert texts_of("a, b,") == ("a", "b")
    assert texts_of(7) == texts_of(None) == ()


def test_booleans_and_numbers_may_be_texts() -> None:
    assert [flag_of(each) for each in (True, "true", "1", 1, "Yes")] == [True] * 5
    assert [flag_of(each) for each in (False, "false", "0", 0, "")] == [False] * 5
    assert flag_of(None) is flag_of("perhaps") is None
    assert [number_of(each) for each in ("7", 7, " 7 ", "7.9", True, "x", None)] == [
        *(7, 7, 7, 7),
        *(None, None, None),
    ]


def test_a_text_is_cut_between_characters() -> None:
    assert bounded("abc", 3) == "abc"
    assert bounded("\u20ac" * 4, 10) == "\u20ac\u20ac…"
    assert bounded(None, 3) is None


@given(_JSON)
def test_nothing_raises(value: Any) -> None:  # noqa: ANN401 - any JSON value
    for read in (text_of, texts_of, flag_of, number_of, milliseconds_of, instant_of):
        read(value)
    if (text := text_of(value)) is not None:
        text.encode()
        assert len((bounded(text, 64) or "").encode()) <= 64


def test_a_member_of_a_member_is_found_or_none() -> None:
    value = {"a": {"b": [1]}, "c": None}
    assert member(value, "a", "b") == [1]
    assert member(value) == value
    for way in (("a", "x"), ("c", "b"), ("a", "b", "c"), ("x", "y", "z")):
        assert member(value, *way) is None
    assert member("text", "a") is None


def test_hashes_are_read_in_lower_case_or_not_at_all() -> None:
    assert commit_of(" ABCDEF1 ") == "abcdef1"
    assert digest_of("SHA256:" + "AB" * 32) == "sha256:" + "ab" * 32
    for value in ("abcdef", "main", "g" * 40, None, ["abcdef1"], "a" * 65):
        assert commit_of(value) is None
    for other in ("ab" * 32, "sha256:ab", "sha1:" + "ab" * 20, 7):
        assert digest_of(other) is None
