"""A receipt holds for whom it should, and every step that can fail does so by itself."""

import base64
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from deploymark.crypto.keyring import KeyRing
from deploymark.ingest.key_entries import revocation
from deploymark.log.policy import Policy
from deploymark.log.receipt import Receipt, format_receipt, parse_receipt
from deploymark.log.steps import Result, Step, verdict
from deploymark.log.verify import ReceiptVerification
from deploymark.model.leaf import Leaf, decode_leaf, encode_leaf
from deploymark.runtime.compose import replay_keys
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.history import HISTORY_SIZE, history_policy, write_history
from deploymark.testing.whole_log import (
    WholeLog,
    plant,
    policy_of,
    producer,
    sample_marker,
    sign,
)


@pytest.fixture(scope="module")
def log() -> WholeLog:
    """Eleven entries: the admin's key, the producer's, five markers of each but one less."""
    log = WholeLog(MemoryLogStore())
    log.register(producer("ci"), "ci")
    log.append_markers(5)
    log.append_markers(4, producer("ci"))
    log.publish()
    log.close()
    return log


def _receipt(log: WholeLog, index: int) -> Receipt:
    return log.view.published_receipt(index)


def _steps(
    receipt: Receipt | str, ring: KeyRing | None, policy: Policy | None = None
) -> list[Step]:
    text = receipt if isinstance(receipt, str) else format_receipt(receipt)
    return list(ReceiptVerification(text, policy or policy_of(), ring).steps())


def _fails_at(steps: list[Step]) -> int:
    """The number of the one step that failed, 0 for none; it must be the last one run."""
    failed = [step.number for step in steps if step.faults]
    assert failed in ([], [len(steps)])
    return failed[0] if failed else 0


# Receipts that hold -------------------------------------------------------------------------------


def test_every_receipt_of_a_log_with_every_kind_of_entry_holds() -> None:
    store = MemoryLogStore()
    write_history(store)
    with WholeLog(store) as log:
        for index in range(HISTORY_SIZE):
            steps = _steps(log.view.published_receipt(index), log.ring, _one_witness())
            assert [step.result for step in steps] == [Result.HOLDS] * 5, (index, steps[-1])


def _one_witness() -> Policy:
    """What all published sizes satisfy; one of them was cosigned by one witness only."""
    policy = history_policy()
    return Policy(policy.logs, policy.witnesses, {}, "w0")


def test_a_receipt_survives_its_text(log: WholeLog) -> None:
    for index in range(log.store.head().size):
        receipt = _receipt(log, index)
        assert parse_receipt(format_receipt(receipt)) == receipt


def test_what_was_found_is_told(log: WholeLog) -> None:
    verification = ReceiptVerification(
        format_receipt(_receipt(log, 8)), policy_of(), log.ring, _leaf(log, 8).dsse
    )
    steps = list(verification.steps())
    assert verdict(steps) is Result.HOLDS
    found = verification.found
    assert found.index == 8
    assert found.leaf == _leaf(log, 8)
    assert found.fields is not None
    assert found.fields["service"] == sample_marker(8)["service"]
    assert found.signer == f"ci ({producer('ci').key_id})"
    assert "keys as of entry 1" in steps[-1].detail


def test_without_keys_the_producer_is_unchecked_and_not_passed(log: WholeLog) -> None:
    steps = _steps(_receipt(log, 8), None)
    assert verdict(steps) is Result.UNCHECKED
    assert "--keys" in steps[-1].unchecked


def _leaf(log: WholeLog, index: int) -> Leaf:
    return decode_leaf(log.store.entry(index).leaf or b"")


# Each step fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda text: text.replace("proof@v1", "proof@v2"), id="another version"),
        pytest.param(lambda text: text.replace("index ", "at "), id="no index"),
        pytest.param(lambda text: text.replace("\n\n", "\n", 1), id="no blank line"),
        pytest.param(lambda text: text.rpartition("\n\n")[0] + "\n\n", id="no signature"),
        pytest.param(lambda text: text.replace("extra ", "extra !"), id="leaf not base64"),
        pytest.param(lambda text: text.replace("index 8", "index 08"), id="another spelling"),
    ],
)
def test_a_text_that_is_no_receipt_fails_the_first_step(
    log: WholeLog, spoil: Callable[[str], str]
) -> None:
    assert _fails_at(_steps(spoil(format_receipt(_receipt(log, 8))), log.ring)) == 1


def test_a_checkpoint_of_another_log_or_signer_fails_the_second_step(log: WholeLog) -> None:
    receipt = _receipt(log, 8)
    assert _fails_at(_steps(receipt, log.ring, policy_of("log.example/other"))) == 2
    assert _fails_at(_steps(receipt, log.ring, history_policy())) == 2
    text = format_receipt(receipt).replace("\n11\n", "\n12\n")
    assert _fails_at(_steps(text, log.ring)) == 2


def test_another_place_or_leaf_fails_the_third_step(log: WholeLog) -> None:
    receipt = _receipt(log, 8)
    body = receipt.extra or b""
    for other in (
        Receipt(7, receipt.proof, receipt.note, body),
        Receipt(11, receipt.proof, receipt.note, body),
        Receipt(8, receipt.proof[:-1], receipt.note, body),
        Receipt(8, (*receipt.proof, bytes(32)), receipt.note, body),
        Receipt(8, tuple(reversed(receipt.proof)), receipt.note, body),
        Receipt(8, receipt.proof, receipt.note, body.replace(b"local", b"loca1")),
        Receipt(8, receipt.proof, receipt.note, None),
    ):
        assert _fails_at(_steps(other, log.ring)) == 3


