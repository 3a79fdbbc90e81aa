"""What a caller hands in is opened as one of three forms, or refused with the reason."""

import json
import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from receive_samples import CI

from deploymark.errors import DeploymarkError, RefusedError
from deploymark.ingest.submission import numbers_of, open_submission
from deploymark.model.canonical import encode
from deploymark.model.envelope import Envelope
from deploymark.model.limits import ENVELOPE_BYTES
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import IN_TOTO, MARKER
from deploymark.testing.whole_log import envelope_json, sample_marker, sign

EMITTER = {"id": "ci-1", "epoch": "e1", "kind": "ci", "sequence": 7}
FIELDS = sample_marker(1, emitter=EMITTER)
FLAT = json.dumps(FIELDS).encode()
STATEMENT = statement_of(FIELDS)
ENVELOPE = sign(FIELDS, CI)
SIGNED = envelope_json(ENVELOPE)
NAMELESS = sample_marker(1, artifact=None, commit_hash=None, version="1.2.3")


def _deep(levels: int) -> bytes:
    return b'{"labels":' * levels + b"1" + b"}" * levels


# The three forms ----------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [SIGNED, ENVELOPE], ids=["as JSON", "parsed"])
def test_an_envelope_is_the_word_of_who_signed_it(body: bytes | Envelope) -> None:
    opened = open_submission(body)
    assert (opened.payload_type, opened.payload, opened.envelope) == (IN_TOTO, b"", ENVELOPE)
    assert opened.fields is None


def test_a_statement_is_signed_byte_for_byte() -> None:
    spaced = json.dumps(json.loads(STATEMENT), indent=2).encode()
    for body in (STATEMENT, spaced):
        opened = open_submission(body)
        assert (opened.payload_type, opened.payload) == (IN_TOTO, body)
        assert opened.envelope is None
        assert opened.fields is None


def test_a_flat_marker_with_a_digest_becomes_a_statement_and_without_one_stays_flat() -> None:
    opened = open_submission(FLAT)
    named = {**FIELDS, "kind": "deployment"}  # the one field that has a default
    assert (opened.payload_type, opened.payload) == (IN_TOTO, statement_of(named))
    opened = open_submission(json.dumps(NAMELESS).encode())
    assert (opened.payload_type, opened.payload) == (
        MARKER,
        encode({**NAMELESS, "kind": "deployment"}),
    )
    assert opened.fields == {**NAMELESS, "kind": "deployment"}


@pytest.mark.parametrize(
    ("body", "form"),
    [
        pytest.param({**FIELDS, "payloadType": None}, "envelope", id="a null payloadType"),
        pytest.param({"payloadType": 1, "_type": "x"}, "envelope", id="both names"),
        pytest.param({"_type": None, **FIELDS}, "statement", id="a null _type"),
        pytest.param({"labels": {"payloadType": "x"}, **FIELDS}, "flat", id="a name further in"),
    ],
)
def test_the_form_is_told_by_its_own_name_at_the_top(body: dict[str, Any], form: str) -> None:
    text = json.dumps(body).encode()
    if form == "envelope":
        with pytest.raises(DeploymarkError) as caught:
            open_submission(text)
        assert caught.value.code == "bad_envelope"
        return
    opened = open_submission(text)
    assert (opened.fields is not None) == (form == "flat")


# What is none of them -----------------------------------------------------------------------------

