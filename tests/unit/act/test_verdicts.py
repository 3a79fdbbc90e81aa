"""Verdicts: taken from counts, kept with them, and made again bit for bit."""

from collections.abc import Mapping

import msgspec
import pytest
from msgspec.structs import replace
from rollout_traffic import Traffic
from rollout_world import PLAN

from deploymark.act.course import Course, fold
from deploymark.act.plan import MetricPlan
from deploymark.act.verdicts import LOOKS_BEFORE_SLOWER, MAX_LOOKS, Arms, Verdicts
from deploymark.errors import JudgeError, NotFoundError, QueryError, StoreUnavailableError
from deploymark.judge import replay
from deploymark.model.entries import Decision, Verdict, decode_entry
from deploymark.model.instants import format_instant
from deploymark.ports import Cohort
from deploymark.testing.clock import START_MS, ManualClock

CANARY = Cohort("checkout", "prod", ("d-2",))
STABLE = Cohort("checkout", "prod", ("d-1",))
ARMS = Arms(CANARY, STABLE, STABLE)


class _World:
    """A source of counts, a store of evidence, and what was said."""

    def __init__(self, errors: float = 0.01) -> None:
        self.clock = ManualClock(START_MS)
        self.source = Traffic(self.clock)
        self.source.share({"d-1": 160.0, "d-2": 40.0})
        self.source.errors["d-2"] = errors
        self.clock.advance(400)
        self.kept: dict[str, bytes] = {}
        self.said: list[Verdict] = []
        self.refuses = False
        self.course = Course("d-2~1", "checkout", "prod", step=1, since_ms=self.clock.now_ms())
        self.verdicts = self.new()

    def new(self) -> Verdicts:
        return Verdicts(self._keep, self._say, self._load)

    def _keep(self, content: bytes) -> str:
        digest = replay.digest_of(content)
        self.kept[digest] = content
        return digest

    def _say(self, kind: str, payload: bytes, content: bytes) -> int:
        if self.refuses:
            raise StoreUnavailableError("The disk is full.")
        said = decode_entry(payload, kind)
        assert isinstance(said, Verdict)
        assert said.inputs_digest == self._keep(content)
        self.said.append(said)
        return len(self.said) - 1

    def _load(self, digest: str) -> bytes:
        if digest not in self.kept:
            raise NotFoundError("It is gone.")
        return self.kept[digest]

    def look(self, seconds: float = 10) -> Verdict:
        self.clock.advance(seconds)
        taken = self.verdicts.look(self.course, PLAN, self.source, ARMS, self.clock.now_ms())
        self.seen(taken.idx)
        return self.said[-1]

    def seen(self, index: int) -> None:
        at = format_instant(self.clock.now_ms())
        self.course = fold(self.course, [(index, at, self.said[index])])

    def is_due(self) -> bool:
        now_ms = self.clock.now_ms()
        due_ms = self.verdicts.due_ms(self.course, PLAN, self.source, now_ms)
        return due_ms is not None and due_ms <= now_ms


def _numbers(said: Verdict) -> tuple[object, ...]:
    return said.result, said.advice, said.score, said.log_e_fail, said.log_e_pass, said.metrics


def test_a_look_is_due_when_its_time_and_that_of_the_counts_is_over() -> None:
    world = _World()
    assert not world.is_due()
    world.clock.advance(10)
    assert not world.is_due()  # the counts lag a second
    world.clock.advance(1)
    assert world.is_due()
    world.look(0)
    assert not world.is_due()


def test_looks_follow_one_another_without_a_gap() -> None:
    world = _World()
    for seconds in (11, 17, 9):
        world.look(seconds)
    texts = [world.kept[each.inputs_digest] for each in world.said]
    looks = [msgspec.json.decode(text) for text in texts]
    assert [each["since_ms"] for each in looks[1:]] == [each["until_ms"] for each in looks[:-1]]
    assert [each.look for each in world.said] == [1, 2, 3]


