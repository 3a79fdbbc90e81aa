"""The suites of the ports `Witness` and `WitnessState`, and what they need.

`SampleLog` is a log of any size without a store: enough to ask a witness about growth and forks.
`LocalWitness` is a real witness in this process, for tests of what asks witnesses.
"""

import threading
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from itertools import pairwise
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from deploymark.crypto.note import VerifierKey, format_note, parse_note, verify_note
from deploymark.crypto.signer import Ed25519CosignatureSigner, Ed25519NoteSigner, MlDsa44NoteSigner
from deploymark.errors import (
    WitnessBehindError,
    WitnessConfigurationError,
    WitnessRefusedError,
)
from deploymark.log.checkpoint import Checkpoint
from deploymark.log.proof import consistency_proof, tree_root
from deploymark.log.tree import EMPTY_ROOT, leaf_hash, node_hash
from deploymark.log.witness import Status, format_request, trusted_logs
from deploymark.ports import Clock, NoteSigner, Witness, Witnessed, WitnessState
from deploymark.server.cosigner import TREE_SIZE, Cosigner

_RACERS = 8
_SOME_SECONDS = 1_795_000_000
_Error = TypeVar("_Error", bound=Exception)


class SampleLog:
    """A log whose entries are numbers, with keys of its own.

    Args:
        origin: Its name; the keys follow from it.
        fork_at: Entries from this index on differ from those of the log that is not forked.
    """

    def __init__(self, origin: str = "log.example/sample", fork_at: int | None = None) -> None:
        self.origin = origin
        self._fork_at = fork_at
        self._subtrees: dict[tuple[int, int], bytes] = {}
        seed = sha256(origin.encode()).digest()
        self.signers: tuple[NoteSigner, ...] = (
            Ed25519NoteSigner(origin, Ed25519PrivateKey.from_private_bytes(seed)),
            MlDsa44NoteSigner(origin, MLDSA44PrivateKey.from_seed_bytes(seed)),
        )

    @property
    def vkeys(self) -> tuple[str, ...]:
        """The verifier keys of this log."""
        return tuple(signer.vkey for signer in self.signers)

    def subtree(self, level: int, index: int) -> bytes:
        """See `deploymark.log.proof.HashReader`."""
        known = self._subtrees.get((level, index))
        if known is None:
            known = self._subtrees[level, index] = (
                node_hash(
                    self.subtree(level - 1, 2 * index), self.subtree(level - 1, 2 * index + 1)
                )
                if level
                else self._leaf(index)
            )
        return known

    def _leaf(self, index: int) -> bytes:
        forked = self._fork_at is not None and index >= self._fork_at
        return leaf_hash(b"%s %d" % (b"other" if forked else b"leaf", index))

    def root(self, size: int) -> bytes:
        """Return the root of the first `size` entries."""
        return tree_root(size, self)

    def proof(self, old: int, new: int) -> list[bytes]:
        """Return the consistency proof between two sizes."""
        return consistency_proof(old, new, self)

    def note(self, size: int, *, root: bytes | None = None) -> str:
        """Return the signed checkpoint of a size, or a signed lie about its root."""
        text = Checkpoint(self.origin, size, root or self.root(size)).text()
        return self.sign(text)

    def sign(self, text: str) -> str:
        """Return a note of any text with the signatures of this log."""
        return format_note(
            text, [signer.sign_note(text, now_seconds=_SOME_SECONDS) for signer in self.signers]
        )


def sample_cosigners(name: str = "witness.example/w") -> tuple[NoteSigner, NoteSigner]:
    """Return the two keys of a witness, Ed25519 and ML-DSA-44, which follow from its name."""
    seed = sha256(name.encode()).digest()
    return (
        Ed25519CosignatureSigner(name, Ed25519PrivateKey.from_private_bytes(seed)),
        MlDsa44NoteSigner(name, MLDSA44PrivateKey.from_seed_bytes(seed)),
    )


