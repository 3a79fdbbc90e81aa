"""What may not stand in the log is refused with its reason; what may comes out as it went in."""

import base64
import json

import pytest
from receive_samples import (
    ADMIN,
    CI,
    DIGEST,
    ENTRIES,
    EVIDENCE,
    STRANGER,
    entry_of,
    faulty_store,
    leaf_at,
    sound_log,
)

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import DeploymarkError, NotFoundError
from deploymark.ingest.callers import Caller
from deploymark.ingest.key_entries import registration
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope, Signature
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import (
    DETAIL,
    FINDING,
    INCIDENT,
    KEY,
    MARKER,
    VERDICT,
    Assurance,
    Role,
)
from deploymark.testing.clock import START_MS
from deploymark.testing.whole_log import (
    MARKERS,
    WholeLog,
    detail,
    envelope_json,
    producer,
    refusals,
    sample_marker,
    sign,
)

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)

# What is taken ------------------------------------------------------------------------------------


def test_a_marker_comes_out_as_it_went_in_with_what_the_server_knew_beside_it(
    log: WholeLog,
) -> None:
    fields = sample_marker(5, details_digest=None)
    envelope = sign(fields, CI)
    log.clock.advance(0.25)
    caller = Caller("token:pipeline-7", frozenset({Role.EMITTER}))
    (done,) = log.receiver.receive([envelope_json(envelope)], caller)
    assert isinstance(done, Acknowledgement)
    assert (done.index, done.duplicate) == (2, False)
    leaf = leaf_at(log, 2)
    assert leaf.dsse == envelope
    assert (leaf.assurance, leaf.principal) == (Assurance.SIGNED, "token:pipeline-7")
    assert leaf.received_at == format_instant(START_MS + 250)
    assert set(leaf.ids) == {"deployment_id", "marker_id"}
    assert (leaf.occurrence, leaf.repeat) == (1, 0)
    assert log.store.entry(2).key_id == CI.key_id


def test_parsed_envelopes_and_their_json_are_the_same(log: WholeLog) -> None:
    envelope = sign(sample_marker(5), CI)
    outcomes = log.receiver.receive([envelope_json(envelope), envelope])
    assert [o.duplicate for o in outcomes if isinstance(o, Acknowledgement)] == [False, True]


def test_a_marker_without_an_artifact_is_signed_flat(log: WholeLog) -> None:
    fields = sample_marker(5, artifact=None, commit_hash=None, version="1.2.3")
    envelope = sign(fields, CI)
    assert envelope.payloadType == MARKER
    assert log.append(envelope)[0].index == 2


@pytest.mark.parametrize("kind", ENTRIES)
def test_every_kind_of_entry_is_taken_from_a_key_that_may_say_it(log: WholeLog, kind: str) -> None:
    envelope = entry_of(kind)
    if kind in (VERDICT, DETAIL):
        outcome = log.receiver.keep(envelope, EVIDENCE)
    else:
        (outcome,) = log.receive(envelope)
    assert isinstance(outcome, Acknowledgement)
    leaf = leaf_at(log, outcome.index)
    name = kind.removeprefix("application/vnd.deploymark.").partition(".")[0]
    assert leaf.ids["entry_id"].startswith(f"e-{name}-")
    assert leaf.ids.get("detail") == (DIGEST if kind in (VERDICT, DETAIL) else None)
    assert (leaf.occurrence, leaf.repeat) == (0, 0)
    (again,) = log.receive(envelope)
    assert isinstance(again, Acknowledgement)
    assert (again.index, again.duplicate) == (outcome.index, True)


def test_a_retry_with_other_descriptions_is_a_duplicate_and_with_other_facts_a_conflict(
    log: WholeLog,
) -> None:
    first = sample_marker(5, owner="one")
    (done,) = log.append(sign(first, CI))
    retry, other = {**first, "owner": "two"}, {**first, "version": "2"}
    outcomes = log.receive(sign(retry, CI), sign(other, CI))
    assert isinstance(outcomes[0], Acknowledgement)
    assert (outcomes[0].index, outcomes[0].duplicate) == (done.index, True)
    assert refusals(outcomes) == ["", "marker_conflict"]
    assert isinstance(outcomes[1], DeploymarkError)
    assert "version" in outcomes[1].message


