"""A checkpoint is remembered before it is shown, published once, and witnessed by who can."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.crypto.cosignature import cosignature_message, timestamped_signature
from deploymark.crypto.note import SignatureLine, VerifierKey, parse_note, verify_note
from deploymark.errors import (
    DeploymarkError,
    RolledBackError,
    StoreUnavailableError,
    WitnessBehindError,
    WitnessConfigurationError,
    WitnessRefusedError,
    WitnessUnavailableError,
)
from deploymark.log.publisher import DAY_SECONDS, HOUR_SECONDS, Publisher, pick_line
from deploymark.log.receipt import format_receipt
from deploymark.log.verify import ReceiptVerification
from deploymark.ports import PublishedCheckpoint
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_guard import MemoryRollbackGuard
from deploymark.storage.witness_state import MemoryWitnessState
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.rollback_guard import FullGuard
from deploymark.testing.scripted_witness import ScriptedWitness
from deploymark.testing.whole_log import ORIGIN, WholeLog, log_signers
from deploymark.testing.witness import LocalWitness, SampleLog, sample_cosigners

START_SECONDS = START_MS // 1000
NAMES = ("witness.example/one", "witness.example/two")


@dataclass(frozen=True, slots=True)
class Scene:
    """A log with two witnesses and everything that can be done to them."""

    log: WholeLog
    store: FaultyLogStore
    guard: MemoryRollbackGuard
    clock: ManualClock
    witnesses: tuple[ScriptedWitness, ScriptedWitness]
    states: tuple[MemoryWitnessState, MemoryWitnessState]

    def publish(self, more: int = 0) -> PublishedCheckpoint:
        """Append and publish, and check that the published chain adds up."""
        self.log.append_markers(more)
        published = self.log.publish()
        assert self.log.faults() == []
        return published

    def answers(self, code: str) -> int:
        """How often a witness answered so."""
        return self.log.meter.counts[f"deploymark_witness_answers_total{{code={code}}}"]


@pytest.fixture
def scene() -> Iterator[Scene]:
    store, guard, clock = FaultyLogStore(MemoryLogStore()), MemoryRollbackGuard(), ManualClock()
    vkeys = [signer.vkey for signer in log_signers()]
    states = (MemoryWitnessState(), MemoryWitnessState())
    one, two = (
        ScriptedWitness(LocalWitness(vkeys, state, clock, sample_cosigners(name)))
        for state, name in zip(states, NAMES, strict=True)
    )
    with WholeLog(store, guard, clock, (one, two)) as log:
        yield Scene(log, store, guard, clock, (one, two), states)


def _names(checkpoint: PublishedCheckpoint) -> list[str]:
    return sorted(vkey.partition("+")[0] for vkey in checkpoint.cosignatures)


# What is published --------------------------------------------------------------------------------


def test_the_head_is_published_with_both_signatures_and_both_witnesses(scene: Scene) -> None:
    published = scene.publish(more=4)
    head = scene.store.head()
    assert (published.size, published.previous_size) == (5, 0)
    assert published.published_at_s == START_SECONDS
    assert head.published_size == 5
    note = parse_note(published.note + "".join(published.cosignatures.values()))
    cosigners = [VerifierKey.parse(witness.vkey) for witness in scene.witnesses]
    lines = verify_note(note, [*scene.log.keys, *cosigners])
    assert [line.timestamp for line in lines] == [0, *[START_SECONDS] * 3]
    assert scene.guard.read() == (ORIGIN, 5, head.root)
    assert scene.store.checkpoint(5) == published


def test_the_published_sizes_are_a_chain(scene: Scene) -> None:
    for more in (0, 3, 1):
        scene.publish(more)
        scene.clock.advance(1)
    kept = [(c.size, c.previous_size) for c in scene.store.checkpoints()]
    assert kept == [(1, 0), (4, 1), (5, 4)]


def test_nothing_is_published_twice(scene: Scene) -> None:
    first = scene.publish(more=2)
    asked = [len(witness.asked) for witness in scene.witnesses]
    scene.clock.advance(60)
    assert scene.publish() == first
    assert list(scene.store.checkpoints()) == [first]
    assert [len(witness.asked) for witness in scene.witnesses] == asked


def test_the_guard_is_written_before_the_store(scene: Scene) -> None:
    scene.publish(more=2)
    scene.log.append_markers(1)
    scene.store.fail(At.BEFORE_PUBLISH)
    with pytest.raises(StoreUnavailableError):
        scene.log.publish()
    remembered = scene.guard.read()
    assert remembered is not None
    assert remembered[1] == 4
    assert scene.store.head().published_size == 3
    assert scene.publish().size == 4


def test_a_store_that_fails_after_it_kept_the_checkpoint_is_no_second_publication(
    scene: Scene,
) -> None:
    scene.log.append_markers(1)
    scene.store.fail(At.AFTER_PUBLISH)
    with pytest.raises(StoreUnavailableError):
        scene.log.publish()
    scene.clock.advance(5)
    published = scene.publish()
    assert published.published_at_s == START_SECONDS
    assert _names(published) == list(NAMES)


def test_nothing_is_published_when_the_guard_cannot_remember_it() -> None:
    store = MemoryLogStore()
    with WholeLog(store, FullGuard()) as log:
        with pytest.raises(StoreUnavailableError):
            log.publish()
        assert list(store.checkpoints()) == []
        assert store.head().published_size == 0


def test_what_was_committed_meanwhile_waits_for_the_next_checkpoint(scene: Scene) -> None:
    scene.publish(more=1)
    scene.log.append_markers(3)
    assert scene.store.checkpoint(0).size == 2
    assert scene.publish().size == 5


# Witnesses ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        WitnessUnavailableError("No answer."),
        WitnessConfigurationError("Which log?"),
        WitnessBehindError("Elsewhere.", size=0),
    ],
    ids=lambda error: error.code,
)
def test_a_witness_that_does_not_sign_now_is_passed_over_counted_and_asked_again(
    scene: Scene, error: DeploymarkError
) -> None:
    scene.witnesses[0].script.extend([error] * 3)
    assert _names(scene.publish(more=2)) == [NAMES[1]]
    assert scene.answers("cosigned") == 1
    assert sum(scene.log.meter.counts.values()) == 2
    scene.witnesses[0].script.clear()
    assert _names(scene.publish()) == list(NAMES)
    assert len(scene.witnesses[1].asked) == 1


def test_a_witness_is_asked_from_where_it_stands(scene: Scene) -> None:
    scene.publish(more=2)
    scene.publish(more=3)
    assert [old for old, _ in scene.witnesses[0].asked] == [0, 3]


def test_after_a_restart_a_witness_says_where_it_stands(scene: Scene) -> None:
    scene.publish(more=2)
    with WholeLog(scene.store, scene.guard, scene.clock, scene.witnesses) as again:
        again.append_markers(3)
        published = again.publish()
    assert _names(published) == list(NAMES)
    assert [old for old, _ in scene.witnesses[0].asked] == [0, 0, 3]


def test_a_witness_that_missed_checkpoints_catches_up(scene: Scene) -> None:
    scene.publish(more=2)
    scene.witnesses[0].script.extend([WitnessUnavailableError("Away.")] * 2)
    scene.publish(more=3)
    scene.publish(more=4)
    assert _names(scene.publish(more=5)) == list(NAMES)


def test_a_witness_that_forgot_everything_starts_anew(scene: Scene) -> None:
    scene.publish(more=2)
    scene.states[0]._witnessed.clear()
    assert _names(scene.publish(more=3)) == list(NAMES)
    assert [old for old, _ in scene.witnesses[0].asked] == [0, 3, 0]


def test_a_witness_that_has_seen_more_than_is_here_means_a_rollback(scene: Scene) -> None:
    scene.log.append_markers(3)
    earlier = scene.store.snapshot()
    scene.publish(more=3)
    assert isinstance(earlier, MemoryLogStore)
    with WholeLog(earlier, MemoryRollbackGuard(), scene.clock, scene.witnesses) as old:
        with pytest.raises(RolledBackError, match="cosigned 7 entries") as caught:
            old.publish()
        assert "here are only 4" in caught.value.message
        assert "recover" in caught.value.hint


class _Overtaken:
    """A witness that meanwhile was shown more of the log by somebody else."""

    def __init__(self, log: WholeLog) -> None:
        self._log = log
        self.vkey = sample_cosigners("witness.example/fast")[0].vkey

    def add_checkpoint(self, old_size: int, proof: Sequence[bytes], note: str) -> str:
        assert old_size == 0
        assert not proof
        assert note
        self._log.append_markers(1)
        raise WitnessBehindError("Elsewhere.", size=self._log.store.head().size)


def test_a_witness_ahead_of_the_checkpoint_but_not_of_the_log_is_only_early(scene: Scene) -> None:
    scene.log.append_markers(2)
    publisher = Publisher(
        scene.store,
        log_signers()[1],
        scene.guard,
        [_Overtaken(scene.log)],
        scene.clock,
        scene.log.meter,
    )
    published = publisher.publish()
    assert published.size == 3
    assert published.cosignatures == {}
    assert scene.answers("witness_behind") == 1


def test_a_witness_that_saw_another_log_under_this_name_stops_publishing(scene: Scene) -> None:
    scene.publish(more=3)
    with WholeLog(MemoryLogStore(), MemoryRollbackGuard(), scene.clock, scene.witnesses) as fork:
        fork.clock.advance(1)
        fork.append_markers(8)
        with pytest.raises(WitnessRefusedError):
            fork.publish()
        assert fork.meter.counts["deploymark_witness_answers_total{code=witness_refused}"] == 1


def test_a_witness_that_keeps_naming_other_sizes_is_given_up(scene: Scene) -> None:
    scene.log.append_markers(4)
    scene.witnesses[0].script.extend(
        WitnessBehindError("Elsewhere.", size=size) for size in (1, 2, 3, 4)
    )
    assert _names(scene.publish()) == [NAMES[1]]
    assert scene.answers("witness_unavailable") == 1
    assert len(scene.witnesses[0].asked) == 3


# Lines of witnesses -------------------------------------------------------------------------------


def _line(text: str, name: str = NAMES[0], seconds: int = START_SECONDS) -> str:
    return sample_cosigners(name)[0].sign_note(text, now_seconds=seconds)


def _timeless(text: str, name: str = NAMES[0]) -> str:
    """A cosignature that holds and states no time; our own signers refuse to make one."""
    private = Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())
    signature = private.sign(cosignature_message(text, 0))
    key = VerifierKey.parse(sample_cosigners(name)[0].vkey)
    return str(SignatureLine(name, key.key_id, timestamped_signature(0, signature)))


NOTE = SampleLog(ORIGIN).note(5)
TEXT = parse_note(NOTE).text
OTHER_TEXT = parse_note(SampleLog(ORIGIN).note(6)).text
KEY = VerifierKey.parse(sample_cosigners(NAMES[0])[0].vkey)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        pytest.param(_line(TEXT), _line(TEXT), id="its line"),
        pytest.param(_line(TEXT, NAMES[1]) + _line(TEXT), _line(TEXT), id="after another's"),
        pytest.param(
            _line(TEXT) + sample_cosigners(NAMES[0])[1].sign_note(TEXT, now_seconds=1),
            _line(TEXT),
            id="before that of its other key",
        ),
        pytest.param(_line(OTHER_TEXT, NAMES[1]) + _line(TEXT), _line(TEXT), id="after rubbish"),
        pytest.param(_line(TEXT) * 2, _line(TEXT), id="twice"),
        pytest.param(
            _line(TEXT) + _line(TEXT, seconds=START_SECONDS + 9),
            _line(TEXT, seconds=START_SECONDS + 9),
            id="older first: the newest is its word",
        ),
        pytest.param(_timeless(TEXT) + _line(TEXT), _line(TEXT), id="one without a time first"),
        pytest.param(_line(TEXT) + _timeless(TEXT), _line(TEXT), id="one without a time behind"),
    ],
)
def test_the_line_that_counts_is_picked_from_an_answer(answer: str, expected: str) -> None:
    assert pick_line(NOTE, answer, KEY) == expected


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("", id="nothing"),
        pytest.param("\n", id="an empty line"),
        pytest.param("cosigned\n", id="words"),
        pytest.param(_line(TEXT)[:-1], id="a line without its end"),
        pytest.param("\n" + _line(TEXT), id="a line after an empty one"),
        pytest.param(NOTE + _line(TEXT), id="the whole note"),
        pytest.param(_line(TEXT, NAMES[1]), id="only another's line"),
        pytest.param(_line(OTHER_TEXT), id="a line for another checkpoint"),
        pytest.param(_line(TEXT) + _line(OTHER_TEXT), id="one that holds and one that does not"),
        pytest.param(_timeless(TEXT), id="no time"),
        pytest.param(_line(TEXT).replace(NAMES[0], NAMES[1]), id="its line under another name"),
        pytest.param("\x00" + _line(TEXT), id="a control character"),
        pytest.param(_line(TEXT, NAMES[1]) * 200, id="too many lines"),
    ],
)
def test_an_answer_without_the_line_is_no_cosignature(answer: str) -> None:
    with pytest.raises(WitnessUnavailableError):
        pick_line(NOTE, answer, KEY)


def test_an_answer_that_does_not_hold_is_not_kept_and_asked_for_again(scene: Scene) -> None:
    scene.witnesses[0].script.append("cosigned\n")
    assert _names(scene.publish(more=2)) == [NAMES[1]]
    assert scene.answers("witness_unavailable") == 1
    assert _names(scene.publish()) == list(NAMES)


# Thinning -----------------------------------------------------------------------------------------


def _publish_every(scene: Scene, seconds: int, times: int) -> dict[int, int]:
    """Publish again and again and return the time of every size."""
    published: dict[int, int] = {}
    for _ in range(times):
        scene.clock.advance(seconds)
        scene.log.append_markers(1)
        checkpoint = scene.log.publish()
        published[checkpoint.size] = checkpoint.published_at_s
    return published


def test_thinning_keeps_the_last_day_and_one_an_hour_before(scene: Scene) -> None:
    published = _publish_every(scene, 900, 4 * 30)
    scene.log.publisher.thin()
    kept = {c.size: c.published_at_s for c in scene.store.checkpoints()}
    border = scene.clock.now_ms() // 1000 - DAY_SECONDS
    assert {size for size, at in published.items() if at >= border} <= kept.keys()
    hours = [at // HOUR_SECONDS for at in kept.values() if at < border]
    assert sorted(hours) == sorted({at // HOUR_SECONDS for at in published.values() if at < border})
    assert len(kept) < len(published)
    assert scene.log.faults() == []


def test_publishing_thins_by_itself(scene: Scene) -> None:
    published = _publish_every(scene, 900, 4 * 30)
    kept = [c.size for c in scene.store.checkpoints()]
    by_itself = len(kept)
    scene.log.publisher.thin()
    assert len(list(scene.store.checkpoints())) <= by_itself < len(published)


def test_thinning_keeps_the_newest_however_old_it_is(scene: Scene) -> None:
    _publish_every(scene, 60, 5)
    scene.clock.advance(10 * DAY_SECONDS)
    scene.log.publisher.thin()
    sizes = [c.size for c in scene.store.checkpoints()]
    assert sizes[-1] == scene.store.head().published_size == 6
    assert len(sizes) == 2
    assert scene.log.faults() == []
    scene.publish(more=1)


def test_thinning_again_changes_nothing_and_a_young_log_stays_whole(scene: Scene) -> None:
    _publish_every(scene, 60, 5)
    whole = list(scene.store.checkpoints())
    scene.log.publisher.thin()
    assert list(scene.store.checkpoints()) == whole
    scene.clock.advance(2 * DAY_SECONDS)
    for _ in range(2):
        scene.log.publisher.thin()
    assert [c.size for c in scene.store.checkpoints()] == [2, 6]


def test_every_entry_still_has_a_receipt_after_thinning(scene: Scene) -> None:
    _publish_every(scene, 600, 40)
    scene.clock.advance(2 * DAY_SECONDS)
    scene.log.publisher.thin()
    for index in range(scene.store.head().size):
        text = format_receipt(scene.log.view.published_receipt(index))
        steps = list(ReceiptVerification(text, scene.log.policy, scene.log.ring).steps())
        assert [step.faults for step in steps] == [()] * 5
    kept = scene.store.checkpoint(1)
    assert kept.size > 1