class LocalWitness:
    """A `Witness` in this process: the real rules without HTTP.

    Args:
        vkeys: Verifier keys of the logs it trusts.
        state: What it remembers.
        clock: The time its cosignatures state.
        signers: Its keys; the first one is the one that counts.
    """

    def __init__(
        self,
        vkeys: Sequence[str],
        state: WitnessState,
        clock: Clock,
        signers: Sequence[NoteSigner] | None = None,
    ) -> None:
        self._cosigner = Cosigner(
            trusted_logs(vkeys), sample_cosigners() if signers is None else signers, state, clock
        )

    @property
    def vkey(self) -> str:
        """See `Witness.vkey`."""
        return self._cosigner.vkeys[0]

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str) -> str:
        """See `Witness.add_checkpoint`."""
        answer = self._cosigner.answer(format_request(old_size, proof, note))
        if answer.status == Status.COSIGNED:
            return answer.body
        if answer.media_type == TREE_SIZE:
            raise WitnessBehindError("The witness stands elsewhere.", size=int(answer.body))
        if answer.status == Status.INCONSISTENT:
            raise WitnessRefusedError(answer.body)
        raise WitnessConfigurationError(answer.body)


# Witness ----------------------------------------------------------------------------------------


def exercise_witness(make: Callable[[Sequence[str]], Witness]) -> None:
    """Run every check on fresh witnesses.

    Args:
        make: Given the verifier keys of a log, returns an adapter in front of a witness that
            trusts exactly these keys and has seen nothing yet.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _cosigns_growth,
        _cosigns_the_same_again,
        _starts_with_the_empty_tree,
        _names_its_size,
        _refuses_a_fork,
        _refuses_another_root,
        _refuses_a_wrong_proof,
        _says_that_it_does_not_know_the_log,
    ):
        log = SampleLog()
        check(make(log.vkeys), log)


def _cosigned(witness: Witness, log: SampleLog, old: int, new: int) -> int:
    """Ask for a cosignature, verify it and return its time."""
    note = log.note(new)
    lines = witness.add_checkpoint(old, log.proof(old, new), note)
    assert lines.endswith("\n")
    key = VerifierKey.parse(witness.vkey)
    (line,) = verify_note(parse_note(note + lines), [key])
    assert line.timestamp > 0, "a cosignature states its time"
    return line.timestamp


def _raised(error: type[_Error], call: Callable[[], object]) -> _Error:
    try:
        call()
    except error as raised:
        return raised
    raise AssertionError(f"{error.__name__} was expected.")


def _cosigns_growth(witness: Witness, log: SampleLog) -> None:
    sizes = (0, 1, 2, 3, 8, 13, 256, 300)
    for old, new in pairwise(sizes):
        _cosigned(witness, log, old, new)


def _cosigns_the_same_again(witness: Witness, log: SampleLog) -> None:
    first = _cosigned(witness, log, 0, 5)
    assert _cosigned(witness, log, 5, 5) >= first
    _cosigned(witness, log, 5, 6)


def _starts_with_the_empty_tree(witness: Witness, log: SampleLog) -> None:
    _cosigned(witness, log, 0, 0)
    _cosigned(witness, log, 0, 0)
    _cosigned(witness, log, 0, 4)


def _names_its_size(witness: Witness, log: SampleLog) -> None:
    def ask(old: int, new: int) -> Callable[[], str]:
        return lambda: witness.add_checkpoint(old, log.proof(old, new), log.note(new))

    assert _raised(WitnessBehindError, ask(3, 7)).size == 0
    _cosigned(witness, log, 0, 7)
    for old, new in ((0, 9), (3, 9), (8, 9), (0, 5), (0, 7)):
        assert _raised(WitnessBehindError, ask(old, new)).size == 7
    _cosigned(witness, log, 7, 9)


def _refuses_a_fork(witness: Witness, log: SampleLog) -> None:
    _cosigned(witness, log, 0, 10)
    fork = SampleLog(log.origin, fork_at=9)
    _raised(
        WitnessRefusedError,
        lambda: witness.add_checkpoint(10, fork.proof(10, 12), fork.note(12)),
    )
    _cosigned(witness, log, 10, 12)


def _refuses_another_root(witness: Witness, log: SampleLog) -> None:
    _raised(
        WitnessRefusedError,
        lambda: witness.add_checkpoint(0, [], log.note(0, root=b"r" * 32)),
    )
    _cosigned(witness, log, 0, 6)
    fork = SampleLog(log.origin, fork_at=0)
    _raised(WitnessRefusedError, lambda: witness.add_checkpoint(6, [], fork.note(6)))
    _cosigned(witness, log, 6, 6)


def _refuses_a_wrong_proof(witness: Witness, log: SampleLog) -> None:
    some = [b"h" * 32]
    _raised(WitnessRefusedError, lambda: witness.add_checkpoint(0, some, log.note(6)))
    _cosigned(witness, log, 0, 6)
    for proof in ([], some, log.proof(6, 11)[:-1], [*log.proof(6, 11), *some]):
        _raised(WitnessRefusedError, partial(witness.add_checkpoint, 6, proof, log.note(11)))
    _raised(WitnessRefusedError, lambda: witness.add_checkpoint(6, some, log.note(6)))


def _says_that_it_does_not_know_the_log(witness: Witness, log: SampleLog) -> None:
    stranger = SampleLog("log.example/stranger")
    _raised(WitnessConfigurationError, lambda: witness.add_checkpoint(0, [], stranger.note(3)))
    text = Checkpoint(log.origin, 3, log.root(3)).text()
    _raised(WitnessConfigurationError, lambda: witness.add_checkpoint(0, [], stranger.sign(text)))


# WitnessState -----------------------------------------------------------------------------------


def exercise_witness_state(make: Callable[[], WitnessState]) -> None:
    """Run every check on fresh states.

    Args:
        make: Returns a state that remembers nothing, each time another one.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _remembers_nothing_at_first,
        _swaps_only_what_is_expected,
        _keeps_logs_apart,
        _takes_every_size,
        _lets_one_racer_win,
    ):
        check(make())


