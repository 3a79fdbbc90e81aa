"""A stranger with an export and a policy finds what an honest log would never hold.

The operator in these tests holds the log's own keys: tree and checkpoint always add up, and what
must give him away is what the producers did not sign.
"""

import base64
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploymark.crypto.dsse import sign_envelope
from deploymark.ingest.key_entries import registration, revocation, rotation
from deploymark.log.export import Export, write_export
from deploymark.log.policy import Policy
from deploymark.log.publisher import Publisher
from deploymark.log.reader import LogView
from deploymark.log.receipt import format_receipt
from deploymark.log.steps import Result, Step, verdict
from deploymark.log.verify import ExportVerification, ReceiptVerification
from deploymark.model.ids import entry_id
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.vocabulary import KEY
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_guard import MemoryRollbackGuard
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.history import history_policy, write_history
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import (
    EVERYTHING,
    MARKERS,
    ORIGIN,
    WholeLog,
    key_names,
    log_signers,
    plant,
    policy_of,
    producer,
    sample_marker,
    sign,
    signed_empty_head,
)

CI, STRANGER = producer("ci"), producer("stranger")


def _exported(store: MemoryLogStore, path: Path) -> Export:
    """Publish without opening the log, which would refuse some of what is planted here."""
    guard, clock, meter = MemoryRollbackGuard(), ManualClock(), ListMeter()
    Publisher(store, log_signers()[1], guard, (), clock, meter).publish()
    write_export(store.snapshot(), path)
    return Export(path)


def _verify(export: Export, policy: Policy | None = None) -> tuple[list[Step], ExportVerification]:
    verification = ExportVerification(export, policy or policy_of())
    return list(verification.steps()), verification


def _failing(steps: list[Step]) -> dict[int, tuple[str, ...]]:
    return {step.number: step.faults for step in steps if step.faults}


@pytest.fixture
def store() -> MemoryLogStore:
    """Entry 0 the admin's key, 1 the key `ci`, 2 and 3 its markers."""
    store = MemoryLogStore()
    with WholeLog(store) as log:
        log.register(CI, "ci")
        log.append(sign(sample_marker(2), CI), sign(sample_marker(3), CI))
    return store


# Exports that hold --------------------------------------------------------------------------------


def test_a_log_with_every_kind_of_entry_holds_in_all_five_steps(tmp_path: Path) -> None:
    store = MemoryLogStore()
    write_history(store)
    write_export(store.snapshot(), tmp_path)
    steps, verification = _verify(Export(tmp_path), history_policy())
    assert [step.number for step in steps] == [1, 2, 3, 4, 5]
    assert verdict(steps) is Result.HOLDS
    assert "600 entries" in steps[0].detail
    assert "cosigned by" in steps[0].detail
    assert key_names(verification.ring) == ["admin", "ci", "next ci", "last ci"]


def test_an_entry_is_found_by_its_artifact_and_by_its_payload(
    store: MemoryLogStore, tmp_path: Path
) -> None:
    steps, verification = _verify(_exported(store, tmp_path))
    assert verdict(steps) is Result.HOLDS
    for index in (2, 3):
        fields = sample_marker(index)
        assert verification.artifacts[fields["artifact"]["digest"]] == [index]
        payload = sign(fields, CI).payload_bytes()
        assert verification.find_payload(payload) == [index]
        found = verification.fields(index)
        assert found is not None
        assert found["service"] == fields["service"]
    assert verification.fields(1) is None
    assert verification.find_payload(b"nobody said this") == []


# Each step fails ----------------------------------------------------------------------------------


def test_a_checkpoint_that_the_policy_refuses_ends_the_verification(
    store: MemoryLogStore, tmp_path: Path
) -> None:
    export = _exported(store, tmp_path)
    for policy in (policy_of("log.example/other"), history_policy()):
        steps, _ = _verify(export, policy)
        assert [step.number for step in steps] == [1]
        assert _failing(steps)


def test_a_file_that_does_not_follow_ends_the_verification(
    store: MemoryLogStore, tmp_path: Path
) -> None:
    export = _exported(store, tmp_path)
    (tmp_path / "stray").write_text("")
    steps, _ = _verify(export)
    assert _failing(steps) == {2: ("stray does not belong to this log.",)}
    assert [step.number for step in steps] == [1, 2]


def _again(leaf: Leaf, **changes: object) -> Leaf:
    return replace(leaf, repeat=1, **changes)