UNREADABLE: dict[str, tuple[bytes, str, str]] = {
    "nothing": (b"", "bad_marker", ""),
    "spaces": (b"  \n", "bad_marker", ""),
    "no JSON": (b"service=shop", "bad_marker", ""),
    "a list": (b"[" + FLAT + b"]", "bad_marker", ""),
    "a text": (b'"marker"', "bad_marker", ""),
    "a number": (b"17", "bad_marker", ""),
    "null": (b"null", "bad_marker", ""),
    "half an object": (FLAT[:-1], "bad_marker", ""),
    "two objects": (FLAT + FLAT, "bad_marker", ""),
    "a repeated field": (FLAT[:-1] + b',"phase":"failed"}', "bad_marker", "/phase"),
    "a repeated payloadType": (b'{"payloadType":"a","payloadType":"b"}', "bad_envelope", ""),
    "bytes that are not UTF-8": (FLAT.replace(b"prod", b"pr\xffd"), "bad_marker", ""),
    "a lone surrogate": (FLAT.replace(b"prod", b"pr\\ud800d"), "bad_marker", "/environment"),
    "an unknown field": (FLAT[:-1] + b',"servise":"x"}', "bad_marker", "/servise"),
    "no service": (json.dumps({**FIELDS, "service": None}).encode(), "bad_marker", "/service"),
    "a bad digest": (
        json.dumps({**FIELDS, "artifact": {"digest": "sha256:1"}}).encode(),
        "bad_marker",
        "/artifact/digest",
    ),
    "an empty object": (b"{}", "bad_marker", "/service"),
    "not a number": (FLAT[:-1] + b',"rollout":{"weight":NaN}}', "bad_marker", ""),
    "nesting of thousands": (_deep(20_000)[:60_000], "bad_marker", ""),
    "nesting of forty": (_deep(40), "bad_marker", ""),
    "an envelope without signatures": (
        b'{"payload":"e30=","payloadType":"x","signatures":[]}',
        "bad_envelope",
        "/signatures",
    ),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_cannot_be_read_is_refused_and_the_place_is_named(case: str) -> None:
    body, code, field = UNREADABLE[case]
    with pytest.raises(DeploymarkError) as caught:
        open_submission(body)
    assert caught.value.code == code
    assert caught.value.field.startswith(field)
    assert caught.value.hint


def test_a_body_may_have_64_kilobytes_and_no_byte_more() -> None:
    padded = FLAT + b" " * (ENVELOPE_BYTES - len(FLAT))
    with pytest.raises(DeploymarkError) as caught:  # an envelope may be so large, a payload not
        open_submission(padded)
    assert caught.value.code == "too_large"
    assert "32768" in caught.value.message
    with pytest.raises(DeploymarkError) as caught:
        open_submission(padded + b" ")
    assert caught.value.code == "too_large"
    assert str(ENVELOPE_BYTES) in caught.value.message
    signed = SIGNED + b" " * (ENVELOPE_BYTES - len(SIGNED))
    assert open_submission(signed).envelope == ENVELOPE


# The numbers of what was refused ------------------------------------------------------------------

NUMBERED: dict[str, tuple[bytes | Envelope, dict[str, Any]]] = {
    "a flat marker": (FLAT, FIELDS),
    "a Statement": (STATEMENT, FIELDS),
    "an envelope": (SIGNED, FIELDS),
    "a parsed envelope": (ENVELOPE, FIELDS),
    "an envelope around a flat marker": (envelope_json(sign(NAMELESS, CI)), NAMELESS),
    "a marker with an unknown field": (FLAT[:-1] + b',"servise":"x"}', FIELDS),
    "a marker with a bad digest": (
        json.dumps({**FIELDS, "artifact": 7, "phase": "gone"}).encode(),
        FIELDS,
    ),
}


@pytest.mark.parametrize("case", NUMBERED)
def test_the_number_and_the_subject_are_read_from_every_form(case: str) -> None:
    body, fields = NUMBERED[case]
    found = numbers_of(body)
    assert (found["service"], found["environment"]) == (fields["service"], "prod")
    emitter = fields.get("emitter")
    if emitter is None:
        assert found["emitter"] is None
    else:
        assert found["emitter"] == {name: emitter[name] for name in ("id", "epoch", "sequence")}


NUMBERLESS: dict[str, bytes | Envelope] = {
    "nothing": b"",
    "no JSON": b"service=shop",
    "a list": b"[" + FLAT + b"]",
    "half an object": FLAT[:-1],
    "bytes that are not UTF-8": FLAT.replace(b"prod", b"pr\xffd"),
    "nesting of thousands": _deep(6_000),
    "too many bytes": b" " * (1 << 20),
    "a number that is text": FLAT.replace(b'"sequence": 7', b'"sequence": "7"'),
    "a Statement without a predicate": b'{"_type":"x"}',
    "an envelope that is no base64": Envelope("~~~", IN_TOTO, []),
    "an envelope around no JSON": Envelope("e30x", IN_TOTO, []),
}


@pytest.mark.parametrize("case", NUMBERLESS)
def test_what_cannot_be_read_has_no_number(case: str) -> None:
    assert not numbers_of(NUMBERLESS[case]).get("emitter")


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """Return a body with a piece cut out, overwritten or put in twice."""
    body = draw(st.sampled_from([FLAT, STATEMENT, SIGNED]))
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, min(len(body), start + 40)))
    piece = draw(st.one_of(st.binary(max_size=12), st.just(body[start:end] * 2)))
    return body[:start] + piece + body[end:]


@given(mutilated())
def test_a_mutilated_body_is_opened_or_refused_and_its_number_read_or_not(body: bytes) -> None:
    numbers_of(body)
    with suppress(RefusedError):
        open_submission(body)


# The bytes that are signed ------------------------------------------------------------------------

_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
_numbers = st.one_of(
    st.integers(0, 100), st.floats(0, 100, allow_nan=False), st.just(1e-7), st.just(33.3)
)


@given(
    labels=st.dictionaries(_texts.filter(lambda text: 0 < len(text.encode()) <= 64), _texts),
    weight=_numbers,
    steps=st.lists(_numbers, max_size=3),
    owner=_texts,
)
def test_what_is_signed_is_canonical_whatever_it_says(
    labels: dict[str, str], weight: float, steps: list[float], owner: str
) -> None:
    fields = {
        **sample_marker(1, owner=owner, version='\x1f\x7f/\\"\b'),
        "labels": labels,
        "rollout": {"weight": weight, "steps": steps},
    }
    try:
        opened = open_submission(json.dumps(fields).encode())
    except DeploymarkError:
        return  # longer than a label may be, in bytes
    assert opened.payload == encode(json.loads(opened.payload))
    said = json.loads(opened.payload)["predicate"]
    assert said.get("labels", {}) == labels
    assert math.isclose(said.get("rollout", {}).get("weight", 0), weight)
