"""Says, in sentences, which promises a log no longer keeps. Runs where nothing fails any more."""

import hashlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from promises import Acknowledged, Erased, Kept, Promise, Published
from script import marker

from deploymark.crypto.dsse import sign_envelope
from deploymark.errors import DeploymarkError, NotFoundError
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.fsck import Audit
from deploymark.log.proof import verify_consistency
from deploymark.log.receipt import format_receipt
from deploymark.log.tree import split_hashes
from deploymark.log.verify import ReceiptVerification
from deploymark.model.vocabulary import IN_TOTO
from deploymark.runtime.compose import OpenLog, expect, log_keys, open_log, platform_signer

_MORE = 3


def broken_promises(
    path: Path, promises: Sequence[Promise], *, receipts_from: int = 0, go_on: str = "go on"
) -> Iterator[str]:
    """Open a log as after a crash, compare it with everything it has promised, and use it.

    Args:
        path: The data directory.
        promises: All of them, oldest first.
        receipts_from: The first promise whose receipt is verified in full; of earlier ones only
            place, hash and checkpoint are compared.
        go_on: Names the entries that are written afterwards; "" writes none.
    """
    yield from _left_on_disk(path, promises)
    try:
        with open_log(path) as log:
            yield from _audit(log, "after the restart")
            yield from _acknowledged(log, promises, receipts_from)
            yield from _published(log, promises)
            yield from _contents(log, promises)
            if go_on:
                yield from _go_on(log, go_on)
                yield from _audit(log, "after going on")
    except DeploymarkError as error:
        yield f"The log does not open or go on: {error.code}: {error.message} ({error.hint})"


def _audit(log: OpenLog, when: str) -> Iterator[str]:
    with closing(log.store.snapshot()) as snapshot:
        for step in Audit(snapshot, log_keys(log.policy)).steps():
            for fault in (*step.faults, *filter(None, [step.unchecked])):
                yield f"Audit {when}, step {step.number}: {fault}"


def _acknowledged(log: OpenLog, promises: Sequence[Promise], receipts_from: int) -> Iterator[str]:
    head = log.store.head()
    hashes = split_hashes(log.store.leaf_hashes(0, head.size))
    checkpoints: dict[str, Checkpoint | None] = {}
    for number, promise in enumerate(promises):
        if not isinstance(promise, Acknowledged):
            continue
        if promise.note not in checkpoints:
            checkpoints[promise.note] = yield from _extended(log, promise.note)
        checkpoint = checkpoints[promise.note]
        if promise.position >= head.size:
            yield f"Entry {promise.position} was acknowledged; the log has {head.size} entries."
        elif promise.leaf_hash not in ("", hashes[promise.position].hex()):
            yield f"Entry {promise.position} is not the one that was acknowledged."
        elif checkpoint is not None and number >= receipts_from:
            yield from _receipt(log, promise, checkpoint)


def _extended(log: OpenLog, note: str) -> Generator[str, None, Checkpoint | None]:
    """Check that today's log extends a checkpoint that was given out; return the checkpoint."""
    head = log.store.head()
    try:
        checkpoint = log.policy.check(note).checkpoint
        proof = log.view.consistency(checkpoint.size, head.size)
        verify_consistency(checkpoint.size, head.size, proof, checkpoint.root, head.root)
    except DeploymarkError as error:
        yield f"The log does not extend a checkpoint that it gave out: {error.message} {note!r}"
        return None
    return checkpoint


def _receipt(log: OpenLog, promise: Acknowledged, checkpoint: Checkpoint) -> Iterator[str]:
    try:
        receipt = log.view.receipt(promise.position, promise.note, checkpoint.size)
    except DeploymarkError as error:
        yield f"No receipt of entry {promise.position} can be made: {error.message}"
        return
    verification = ReceiptVerification(format_receipt(receipt), log.policy, log.ring)
    for step in verification.steps():
        for fault in (*step.faults, *filter(None, [step.unchecked])):
            yield f"Receipt of entry {promise.position}, step {step.number}: {fault}"
    leaf = verification.found.leaf
    if leaf and hashlib.sha256(leaf.dsse.payload_bytes()).hexdigest() != promise.payload:
        yield f"Entry {promise.position} does not hold the payload that was handed in."


def _published(log: OpenLog, promises: Sequence[Promise]) -> Iterator[str]:
    kept = {checkpoint.size: checkpoint.note for checkpoint in log.store.checkpoints()}
    guard = log.data.guard.read_text(encoding="utf-8").split("\n") if kept else ["", "0"]
    for promise in promises:
        if not isinstance(promise, Published):
            continue
        if kept.get(promise.size) != promise.note:
            yield f"The published checkpoint of size {promise.size} is gone or another."
        if int(guard[1]) < promise.size:
            yield f"The guard remembers {guard[1]} entries; {promise.size} were published."


def _contents(log: OpenLog, promises: Sequence[Promise]) -> Iterator[str]:
    erased = any(isinstance(promise, Erased) for promise in promises)
    for promise in promises:
        if not isinstance(promise, Kept):
            continue
        try:
            blob = log.store.blob(bytes.fromhex(promise.digest))
        except NotFoundError:
            yield f"The content {promise.digest} was acknowledged and is gone."
            continue
        if erased and blob.content is not None:
            yield f"The content {promise.digest} stands although its erasure was acknowledged."


def _go_on(log: OpenLog, name: str) -> Iterator[str]:
    signer = platform_signer(log.data, None)
    size = log.store.head().size
    envelopes = [
        sign_envelope(IN_TOTO, marker(f"{name} {size}", number), [signer])
        for number in range(_MORE)
    ]
    written = [outcome.index for outcome in expect(log.receiver.receive(envelopes))]
    if written != list(range(size, size + _MORE)):
        yield f"Entries written after {size} got the indexes {written}."
    if log.publisher.publish().size != size + _MORE:
        yield "The log cannot be published after going on."


def _left_on_disk(path: Path, promises: Sequence[Promise]) -> Iterator[str]:
    for promise in promises:
        if not isinstance(promise, Erased):
            continue
        for file in path.iterdir():
            if file.is_file() and promise.content.encode() in file.read_bytes():
                yield f"Erased content is still in {file.name}."
