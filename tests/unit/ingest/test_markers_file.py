"""A file of markers becomes envelopes, and every mistake in it is told with its line."""

import json

import pytest

from deploymark.crypto.dsse import verify_signature
from deploymark.errors import (
    DeploymarkError,
    EnvelopeError,
    IdError,
    KeyFileError,
    MarkerError,
    TooLargeError,
)
from deploymark.ingest.markers import envelopes_of
from deploymark.model.envelope import Envelope
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import IN_TOTO, MARKER
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.whole_log import (
    WholeLog,
    envelope_json,
    producer,
    refusals,
    sample_marker,
    sign,
)

CI = producer("ci")
ONE, TWO, THREE = (sample_marker(number) for number in (1, 2, 3))
FLAT = sample_marker(4, artifact=None, commit_hash=None, version="1.2.3")
SIGNED = envelope_json(sign(THREE, CI)).decode()


def _services(lines: list[tuple[int, Envelope]]) -> list[tuple[int, str]]:
    return [
        (number, decode_marker(envelope.payload_bytes(), envelope.payloadType).service)
        for number, envelope in lines
    ]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        pytest.param(json.dumps(ONE), [1], id="one object"),
        pytest.param(json.dumps(ONE, indent=2), [1], id="one object over several lines"),
        pytest.param("\n\n  " + json.dumps(ONE) + "\n\n", [3], id="one object and blank lines"),
        pytest.param(json.dumps([ONE]), [1], id="an array of one"),
        pytest.param(json.dumps([ONE, ONE, TWO]), [1, 1, 1], id="an array on one line"),
        pytest.param(
            f"[\n{json.dumps(ONE)},\n{json.dumps(ONE)}\n,\n\n{json.dumps(TWO)}]",
            [2, 3, 6],
            id="an array over several lines",
        ),
        pytest.param(json.dumps(ONE) + "\n" + json.dumps(TWO), [1, 2], id="lines"),
        pytest.param(
            json.dumps(ONE) + "\r\n\r\n" + json.dumps(TWO) + "\r\n", [1, 3], id="lines of Windows"
        ),
        pytest.param(
            "\n" + json.dumps(ONE) + "\n\n\n" + json.dumps(TWO) + "\n",
            [2, 5],
            id="lines with blank ones between",
        ),
        pytest.param(SIGNED, [1], id="an envelope"),
        pytest.param(SIGNED + "\n" + json.dumps(TWO), [1, 2], id="an envelope and a marker"),
    ],
)
def test_a_file_is_read_in_every_form(text: str, numbers: list[int]) -> None:
    lines = envelopes_of(text, CI)
    assert [number for number, _ in lines] == numbers
    with WholeLog(MemoryLogStore()) as log:
        log.register(CI, "ci")
        assert refusals(log.receive(*(e for _, e in lines))) == [""] * len(numbers)


def test_an_array_keeps_its_order() -> None:
    services = [name for _, name in _services(envelopes_of(json.dumps([ONE, TWO, THREE]), CI))]
    assert services == [ONE["service"], TWO["service"], THREE["service"]]


@pytest.mark.parametrize("text", ["", "\n \n", "[]"])
def test_a_file_without_markers_gives_none(text: str) -> None:
    assert envelopes_of(text, CI) == []


def test_a_marker_of_an_artifact_becomes_a_statement_and_another_stays_flat() -> None:
    lines = envelopes_of(f"{json.dumps(ONE)}\n{json.dumps(FLAT)}", CI)
    assert [envelope.payloadType for _, envelope in lines] == [IN_TOTO, MARKER]
    assert _services(lines) == [(1, ONE["service"]), (2, FLAT["service"])]


@pytest.mark.parametrize("commit", ["abc1234", "a" * 12, "a" * 40])
def test_a_commit_is_enough_whether_whole_or_short(commit: str) -> None:
    fields = sample_marker(5, artifact=None, commit_hash=commit)
    ((_, envelope),) = envelopes_of(json.dumps(fields), CI)
    assert envelope.payloadType == (IN_TOTO if len(commit) == 40 else MARKER)


