"""Plays the story on the stage, one act after the other, and says how it ended."""

from math import ceil

from deploymark.testing.demo import story
from deploymark.testing.demo.proof import audit, judge_again
from deploymark.testing.demo.stage import PRODUCERS, Pause, Stage
from deploymark.testing.demo.story import Act, Ending
from deploymark.testing.demo.watching import Tell, Watcher

_OBSERVED_SECONDS = 30.0
_ENDED_SECONDS = story.WAIT_SECONDS + 60.0
_READY_SECONDS = story.HISTORY_SECONDS + story.WARMUP_SECONDS + story.LAG_SECONDS


def play(
    stage: Stage, seed: int, *, latency: bool, tell: Tell, pause: Pause, stays: bool = True
) -> Ending:
    """Play all of it.

    Args:
        stage: Where.
        seed: Of the releases.
        latency: The last release is slow, instead of failing.
        tell: Told each step.
        pause: Waits; raises when somebody wants to end.
        stays: The stage stands when the story is over.

    Raises:
        UnavailableError: Something of the stage has ended by itself.
        JudgeError: A verdict does not replay.
    """

    def checked(seconds: float) -> None:
        for _ in range(ceil(seconds)):
            pause(seconds / ceil(seconds))
            stage.check()

    watcher = Watcher(stage.reader, tell, checked)
    first, *others = story.acts(seed, latency=latency)
    serving = story.serving(stage.url, keys=len(PRODUCERS), sign_in=stage.sign_in, stays=stays)
    tell(serving)
    if stage.simulated is not None:
        tell(story.simulated(stage.simulated.deployments, stage.simulated.markers))
    standing = _deploy(stage, first, watcher, weight=None)
    tell(story.adopted(first, stage.ask("adopt", standing, "It ran before deploymark came.")))
    stage.fleet.start_load(story.RATE)
    tell(story.loading(f"http://127.0.0.1:{stage.fleet.port}"))
    before = first
    ends: dict[str, str] = {}
    canaries: list[str] = []
    verdicts: list[int] = []
    for act in others:
        tell(story.comparing(before))
        checked(_READY_SECONDS)
        canaries.append(_deploy(stage, act, watcher, weight=0))
        ends[act.version], verdict = watcher.follow(canaries[-1], _ENDED_SECONDS)
        if verdict is not None:
            verdicts.append(verdict)
            judgement, looks = judge_again(stage.data, verdict)
            tell(story.judged(verdict, looks, judgement))
        if ends[act.version] != act.ends:
            break  # what would follow rests on it
        before = act
    entries, faults = audit(stage.data)
    tell(story.added_up(entries, faults))
    as_told = not faults and ends == {each.version: each.ends for each in others}
    tell(story.over(ends, as_told=as_told))
    return Ending(as_told, tuple(canaries), tuple(verdicts))


def _deploy(stage: Stage, act: Act, watcher: Watcher, *, weight: float | None) -> str:
    identity, release, index = stage.deploy(act, weight=weight)
    watcher.tell(story.deployed(act, identity, release.digest, index))
    seen = watcher.wait_observed(identity, act.replicas, _OBSERVED_SECONDS)
    watcher.tell(story.observed(act, seen))
    return identity
