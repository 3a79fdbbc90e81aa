"""Whatever is submitted and whatever fails: the log is what a plain list would be.

After every step everything stored is verified again, and every promise ever made is held against
it: an acknowledged entry stays where it was acknowledged, with the content it had.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploymark.errors import ConflictError, KeyUntrustedError, UnavailableError
from deploymark.log.proof import verify_consistency
from deploymark.log.reader import LogView
from deploymark.log.sequencer import Acknowledgement, Candidate, Outcome, Sequencer
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.sequencing import (
    PlainAdmission,
    content_of,
    identity_of,
    plain_candidate,
)
from deploymark.testing.whole_log import (
    ORIGIN,
    faults_of,
    log_signers,
    policy_of,
    signed_empty_head,
)

SIGNER = log_signers()[0]
POLICY = policy_of()
KEYS = [line.key for line in POLICY.logs]
REFUSED = "refused"

Said = tuple[str, str]
"""Identity and content."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happens between two verifications.

    Attributes:
        submissions: Handed in while the writer is busy, so that some share a commit.
        faults: Where the store fails, after how many calls that go well, how often.
        restart: Close the sequencer first and start another one.
    """

    submissions: list[list[Said]]
    faults: list[tuple[At, int, int]] = field(default_factory=list)
    restart: bool = False


_SAID = st.tuples(
    st.sampled_from([*"abcdefghijkl", "key 1", "key 2", REFUSED]), st.sampled_from("xy")
)
_FAULTS = st.tuples(
    st.sampled_from([At.BEFORE_APPEND, At.AFTER_APPEND, At.REOPEN, At.HEAD, At.FIND, At.ENTRY]),
    st.integers(0, 2),
    st.integers(1, 2),
)
_STEPS = st.builds(
    Step,
    st.lists(st.lists(_SAID, max_size=5), min_size=1, max_size=5),
    st.lists(_FAULTS, max_size=2),
    st.booleans(),
)


class _Model:
    """The log beside its model.

    Attributes:
        log: What the log holds, as a plain list.
        promised: Everything acknowledged: index, identity, content, whether as a duplicate.
        heads: Size and root of every checkpoint that was given out.
    """

    def __init__(self) -> None:
        self.store = FaultyLogStore(MemoryLogStore())
        self.store.create(signed_empty_head(ORIGIN, SIGNER))
        self.log: list[Said] = []
        self.promised: list[tuple[int, Said, bool]] = []
        self.heads: set[tuple[int, bytes]] = set()
        self._start()

    def _start(self) -> None:
        self.admission = PlainAdmission()
        self.admission.refused = {REFUSED: KeyUntrustedError("Never.")}
        self.started_at = self.store.head().size
        self.sequencer = Sequencer(self.store, SIGNER, self.admission)

    def take(self, step: Step) -> None:
        """Do one step, then verify everything."""
        if step.restart:
            self.sequencer.close()
            self._start()
        for at, skip, times in step.faults:
            self.store.fail(at, skip=skip, times=times)
        submissions = [part for submission in step.submissions for part in _parts(submission)]
        with self.store.held():
            futures = [self.sequencer.submit(_candidates(part)) for part in submissions]
        for submission, future in zip(submissions, futures, strict=True):
            try:
                outcomes = future.result(timeout=30)
            except UnavailableError:
                continue
            self._hear(submission, outcomes)
        self.store.heal()
        self._verify([said for submission in submissions for said in submission])

    def _hear(self, submission: list[Said], outcomes: list[Outcome]) -> None:
        for said, outcome in zip(submission, outcomes, strict=True):
            match outcome:
                case Acknowledgement():
                    self.promised.append((outcome.index, said, outcome.duplicate))
                    checkpoint = POLICY.check(outcome.note).checkpoint
                    assert outcome.index < checkpoint.size
                    self.heads.add((checkpoint.size, checkpoint.root))
                case ConflictError():
                    assert said[0] != REFUSED
                case _:
                    assert isinstance(outcome, KeyUntrustedError)
                    assert said[0] == REFUSED

    def _verify(self, submitted: list[Said]) -> None:
        size = self.store.head().size
        leaves = [entry.leaf for entry in self.store.entries(0, size)]
        now = [(identity_of(leaf), content_of(leaf)) for leaf in leaves]
        # 1. Nothing was lost or reordered; what is new was submitted, in this order.
        assert now[: len(self.log)] == self.log
        remaining = iter(submitted)
        assert all(said in remaining for said in now[len(self.log) :])
        # 2. Each identity stands once.
        assert len({identity for identity, _ in now}) == len(now)
        # 3. Every promise is kept.
        assert [now[index] for index, _, _ in self.promised] == [p[1] for p in self.promised]
        first = [index for index, _, duplicate in self.promised if not duplicate]
        assert len(first) == len(set(first))
        # 4. Everything stored adds up, and extends every checkpoint that was given out.
        assert faults_of(self.store.snapshot(), KEYS) == []
        view, root = LogView(self.store), self.store.head().root
        for old, old_root in self.heads:
            verify_consistency(old, size, view.consistency(old, size), old_root, root)
        # 5. The admission was told of each entry, once the writer knew of it itself.
        known = self.sequencer.head.size
        told = [(index, now[index][0]) for index in range(self.started_at, known)]
        assert self.admission.seen == told
        self.log = now

    def close(self) -> None:
        """Stop the writer."""
        self.sequencer.close()


def _candidates(submission: list[Said]) -> list[Candidate]:
    return [plain_candidate(i, c, alone=i.startswith("key")) for i, c in submission]


def _parts(submission: list[Said]) -> list[list[Said]]:
    """Cut at keys, which are submitted by themselves, as a receiver does."""
    parts: list[list[Said]] = [[]]
    for said in submission:
        if said[0].startswith("key"):
            parts += [[said], []]
        else:
            parts[-1].append(said)
    return [part for part in parts if part]


def _run(steps: list[Step]) -> None:
    model = _Model()
    try:
        for step in steps:
            model.take(step)
        # However it went, the log can be used afterwards.
        model.take(Step([[("at last", "x")]]))
        assert model.log[-1] == ("at last", "x")
    finally:
        model.store.heal()
        model.close()


@settings(max_examples=120)
@given(st.lists(_STEPS, max_size=6))
def test_the_log_is_what_a_plain_list_would_be(steps: list[Step]) -> None:
    _run(steps)


@pytest.mark.soak
@settings(max_examples=10_000)
@given(st.lists(_STEPS, max_size=20))
def test_the_log_is_what_a_plain_list_would_be_for_long(steps: list[Step]) -> None:
    _run(steps)


def test_the_model_tells_a_log_that_loses_an_entry() -> None:
    model = _Model()
    model.take(Step([[("a", "x"), ("b", "x")]]))
    inner = model.store.inner
    assert isinstance(inner, MemoryLogStore)
    inner._entries.pop()
    try:
        model.take(Step([[("c", "x")]]))
    except AssertionError:
        return
    finally:
        model.close()
    raise AssertionError("The loss was not noticed.")