def test_every_flipped_byte_of_a_receipt_is_found(log: WholeLog) -> None:
    text = format_receipt(_receipt(log, 8))
    lines = text.split("\n")
    for number, line in enumerate(lines):
        for position in range(0, len(line), max(1, len(line) // 12)):
            changed = line[:position] + chr(ord(line[position]) ^ 1) + line[position + 1 :]
            spoiled = "\n".join([*lines[:number], changed, *lines[number + 1 :]])
            signers = len(policy_of().logs)
            steps = _steps(spoiled, log.ring)
            if not _fails_at(steps):
                # A line whose name or key changed is a stranger's: one signer fewer is named.
                assert steps[1].detail.count("ED25519") + steps[1].detail.count("ML_DSA") < signers


def test_another_payload_than_the_callers_fails_the_fourth_step(log: WholeLog) -> None:
    other = _leaf(log, 7).dsse
    text = format_receipt(_receipt(log, 8))
    steps = list(ReceiptVerification(text, policy_of(), log.ring, other).steps())
    assert _fails_at(steps) == 4


# An operator who holds the log's keys -------------------------------------------------------------


def _evil(change: Callable[[Leaf], Leaf]) -> tuple[Receipt, KeyRing]:
    """Return the receipt of a leaf that an operator has put in himself, with everything signed."""
    store = MemoryLogStore()
    with WholeLog(store) as log:
        log.register(producer("ci"), "ci")
        log.append(sign(sample_marker(2), producer("ci")))
    plant(store, change(decode_leaf(store.entry(2).leaf or b"")))
    with WholeLog(store) as log:
        log.append_markers(2)
        log.publish()
        return log.view.published_receipt(3), log.ring


def _filed(leaf: Leaf, **ids: str) -> Leaf:
    return replace(leaf, ids=dict(sorted({**leaf.ids, **ids}.items())), repeat=1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda leaf: _filed(leaf, marker_id="m-" + "0" * 26), id="another marker"),
        pytest.param(lambda leaf: _filed(leaf, deployment_id="d-other"), id="another deployment"),
        pytest.param(lambda leaf: _filed(leaf, detail="sha256:" + "0" * 64), id="content unnamed"),
        pytest.param(lambda leaf: _filed(leaf, entry_id="e-key-" + "0" * 26), id="one id more"),
    ],
)
def test_a_leaf_filed_under_ids_that_are_not_its_own_fails_the_fourth_step(
    change: Callable[[Leaf], Leaf],
) -> None:
    receipt, ring = _evil(change)
    assert _fails_at(_steps(receipt, ring)) == 4


def _resigned(leaf: Leaf, signer: str, fields: dict[str, object]) -> Leaf:
    envelope = sign(fields, producer(signer))
    return replace(leaf, dsse=envelope, repeat=1)


def _forged(leaf: Leaf) -> Leaf:
    signature = leaf.dsse.signatures[0]
    raw = bytearray(base64.b64decode(signature.sig))
    raw[0] ^= 1
    sig = base64.b64encode(raw).decode()
    dsse = replace(leaf.dsse, signatures=[replace(signature, sig=sig)])
    return replace(leaf, dsse=dsse, repeat=1)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_forged, id="a forged signature"),
        pytest.param(
            lambda leaf: replace(leaf, dsse=replace(leaf.dsse, signatures=[]), repeat=1),
            id="no signature",
        ),
        pytest.param(lambda leaf: _resigned(leaf, "stranger", sample_marker(2)), id="a stranger"),
    ],
)
def test_a_leaf_that_no_registered_key_signed_fails_the_fifth_step(
    change: Callable[[Leaf], Leaf],
) -> None:
    receipt, ring = _evil(change)
    assert _fails_at(_steps(receipt, ring)) == 5


def test_a_key_that_was_not_yet_or_no_longer_valid_fails_the_fifth_step(log: WholeLog) -> None:
    with WholeLog(MemoryLogStore()) as other:
        ring_before = replay_keys(other.store.snapshot())
        other.register(producer("ci"), "ci")
        other.append_markers(2, producer("ci"))
        payload = revocation(producer("ci").key_id, other.clock.now_ms(), distrust_from=3)
        other.append_key(payload)
        other.publish()
        for index, failing in ((2, 0), (3, 5)):
            assert _fails_at(_steps(_receipt(other, index), other.ring)) == failing
        assert _fails_at(_steps(_receipt(other, 2), ring_before)) == 5
        assert _fails_at(_steps(_receipt(other, 4), other.ring)) == 0
    assert log.store.head().size == 11


def test_a_key_entry_that_the_keys_at_hand_do_not_know_fails_the_fifth_step(log: WholeLog) -> None:
    with WholeLog(MemoryLogStore()) as other:
        assert _fails_at(_steps(_receipt(log, 1), other.ring)) == 5
        assert _fails_at(_steps(_receipt(log, 0), other.ring)) == 0


def test_the_leaf_is_what_the_receipt_carries(log: WholeLog) -> None:
    receipt = _receipt(log, 8)
    assert encode_leaf(decode_leaf(receipt.extra or b"")) == receipt.extra
