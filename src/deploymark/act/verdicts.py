"""Takes looks: counts of canary and control in, verdicts with their evidence out.

Every look is kept by its digest beside the verdict that it led to, and every step's *basis* (plan
and placebos) before the first of them. So a verdict can be made again from what was kept, and
that is also how a restarted process goes on: it reads what it kept, and judges it again.

A look has two halves. `see` waits for a source, perhaps for long; `rule` judges what was seen and
says it, and waits for the log alone. Any thread may look, at each rollout one at a time.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from msgspec import structs

from deploymark.act.course import Course
from deploymark.act.facts import steps_of
from deploymark.act.plan import RolloutPlan, counted_by, judged_by
from deploymark.decoding import decode_json
from deploymark.errors import CountsUnavailableError, JudgeError, QueryError
from deploymark.judge import replay
from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Look
from deploymark.judge.looking import halves_of, look_of, replicas_of
from deploymark.judge.placebo import Placebo, Watch, learn
from deploymark.judge.plan import Plan
from deploymark.judge.verdict import Judgement
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import VERDICT
from deploymark.ports import Cohort, CohortCounts, CountsSource

MAX_KEPT: Final = 256
"""Rollouts whose evidence is held in memory; others are judged again from what was kept."""

MAX_LOOKS_IN_ONE: Final = 10
"""How many looks long a window may be that makes up for the time when nobody looked."""

MAX_LOOKS: Final = 5_000
"""Looks at one step; a step that is open for so long is a person's, and nothing more is seen."""

LOOKS_BEFORE_SLOWER: Final = 500
"""After each so many looks at one step the next ones are further apart."""

_MS: Final = 1_000
_T = TypeVar("_T")

Keep = Callable[[bytes], str]
"""Keeps evidence and returns its digest."""

SayWith = Callable[[str, bytes, bytes], int]
"""Appends a payload of a type with the evidence that it names; returns its index."""

Load = Callable[[str], bytes]
"""Returns the evidence of a digest; raises `NotFoundError`."""


class Arms(NamedTuple):
    """Whose requests are compared.

    Attributes:
        canary: The new release.
        control: What runs beside it; None: nothing does.
        stable: All of what runs beside it, for placebos; None as `control`.
    """

    canary: Cohort
    control: Cohort | None
    stable: Cohort | None


class Taken(NamedTuple):
    """A look that was taken.

    Attributes:
        idx: Of its verdict.
        look: What was seen.
        judgement: What was found.
    """

    idx: int
    look: Look
    judgement: Judgement


class Seen(NamedTuple):
    """What a look saw, and nobody has judged yet.

    Attributes:
        kept: What is known of the step.
        look: What was seen.
        text: The look, as it is kept.
        steps: How many the plan had then.
    """

    kept: "_Kept"
    look: Look
    text: bytes
    steps: int


class _Kept:
    """What is known of one step of one rollout, in memory."""

    def __init__(self, plan: Plan, placebo: Placebo, basis: str) -> None:
        self.assessment = Assessment(plan, placebo)
        self.placebo = placebo
        self.basis = basis
        self.plan = plan
        self.looks: list[Look] = []
        self.digest = ""
        self.last: Judgement | None = None
        self.replayed: tuple[int, Judgement] | None = None

    def take(self, look: Look, digest: str) -> Judgement:
        self.last = self.assessment.take(look)
        self.looks.append(look)
        self.digest = digest
        return self.last

    def is_at(self, course: Course) -> bool:
        """Tell whether this is what the log says, also when somebody else looked meanwhile."""
        return (len(self.looks), self.digest) == (
            len(course.looks),
            course.looks[-1].digest if course.looks else "",
        )


