"""What may not stand in the log is refused with its reason; what may comes out as it went in."""

import base64
import json
import threading
from collections.abc import Iterator

import pytest

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import (
    DeploymarkError,
    LogBusyError,
    NotFoundError,
    StoreUnavailableError,
    UnavailableError,
)
from deploymark.ingest.key_entries import registration, revocation, rotation
from deploymark.log.sequencer import Acknowledgement
from deploymark.model.canonical import encode
from deploymark.model.entries import Scope
from deploymark.model.envelope import Envelope, Signature
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.vocabulary import (
    AMENDMENT,
    DECISION,
    DETAIL,
    FINDING,
    INCIDENT,
    KEY,
    MARKER,
    RETRACTION,
    VERDICT,
    Assurance,
)
from deploymark.ports import Blob
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.clock import START_MS
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import (
    MARKERS,
    WholeLog,
    blob_of,
    detail,
    envelope_json,
    producer,
    refusals,
    sample_marker,
    sign,
)

ADMIN, CI, STRANGER = producer("admin"), producer("ci"), producer("stranger")
NOW = format_instant(START_MS)
EVIDENCE = blob_of(b"counts")
DIGEST = f"sha256:{EVIDENCE.digest.hex()}"

ENTRIES: dict[str, dict[str, object]] = {
    VERDICT: {
        "advice": "promote",
        "deployment_id": "d-1",
        "environment": "prod",
        "inputs_digest": DIGEST,
        "judge": "j",
        "look": 1,
        "result": "pass",
        "score": 90,
        "service": "shop",
        "timestamp": NOW,
    },
    DECISION: {
        "action": "promote",
        "actor": "policy",
        "environment": "prod",
        "stage": "decided",
        "timestamp": NOW,
    },
    INCIDENT: {"action": "opened", "incident_id": "i-1", "timestamp": NOW},
    FINDING: {
        "code": "clock_skew",
        "message": "An hour ahead.",
        "severity": "warning",
        "state": "opened",
        "timestamp": NOW,
    },
    AMENDMENT: {"changes": {"/owner": "me"}, "index": 1, "reason": "typo", "timestamp": NOW},
    RETRACTION: {"index": 1, "reason": "twice", "timestamp": NOW},
    DETAIL: {
        "action": "stored",
        "digest": DIGEST,
        "erasable": False,
        "size": 6,
        "timestamp": NOW,
    },
}


@pytest.fixture
def store() -> FaultyLogStore:
    return FaultyLogStore(MemoryLogStore())


@pytest.fixture
def log(store: FaultyLogStore) -> Iterator[WholeLog]:
    """Entry 0 the admin's key, entry 1 the producer's, which may only say markers."""
    with WholeLog(store) as log:
        log.register(CI, "ci")
        yield log
        store.heal()
        assert log.faults() == []


def _entry(kind: str, signer: object = None, **changes: object) -> Envelope:
    said = {**ENTRIES[kind], **changes}
    return sign_envelope(kind, encode(said), [ADMIN if signer is None else signer])  # type: ignore[list-item]


def _leaf(log: WholeLog, index: int) -> Leaf:
    return decode_leaf(log.store.entry(index).leaf or b"")


# What is taken ------------------------------------------------------------------------------------


def test_a_marker_comes_out_as_it_went_in_with_what_the_server_knew_beside_it(
    log: WholeLog,
) -> None:
    fields = sample_marker(5, details_digest=None)
    envelope = sign(fields, CI)
    log.clock.advance(0.25)
    (done,) = log.receiver.receive([envelope_json(envelope)], principal="pipeline 7")
    assert isinstance(done, Acknowledgement)
    assert (done.index, done.duplicate) == (2, False)
    leaf = _leaf(log, 2)
    assert leaf.dsse == envelope
    assert (leaf.assurance, leaf.principal) == (Assurance.SIGNED, "pipeline 7")
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
    envelope = _entry(kind)
    if kind in (VERDICT, DETAIL):
        outcome = log.receiver.keep(envelope, EVIDENCE)
    else:
        (outcome,) = log.receive(envelope)
    assert isinstance(outcome, Acknowledgement)
    leaf = _leaf(log, outcome.index)
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
        expected += ["", "bad_envelope", "bad_marker"]
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
    "no JSON": (b"marker", "bad_envelope"),
    "no object": (b"[]", "bad_envelope"),
    "not UTF-8": (b"\xff", "bad_envelope"),
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
    "a producer that speaks of incidents": (_entry(INCIDENT, CI), "key_untrusted"),
    "a verdict without its evidence": (_entry(VERDICT), "not_found"),
    "a marker without its details": (
        sign(sample_marker(5, details_digest=DIGEST), CI),
        "not_found",
    ),
    "content stored by words alone": (_entry(DETAIL), "not_found"),
    "content erased that never was": (
        sign_envelope(DETAIL, detail("erased", EVIDENCE.digest), [ADMIN]),
        "not_found",
    ),
    "an entry that lacks a field": (_entry(INCIDENT, action=None), "bad_marker"),
    "an entry with an unknown field": (_entry(FINDING, colour="red"), "bad_marker"),
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