def test_a_verdict_is_made_again_from_the_log_and_the_stored_counts_alone() -> None:
    world = _World(errors=0.2)
    for _ in range(6):
        world.look()
    assert world.said[-1].result == "fail"
    for count, said in enumerate(world.said, start=1):
        head = msgspec.json.decode(world.kept[said.plan_digest or ""], type=replay.Head)
        digests = tuple(each.inputs_digest for each in world.said[:count])
        whole = replay.text_of(replace(head, looks=digests))
        again = replay.replay(whole, [world.kept[each] for each in digests])
        assert (again.result, again.advice, again.score) == (said.result, said.advice, said.score)
        assert (again.log_e_fail, again.log_e_pass) == (said.log_e_fail, said.log_e_pass)


@pytest.mark.parametrize("whole", [True, False])
def test_what_was_not_counted_before_a_step_is_made_up_for_by_what_was_before(whole: bool) -> None:  # noqa: FBT001
    """Nobody counted for five minutes, as long as equal instances are to be compared."""
    world = _World(errors=0.2)
    if not whole:
        world.source.changes.clear()
    world.source.share({"d-1": 0.0, "d-2": 0.0})
    world.clock.advance(300)
    world.source.share({"d-1": 160.0, "d-2": 40.0})
    world.course = replace(world.course, since_ms=world.clock.now_ms())
    said = [world.look() for _ in range(6)][-1]
    assert said.result == "fail"
    assert said.advice == ("roll_back" if whole else "pause")
    assert ("no_placebo" in (said.reasons or ())) is not whole


def test_whoever_goes_on_after_a_restart_says_the_very_same() -> None:
    ours, theirs = _World(errors=0.05), _World(errors=0.05)
    for _ in range(8):
        theirs.verdicts = theirs.new()
        mine, other = ours.look(), theirs.look()
        assert _numbers(mine) == _numbers(other)
        assert mine.inputs_digest == other.inputs_digest
        assert mine.plan_digest == other.plan_digest


def test_what_is_replayed_is_what_was_said() -> None:
    world = _World(errors=0.2)
    for _ in range(4):
        world.look()
    newest = world.verdicts.newest(world.course)
    assert newest is not None
    assert world.new().replayed(world.course) == newest[0]
    assert world.verdicts.replayed(world.course) == newest[0]


@pytest.mark.parametrize("what", ["basis", "look"])
@pytest.mark.parametrize("how", ["gone", "changed", "no JSON"])
def test_evidence_that_is_lost_or_changed_is_refused(what: str, how: str) -> None:
    world = _World()
    for _ in range(3):
        world.look()
    first = world.said[0]
    digest = first.inputs_digest if what == "look" else first.plan_digest or ""
    match how:
        case "gone":
            del world.kept[digest]
        case "changed":
            world.kept[digest] = world.kept[digest].replace(b"5", b"6", 1)
        case _:
            world.kept[digest] = b"{"
    wanted = NotFoundError if how == "gone" else JudgeError
    with pytest.raises(wanted):
        world.verdicts.replayed(world.course)
    with pytest.raises(wanted):
        world.new().newest(world.course)
    with pytest.raises(wanted):
        world.new().due_ms(world.course, PLAN, world.source, world.clock.now_ms())


def test_a_step_that_other_formulas_judged_is_refused() -> None:
    world = _World()
    world.look()
    digest = world.said[0].plan_digest or ""
    head = world.kept[digest].replace(replay.JUDGE.encode(), b"deploymark/0")
    forged = replay.digest_of(head)
    world.kept[forged] = head
    course = replace(world.course, plan_digest=forged)
    with pytest.raises(JudgeError, match="deploymark/0"):
        world.new().newest(course)


def test_a_look_that_could_not_be_said_is_taken_again() -> None:
    world, other = _World(), _World()
    world.look()
    other.look()
    world.refuses = True
    with pytest.raises(StoreUnavailableError):
        world.look()
    world.refuses = False
    again, expected = world.look(0), other.look()
    assert _numbers(again) == _numbers(expected)
    assert again.inputs_digest == expected.inputs_digest