def test_outcomes_stand_in_the_order_of_the_batch_whatever_became_of_each(log: WholeLog) -> None:
    good = [sign(sample_marker(number), CI) for number in range(300)]
    batch: list[bytes | Envelope] = []
    expected: list[str] = []
    for number, envelope in enumerate(good):
        batch += [envelope, b"{}", sign(sample_marker(number, service=""), CI)]
        expected += ["", "bad_marker", "bad_marker"]
    outcomes = log.receiver.receive(batch)
    assert refusals(outcomes) == expected
    indexes = [o.index for o in outcomes if isinstance(o, Acknowledgement)]
    assert indexes == list(range(2, 302))


def test_nothing_is_nothing(log: WholeLog) -> None:
    assert log.receiver.receive([]) == []


# What is refused ----------------------------------------------------------------------------------


def _changed(envelope: Envelope, **changes: object) -> bytes:
    said = json.loads(envelope_json(envelope))
    said.update(changes)
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


def _flipped(envelope: Envelope) -> bytes:
    raw = bytearray(base64.b64decode(envelope.signatures[0].sig))
    raw[7] ^= 0x10
    sig = base64.b64encode(raw).decode()
    return _changed(envelope, signatures=[{"keyid": envelope.signatures[0].keyid, "sig": sig}])


GOOD = sign(sample_marker(5), CI)
LONG = {f"label-{number}": "x" * 250 for number in range(16)}