# Keys in the middle of a batch --------------------------------------------------------------------


def test_a_key_counts_for_what_comes_after_it_in_the_batch(log: WholeLog) -> None:
    new = producer("new")
    register = sign_envelope(KEY, registration(new.public, "new", MARKERS, START_MS), [ADMIN])
    revoke = sign_envelope(KEY, revocation(new.key_id, START_MS), [ADMIN])
    outcomes = log.receive(
        sign(sample_marker(1), new),
        sign(sample_marker(2), CI),
        register,
        sign(sample_marker(3), new),
        sign(sample_marker(4), CI),
        revoke,
        sign(sample_marker(5), new),
        sign(sample_marker(6), CI),
    )
    untrusted = "key_untrusted"
    assert refusals(outcomes) == [untrusted, "", "", "", "", "", untrusted, ""]
    assert [o.index for o in outcomes if isinstance(o, Acknowledgement)] == [2, 3, 4, 5, 6, 7]


def test_a_rotated_key_hands_on_what_it_may_say(log: WholeLog) -> None:
    new = producer("new")
    rotate = sign_envelope(KEY, rotation(CI.key_id, new.public, "ci", START_MS), [CI])
    outcomes = log.receive(
        sign(sample_marker(1), CI), rotate, sign(sample_marker(2), new), sign(sample_marker(3), CI)
    )
    assert refusals(outcomes) == ["", "", "", "key_untrusted"]


def test_a_key_entry_commits_alone(log: WholeLog, store: FaultyLogStore) -> None:
    before = len(store.batches)
    register = sign_envelope(KEY, registration(STRANGER.public, "s", MARKERS, START_MS), [ADMIN])
    log.append(sign(sample_marker(1), CI), sign(sample_marker(2), CI), register)
    assert [len(batch.entries) for batch in store.batches[before:]] == [2, 1]


def test_a_refused_key_entry_changes_nothing(log: WholeLog) -> None:
    new = producer("new")
    register = sign_envelope(KEY, registration(new.public, "new", MARKERS, START_MS), [CI])
    outcomes = log.receive(register, sign(sample_marker(1), new), sign(sample_marker(2), CI))
    assert refusals(outcomes) == ["key_untrusted", "key_untrusted", ""]
    assert [key.name for key in log.ring.keys()] == ["admin", "ci"]


def test_the_keys_are_the_same_after_a_restart(log: WholeLog, store: FaultyLogStore) -> None:
    log.append_key(revocation(CI.key_id, START_MS))
    with WholeLog(store) as again:
        assert again.ring.export() == log.ring.export()
        assert refusals(again.receive(sign(sample_marker(1), CI))) == ["key_untrusted"]


# Content beside the log ---------------------------------------------------------------------------

SALTED = blob_of(b"a name", b"s" * 32)


def _stored(blob: Blob, **more: object) -> Envelope:
    size = len(blob.content or b"")
    said = {"size": size, "erasable": True, **more}
    return sign_envelope(DETAIL, detail("stored", blob.digest, **said), [ADMIN])


def test_content_is_kept_with_the_entry_that_names_it(log: WholeLog) -> None:
    outcome = log.receiver.keep(_stored(SALTED), SALTED)
    assert isinstance(outcome, Acknowledgement)
    assert log.store.blob(SALTED.digest) == SALTED
    digest = f"sha256:{SALTED.digest.hex()}"
    log.append(sign(sample_marker(5, details_digest=digest), CI))
    assert _leaf(log, 3).ids["detail"] == digest


def test_a_marker_may_bring_its_details_along(log: WholeLog) -> None:
    digest = f"sha256:{SALTED.digest.hex()}"
    outcome = log.receiver.keep(sign(sample_marker(5, details_digest=digest), CI), SALTED)
    assert isinstance(outcome, Acknowledgement)
    assert log.store.blob(SALTED.digest) == SALTED


@pytest.mark.parametrize(
    ("envelope", "blob"),
    [
        pytest.param(_stored(SALTED), blob_of(b"another", b"s" * 32), id="another content"),
        pytest.param(_stored(SALTED), blob_of(b"a name", b"t" * 32), id="another salt"),
        pytest.param(
            _stored(SALTED), Blob(SALTED.digest, b"s" * 32, b"forged"), id="not of its digest"
        ),
        pytest.param(
            _stored(SALTED), Blob(SALTED.digest, b"s" * 31, b"sa name"), id="cut at another place"
        ),
        pytest.param(_stored(SALTED, size=5), SALTED, id="not of the size it states"),
        pytest.param(_stored(SALTED), Blob(SALTED.digest, None, None), id="nothing"),
        pytest.param(sign(sample_marker(5), CI), SALTED, id="named by nothing"),
        pytest.param(_entry(VERDICT), Blob(EVIDENCE.digest, b"co", b"unts"), id="salted evidence"),
    ],
)
def test_content_that_is_not_what_the_entry_names_is_refused(
    log: WholeLog, envelope: Envelope, blob: Blob
) -> None:
    assert refusals([log.receiver.keep(envelope, blob)]) == ["bad_marker"]
    assert list(log.store.blobs()) == []
    assert log.store.head().size == 2


