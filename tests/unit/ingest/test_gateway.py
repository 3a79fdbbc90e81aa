"""What the platform signs for callers: their own words in canonical form, and who said them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from privacy_samples import SECRETS
from receive_samples import CI

from deploymark.errors import DeploymarkError
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import ANONYMOUS, Caller
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.canonical import encode
from deploymark.model.ids import ids_of_marker
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.limits import PAYLOAD_BYTES
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import IN_TOTO, MARKER, Assurance, Role
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.whole_log import WholeLog, envelope_json, sample_marker, sign

TOKEN = Caller("token:ci", frozenset({Role.EMITTER}))
SECRET, KIND = SECRETS["an AWS key"]
DIGEST = "sha256:" + "ab" * 32

FULL: dict[str, Any] = {
    "service": "checkout",
    "environment": "prod",
    "phase": "applied",
    "timestamp": "2026-11-23T00:00:00Z",
    "kind": "deployment",
    "artifact": {"name": "registry.example/checkout", "digest": DIGEST, "tag": "v7"},
    "commit_hash": "ab" * 20,
    "version": "1.2.3-é",
    "owner": "team-a",
    "change_tickets": ["CHG-1"],
    "rollout": {"strategy": "canary", "steps": [1, 2.5, 100], "weight": 33.3},
    "labels": {"z": "1", "a": "ü", "\U0001f600": "high", "\ufb33": "low"},
    "emitter": {"id": "ci-1", "epoch": "e1", "sequence": 0, "kind": "ci"},
}
_BARE = {"commit_hash": None, "artifact": None}
_SAMPLE = {"owner": "team-b", "version": "7", "kind": "deployment"}


@pytest.fixture
def log() -> Iterator[WholeLog]:
    rules = AdmissionRules(anonymous_environments=("sandbox",))
    with WholeLog(MemoryLogStore(), rules=rules) as log:
        log.register(CI, "ci")
        yield log
        assert log.faults() == []


def hand_in(log: WholeLog, body: bytes, caller: Caller = TOKEN) -> tuple[int, Leaf]:
    (outcome,) = log.receiver.receive([body], caller)
    assert isinstance(outcome, Acknowledgement), outcome
    return outcome.index, decode_leaf(outcome.leaf)


def refused(log: WholeLog, body: bytes, caller: Caller = TOKEN) -> DeploymarkError:
    (outcome,) = log.receiver.receive([body], caller)
    assert isinstance(outcome, DeploymarkError), outcome
    return outcome


def said(leaf: Leaf) -> dict[str, Any]:
    payload = json.loads(leaf.dsse.payload_bytes())
    found: dict[str, Any] = payload.get("predicate", payload)
    return found


# What is signed -----------------------------------------------------------------------------------

FORMS: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "an artifact": ({**_SAMPLE, "commit_hash": None}, IN_TOTO, {"sha256": ""}),
    "a whole commit": ({**_SAMPLE, "artifact": None}, IN_TOTO, {"gitCommit": ""}),
    "a SHA-256 commit": (
        {**_SAMPLE, "artifact": None, "commit_hash": "cd" * 32},
        IN_TOTO,
        {"gitCommit": "cd" * 32},
    ),
    "both": (_SAMPLE, IN_TOTO, {"sha256": ""}),
    "a short commit": ({**_SAMPLE, "artifact": None, "commit_hash": "abcdef1"}, MARKER, {}),
    "a version alone": ({**_SAMPLE, **_BARE}, MARKER, {}),
    "an artifact without a digest": (
        {**_SAMPLE, "commit_hash": None, "artifact": {"name": "x", "tag": "v1"}},
        MARKER,
        {},
    ),
    "configuration": (
        {**_BARE, "kind": "config", "key": "limits.max", "revision": "7", "version": None},
        MARKER,
        {},
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_flat_marker_is_signed_as_the_statement_or_flat_payload_that_it_gives(
    log: WholeLog, form: str
) -> None:
    changes, payload_type, digests = FORMS[form]
    fields = sample_marker(3, **changes)
    index, leaf = hand_in(log, json.dumps(fields, indent=1).encode())
    payload = leaf.dsse.payload_bytes()
    assert leaf.dsse.payloadType == payload_type
    assert payload == (statement_of(fields) if payload_type == IN_TOTO else encode(fields))
    assert said(leaf) == fields
    if digests:
        (subject,) = json.loads(payload)["subject"]
        wanted = {name: value or subject["digest"][name] for name, value in digests.items()}
        assert subject["digest"] == wanted
    assert log.ring.check(index, leaf).key_id == log.admin.key_id


def test_every_field_that_was_sent_is_in_what_is_signed_and_nothing_else(log: WholeLog) -> None:
    index, leaf = hand_in(log, json.dumps(FULL).encode())
    assert said(leaf) == FULL
    assert leaf.dsse.payload_bytes() == encode(json.loads(leaf.dsse.payload_bytes()))
    deployment, marker = ids_of_marker(FULL)
    assert leaf.ids == {"deployment_id": deployment, "marker_id": marker}
    assert log.ring.check(index, leaf).key_id == log.admin.key_id


def test_a_field_that_is_null_says_the_same_as_one_that_is_left_out(log: WholeLog) -> None:
    fields = sample_marker(3)
    _, leaf = hand_in(log, json.dumps({**fields, "owner": None, "labels": None}).encode())
    assert said(leaf) == {**fields, "kind": "deployment"}


def test_aliases_are_signed_under_the_names_that_they_stand_for(log: WholeLog) -> None:
    fields = sample_marker(3, artifact=None, commit_hash=None)
    alias = {
        **fields,
        "artifact_digest": DIGEST,
        "change_ticket": "CHG-7",
        "rollout_strategy": "canary",
    }
    _, leaf = hand_in(log, json.dumps(alias).encode())
    assert said(leaf) == {
        **fields,
        "kind": "deployment",
        "artifact": {"digest": DIGEST},
        "change_tickets": ["CHG-7"],
        "rollout": {"strategy": "canary"},
    }
    assert leaf.dsse.payloadType == IN_TOTO


def test_a_statement_is_signed_byte_for_byte(log: WholeLog) -> None:
    statement = json.loads(statement_of(FULL))
    body = json.dumps(statement, indent=3, sort_keys=False).encode()
    index, leaf = hand_in(log, body)
    assert leaf.dsse.payload_bytes() == body
    assert (leaf.assurance, leaf.principal) == (Assurance.ATTRIBUTED, "token:ci")
    assert log.ring.check(index, leaf).key_id == log.admin.key_id
    # The same marker in the flat form is the same marker.
    (again,) = log.receiver.receive([json.dumps(FULL).encode()], TOKEN)
    assert isinstance(again, Acknowledgement)
    assert (again.index, again.duplicate) == (index, True)


def test_the_leaf_names_the_caller_or_nobody(log: WholeLog) -> None:
    cases = [(TOKEN, Assurance.ATTRIBUTED), (ANONYMOUS, Assurance.ANONYMOUS)]
    for number, (caller, assurance) in enumerate(cases):
        body = json.dumps(sample_marker(number, environment="sandbox")).encode()
        index, leaf = hand_in(log, body, caller)
        assert (leaf.assurance, leaf.principal) == (assurance, caller.principal)
        assert log.ring.check(index, leaf).key_id == log.admin.key_id


def test_two_callers_who_say_the_same_say_it_once(log: WholeLog) -> None:
    body = json.dumps(FULL).encode()
    index, _ = hand_in(log, body)
    (again,) = log.receiver.receive([body], Caller("token:other", frozenset({Role.EMITTER})))
    assert isinstance(again, Acknowledgement)
    assert (again.index, again.duplicate) == (index, True)
    assert decode_leaf(again.leaf).principal == "token:ci"


# How large it may be ------------------------------------------------------------------------------


def _of_size(size: int) -> bytes:
    """Return a flat marker of so many bytes in its canonical form."""
    fields = sample_marker(3, kind="deployment", reason="", changes=[])
    while size - len(encode(fields)) > 2_000:
        fields["changes"].append({"title": "t" * 1_900})
    fields["reason"] = "r" * (size - len(encode(fields)))
    return encode(fields)


@pytest.mark.parametrize("caller", [TOKEN, ANONYMOUS], ids=["a token", "nobody"])
def test_what_the_platform_would_sign_is_held_to_the_limit_of_payloads(
    log: WholeLog, caller: Caller
) -> None:
    # As a Statement it is larger than what was sent; beyond the limit no verifier would read it.
    body = _of_size(PAYLOAD_BYTES - 40).replace(b'"prod"', b'"sandbox"')
    assert len(body) < PAYLOAD_BYTES
    error = refused(log, body, caller)
    assert error.code == "too_large"
    assert str(PAYLOAD_BYTES) in error.message
    _, leaf = hand_in(log, _of_size(PAYLOAD_BYTES - 400))
    assert len(leaf.dsse.payload_bytes()) <= PAYLOAD_BYTES


# What is refused ----------------------------------------------------------------------------------

PLACES: dict[str, tuple[dict[str, Any], str]] = {
    "owner": ({"owner": SECRET}, "/owner"),
    "version": ({"version": SECRET}, "/version"),
    "reason": ({"reason": f"use {SECRET} now"}, "/reason"),
    "a label": ({"labels": {"team": SECRET}}, "/labels/team"),
    "a flag": ({"flags": [{"key": "x", "variant": SECRET}]}, "/flags/0/variant"),
    "a ticket": ({"change_tickets": ["CHG-1", SECRET]}, "/change_tickets/1"),
    "an approver": ({"approvers": [SECRET]}, "/approvers/0"),
    "an e-mail address": ({"author": "jane" + "@example.com"}, "/author"),
    "the artifact's name": ({"artifact": {"digest": DIGEST, "name": SECRET}}, "/artifact/name"),
    "the emitter": (
        {"emitter": {"id": SECRET, "epoch": "e", "sequence": 1}},
        "/emitter/id",
    ),
    "the service": ({"service": SECRET}, "/service"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("form", ["flat", "statement", "signed"])
def test_a_secret_is_refused_and_the_pointer_leads_into_what_was_sent(
    log: WholeLog, form: str, place: str
) -> None:
    changes, pointer = PLACES[place]
    fields = sample_marker(3, **changes)
    match form:
        case "flat":
            body, prefix = json.dumps(fields).encode(), ""
        case "statement":
            body, prefix = statement_of(fields), "/predicate"
        case _:
            body, prefix = envelope_json(sign(fields, CI)), "/predicate"
    error = refused(log, body)
    wanted = "personal_data_refused" if "e-mail" in place else "secret_refused"
    assert (error.code, error.field) == (wanted, prefix + pointer)
    for text in (error.message, error.hint):
        assert SECRET not in text
        assert "jane" not in text


def test_a_secret_under_a_signed_flat_marker_is_named_in_its_payload(log: WholeLog) -> None:
    fields = sample_marker(3, artifact=None, commit_hash=None, version="1", owner=SECRET)
    error = refused(log, envelope_json(sign(fields, CI)))
    assert (error.code, error.field) == ("secret_refused", "/owner")


def test_who_may_not_say_a_thing_is_not_told_what_is_wrong_with_it(log: WholeLog) -> None:
    body = json.dumps(sample_marker(3, owner=SECRET)).encode()
    assert refused(log, body, ANONYMOUS).code == "marker_unsigned"


def test_without_a_gateway_everything_must_come_signed() -> None:
    with WholeLog(MemoryLogStore()) as log:
        log.receiver._gateway = None
        for body in (json.dumps(FULL).encode(), statement_of(FULL)):
            error = refused(log, body)
            assert (error.code, error.field) == ("bad_marker", "/signatures")
            assert "deploymark up" in error.hint
