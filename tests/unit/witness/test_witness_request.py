"""Requests are read strictly, and nothing that comes in breaks the reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import DeploymarkError, NoteError, UsageError
from deploymark.log.checkpoint import encode_hash
from deploymark.log.witness import format_request, parse_request, trusted_logs
from deploymark.testing.witness import SampleLog, sample_cosigners

_LOG = SampleLog()
_NOTE = _LOG.note(7)
_HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=63)
_VALID = format_request(3, _LOG.proof(3, 7), _NOTE)


@given(st.integers(0, 2**63 - 1), _HASHES)
def test_what_is_written_is_read_back(old_size: int, proof: list[bytes]) -> None:
    request = parse_request(format_request(old_size, proof, _NOTE))
    assert (request.old_size, list(request.proof)) == (old_size, proof)
    assert request.note_text == _NOTE
    assert (request.checkpoint.origin, request.checkpoint.size) == (_LOG.origin, 7)
    assert request.checkpoint.root == _LOG.root(7)


@given(st.binary(max_size=300))
def test_random_bytes_are_refused_in_our_words(body: bytes) -> None:
    with pytest.raises(NoteError):
        parse_request(body)


@given(st.data())
def test_a_damaged_request_is_read_or_refused_in_our_words(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(_VALID)))
    cut = data.draw(st.integers(0, 60))
    more = data.draw(st.binary(max_size=8) | st.sampled_from([b"\n", b"\n\n", b" ", b"old "]))
    body = _VALID[:place] + more + _VALID[place + cut :]
    try:
        request = parse_request(body)
    except DeploymarkError:
        return
    # What is read has one spelling only.
    assert format_request(request.old_size, request.proof, request.note_text) == body


@pytest.mark.parametrize(
    ("old_size", "proof", "note"),
    [
        pytest.param(-1, [], _NOTE, id="a negative size"),
        pytest.param(2**63, [], _NOTE, id="a size beyond 63 bits"),
        pytest.param(1, [b"h" * 31], _NOTE, id="a short hash"),
        pytest.param(1, [b"h" * 32] * 64, _NOTE, id="a proof too long"),
        pytest.param(1, [], "not a note", id="no signed note"),
        pytest.param(1, [], _NOTE.replace("\n7\n", "\n07\n"), id="no checkpoint"),
    ],
)
def test_a_request_that_must_be_refused_is_not_written(
    old_size: int, proof: list[bytes], note: str
) -> None:
    with pytest.raises(NoteError):
        format_request(old_size, proof, note)


def test_one_hash_has_one_spelling() -> None:
    line = encode_hash(b"\0" * 32)
    sloppy = line[:-2] + "B="  # the same bytes, with a stray bit in the padding
    with pytest.raises(NoteError):
        parse_request(f"old 1\n{sloppy}\n\n{_NOTE}".encode())


def test_keys_of_logs_are_grouped_by_origin() -> None:
    other = SampleLog("log.example/other")
    logs = trusted_logs([*_LOG.vkeys, *other.vkeys])
    assert {origin: len(keys) for origin, keys in logs.items()} == {
        _LOG.origin: 2,
        other.origin: 2,
    }


def test_a_key_of_a_witness_is_not_trusted_as_one_of_a_log() -> None:
    with pytest.raises(UsageError):
        trusted_logs([sample_cosigners()[0].vkey])