class Verdicts:
    """Looks at rollouts and writes down what is found.

    Args:
        keep: Keeps evidence.
        say_with: Appends a verdict with its look.
        load: Returns evidence.
    """

    def __init__(self, keep: Keep, say_with: SayWith, load: Load) -> None:
        self._keep = keep
        self._say_with = say_with
        self._load = load
        self._lock = threading.Lock()  # of the books, not of what stands in them
        self._kept: OrderedDict[tuple[str, str, str, int], _Kept] = OrderedDict()

    def due_ms(
        self, course: Course, plan: RolloutPlan, source: CountsSource, now_ms: int
    ) -> int | None:
        """Return when the next look can be taken, None when no other one follows at this step.

        It is when the source has all that happened until the look ends.

        Raises:
            NotFoundError, JudgeError: What was kept is not there, or is not what it was.
        """
        looks = len(course.looks)
        if looks >= MAX_LOOKS:
            return None
        since_ms, grain = self._begins(course, plan, now_ms)
        slower = min(1 + looks // LOOKS_BEFORE_SLOWER, MAX_LOOKS_IN_ONE)
        ends_ms = since_ms + plan.look_seconds * _MS * slower
        return -(-ends_ms // grain) * grain + source.lag_ms

    def look(
        self, course: Course, plan: RolloutPlan, source: CountsSource, arms: Arms, now_ms: int
    ) -> Taken:
        """Take the look that is due.

        A source that does not answer makes a look in which nothing is seen: the verdict says so,
        and the time that it waits goes on.

        Raises:
            UnavailableError: The log or its evidence refuses now.
            BrokenError: The log does not add up.
            JudgeError: What was kept of earlier looks is not what it was.
        """
        return self.rule(course, self.see(course, plan, source, arms, now_ms), now_ms)

    def see(
        self, course: Course, plan: RolloutPlan, source: CountsSource, arms: Arms, now_ms: int
    ) -> Seen:
        """Look, and judge nothing; raises as `look`."""
        kept = self._of(course) or self._begin(course, plan, source, arms, now_ms)
        since_ms, until_ms = self._window(course, plan, source, now_ms)
        look = _seen(plan, kept.plan, source, arms, since_ms, until_ms)
        # If we stop here, nothing was said, and the next look sees the same.
        return Seen(kept, look, replay.text_of(look), len(steps_of(plan)))

    def rule(self, course: Course, seen: Seen, now_ms: int) -> Taken:
        """Judge what was seen, and say it.

        Args:
            course: The same as was looked at.
            seen: What `see` returned last.
            now_ms: The time.

        Raises:
            UnavailableError: The log or its evidence refuses now.
            BrokenError: The log does not add up.
        """
        kept, look, text, steps = seen
        judgement = kept.take(look, replay.digest_of(text))
        try:
            said = _payload(course, judgement, kept, text, now_ms, steps)
            index = self._say_with(VERDICT, said, text)
        except BaseException:
            # It may stand in the log or not: what was judged is read again from there.
            with self._lock:
                self._kept.pop(_key(course), None)
            raise
        return Taken(index, look, judgement)

    def newest(self, course: Course) -> tuple[Judgement, list[Look]] | None:
        """Return the newest judgement of the step and its looks, judged again where need be.

        Raises:
            NotFoundError, JudgeError: What was kept is not there, or is not what it was.
        """
        kept = self._of(course)
        return None if kept is None or kept.last is None else (kept.last, kept.looks)

    def placebo(self, course: Course) -> Placebo | None:
        """Return what placebos had taught when the step began, None before its first look."""
        kept = self._of(course)
        return None if kept is None else kept.placebo

    def replayed(self, course: Course) -> Judgement:
        """Judge the step again from what was kept, whatever was judged in memory.

        Once for each verdict: asked again about the same one, the answer is the same.

        Raises:
            NotFoundError: Something of it is gone.
            JudgeError: It is not what it was.
        """
        index = course.looks[-1].index
        with self._lock:
            kept = self._kept.get(_key(course))
        if kept is not None and kept.replayed is not None and kept.replayed[0] == index:
            return kept.replayed[1]
        basis = self._basis(course.plan_digest)
        judgement = replay.replay_step(basis, [self._load(each.digest) for each in course.looks])
        if kept is not None:
            kept.replayed = (index, judgement)
        return judgement

    def _basis(self, digest: str) -> bytes:
        """Return the basis of a step, if it is the one that its verdicts name."""
        text = self._load(digest)
        if replay.digest_of(text) != digest:
            raise JudgeError("The basis of the step is not what it was.", field="/plan_digest")
        return text

    def _window(
        self, course: Course, plan: RolloutPlan, source: CountsSource, now_ms: int
    ) -> tuple[int, int]:
        since_ms, grain = self._begins(course, plan, now_ms)
        until_ms = (now_ms - source.lag_ms) // grain * grain
        longest = MAX_LOOKS_IN_ONE * plan.look_seconds * _MS
        if until_ms - since_ms > longest:
            since_ms = until_ms - longest
        return since_ms, until_ms

    def _begins(self, course: Course, plan: RolloutPlan, now_ms: int) -> tuple[int, int]:
        """Return from when on nobody has looked at the step, and the grain of its looks."""
        kept = self._of(course)
        grain = (plan if kept is None else kept.plan).bucket_seconds * _MS
        if kept is not None and kept.looks:
            return kept.looks[-1].until_ms, grain
        return -(-(course.since_ms or now_ms) // grain) * grain, grain

    def _of(self, course: Course) -> _Kept | None:
        """Return what is known of the step, read from what was kept if it is not in memory."""
        key = _key(course)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and kept.is_at(course):
                self._kept.move_to_end(key)
                return kept
        if not course.looks:
            return None
        head = _read(self._basis(course.plan_digest), replay.Head)
        if head.judge != replay.JUDGE:
            raise JudgeError(
                f"The step was judged by {head.judge} so far, this is {replay.JUDGE}.",
                hint="A person decides about this step; the next one is judged again.",
            )
        kept = _Kept(head.plan, head.placebo, course.plan_digest)
        for each in course.looks:
            text = self._load(each.digest)
            if replay.digest_of(text) != each.digest:
                raise JudgeError(f"The look of entry {each.index} is not what it was.")
            kept.take(_read(text, Look), each.digest)
        self._remember(key, kept)
        return kept

    def _begin(
        self, course: Course, plan: RolloutPlan, source: CountsSource, arms: Arms, now_ms: int
    ) -> _Kept:
        judged = judged_by(plan)
        placebo = _learned(plan, judged, source, arms, now_ms)
        head = replay.Head(replay.JUDGE, judged, placebo, ())
        # If we stop here, what was kept stays beside the log, named by its own entry alone.
        basis = self._keep(replay.text_of(head))
        kept = _Kept(judged, placebo, basis)
        self._remember(_key(course), kept)
        return kept

    def _remember(self, key: tuple[str, str, str, int], kept: _Kept) -> None:
        with self._lock:
            self._kept[key] = kept
            while len(self._kept) > MAX_KEPT:
                self._kept.popitem(last=False)


def _key(course: Course) -> tuple[str, str, str, int]:
    return course.service, course.environment, course.deployment, course.step


def _read(text: bytes, kind: type[_T]) -> _T:
    try:
        return decode_json(text, kind)
    except msgspec.MsgspecError as error:
        raise JudgeError(f"What was kept cannot be read: {error}.") from None


def _seen(
    plan: RolloutPlan,
    judged: Plan,
    source: CountsSource,
    arms: Arms,
    since_ms: int,
    until_ms: int,
) -> Look:
    """Return what is seen of the metrics that the step is judged by.

    A plan that was changed since the step began changes no metric of it; one that it names no
    more, or that has become another, is not seen.
    """
    kinds = {metric.name: metric.kind for metric in judged.metrics}
    metrics = [each for each in counted_by(plan) if kinds.get(each.name) == each.kind]
    grain, nothing = judged.bucket_seconds * _MS, CohortCounts({})
    try:
        canary = source.count(arms.canary, metrics, since_ms, until_ms, grain)
        control = (
            nothing
            if arms.control is None
            else source.count(arms.control, metrics, since_ms, until_ms, grain)
        )
    except (CountsUnavailableError, QueryError):
        return Look(since_ms, until_ms, {})
    return look_of(judged, canary, control, since_ms, until_ms)


def _learned(
    plan: RolloutPlan, judged: Plan, source: CountsSource, arms: Arms, now_ms: int
) -> Placebo:
    """Return what two halves of the stable fleet teach about the time before now.

    Where nothing is learned of a metric, as when nobody counted for most of that time, as much
    time before it is asked as well: a server that was away must not make the judge a stranger.
    """
    if arms.stable is None:
        return Placebo()
    grain = plan.bucket_seconds * _MS
    until_ms = (now_ms - source.lag_ms) // grain * grain
    placebo = Placebo()
    for histories in (1, 2):
        since_ms = until_ms - histories * (plan.history_seconds // plan.bucket_seconds) * grain
        try:
            stable = source.count(arms.stable, counted_by(plan), since_ms, until_ms, grain)
        except (CountsUnavailableError, QueryError):
            return placebo
        placebo = _taught(judged, stable, arms.stable, since_ms, until_ms)
        if placebo.replicas == 1 or all(placebo.knows(each.name) for each in judged.metrics):
            break
    return placebo


def _taught(
    judged: Plan, stable: CohortCounts, cohort: Cohort, since_ms: int, until_ms: int
) -> Placebo:
    halves = halves_of(judged, stable, since_ms, until_ms, f"{cohort.service}/{cohort.environment}")
    replicas = len(replicas_of(stable))
    if not halves or replicas <= 1:
        return Placebo(replicas=replicas)
    placebo = learn(judged, halves, Watch(), replicas)
    return structs.replace(placebo, watch=watched(judged, placebo, halves))


def watched(plan: Plan, placebo: Placebo, halves: Sequence[Look]) -> Watch:
    """Return how long placebos went without one that would have rolled back.

    They are judged one after the other by what was learned of them, each as long as a step may
    be, as if one half were a canary.
    """
    watch = Watch()
    # Watched long enough, for the time of watching: otherwise every dispersion were that of a
    # cold start, and no placebo could ever reach the bound.
    warm = structs.replace(placebo, watch=Watch(plan.history_seconds))
    size = max(1, plan.most_looks * plan.look_seconds // plan.bucket_seconds)
    for start in range(0, len(halves), size):
        assessment = Assessment(plan, warm)
        part = halves[start : start + size]
        highest = max(assessment.take(look).log_e_fail for look in part)
        watch = watch.after(len(part) * plan.bucket_seconds, highest)
    return watch


def _payload(
    course: Course, judgement: Judgement, kept: _Kept, text: bytes, now_ms: int, steps: int
) -> bytes:
    verdict: dict[str, Any] = {
        "deployment_id": course.deployment,
        "service": course.service,
        "environment": course.environment,
        "result": judgement.result.value,
        "advice": judgement.advice.value,
        "look": judgement.look,
        "score": judgement.score,
        "inputs_digest": replay.digest_of(text),
        "judge": replay.JUDGE,
        "timestamp": format_instant(now_ms),
        "log_e_fail": judgement.log_e_fail,
        "log_e_pass": judgement.log_e_pass,
        "metrics": [
            {
                "name": each.name,
                "log_e_fail": each.log_e_fail,
                "log_e_pass": each.log_e_pass,
                "required": each.required,
            }
            for each in judgement.metrics
        ],
        "plan_digest": kept.basis,
    }
    if judgement.reasons:
        verdict["reasons"] = [reason.value for reason in judgement.reasons]
    if course.step:
        # A plan that was cut short meanwhile ends with the step that the rollout is at.
        verdict |= {"step": course.step, "steps": max(steps, course.step)}
    return encode(verdict)
