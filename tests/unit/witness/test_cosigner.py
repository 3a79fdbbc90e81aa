"""The acting half of the witness: one answer for one state, and nothing said that is not kept."""

import threading
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.crypto.note import (
    SignatureType,
    VerifierKey,
    parse_note,
    parse_signature_line,
    verify_note,
)
from deploymark.crypto.signer import Ed25519CosignatureSigner, Ed25519NoteSigner
from deploymark.errors import (
    BrokenError,
    DeploymarkError,
    LogBrokenError,
    StoreUnavailableError,
    UnavailableError,
    UsageError,
)
from deploymark.log.checkpoint import encode_hash
from deploymark.log.tree import EMPTY_ROOT
from deploymark.log.witness import format_request, trusted_logs
from deploymark.ports import NoteSigner, Witnessed, WitnessState
from deploymark.server.cosigner import TREE_SIZE, Cosigner
from deploymark.storage.witness_state import MemoryWitnessState
from deploymark.testing.clock import ManualClock
from deploymark.testing.witness import LocalWitness, SampleLog, exercise_witness, sample_cosigners

_LOG = SampleLog()
_PRIVATE = Ed25519PrivateKey.from_private_bytes(b"k" * 32)


def _request(old: int, new: int, log: SampleLog = _LOG) -> bytes:
    return format_request(old, log.proof(old, new), log.note(new))


def _cosigner(
    state: WitnessState | None = None,
    signers: tuple[NoteSigner, ...] | None = None,
    clock: ManualClock | None = None,
) -> Cosigner:
    return Cosigner(
        trusted_logs(_LOG.vkeys),
        sample_cosigners() if signers is None else signers,
        state or MemoryWitnessState(),
        clock or ManualClock(),
    )


def test_a_witness_in_this_process_passes_the_suite() -> None:
    exercise_witness(lambda vkeys: LocalWitness(vkeys, MemoryWitnessState(), ManualClock()))


class _MeetingSigner:
    """Signs once as many as `meeting` wants have decided to sign, so that all race to record."""

    def __init__(self, inner: NoteSigner, meeting: threading.Barrier) -> None:
        self._inner = inner
        self._meeting = meeting
        self.vkey = inner.vkey

    def sign_note(self, text: str, *, now_seconds: int) -> str:
        self._meeting.wait()
        return self._inner.sign_note(text, now_seconds=now_seconds)


def test_of_two_extensions_at_the_same_time_exactly_one_is_cosigned() -> None:
    state = MemoryWitnessState()
    assert state.compare_and_swap(_LOG.origin, None, Witnessed(4, _LOG.root(4)))
    signer = _MeetingSigner(sample_cosigners()[0], threading.Barrier(2, timeout=30))
    cosigner = _cosigner(state, (signer,))
    extensions = {9: _LOG, 11: SampleLog(_LOG.origin, fork_at=4)}
    answers = {}

    def extend(size: int) -> None:
        answers[size] = cosigner.answer(_request(4, size, extensions[size]))

    threads = [threading.Thread(target=extend, args=(size,)) for size in extensions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    (won,) = (size for size, answer in answers.items() if answer.status == 200)
    (lost,) = set(extensions) - {won}
    assert state.read(_LOG.origin) == Witnessed(won, extensions[won].root(won))
    assert (answers[lost].status, answers[lost].media_type) == (409, TREE_SIZE)
    assert answers[lost].body == f"{won}\n"


class _ScriptedState:
    """Lets a test say what a state does."""

    def __init__(self, swap: Callable[[], bool], reads: list[Witnessed | None]) -> None:
        self._swap = swap
        self._reads = reads

    def read(self, origin: str) -> Witnessed | None:
        assert origin == _LOG.origin
        return self._reads.pop(0) if len(self._reads) > 1 else self._reads[0]

    def compare_and_swap(self, origin: str, _: Witnessed | None, __: Witnessed) -> bool:
        assert origin == _LOG.origin
        return self._swap()


def test_the_loser_of_a_race_for_an_empty_tree_is_decided_anew() -> None:
    empty = Witnessed(0, _LOG.root(0))
    outcomes = iter((False, True))
    state = _ScriptedState(lambda: next(outcomes), [None, empty])
    assert _cosigner(state).answer(_request(0, 5)).status == 200


def test_a_state_that_never_stands_still_is_unavailable() -> None:
    with pytest.raises(UnavailableError):
        _cosigner(_ScriptedState(lambda: False, [None])).answer(_request(0, 5))


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (StoreUnavailableError("The disk is full."), UnavailableError),
        (LogBrokenError("The state is damaged."), BrokenError),
    ],
    ids=["a full disk", "a damaged state"],
)
def test_nothing_is_said_when_nothing_can_be_kept(
    error: DeploymarkError, family: type[DeploymarkError]
) -> None:
    def swap() -> bool:
        raise error

    with pytest.raises(family):
        _cosigner(_ScriptedState(swap, [None])).answer(_request(0, 5))


