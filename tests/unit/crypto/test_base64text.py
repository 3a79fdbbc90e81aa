"""Standard base64 with one spelling per value."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.crypto.base64text import decode_base64, encode_base64

# RFC 4648 section 10.
PUBLISHED = {"": b"", "Zg==": b"f", "Zm8=": b"fo", "Zm9v": b"foo", "Zm9vYg==": b"foob"}
REFUSED = {
    "no padding": "Zg",
    "too much padding": "Zg===",
    "stray trailing bits": "Zh==",
    "a newline": "Zg==\n",
    "white space inside": "Zm 9v",
    "the URL-safe alphabet": "-_-_",
    "not ASCII": "Zé==",
    "padding inside": "Zg==Zg==",
}


@pytest.mark.parametrize(("text", "value"), PUBLISHED.items())
def test_published_examples_decode(text: str, value: bytes) -> None:
    assert decode_base64(text) == value
    assert encode_base64(value) == text


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_other_spellings_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="base64"):
        decode_base64(text)


@given(st.binary())
def test_any_bytes_have_one_spelling(value: bytes) -> None:
    assert decode_base64(encode_base64(value)) == value
