"""What the demonstration plays and tells follows from its flags and from what the log says."""

import shlex
import tomllib
from typing import Any

import pytest

from deploymark.act.plan import RolloutPlan
from deploymark.judge.counts import Events, Latencies, Look, Tally
from deploymark.judge.verdict import Advice, Judgement, Result
from deploymark.runtime.config import Configuration, parse_configuration
from deploymark.testing.demo import story
from deploymark.testing.demo.story import Ending


def configured(*, latency: bool) -> Configuration:
    written = story.configuration('/tmp/a "demo"/fleet.json', latency=latency)  # noqa: S108 - no file
    return parse_configuration(tomllib.loads(written))


def plan(*, latency: bool) -> RolloutPlan:
    (found,) = configured(latency=latency).plans.values()
    return found


@pytest.mark.parametrize("latency", [False, True])
def test_the_times_are_settings_of_a_plan_like_any_other(latency: bool) -> None:  # noqa: FBT001
    found = plan(latency=latency)
    assert [step.weight for step in found.steps] == [25]
    assert (found.look_seconds, found.bucket_seconds, found.warmup_seconds) == (1, 1, 2)
    assert (found.history_seconds, found.block_seconds) == (12, (1, 2, 5))
    names = [each.name for each in found.metrics]
    assert names == (["errors", "latency"] if latency else ["errors"])
    assert found.actuator.options == {"control": '/tmp/a "demo"/fleet.json'}  # noqa: S108 - the same


def test_automation_asks_for_signed_markers() -> None:
    policy = configured(latency=False).policy
    assert policy.environments["demo"].action_assurance == "signed"


def test_the_same_seed_gives_the_same_releases_and_another_one_others() -> None:
    assert story.acts(1, latency=False) == story.acts(1, latency=False)
    assert story.acts(1, latency=False) != story.acts(2, latency=False)


def test_only_the_last_release_is_worse() -> None:
    old, equal, failing = (each.behaviour for each in story.acts(1, latency=False))
    assert (old.error_rate, equal.error_rate, failing.error_rate) == (0.02, 0.02, 0.2)
    old, equal, slow = (each.behaviour for each in story.acts(1, latency=True))
    assert {each.error_rate for each in (old, equal, slow)} == {0.02}
    assert (old.slow_share, equal.slow_share, slow.slow_share) == (0.05, 0.05, 0.02)
    assert (old.slow_seconds, equal.slow_seconds, slow.slow_seconds) == (0.1, 0.1, 1.0)


def decision(action: str, stage: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return {"action": action, "stage": stage, "actor": "policy", **more}


def test_a_decision_is_told_with_its_reason_and_its_guards() -> None:
    guards = [{"name": "replay", "held": True}, {"name": "target", "held": True}]
    told = story.decided(7, decision("roll_back", "decided", reason="It is worse.", guards=guards))
    assert told is not None
    assert told.text == "Entry 7: policy decides to roll it back. It is worse. All 2 guards hold."
    assert told.facts["held"] == ["replay", "target"]


def test_what_stands_against_more_is_named() -> None:
    guards = [{"name": "replay", "held": True}, {"name": "shadow", "held": False}]
    told = story.decided(7, decision("pause", "decided", reason="It is worse.", guards=guards))
    assert told is not None
    assert told.text.endswith("Against more: shadow.")
    assert told.facts["against"] == ["shadow"]


def test_an_outcome_that_nobody_knows_is_told_as_that() -> None:
    said = decision("shift", "outcome", outcome="unknown", reason="Nobody answers.")
    told = story.decided(8, said)
    assert told is not None
    assert told.text == "Entry 8: What was decided ended as unknown. Nobody answers."
    assert story.decided(9, decision("shift", "outcome", outcome="succeeded")) is None


def verdict(look: int, result: str = "inconclusive") -> dict[str, Any]:
    return {
        "index": 30,
        "look": look,
        "result": result,
        "advice": "extend",
        "score": 61.2,
        "log_e_fail": 0.0,
        "log_e_pass": 1.0,
        "reasons": ["low_traffic"],
    }


def test_a_look_is_told_when_it_brings_something_new() -> None:
    told = [look for look in range(1, 13) if story.looked(verdict(look)) is not None]
    assert told == [1, 6, 11]
    last = story.looked(verdict(12, "pass"))
    assert last is not None
    assert "score 61; evidence that it is worse 1 of 1,000, that it is no worse 2.72" in last.text


def test_a_verdict_is_told_with_the_counts_that_it_rests_on() -> None:
    errors = Events(Tally(100, 20), Tally(300, 6))
    slow = Latencies((0.1, 0.5, 1.0), (90, 6, 3, 1), (290, 10, 0, 0))
    looks = [Look(0, 1, {"errors": errors, "latency": slow}), Look(1, 2, {"errors": errors})]
    judgement = Judgement(2, Result.FAIL, Advice.ROLL_BACK, (), 0.0, 9.0, 0.0, ())
    text = story.judged(31, looks, judgement).text
    assert "40 of 200 (20.0 %) failed, beside it 12 of 600 (2.0 %)" in text
    assert "4 of 100 (4.0 %) took longer than half a second, beside it 0 of 300 (0.0 %)" in text


def test_a_log_that_does_not_add_up_is_told() -> None:
    assert "adds up" in story.added_up(9, []).text
    assert story.added_up(9, ["Entry 3 is gone."]).text.endswith("not add up: Entry 3 is gone.")


def test_how_it_ended_is_told() -> None:
    told = story.over({"2.0": "promoted", "3.0": "rolled_back"}, as_told=True)
    assert told.text.endswith("version 2.0 was promoted, version 3.0 was rolled back.")
    assert "otherwise than told" in story.over({"2.0": "paused"}, as_told=False).text


def test_places_name_what_happened() -> None:
    ending = Ending(as_told=True, deployments=("d-two", "d-three"), verdicts=(40, 62))
    shown = [shlex.join(words) for words in story.places(ending, "/data")]
    assert "show d-three" in shown
    assert "receipt 62" in shown
    assert "log fsck --data /data" in shown
    assert story.places(Ending(as_told=False, deployments=(), verdicts=()), "/data")


def test_a_server_that_ends_with_the_story_is_not_said_to_be_there_to_look_at() -> None:
    url, link = "http://127.0.0.1:1", "http://127.0.0.1:1/?token=t"
    staying = story.serving(url, keys=1, sign_in=link).text
    ending = story.serving(url, keys=1, sign_in=link, stays=False).text
    assert staying.endswith(f"once and within ten minutes, by {link}")
    assert link not in ending
    assert ending.endswith("`deploymark demo` without --once stays up to look around.")