def _forged(leaf: Leaf) -> Leaf:
    (signature,) = leaf.dsse.signatures
    raw = bytearray(base64.b64decode(signature.sig))
    raw[-1] ^= 1
    changed = replace(signature, sig=base64.b64encode(raw).decode())
    return _again(leaf, dsse=replace(leaf.dsse, signatures=[changed]))


@pytest.mark.parametrize(
    ("change", "step", "said"),
    [
        pytest.param(
            lambda leaf: _again(leaf, ids={**leaf.ids, "marker_id": "m-" + "0" * 26}),
            3,
            "filed under",
            id="the id of another marker",
        ),
        pytest.param(
            lambda leaf: _again(leaf, ids={**leaf.ids, "deployment_id": "d-other"}),
            3,
            "filed under",
            id="the id of another deployment",
        ),
        pytest.param(
            lambda leaf: _again(leaf, ids={**leaf.ids, "detail": "sha256:" + "0" * 64}),
            3,
            "filed under",
            id="content that it does not name",
        ),
        pytest.param(
            lambda leaf: _again(leaf, dsse=replace(leaf.dsse, payload="e30=")),
            3,
            "missing",
            id="a payload that is no marker",
        ),
        pytest.param(_forged, 5, "does not verify", id="a forged signature"),
        pytest.param(
            lambda leaf: _again(leaf, dsse=replace(leaf.dsse, signatures=[])),
            5,
            "not registered",
            id="no signature",
        ),
        pytest.param(
            lambda leaf: _again(leaf, dsse=sign(sample_marker(2), STRANGER)),
            5,
            "not registered",
            id="the signature of a stranger",
        ),
        pytest.param(
            lambda leaf: _again(leaf, dsse=sign(sample_marker(2, owner="me"), CI)),
            0,
            "",
            id="what the producer did sign",
        ),
    ],
)
def test_what_the_operator_plants_is_found_in_the_step_that_looks_for_it(
    store: MemoryLogStore,
    tmp_path: Path,
    change: Callable[[Leaf], Leaf],
    step: int,
    said: str,
) -> None:
    plant(store, change(decode_leaf(store.entry(2).leaf or b"")))
    steps, _ = _verify(_exported(store, tmp_path))
    failing = _failing(steps)
    assert set(failing) == ({step} if step else set())
    for faults in failing.values():
        (fault,) = faults
        assert fault.startswith("Entry 4: ")
        assert said in fault


def test_a_marker_beyond_the_scope_of_its_key_is_found(tmp_path: Path) -> None:
    store = MemoryLogStore()
    with WholeLog(store) as log:
        log.register(CI, "ci", replace(MARKERS, environments=("staging",)))
        log.append_markers(1)
    leaf = decode_leaf(store.entry(2).leaf or b"")
    plant(store, _again(leaf, dsse=sign(sample_marker(2), CI)))
    steps, _ = _verify(_exported(store, tmp_path))
    assert list(_failing(steps)) == [5]
    assert "prod" in _failing(steps)[5][0]


# Keys ---------------------------------------------------------------------------------------------


def _key_leaf(like: Leaf, payload: bytes, *signers: str) -> Leaf:
    envelope = sign_envelope(KEY, payload, [producer(name) for name in signers])
    return replace(like, dsse=envelope, ids={"entry_id": entry_id(KEY, payload)}, occurrence=0)


REGISTER_STRANGER = registration(STRANGER.public, "stranger", EVERYTHING, START_MS)


@pytest.mark.parametrize(
    ("payload", "signers", "said"),
    [
        pytest.param(REGISTER_STRANGER, ["stranger"], "not registered", id="by itself"),
        pytest.param(REGISTER_STRANGER, ["ci"], "may not sign key entries", id="by a producer"),
        pytest.param(
            registration(CI.public, "ci again", EVERYTHING, START_MS),
            ["admin"],
            "registered already",
            id="a key that is there",
        ),
        pytest.param(
            rotation(producer("admin").key_id, STRANGER.public, "admin", START_MS),
            ["ci"],
            "may not sign key entries",
            id="in place of the admin's",
        ),
        pytest.param(
            revocation(producer("admin").key_id, START_MS),
            ["admin"],
            "no administrator's key would be left",
            id="the last admin's gone",
        ),
    ],
)
def test_a_key_that_nobody_with_authority_let_in_is_found_with_all_it_signed(
    store: MemoryLogStore, tmp_path: Path, payload: bytes, signers: list[str], said: str
) -> None:
    like = decode_leaf(store.entry(2).leaf or b"")
    plant(
        store,
        _key_leaf(like, payload, *signers),
        _again(like, dsse=sign(sample_marker(2), STRANGER)),
    )
    failing = _failing(_verify(_exported(store, tmp_path))[0])
    assert set(failing) == {4, 5}
    assert failing[4][0].startswith("Key entry 4: ")
    assert said in failing[4][0]
    assert "Entry 5: The key" in failing[5][0]


