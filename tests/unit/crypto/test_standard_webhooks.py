"""Signatures of webhooks by Standard Webhooks."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.crypto.standard_webhooks import (
    TOLERANCE_SECONDS,
    message_id_of,
    parse_secret,
    sign,
    verify,
)
from deploymark.errors import SignatureError, UsageError

# The example in the tests of the libraries that the specification publishes.
TEXT = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SECRET = parse_secret(TEXT)
ID, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

NO_SECRETS = {
    "no prefix": TEXT.removeprefix("whsec_"),
    "the prefix of another scheme": TEXT.replace("whsec_", "whsk_"),
    "no base64": "whsec_" + "%" * 32,
    "no padding": "whsec_" + "A" * 33,
    "too short": "whsec_" + "AAAA" * 7,
    "too long": "whsec_" + "AAAA" * 22,
    "empty": "",
}


def test_the_published_example_is_signed_and_verified() -> None:
    assert sign(SECRET, ID, AT, BODY) == SIGNATURE
    verify(SECRET, ID, AT, BODY, SIGNATURE, AT)


def test_a_secret_may_stand_in_a_file_that_ends_with_a_line_break() -> None:
    assert parse_secret(f" {TEXT}\n") == SECRET


@pytest.mark.parametrize("text", NO_SECRETS.values(), ids=NO_SECRETS)
def test_what_is_no_secret_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_secret(text)
    said = refused.value.message + refused.value.hint
    assert len(text) < 24 or text.removeprefix("whsec_") not in said


ALTERED = {
    "another id": (SECRET, "msg_2", AT, BODY, SIGNATURE),
    "another time": (SECRET, ID, AT + 1, BODY, SIGNATURE),
    "another body": (SECRET, ID, AT, BODY + b" ", SIGNATURE),
    "another secret": (bytes(24), ID, AT, BODY, SIGNATURE),
    "no signature": (SECRET, ID, AT, BODY, ""),
    "another scheme": (SECRET, ID, AT, BODY, SIGNATURE.replace("v1,", "v1a,")),
    "not ASCII": (SECRET, ID, AT, BODY, "v1,é"),
    "an id with a full stop": (SECRET, "msg.1", AT, BODY, SIGNATURE),
}


@pytest.mark.parametrize("altered", ALTERED.values(), ids=ALTERED)
def test_whatever_was_altered_does_not_verify(altered: tuple[bytes, str, int, bytes, str]) -> None:
    with pytest.raises(SignatureError):
        verify(*altered, now_s=AT)


@pytest.mark.parametrize("apart", [-TOLERANCE_SECONDS - 1, TOLERANCE_SECONDS + 1])
def test_an_old_attempt_cannot_be_played_again(apart: int) -> None:
    with pytest.raises(SignatureError):
        verify(SECRET, ID, AT, BODY, SIGNATURE, AT + apart)
    verify(SECRET, ID, AT, BODY, SIGNATURE, AT + apart - (apart > 0) + (apart < 0))


def test_one_of_several_signatures_is_enough_while_secrets_change() -> None:
    both = f"{sign(bytes(24), ID, AT, BODY)} {SIGNATURE}"
    verify(SECRET, ID, AT, BODY, both, AT)
    verify(bytes(24), ID, AT, BODY, both, AT)


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "é", "a\n"])
def test_an_id_that_could_be_read_in_two_ways_is_not_signed(message_id: str) -> None:
    with pytest.raises(UsageError):
        sign(SECRET, message_id, AT, BODY)


def test_the_key_of_an_order_stays_readable_as_a_message_id() -> None:
    assert message_id_of("d-2k7~1:shift:2") == "d-2k7~1:shift:2"
    assert message_id_of("shop.v1.2~1:shift:2") == "shop%2Ev1%2E2~1:shift:2"


@given(st.text(min_size=1), st.text(min_size=1))
def test_any_texts_have_message_ids_of_their_own(first: str, second: str) -> None:
    assert re.fullmatch(r"[!-\-/-~]+", message_id_of(first))
    assert (message_id_of(first) == message_id_of(second)) == (first == second)
    sign(SECRET, message_id_of(first), AT, BODY)