def test_an_unknown_origin_does_not_reach_the_state() -> None:
    stranger = SampleLog("log.example/stranger")  # _ScriptedState would object
    answer = _cosigner(_ScriptedState(lambda: True, [None])).answer(_request(0, 5, stranger))
    assert answer.status == 404


def test_a_clock_that_is_not_set_makes_no_cosignature() -> None:
    state = MemoryWitnessState()
    with pytest.raises(UnavailableError):
        _cosigner(state, clock=ManualClock(999)).answer(_request(0, 5))
    assert state.read(_LOG.origin) is None


def test_cosignatures_state_the_time_of_the_clock() -> None:
    clock = ManualClock(1_000)
    cosigner = _cosigner(clock=clock)
    times: list[set[int]] = []
    for _ in range(2):
        lines = cosigner.answer(_request(5 if times else 0, 5)).body.splitlines()
        times.append({int.from_bytes(parse_signature_line(line).signature[:8]) for line in lines})
        clock.advance(60)
    assert times == [{1}, {61}]


def test_an_origin_too_long_for_ml_dsa_is_cosigned_with_ed25519_alone() -> None:
    text = f"{'o' * 256}\n0\n{encode_hash(EMPTY_ROOT)}\n"
    signer = Ed25519NoteSigner("o" * 256, _PRIVATE)
    body = f"old 0\n\n{text}\n{signer.sign_note(text, now_seconds=1)}".encode()
    logs = trusted_logs([signer.vkey])
    both = sample_cosigners()
    state = MemoryWitnessState()

    only_ml_dsa = Cosigner(logs, both[1:], state, ManualClock()).answer(body)
    assert only_ml_dsa.status == 400
    assert state.read("o" * 256) is None

    answer = Cosigner(logs, both, state, ManualClock()).answer(body)
    assert answer.status == 200
    assert len(answer.body.splitlines()) == 1


def test_a_refused_checkpoint_that_the_log_signed_is_logged_as_evidence(
    caplog: pytest.LogCaptureFixture,
) -> None:
    state = MemoryWitnessState()
    cosigner = _cosigner(state)
    cosigner.answer(_request(0, 5))
    fork = SampleLog(_LOG.origin, fork_at=0)
    assert cosigner.answer(_request(5, 6, fork)).status == 422
    (record,) = caplog.records
    evidence = parse_note(vars(record)["note"])
    assert evidence.text == parse_note(fork.note(6)).text
    assert verify_note(evidence, [VerifierKey.parse(vkey) for vkey in _LOG.vkeys])


def test_a_long_line_is_not_repeated_in_whole() -> None:
    answer = _cosigner().answer(b"old 0\n" + b"A" * 60_000 + b"\n\n" + _LOG.note(1).encode())
    assert answer.status == 400
    assert len(answer.body) < 400
    assert answer.body.count("\n") == 1


@pytest.mark.parametrize(
    "signers",
    [
        pytest.param((), id="no key"),
        pytest.param((Ed25519NoteSigner("w.example", _PRIVATE),), id="a log's kind of key"),
        pytest.param(
            (
                Ed25519CosignatureSigner("w.example/1", _PRIVATE),
                Ed25519CosignatureSigner("w.example/2", _PRIVATE),
            ),
            id="one key under two names",
        ),
        pytest.param((_LOG.signers[1],), id="a key of a log"),
    ],
)
def test_keys_that_cannot_be_a_witness_are_refused_at_the_start(
    signers: tuple[NoteSigner, ...],
) -> None:
    with pytest.raises(UsageError):
        _cosigner(signers=signers)


def test_both_kinds_of_keys_cosign() -> None:
    cosigner = _cosigner()
    kinds = [VerifierKey.parse(vkey).algorithm for vkey in cosigner.vkeys]
    assert kinds == [SignatureType.COSIGNATURE_V1, SignatureType.ML_DSA_44]
    assert len(cosigner.answer(_request(0, 5)).body.splitlines()) == 2