def test_a_log_without_a_first_key_is_found(store: MemoryLogStore, tmp_path: Path) -> None:
    other = MemoryLogStore()
    other.create(signed_empty_head(ORIGIN, log_signers()[0]))
    plant(other, *(decode_leaf(store.entry(index).leaf or b"") for index in (2, 3)))
    steps, _ = _verify(_exported(other, tmp_path))
    assert len(_failing(steps)[5]) == 2


def test_a_key_registered_after_what_it_signed_is_found(
    store: MemoryLogStore, tmp_path: Path
) -> None:
    like = decode_leaf(store.entry(2).leaf or b"")
    plant(
        store,
        _again(like, dsse=sign(sample_marker(2), STRANGER)),
        _key_leaf(like, REGISTER_STRANGER, "admin"),
        replace(like, repeat=2, dsse=sign(sample_marker(2), STRANGER)),
    )
    steps, _ = _verify(_exported(store, tmp_path))
    assert [fault.partition(":")[0] for fault in _failing(steps)[5]] == ["Entry 4"]


@pytest.mark.parametrize("how", ["revoked", "rotated"])
def test_what_a_key_signs_after_its_end_is_found(
    store: MemoryLogStore, tmp_path: Path, how: str
) -> None:
    if how == "revoked":
        ending = revocation(CI.key_id, START_MS)
    else:
        ending = rotation(CI.key_id, STRANGER.public, "next", START_MS)
    with WholeLog(store) as log:
        log.append_key(ending)
        log.append_markers(1)
    plant(store, _again(decode_leaf(store.entry(2).leaf or b"")))
    steps, _ = _verify(_exported(store, tmp_path))
    assert list(_failing(steps)) == [5]
    (fault,) = _failing(steps)[5]
    assert "Entry 6: " in fault
    assert "ended at 4" in fault


def test_entries_from_which_trust_was_taken_back_are_named(
    store: MemoryLogStore, tmp_path: Path
) -> None:
    with WholeLog(store) as log:
        log.append_markers(2, CI)
        log.append_markers(1)
        log.append_key(revocation(CI.key_id, START_MS, distrust_from=3, reason="stolen"))
    steps, _ = _verify(_exported(store, tmp_path))
    assert list(_failing(steps)) == [5]
    assert [fault.partition(":")[0] for fault in _failing(steps)[5]] == [
        "Entry 3",
        "Entry 4",
        "Entry 5",
    ]


def test_an_entry_is_judged_the_same_by_its_receipt_and_in_the_export(
    store: MemoryLogStore, tmp_path: Path
) -> None:
    with WholeLog(store) as log:
        log.append_markers(2, CI)
        log.append_key(revocation(CI.key_id, START_MS, distrust_from=4))
    like = decode_leaf(store.entry(2).leaf or b"")
    plant(store, _forged(like), replace(like, repeat=2))
    steps, verification = _verify(_exported(store, tmp_path))
    named = {fault.partition(":")[0] for fault in _failing(steps)[5]}
    view = LogView(store)
    for index in range(store.head().size):
        text = format_receipt(view.published_receipt(index))
        alone = list(ReceiptVerification(text, policy_of(), verification.ring).steps())
        assert bool(_failing(alone)) == (f"Entry {index}" in named), index


def test_many_faults_are_counted_and_not_all_told(store: MemoryLogStore, tmp_path: Path) -> None:
    like = decode_leaf(store.entry(2).leaf or b"")
    stranger = sign(sample_marker(2), STRANGER)
    plant(store, *(replace(like, repeat=n, dsse=stranger) for n in range(1, 131)))
    steps, _ = _verify(_exported(store, tmp_path))
    faults = _failing(steps)[5]
    assert len(faults) == 101
    assert faults[-1] == "… and 30 more."