def test_a_look_that_stands_in_the_log_although_nobody_said_so_is_gone_on_from() -> None:
    world = _World()
    world.look()
    theirs = world.new()
    world.clock.advance(10)
    taken = theirs.look(world.course, PLAN, world.source, ARMS, world.clock.now_ms())
    world.seen(taken.idx)
    assert world.look().look == 3


def test_memory_that_is_not_what_the_log_says_is_read_again() -> None:
    world = _World()
    world.clock.advance(11)
    theirs = world.new()
    theirs.look(world.course, PLAN, world.source, ARMS, world.clock.now_ms())
    world.clock.advance(7)
    world.verdicts.look(world.course, PLAN, world.source, ARMS, world.clock.now_ms())
    world.seen(0)
    newest = world.verdicts.newest(world.course)
    assert newest is not None
    assert replay.digest_of(replay.text_of(newest[1][0])) == world.said[0].inputs_digest


@pytest.mark.parametrize("error", [None, QueryError("There is no such counter.")])
def test_a_source_that_does_not_answer_makes_a_look_that_says_so(
    error: QueryError | None,
) -> None:
    world = _World()
    world.source.away, world.source.refuses = True, error
    said = world.look(11)
    assert said.result == "inconclusive"
    assert "no_data" in (said.reasons or ())
    assert b'"seen":{}' in world.kept[said.inputs_digest]


def test_time_in_which_nobody_looked_is_not_made_up_for_without_end() -> None:
    world = _World()
    world.look(11)
    said = world.look(10_000)
    look = msgspec.json.decode(world.kept[said.inputs_digest])
    assert look["until_ms"] - look["since_ms"] == 10 * PLAN.look_seconds * 1_000


def test_a_metric_that_came_into_the_plan_is_not_judged_at_a_step_that_has_begun() -> None:
    world = _World()
    world.look(11)
    metrics = (*PLAN.metrics, MetricPlan(name="latency", kind="latency"))
    world.clock.advance(10)
    plan = replace(PLAN, metrics=metrics)
    world.verdicts.look(world.course, plan, world.source, ARMS, world.clock.now_ms())
    assert [each.name for each in world.said[-1].metrics or ()] == ["errors"]


def _with_looks(world: _World, number: int) -> Course:
    return replace(world.course, looks=world.course.looks[:1] * number)


def test_looks_grow_apart_the_longer_a_step_is_open_and_end() -> None:
    world = _World()
    world.look(11)

    class _Remembering(Verdicts):
        """Takes every number of looks for what is in memory."""

        def _of(self, course: Course) -> None:
            del course

    verdicts = _Remembering(world._keep, world._say, world._load)

    def due_after(looks: int) -> int:
        since_ms = world.clock.now_ms() // 10_000 * 10_000
        course = replace(_with_looks(world, looks), since_ms=since_ms)
        return next(
            (
                seconds
                for seconds in range(0, 400, 5)
                if (due_ms := verdicts.due_ms(course, PLAN, world.source, since_ms)) is not None
                and due_ms <= since_ms + seconds * 1_000 + 1_000
            ),
            0,
        )

    times = [due_after(each) for each in (0, LOOKS_BEFORE_SLOWER, 3 * LOOKS_BEFORE_SLOWER)]
    assert times == [10, 20, 40]
    assert due_after(MAX_LOOKS - 1) == 100
    assert due_after(MAX_LOOKS) == 0


def _decided(step: int) -> Mapping[str, object]:
    return {"action": "shift", "stage": "decided", "step": step}


def test_the_next_step_is_judged_by_a_basis_of_its_own() -> None:
    world = _World()
    world.look(11)
    stated = {"environment": "prod", "actor": "policy", "timestamp": format_instant(START_MS)}
    decided = msgspec.convert({**_decided(2), **stated}, Decision)
    done = {"action": "shift", "stage": "outcome", "outcome": "succeeded", "decision_index": 5}
    outcome = msgspec.convert({**done, **stated}, Decision)
    at = format_instant(world.clock.now_ms())
    world.course = fold(world.course, [(5, at, decided), (6, at, outcome)])
    said = world.look(11)
    assert (said.step, said.look) == (2, 1)
    assert said.plan_digest != world.said[0].plan_digest
