"""Writes a log in which everything that a log can hold occurs, the same entries every time."""

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.note import VerifierKey
from deploymark.errors import WitnessUnavailableError
from deploymark.ingest.key_entries import revocation, rotation
from deploymark.log.policy import Group, Policy, WitnessLine
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import RETRACTION, VERDICT
from deploymark.ports import LogStore, Witness
from deploymark.runtime.compose import expect
from deploymark.storage.witness_state import MemoryWitnessState
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.scripted_witness import ScriptedWitness
from deploymark.testing.whole_log import (
    WholeLog,
    blob_of,
    log_signers,
    policy_of,
    producer,
    sample_marker,
    sign,
)
from deploymark.testing.witness import LocalWitness, sample_cosigners

HISTORY_SIZE = 600
PUBLISHED_SIZES = (1, 130, 256, 257, 400, 513, HISTORY_SIZE)
KEPT_CONTENT, ERASED_CONTENT = b"the reason, in free words", b"a name that is to be forgotten"
EVIDENCE = b'{"counts":{"canary":[1000,3],"control":[1000,2]}}'
_WITNESSES = ("witness.example/one", "witness.example/two")


def history_witnesses(clock: ManualClock) -> list[ScriptedWitness]:
    """Return two witnesses of the sample history that have seen nothing yet."""
    vkeys = [signer.vkey for signer in log_signers()]
    return [
        ScriptedWitness(LocalWitness(vkeys, MemoryWitnessState(), clock, sample_cosigners(name)))
        for name in _WITNESSES
    ]


def history_policy() -> Policy:
    """Return the policy that wants the log and both witnesses to have signed."""
    vkeys = [sample_cosigners(name)[0].vkey for name in _WITNESSES]
    lines = {f"w{n}": WitnessLine(f"w{n}", VerifierKey.parse(v)) for n, v in enumerate(vkeys)}
    both = Group("both", len(lines), tuple(lines))
    return Policy(policy_of().logs, lines, {"both": both}, "both")


def write_history(store: LogStore, until: int = HISTORY_SIZE) -> None:
    """Fill an empty store with 600 entries, or only up to an earlier published size.

    They hold keys that come, go and are replaced; markers of each of them; content that is kept,
    erased and rested upon. They are published at `PUBLISHED_SIZES`, all but one of these
    checkpoints with the cosignatures of two witnesses.
    """
    clock = ManualClock()
    witnesses = history_witnesses(clock)
    wanted: list[Witness] = [*witnesses]
    with WholeLog(store, clock=clock, witnesses=wanted) as log:
        for size in PUBLISHED_SIZES[: PUBLISHED_SIZES.index(until) + 1]:
            _fill(log, size)
            if size == 257:
                witnesses[1].script.append(WitnessUnavailableError("Away this time."))
            log.publish()
            clock.advance(seconds=61.5)


def _fill(log: WholeLog, size: int) -> None:
    """Append up to `size`, with what belongs to this part of the history first."""
    ci, next_ci = producer("ci"), producer("next ci")
    if size == 130:
        log.register(ci, "ci")
        log.append_markers(3, ci)
        _rest_upon_evidence(log)
    elif size == 256:
        log.keep(KEPT_CONTENT, b"s" * 32)
        erased = log.keep(ERASED_CONTENT, b"t" * 32)
        kept = blob_of(KEPT_CONTENT, b"s" * 32).digest
        named = sample_marker(10_000, details_digest=f"sha256:{kept.hex()}")
        log.append(sign(named, ci))
        log.erase(erased)
    elif size == 400:
        now_ms = log.clock.now_ms()
        log.append_key(rotation(ci.key_id, next_ci.public, "next ci", now_ms), ci)
        log.append_markers(3, next_ci)
        payload = encode({"index": 2, "reason": "twice", "timestamp": format_instant(START_MS)})
        log.append(sign_envelope(RETRACTION, payload, [log.admin]))
    elif size == 513:
        log.append_key(revocation(next_ci.key_id, log.clock.now_ms(), reason="lost"))
        log.register(producer("last ci"), "last ci")
    log.append_markers(size - log.store.head().size)


def _rest_upon_evidence(log: WholeLog) -> None:
    blob = blob_of(EVIDENCE)
    verdict = {
        "advice": "promote",
        "deployment_id": "d-1",
        "environment": "prod",
        "inputs_digest": f"sha256:{blob.digest.hex()}",
        "judge": "sample",
        "look": 1,
        "result": "pass",
        "score": 97,
        "service": "service-1",
        "timestamp": format_instant(START_MS),
    }
    expect([log.receiver.keep(sign_envelope(VERDICT, encode(verdict), [log.admin]), blob)])