def test_a_refused_entry_leaves_no_content_behind(log: WholeLog) -> None:
    digest = f"sha256:{SALTED.digest.hex()}"
    outcome = log.receiver.keep(sign(sample_marker(5, details_digest=digest), STRANGER), SALTED)
    assert refusals([outcome]) == ["key_untrusted"]
    assert list(log.store.blobs()) == []


def test_erased_content_is_gone_and_everything_still_adds_up(log: WholeLog) -> None:
    log.keep(b"a name", b"s" * 32)
    log.clock.advance(10)
    log.erase(SALTED.digest)
    assert log.store.blob(SALTED.digest) == Blob(SALTED.digest, None, None, START_MS + 10_000)
    assert log.faults() == []
    # Named again it is still the same content, and still gone.
    digest = f"sha256:{SALTED.digest.hex()}"
    log.append(sign(sample_marker(5, details_digest=digest), CI))
    log.receiver.keep(_stored(SALTED, reason="again"), SALTED)
    assert log.store.blob(SALTED.digest).content is None


def test_erasing_twice_is_said_twice_and_dated_by_the_last(log: WholeLog) -> None:
    log.keep(b"a name", b"s" * 32)
    log.erase(SALTED.digest)
    log.clock.advance(10)
    again = sign_envelope(DETAIL, detail("erased", SALTED.digest, reason="asked again"), [ADMIN])
    log.append(again)
    assert log.store.blob(SALTED.digest).erased_at_ms == START_MS + 10_000
    assert log.faults() == []


def test_a_producer_cannot_erase(log: WholeLog) -> None:
    log.keep(b"a name", b"s" * 32)
    envelope = sign_envelope(DETAIL, detail("erased", SALTED.digest), [CI])
    assert refusals(log.receive(envelope)) == ["key_untrusted"]
    assert log.store.blob(SALTED.digest) == SALTED


# The store is away --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [At.BEFORE_APPEND, At.AFTER_APPEND])
def test_a_store_that_fails_makes_the_batch_unavailable_and_the_retry_whole(
    log: WholeLog, store: FaultyLogStore, at: At
) -> None:
    batch = [sign(sample_marker(number), CI) for number in range(5)]
    store.fail(at)
    with pytest.raises(UnavailableError):
        log.receive(*batch)
    assert [done.index for done in log.append(*batch)] == [2, 3, 4, 5, 6]


def test_a_key_entry_whose_commit_was_uncertain_counts_once(
    log: WholeLog, store: FaultyLogStore
) -> None:
    register = sign_envelope(KEY, registration(STRANGER.public, "s", MARKERS, START_MS), [ADMIN])
    store.fail(At.AFTER_APPEND)
    with pytest.raises(UnavailableError):
        log.receive(register)
    # The writer learns of it with its next commit; until then nobody may rely on the key.
    log.append_markers(1)
    outcomes = log.receive(register, sign(sample_marker(50), STRANGER))
    assert refusals(outcomes) == ["", ""]
    assert isinstance(outcomes[0], Acknowledgement)
    assert outcomes[0].duplicate
    assert [key.name for key in log.ring.keys()] == ["admin", "ci", "s"]


def test_a_store_that_cannot_be_read_refuses_what_rests_on_content(
    log: WholeLog, store: FaultyLogStore
) -> None:
    class Unreadable(FaultyLogStore):
        def blob(self, digest: bytes) -> Blob:
            raise StoreUnavailableError(f"{digest.hex()} cannot be read.")

    log.receiver._reader = Unreadable(store)
    (outcome,) = log.receive(_entry(VERDICT))
    assert isinstance(outcome, UnavailableError)


def test_a_closed_log_takes_nothing(store: FaultyLogStore) -> None:
    log = WholeLog(store)
    log.sequencer.close()
    with pytest.raises(LogBusyError):
        log.receive(sign(sample_marker(1), ADMIN))
    log.close()


def test_many_callers_are_served_at_once(log: WholeLog) -> None:
    log.append_markers(0)
    wrong: list[object] = []

    def call(first: int) -> None:
        for number in range(first, first + 40, 8):
            batch = [sign(sample_marker(number + n), CI) for n in range(8)]
            outcomes = log.receive(*batch)
            indexes = [o.index for o in outcomes if isinstance(o, Acknowledgement)]
            if indexes != list(range(indexes[0], indexes[0] + 8)):
                wrong.append(outcomes)

    callers = [threading.Thread(target=call, args=(1000 * n,)) for n in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
    assert log.store.head().size == 2 + 6 * 40


def test_not_found_names_the_digest(log: WholeLog) -> None:
    (outcome,) = log.receive(_entry(VERDICT))
    assert isinstance(outcome, NotFoundError)
    assert DIGEST in outcome.message
