from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import CanonicalError, DeploymarkError, MarkerError, TooLargeError
from deploymark.errors import SchemaVersionError as VersionError
from deploymark.model import canonical
from deploymark.model.envelope import Envelope, Signature
from deploymark.model.leaf import Leaf, decode_leaf, encode_leaf
from deploymark.model.vocabulary import Assurance

AT = "2026-11-23T00:00:00.000Z"
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('\x00\x1f\x7f\u2028"\\/'))
LEAVES = st.builds(
    Leaf,
    assurance=st.sampled_from(Assurance),
    dsse=st.builds(
        Envelope,
        payload=TEXT,
        payloadType=TEXT.filter(lambda text: 0 < len(text) <= 256),
        signatures=st.lists(st.builds(Signature, keyid=TEXT, sig=TEXT), max_size=3),
    ),
    ids=st.dictionaries(
        st.text("abcxyz_", min_size=1, max_size=6).filter(lambda text: text[0] != "_"),
        TEXT,
        max_size=4,
    ),
    occurrence=st.integers(0, 2**53 - 1),
    principal=TEXT,
    received_at=st.just(AT),
    repeat=st.integers(0, 3),
)


def plain(leaf: Leaf) -> dict[str, Any]:
    value = {
        "v": leaf.v, "received_at": leaf.received_at, "principal": leaf.principal,
        "assurance": leaf.assurance, "occurrence": leaf.occurrence, "ids": leaf.ids,
        "dsse": {
            "payload": leaf.dsse.payload, "payloadType": leaf.dsse.payloadType,
            "signatures": [{"sig": s.sig, "keyid": s.keyid} for s in leaf.dsse.signatures],
        },
    }  # fmt: skip
    return value | ({"repeat": leaf.repeat} if leaf.repeat else {})


def leaf(**changes: object) -> Leaf:
    values: dict[str, Any] = {
        "assurance": Assurance.SIGNED,
        "dsse": Envelope("e30=", "t", [Signature("k-1", "AAAA"), Signature("k-2", "BBBB")]),
        "ids": {"marker_id": "m-1", "deployment_id": "d-1"},
        "occurrence": 2, "principal": "ci", "received_at": AT,
    }  # fmt: skip
    return Leaf(**(values | changes))


@given(LEAVES)
def test_a_leaf_is_written_as_rfc_8785_writes_it_and_reads_back(value: Leaf) -> None:
    data = encode_leaf(value)
    assert data == canonical.encode(plain(value))
    assert decode_leaf(data) == value


def test_every_character_is_escaped_as_rfc_8785_escapes_it() -> None:
    every = "".join(chr(code) for code in range(0x3000)) + "\ud7ff\ue000\ufffd\uffff\U0001f680"
    value = leaf(principal=every)
    assert encode_leaf(value) == canonical.encode(plain(value))


IDENTITIES = {
    "a marker": ({}, "m-1~2"),
    "a marker that came again": ({"repeat": 3}, "m-1~2.3"),
    "another entry": ({"ids": {"entry_id": "e-1"}, "occurrence": 0}, "e-1~0"),
}


@pytest.mark.parametrize(("changes", "identity"), IDENTITIES.values(), ids=IDENTITIES)
def test_the_dedupe_identity(changes: dict[str, Any], identity: str) -> None:
    assert leaf(**changes).dedupe == identity


def test_a_leaf_without_identity_has_no_dedupe() -> None:
    with pytest.raises(MarkerError):
        _ = leaf(ids={}).dedupe


def test_the_first_signature_names_the_key() -> None:
    assert leaf().key_id == "k-1"
    assert leaf(dsse=Envelope("e30=", "t", [])).key_id == ""


GOOD = encode_leaf(leaf())
REFUSED = {
    "not JSON": b"{",
    "a space": GOOD + b" ",
    "a repeated key": GOOD[:-1] + b',"v":1}',
    "an unknown field": GOOD[:-1] + b',"z":1}',
    "an unknown field in the envelope": GOOD.replace(b'"payload":', b'"a":1,"payload":'),
    "another order": b'{"v":1,' + GOOD[1:].replace(b',"v":1', b""),
    "an unneeded escape": GOOD.replace(b'"ci"', b'"\\u0063i"'),
    "a repeat of zero": GOOD.replace(b',"v"', b',"repeat":0,"v"'),
    "no version": GOOD.replace(b',"v":1', b""),
    "an unknown assurance": GOOD.replace(b'"signed"', b'"sworn"'),
    "a negative occurrence": GOOD.replace(b'"occurrence":2', b'"occurrence":-1'),
    "invalid UTF-8": GOOD.replace(b'"ci"', b'"\xff"'),
    "nested without end": b"[" * 60_000,
    "received at no time": GOOD.replace(AT.encode(), b"soon"),
    "an id name with capitals": GOOD.replace(b"marker_id", b"Marker"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
def test_anything_but_the_one_canonical_spelling_is_no_leaf(data: bytes) -> None:
    with pytest.raises(MarkerError):
        decode_leaf(data)


def test_a_later_leaf_version_is_refused_as_such() -> None:
    with pytest.raises(VersionError):
        decode_leaf(GOOD.replace(b'"v":1', b'"v":2'))


@given(st.integers(0, len(GOOD) - 1), st.binary(max_size=2))
def test_a_damaged_leaf_is_read_or_refused_with_our_error(position: int, junk: bytes) -> None:
    with suppress(DeploymarkError):
        decode_leaf(GOOD[:position] + junk + GOOD[position + 1 :])


def test_a_leaf_has_at_most_65535_bytes() -> None:
    room = 65_535 - len(encode_leaf(leaf(principal="")))
    assert len(encode_leaf(leaf(principal="x" * room))) == 65_535
    with pytest.raises(TooLargeError):
        encode_leaf(leaf(principal="x" * (room + 1)))
    with pytest.raises(TooLargeError):
        decode_leaf(b" " * 65_536)


def test_a_lone_surrogate_cannot_be_written() -> None:
    with pytest.raises(CanonicalError):
        encode_leaf(leaf(principal="\ud800"))
