import json
import math
import struct
from enum import IntEnum, StrEnum
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import CanonicalError
from deploymark.model.canonical import encode

SAFE = 2**53 - 1
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-SAFE, SAFE)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
)


class Word(StrEnum):
    ONE = "one"


class Number(IntEnum):
    ONE = 1


@given(VALUES)
def test_any_value_is_written_as_an_independent_implementation_writes_it(
    value: Any,  # noqa: ANN401
) -> None:
    assert encode(value) == rfc8785.dumps(value)


@given(VALUES)
def test_the_canonical_form_reads_back_to_the_same_value(value: object) -> None:
    # As JavaScript reads it: every number is a double.
    assert json.loads(encode(value), parse_int=float) == value


@given(st.integers(0, 2**64 - 1))
def test_any_double_is_written_as_an_independent_implementation_writes_it(bits: int) -> None:
    value = struct.unpack(">d", bits.to_bytes(8, "big"))[0]
    if math.isfinite(value):
        assert encode(value) == rfc8785.dumps(value)
    else:
        with pytest.raises(CanonicalError):
            encode(value)


@given(
    st.dictionaries(
        st.text(st.characters(min_codepoint=0xD000, exclude_categories=["Cs"])),
        st.none(),
        max_size=6,
    )
)
def test_keys_around_the_surrogate_range_are_ordered_by_utf_16(value: dict[str, None]) -> None:
    assert encode(value) == rfc8785.dumps(value)


LOOP: list[object] = []
LOOP.append(LOOP)

REFUSED = {
    "not a number": math.nan,
    "infinity": math.inf,
    "minus infinity inside": [-math.inf],
    "an integer beyond 2**53 - 1": 2**53,
    "an integer below": -(2**53),
    "an integer of ten thousand digits": 10**10_000,
    "a lone surrogate": "\ud800",
    "a lone surrogate as key": {"\udfff": 1},
    "a lone surrogate beside another key": {"\udfff": 1, "a": 2},
    "bytes": b"x",
    "a set": {1},
    "a number as key": {1: "x"},
    "null as key": {None: "x"},
    "a list that contains itself": LOOP,
}


@pytest.mark.parametrize("value", REFUSED.values(), ids=REFUSED)
def test_a_value_without_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(CanonicalError) as caught:
        encode(value)
    assert caught.value.hint


def test_enumerations_are_written_as_what_they_are_made_of() -> None:
    assert encode([Word.ONE, Number.ONE, True]) == b'["one",1,true]'


def test_tuples_are_lists() -> None:
    assert encode(((1, 2), ())) == b"[[1,2],[]]"