REFUSED: dict[str, tuple[bytes | Envelope, str]] = {
    "no JSON": (b"marker", "bad_marker"),
    "no object": (b"[]", "bad_marker"),
    "not UTF-8": (b"\xff", "bad_marker"),
    "no payload": (_changed(GOOD, payload=None), "bad_envelope"),
    "a payload that is not base64": (_changed(GOOD, payload="!"), "bad_envelope"),
    "an unknown payload type": (_changed(GOOD, payloadType="text/plain"), "unknown_schema_version"),
    "a later version": (
        _changed(GOOD, payloadType=MARKER.replace("v1", "v9")),
        "unknown_schema_version",
    ),
    "no signatures": (_changed(GOOD, signatures=[]), "bad_envelope"),
    "an empty signature": (
        _changed(GOOD, signatures=[{"keyid": CI.key_id, "sig": ""}]),
        "bad_envelope",
    ),
    "parsed and unsigned": (
        Envelope(payload=GOOD.payload, payloadType=GOOD.payloadType, signatures=[]),
        "key_untrusted",
    ),
    "an unknown key": (sign(sample_marker(5), STRANGER), "key_untrusted"),
    "no key id": (
        _changed(GOOD, signatures=[{"sig": GOOD.signatures[0].sig}]),
        "key_untrusted",
    ),
    "a forged signature": (_flipped(GOOD), "bad_signature"),
    "the signature of another payload": (
        Envelope(sign(sample_marker(6), CI).payload, GOOD.payloadType, GOOD.signatures),
        "bad_signature",
    ),
    "the signature under another key id": (
        Envelope(GOOD.payload, GOOD.payloadType, [Signature(ADMIN.key_id, GOOD.signatures[0].sig)]),
        "bad_signature",
    ),
    "a second signature that does not hold": (
        Envelope(
            GOOD.payload,
            GOOD.payloadType,
            [GOOD.signatures[0], Signature(ADMIN.key_id, GOOD.signatures[0].sig)],
        ),
        "bad_signature",
    ),
    "a marker without a service": (sign(sample_marker(5, service=None), CI), "bad_marker"),
    "an unknown phase": (sign(sample_marker(5, phase="begun"), CI), "bad_marker"),
    "an unknown field": (sign(sample_marker(5, colour="red"), CI), "bad_marker"),
    "a timestamp that is none": (sign(sample_marker(5, timestamp="today"), CI), "bad_timestamp"),
    "a marker id of its own": (
        sign(sample_marker(5, marker_id="m-" + "0" * 26), CI),
        "bad_id",
    ),
    "a payload that is too large": (
        sign(sample_marker(5, labels=LONG, changes=[{"title": "x" * 2000}] * 20), CI),
        "too_large",
    ),
    "a leaf that is too large": (
        Envelope(GOOD.payload, "x" * 66_000, GOOD.signatures),
        "unknown_schema_version",
    ),
    "a producer that speaks of keys": (
        sign_envelope(KEY, registration(STRANGER.public, "s", MARKERS, START_MS), [CI]),
        "key_untrusted",
    ),
    "a producer that speaks of incidents": (entry_of(INCIDENT, CI), "key_untrusted"),
    "a verdict without its evidence": (entry_of(VERDICT), "not_found"),
    "a marker without its details": (
        sign(sample_marker(5, details_digest=DIGEST), CI),
        "bad_marker",
    ),
    "content stored by words alone": (entry_of(DETAIL), "not_found"),
    "content erased that never was": (
        sign_envelope(DETAIL, detail("erased", EVIDENCE.digest), [ADMIN]),
        "not_found",
    ),
    "an entry that lacks a field": (entry_of(INCIDENT, action=None), "bad_marker"),
    "an entry with an unknown field": (entry_of(FINDING, colour="red"), "bad_marker"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_may_not_stand_in_the_log_is_refused_and_leaves_no_gap(
    log: WholeLog, case: str
) -> None:
    envelope, code = REFUSED[case]
    outcomes = log.receiver.receive(
        [sign(sample_marker(1), CI), envelope, sign(sample_marker(2), CI)]
    )
    assert refusals(outcomes) == ["", code, ""]
    assert [o.index for o in outcomes if isinstance(o, Acknowledgement)] == [2, 3]
    assert log.store.head().size == 4
    assert isinstance(outcomes[1], DeploymarkError)
    assert outcomes[1].hint


@pytest.mark.parametrize(
    ("scope", "refused"),
    [
        ({"services": ("shop-*",)}, {"service": "ship"}),
        ({"services": ("shop",)}, {"service": "shop-1"}),
        ({"environments": ("staging", "test*")}, {"environment": "prod"}),
        ({"environments": ()}, {}),
        ({"kinds": ("config",)}, {}),
        ({"phases": ("planned", "failed")}, {"phase": "applied"}),
        ({"entries": ("finding",)}, {}),
        ({"entries": ()}, {}),
    ],
    ids=str,
)
def test_a_key_says_only_what_its_scope_allows(
    log: WholeLog, scope: dict[str, tuple[str, ...]], refused: dict[str, str]
) -> None:
    everywhere: dict[str, tuple[str, ...]] = {"services": ("*",), "environments": ("*",)}
    narrow = producer("narrow")
    log.register(narrow, "narrow", Scope(**{**everywhere, **scope}))
    outcomes = log.receive(sign(sample_marker(5, **refused), narrow))
    assert refusals(outcomes) == ["key_untrusted"]


def test_a_scope_allows_what_it_names(log: WholeLog) -> None:
    narrow = producer("narrow")
    scope = Scope(
        services=("shop-*",), environments=("prod",), phases=("applied",), kinds=("deployment",)
    )
    log.register(narrow, "narrow", scope)
    assert refusals(log.receive(sign(sample_marker(5, service="shop-1"), narrow))) == [""]


def test_a_payload_of_the_largest_size_fits_and_one_byte_more_does_not(log: WholeLog) -> None:
    changes = [{"title": "t" * 2_000}] * 15

    def of(number: int, filler: int) -> Envelope:
        return sign(
            sample_marker(number, changes=changes, owner="o" * 200, reason="r" * filler), CI
        )

    room = 32_768 - len(of(5, 0).payload_bytes())
    largest, larger = of(5, room), of(6, room + 1)
    assert [len(e.payload_bytes()) for e in (largest, larger)] == [32_768, 32_769]
    outcomes = log.receiver.receive([envelope_json(largest), envelope_json(larger)])
    assert refusals(outcomes) == ["", "too_large"]


def test_not_found_names_the_digest(log: WholeLog) -> None:
    (outcome,) = log.receive(entry_of(VERDICT))
    assert isinstance(outcome, NotFoundError)
    assert DIGEST in outcome.message
