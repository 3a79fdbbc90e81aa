import json
from typing import Any

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement

from deploymark.errors import (
    DeploymarkError,
    EnvelopeError,
    MarkerError,
    SchemaVersionError,
    TooLargeError,
)
from deploymark.model.canonical import encode
from deploymark.model.marker import decode_marker
from deploymark.model.statement import payload_type_of, statement_of
from deploymark.model.vocabulary import IN_TOTO, MARKER, PREDICATE_TYPE, STATEMENT_TYPE

HEX = "ab" * 32
COMMIT = "c" * 40
BASE = {"service": "s", "environment": "e", "phase": "applied"}
WITH_DIGEST = {**BASE, "artifact": {"digest": "sha256:" + HEX, "name": "n"}, "commit_hash": COMMIT}
WITH_COMMIT = {**BASE, "commit_hash": COMMIT}


@pytest.mark.parametrize(
    ("fields", "subject"),
    [
        (WITH_DIGEST, {"digest": {"sha256": HEX}, "name": "n"}),
        (WITH_COMMIT, {"digest": {"gitCommit": COMMIT}}),
        ({**BASE, "commit_hash": "d" * 64}, {"digest": {"gitCommit": "d" * 64}}),
        (
            {**BASE, "kind": "config", "key": "k", "artifact": {"digest": "sha256:" + HEX}},
            {"digest": {"sha256": HEX}},
        ),
    ],
)
def test_our_statements_are_valid_for_the_in_toto_library(
    fields: dict[str, Any], subject: object
) -> None:
    payload = statement_of(fields)
    message = statement_pb2.Statement()
    json_format.Parse(payload, message)
    Statement.copy_from_pb(message).validate()
    assert json.loads(payload)["subject"] == [subject]
    assert message.predicate_type == PREDICATE_TYPE
    assert payload == encode(json.loads(payload))


@pytest.mark.parametrize("fields", [WITH_DIGEST, WITH_COMMIT])
def test_a_statement_reads_back_to_its_marker(fields: dict[str, Any]) -> None:
    marker = decode_marker(statement_of(fields), IN_TOTO)
    assert marker.fields() == {**fields, "kind": "deployment"}


@pytest.mark.parametrize(
    "fields",
    [
        BASE,
        {**BASE, "version": "1"},
        {**BASE, "commit_hash": "abcdef0"},
        {**BASE, "artifact": None},
    ],
)
def test_without_digest_or_whole_commit_the_flat_marker_is_signed(fields: dict[str, Any]) -> None:
    assert payload_type_of(fields) == MARKER
    with pytest.raises(EnvelopeError):
        statement_of(fields)


def statement(subject: object, predicate: object, **more: object) -> bytes:
    return encode({
        "_type": STATEMENT_TYPE, "subject": subject, "predicateType": PREDICATE_TYPE,
        "predicate": predicate, **more,
    })  # fmt: skip


SUBJECT = [{"digest": {"sha256": HEX}}]
DISAGREEING = {
    "other digest": ([{"digest": {"sha256": "cd" * 32}}], WITH_DIGEST, "/subject/0/digest/sha256"),
    "a digest that the predicate lacks": (SUBJECT, WITH_COMMIT, "/subject/0/digest/sha256"),
    "only the commit beside a digest": (
        [{"digest": {"gitCommit": COMMIT}}], WITH_DIGEST, "/subject/0/digest/sha256"),
    "other commit": (
        [{"digest": {"gitCommit": "e" * 40}}], WITH_COMMIT, "/subject/0/digest/gitCommit"),
    "other commit beside the digest": (
        [{"digest": {"sha256": HEX, "gitCommit": "e" * 40}}], WITH_DIGEST,
        "/subject/0/digest/gitCommit"),
    "a commit that the predicate lacks": (
        [{"digest": {"gitCommit": COMMIT}}], {**BASE, "version": "1"},
        "/subject/0/digest/gitCommit"),
    "another algorithm": ([{"digest": {"sha512": "ab" * 64}}], WITH_DIGEST, "/subject/0/digest"),
}  # fmt: skip


@pytest.mark.parametrize(("subject", "predicate", "pointer"), DISAGREEING.values(), ids=DISAGREEING)
def test_a_subject_that_does_not_agree_with_its_predicate_is_refused(
    subject: object, predicate: object, pointer: str
) -> None:
    with pytest.raises(EnvelopeError) as caught:
        decode_marker(statement(subject, predicate), IN_TOTO)
    assert caught.value.field == pointer


MALFORMED = {
    "no subject": (statement([], WITH_DIGEST), MarkerError, "/subject"),
    "two subjects": (statement(SUBJECT * 2, WITH_DIGEST), TooLargeError, "/subject"),
    "no digest": (statement([{"name": "n"}], WITH_DIGEST), MarkerError, "/subject/0/digest"),
    "other statement": (statement(SUBJECT, WITH_DIGEST, _type="x"), MarkerError, "/_type"),
    "other predicate": (
        statement(SUBJECT, WITH_DIGEST, predicateType="https://slsa.dev/provenance/v1"),
        SchemaVersionError, "/predicateType"),
    "a later predicate": (
        statement(SUBJECT, WITH_DIGEST, predicateType=PREDICATE_TYPE[:-1] + "2"),
        SchemaVersionError, ""),
    "unknown field": (statement(SUBJECT, {**WITH_DIGEST, "x": 1}), MarkerError, "/predicate/x"),
    "nothing deployed": (
        statement(SUBJECT, {**BASE, "kind": "config"}), EnvelopeError, "/subject/0/digest/sha256"),
    "predicate as list": (statement(SUBJECT, []), MarkerError, "/predicate"),
}  # fmt: skip


@pytest.mark.parametrize(("payload", "error", "pointer"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_statement_is_refused(
    payload: bytes, error: type[DeploymarkError], pointer: str
) -> None:
    with pytest.raises(DeploymarkError) as caught:
        decode_marker(payload, IN_TOTO)
    assert (type(caught.value), caught.value.field) == (error, pointer)


def test_aliases_in_a_predicate_count_as_what_they_stand_for() -> None:
    payload = statement(SUBJECT, {**BASE, "artifact_digest": "sha256:" + HEX})
    artifact = decode_marker(payload, IN_TOTO).artifact
    assert artifact is not None
    assert artifact.digest == "sha256:" + HEX
