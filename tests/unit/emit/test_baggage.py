"""W3C baggage: one member read and replaced, the others untouched, nonsense survived."""

from hypothesis import given
from hypothesis import strategies as st

from deploymark.emit.baggage import (
    MAX_BYTES,
    MAX_MEMBERS,
    join_lines,
    member_value,
    members,
    replace_member,
)
from deploymark.emit.upstream import arrived, incoming_baggage, outgoing_baggage, upstream

NAME = "deploymark.upstream"


def test_members_keep_their_properties_and_encoding() -> None:
    text = "user=al%20ice;ttl=5 ; secure , other = 1,  a=,b"
    assert members(text) == [
        ("user", "al%20ice", "user=al%20ice;ttl=5 ; secure"),
        ("other", "1", "other = 1"),
        ("a", "", "a="),
    ]


def test_the_last_of_several_counts_which_is_the_nearest() -> None:
    lines = [b"x=1,deploymark.upstream=d-first", b"deploymark.upstream=d-second"]
    assert member_value(join_lines(lines), NAME) == "d-second"


def test_replacing_leaves_exactly_one_and_all_others() -> None:
    text = "a=1;p=q,deploymark.upstream=d-1,b=2,deploymark.upstream=d-2"
    assert replace_member(text, NAME, "d-own") == "a=1;p=q,b=2,deploymark.upstream=d-own"
    assert replace_member(text, NAME, "") == "a=1;p=q,b=2"
    assert replace_member("", NAME, "d-own") == "deploymark.upstream=d-own"
    assert replace_member("", NAME, "") == ""


def test_ours_fits_however_much_came() -> None:
    many = ",".join(f"m{number}=1" for number in range(3 * MAX_MEMBERS))
    replaced = replace_member(many, NAME, "d-own")
    assert len(members(replaced)) == MAX_MEMBERS
    assert replaced.endswith("deploymark.upstream=d-own")
    large = ",".join(f"m{number}={'x' * 1_000}" for number in range(20))
    replaced = replace_member(large, NAME, "d-own")
    assert len(replaced) <= MAX_BYTES
    assert member_value(replaced, NAME) == "d-own"


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_whatever_came_is_survived_and_ours_comes_out(lines: list[bytes]) -> None:
    text = join_lines(lines)
    replaced = replace_member(text, NAME, "d-own")
    assert member_value(replaced, NAME) == "d-own"
    assert replaced.count("deploymark.upstream=") == 1
    assert replaced.isascii()
    assert "\r" not in replaced
    assert "\n" not in replaced


def test_outside_a_request_nobody_called() -> None:
    assert (incoming_baggage(), upstream()) == ("", "")
    assert outgoing_baggage("d-own") == "deploymark.upstream=d-own"
    assert outgoing_baggage("") == ""


def test_what_is_no_id_is_no_caller() -> None:
    for value in (b"not%20an%20id", b"%ff", b"-", b"x" * 64, b"", b"d-1~0"):
        token = arrived.set([(b"Baggage", b"deploymark.upstream=" + value)])
        assert upstream() == ""
        arrived.reset(token)


def test_the_occurrence_of_a_caller_may_be_named() -> None:
    token = arrived.set({"HTTP_BAGGAGE": "deploymark.upstream=d-1%7E2"})
    assert upstream() == "d-1~2"
    arrived.reset(token)