def test_an_envelope_passes_through_as_it_is_and_needs_no_key() -> None:
    ((_, envelope),) = envelopes_of(SIGNED, None)
    assert envelope == sign(THREE, CI)


def test_markers_are_signed_by_the_key_that_was_given() -> None:
    ((_, envelope),) = envelopes_of(json.dumps(ONE), CI)
    assert [signature.keyid for signature in envelope.signatures] == [CI.key_id]
    verify_signature(envelope, CI.key_id, CI.public)


def test_flat_markers_without_a_key_say_how_to_get_one() -> None:
    with pytest.raises(KeyFileError, match="need a key") as caught:
        envelopes_of(json.dumps(ONE), None)
    assert "--sign" in caught.value.hint


BAD = {**ONE, "phase": "begun"}


@pytest.mark.parametrize(
    ("text", "error", "line", "said"),
    [
        pytest.param("deploy", MarkerError, 1, "not JSON", id="words"),
        pytest.param(f"{json.dumps(ONE)}\n\n{{", MarkerError, 3, "not JSON", id="half a line"),
        pytest.param(f"{json.dumps(ONE)}\n7", MarkerError, 2, "JSON object", id="a number"),
        pytest.param("7", MarkerError, 1, "JSON object", id="only a number"),
        pytest.param('"text"', MarkerError, 1, "JSON object", id="only a text"),
        pytest.param(
            f"[{json.dumps(ONE)},\n7]", MarkerError, 2, "object", id="a number in an array"
        ),
        pytest.param(json.dumps(BAD), MarkerError, 1, "/phase", id="a bad marker"),
        pytest.param(
            f"{json.dumps(ONE)}\n{json.dumps(BAD)}", MarkerError, 2, "/phase", id="a bad second"
        ),
        pytest.param(
            f"{json.dumps(ONE)}\n" + '{"payloadType": "x"}',
            EnvelopeError,
            2,
            "/payload",
            id="half an envelope",
        ),
        pytest.param(
            json.dumps({**ONE, "labels": {"k": "v" * 300}}), TooLargeError, 1, "", id="too large"
        ),
        pytest.param(
            f"{json.dumps(ONE)}\n" + json.dumps({**TWO, "timestamp": "2026-99-01T00:00:00Z"}),
            DeploymarkError,
            2,
            "timestamp",
            id="a timestamp that names no instant",
        ),
        pytest.param(
            f"{json.dumps(ONE)}\n" + json.dumps({**TWO, "version": "\ud800"}),
            DeploymarkError,
            2,
            "",
            id="a lone surrogate",
        ),
        pytest.param(
            f"{json.dumps(ONE)}\n" + json.dumps({**TWO, "rollout": {"weight": 1e400}}),
            DeploymarkError,
            2,
            "",
            id="a number without end",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(
    text: str, error: type[DeploymarkError], line: int, said: str
) -> None:
    with pytest.raises(error) as caught:
        envelopes_of(text, CI)
    assert caught.value.message.startswith(f"Line {line}: ")
    assert said in caught.value.message
    assert caught.value.hint


def test_a_mistake_keeps_its_place_and_advice() -> None:
    with pytest.raises(MarkerError) as caught:
        envelopes_of(json.dumps(BAD), CI)
    assert caught.value.field == "/phase"


@pytest.mark.parametrize("text", ["[", '[{"service": ]', "[1,]"])
def test_a_broken_array_is_told_as_such(text: str) -> None:
    with pytest.raises(MarkerError, match="not a JSON array"):
        envelopes_of(text, CI)


def test_a_marker_with_a_foreign_id_is_refused_by_the_log_not_by_the_file() -> None:
    lines = envelopes_of(json.dumps({**ONE, "marker_id": "m-" + "0" * 26}), CI)
    with WholeLog(MemoryLogStore()) as log:
        (outcome,) = log.receive(*(sign_again(e) for _, e in lines))
    assert isinstance(outcome, IdError)


def sign_again(envelope: Envelope) -> Envelope:
    """Sign by the admin, whom every log knows."""
    fields = decode_marker(envelope.payload_bytes(), envelope.payloadType).fields()
    return sign(fields, producer("admin"))
