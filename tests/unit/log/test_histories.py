"""What a log's signature covers, and what happens when a log has shown two histories."""

from pathlib import Path

import pytest

from deploymark.errors import PolicyError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.export import Export, write_export
from deploymark.log.reader import LogView
from deploymark.log.receipt import format_receipt
from deploymark.log.steps import Result, verdict
from deploymark.log.verify import ReceiptVerification
from deploymark.log.witness import AddCheckpoint, Status, decide, parse_request
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.whole_log import (
    ORIGIN,
    WholeLog,
    log_signers,
    policy_of,
    sample_marker,
    sign,
)

SECONDS = 1_795_000_000
THREE = Checkpoint(ORIGIN, 5, b"r" * 32).text()
EXTENDED = THREE + "the attacker says so\n"


def request_for(note: str) -> AddCheckpoint:
    return parse_request(f"old 0\n\n{note}".encode())


def notes() -> tuple[str, str]:
    """An extended note with both lines of the log, and one with the ML-DSA-44 line alone."""
    ed25519, ml_dsa_44 = log_signers()
    line = ml_dsa_44.sign_note(THREE, now_seconds=SECONDS)
    whole = f"{EXTENDED}\n{ed25519.sign_note(EXTENDED, now_seconds=0)}{line}"
    return whole, f"{EXTENDED}\n{line}"


def test_extension_lines_count_only_under_a_signature_that_covers_them() -> None:
    whole, alone = notes()
    assert policy_of().check(whole).checkpoint.size == 5
    with pytest.raises(PolicyError, match="beyond the third"):
        policy_of().check(alone)


def test_a_witness_does_not_cosign_lines_that_the_log_did_not_sign() -> None:
    logs = {ORIGIN: [line.key for line in policy_of().logs]}
    whole, alone = notes()
    assert decide(request_for(whole), logs, None).status is Status.COSIGNED
    assert decide(request_for(alone), logs, None).status is Status.UNTRUSTED


def _fork(place: Path, *numbers: int) -> tuple[Export, str, WholeLog]:
    """A log whose first four entries are the same in every fork, and a receipt for one of these."""
    store = MemoryLogStore()
    with WholeLog(store) as log:
        log.append_markers(3)
        log.append(*(sign(sample_marker(number), log.admin) for number in numbers))
        log.publish()
    write_export(store.snapshot(), place)
    return Export(place), format_receipt(LogView(store).published_receipt(2)), log


def test_a_receipt_of_another_history_than_the_exports_fails(tmp_path: Path) -> None:
    export, own, log = _fork(tmp_path / "one", 50, 51)
    _, foreign, _ = _fork(tmp_path / "other", 60, 61)
    _, earlier, _ = _fork(tmp_path / "earlier", 50)
    results = [
        verdict(ReceiptVerification(text, policy_of(), log.ring, None, export).steps())
        for text in (own, earlier, foreign)
    ]
    assert results == [Result.HOLDS, Result.HOLDS, Result.FAILS]