def _at(size: int) -> Witnessed:
    return Witnessed(size, sha256(b"%d" % size).digest())


def _remembers_nothing_at_first(state: WitnessState) -> None:
    assert state.read("log.example/a") is None
    assert not state.compare_and_swap("log.example/a", _at(1), _at(2))
    assert state.read("log.example/a") is None


def _swaps_only_what_is_expected(state: WitnessState) -> None:
    origin = "log.example/a"
    assert state.compare_and_swap(origin, None, _at(1))
    assert state.read(origin) == _at(1)
    for wrong in (None, _at(2), Witnessed(1, _at(2).root), Witnessed(2, _at(1).root)):
        assert not state.compare_and_swap(origin, wrong, _at(3))
        assert state.read(origin) == _at(1)
    assert state.compare_and_swap(origin, _at(1), _at(1))
    assert state.compare_and_swap(origin, _at(1), _at(4))
    assert not state.compare_and_swap(origin, _at(1), _at(1))
    assert state.read(origin) == _at(4)


def _keeps_logs_apart(state: WitnessState) -> None:
    origins = ("log.example/a", "log.example/A", "log.example/a/", "l'og \u2014 \U0001f33b")
    for size, origin in enumerate(origins):
        assert state.compare_and_swap(origin, None, _at(size))
    assert [state.read(origin) for origin in origins] == list(map(_at, range(len(origins))))


def _takes_every_size(state: WitnessState) -> None:
    known = None
    for new in (Witnessed(0, EMPTY_ROOT), _at(1), _at(2**32), _at(2**63 - 1)):
        assert state.compare_and_swap("log.example/a", known, new)
        assert state.read("log.example/a") == new
        known = new


def _lets_one_racer_win(state: WitnessState) -> None:
    start = threading.Barrier(_RACERS)
    won: list[int] = []

    def race(size: int) -> None:
        start.wait()
        if state.compare_and_swap("log.example/a", None, _at(size)):
            won.append(size)

    racers = [threading.Thread(target=race, args=(size,)) for size in range(_RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert len(won) == 1, "one of those who expected nothing, and no other, may win"
    assert state.read("log.example/a") == _at(won[0])
