"""The text of a token has two shapes, one spelling, and never shows in a repr."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.ingest.token_text import TokenText, new_token_text, parse_token

_ZEROS = "dmk_000000000000_" + "A" * 43
_SHAPE = re.compile(r"dmk_[0-9a-hjkmnp-tv-z]{12}_[A-Za-z0-9_-]{43}")


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=8, max_size=8))
def test_what_is_made_can_be_taken_apart(secret: bytes, token_id: bytes) -> None:
    text = new_token_text({32: secret, 8: token_id}.__getitem__)
    assert _SHAPE.fullmatch(text)
    given_text = parse_token(text)
    assert given_text is not None
    assert f"dmk_{given_text.id}_{given_text.secret}" == text


def test_every_bit_of_the_id_counts_but_the_four_that_do_not_fit() -> None:
    def id_of(value: int) -> str:
        text = parse_token(new_token_text(lambda size: value.to_bytes(8, "big").rjust(size, b"0")))
        assert text is not None
        return text.id

    assert id_of(0) == "000000000000"
    assert id_of(2**64 - 1) == "zzzzzzzzzzzz"
    assert id_of(1 << 4) == "000000000001"
    assert len({id_of(1 << bit) for bit in range(4, 64)}) == 60


WRONG = {
    "nothing": "",
    "a short word": "hunter2",
    "31 characters": "a" * 31,
    "257 characters": "a" * 257,
    "an upper-case id": _ZEROS.replace("dmk_0", "dmk_A"),
    "a letter that Crockford left out": _ZEROS.replace("dmk_0", "dmk_u"),
    "a secret that is one character short": _ZEROS[:-1],
    "a secret that is one character long": _ZEROS + "A",
    "padding after the secret": _ZEROS + "=",
    "white space before": " " + _ZEROS,
    "a newline after": _ZEROS + "\n",
    "white space within": "a" * 20 + " " + "a" * 20,
    "letters of another alphabet": "é" * 40,
    "digits of another alphabet": _ZEROS.replace("0", "\N{ARABIC-INDIC DIGIT ZERO}"),
    "half a surrogate pair": "\ud800" * 40,
    "padding in the middle": "a" * 20 + "=" + "a" * 20,
}


@pytest.mark.parametrize("case", WRONG)
def test_what_has_neither_shape_is_no_token(case: str) -> None:
    assert parse_token(WRONG[case]) is None


@given(st.text(max_size=300))
def test_any_text_is_a_token_or_none(text: str) -> None:
    parsed = parse_token(text)
    assert parsed is None or len(text) >= 32


@given(st.from_regex(r"[A-Za-z0-9._~+/-]{32,256}", fullmatch=True))
def test_a_token_that_somebody_brings_is_a_secret_as_a_whole(text: str) -> None:
    if text.startswith("dmk_"):
        return
    parsed = parse_token(text)
    assert parsed is not None
    assert parsed.secret == text
    assert re.fullmatch(r"[0-9a-hjkmnp-tv-z]{12}", parsed.id)
    assert parse_token(text) == parsed


def test_what_is_kept_is_the_hash_of_the_secret_alone() -> None:
    assert TokenText("0" * 12, "A" * 43).secret_hash == sha256(b"A" * 43).digest()


def test_the_secret_does_not_show() -> None:
    shown = TokenText("0" * 12, "A" * 43)
    assert "A" not in repr(shown).replace("TokenText", "")
    assert "A" not in f"{shown}".replace("TokenText", "")
