"""What is verified and what is complete, by markers, verdicts and decisions together."""

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import pytest
from broker_checks import arrival_does_not_matter, ids, order_does_not_matter
from broker_markers import ENVIRONMENT, HOUR, MINUTE, SERVICE, change, ci, gone, orchestrated, pod
from broker_world import EMITTER, Said, World, moment

from deploymark.ingest.callers import LOCAL, Caller
from deploymark.model.vocabulary import DECISION, RETRACTION, VERDICT

HERE = {"service": SERVICE, "environment": ENVIRONMENT, "timestamp": moment(0)}
SEEN = b"The counts of a look."
PASS = {
    "result": "pass",
    "advice": "promote",
    "look": 1,
    "score": 100,
    "inputs_digest": f"sha256:{sha256(SEEN).hexdigest()}",
    "judge": "judge/1",
}
WHOLE = {"step": 2, "steps": 2}


def judge(
    world: World,
    name: str,
    caller: Caller = LOCAL,
    **more: Any,  # noqa: ANN401 - any field
) -> int:
    """Write a verdict, a pass of the last of two steps unless said; return its index."""
    said = {**HERE, **PASS, **WHOLE, "deployment_id": name, **more}
    payload = json.dumps({field: value for field, value in said.items() if value is not None})
    return world.intake.say_with(VERDICT, payload.encode(), SEEN, caller).index


def decide(world: World, name: str, action: str, outcome: str = "succeeded") -> int:
    """Write what came of a deed; return its index."""
    said = {"action": action, "stage": "outcome", "outcome": outcome, "actor": "policy"}
    return _append(world, DECISION, {**HERE, **said, "deployment_id": name}, LOCAL)


def retract(world: World, index: int, caller: Caller = LOCAL) -> int:
    """Take an entry back; return the index of that."""
    said = {"index": index, "reason": f"So says {caller.principal}.", "timestamp": moment(0)}
    return _append(world, RETRACTION, said, caller)


def _append(world: World, kind: str, said: Mapping[str, Any], caller: Caller) -> int:
    return world.intake.say_payload(kind, json.dumps(said).encode(), caller).index


def state(world: World, name: str) -> str:
    """Return the state that is shown, which all ways of asking must agree on."""
    size = len(world.leaves())
    broker, followed = world.read(), world.read(batches=range(size))
    assert broker.dump() == followed.dump()
    shown = broker.deployment(name)
    (listed,) = [each for each in shown["occurrences"] if each["occurrence"] == shown["occurrence"]]
    found = str(shown["state"])
    assert listed["state"] == found
    if shown["occurrence"] == len(shown["occurrences"]):
        assert [
            each
            for each in ("running", "verified", "complete", "superseded", "rolled_back", "applying")
            if shown["deployment_id"] in ids(broker, state=each)
        ] == [found]
    return found


@pytest.fixture
def live(world: World) -> Said:
    """A deployment that has all of the traffic."""
    return world.say(ci("applied"), at=0)


def test_what_passed_as_a_whole_is_verified(world: World, live: Said) -> None:
    assert state(world, live.deployment) == "running"
    judge(world, f"{live.deployment}~1")
    assert state(world, live.deployment) == "verified"
    order_does_not_matter(world)


VERDICTS = {
    "a pass of an earlier step": {"step": 1, "steps": 2},
    "a pass that names no step": {"step": None, "steps": None},
    "a pass that does not say how many steps there are": {"step": 2, "steps": None},
    "a failure of the last step": {"result": "fail", "advice": "pause"},
    "an open verdict of the last step": {"result": "inconclusive", "advice": "extend"},
    "a pass of another service": {"service": "search"},
    "a pass in another environment": {"environment": "elsewhere"},
}


@pytest.mark.parametrize("more", VERDICTS.values(), ids=VERDICTS)
def test_nothing_else_verifies(world: World, live: Said, more: Mapping[str, Any]) -> None:
    judge(world, f"{live.deployment}~1", **more)
    assert state(world, live.deployment) == "running"


def test_a_verdict_that_somebody_else_wrote_verifies_nothing(world: World, live: Said) -> None:
    judge(world, f"{live.deployment}~1", EMITTER)
    assert state(world, live.deployment) == "running"


def test_a_verdict_that_names_no_occurrence_verifies_none(world: World, live: Said) -> None:
    judge(world, live.deployment)
    assert state(world, live.deployment) == "running"


def test_the_newest_verdict_speaks(world: World, live: Said) -> None:
    name = f"{live.deployment}~1"
    judge(world, name)
    judge(world, name, look=2, result="inconclusive", advice="extend")
    assert state(world, live.deployment) == "running"
    judge(world, name, look=3)
    assert state(world, live.deployment) == "verified"


def test_a_verdict_that_was_taken_back_does_not_speak(world: World, live: Said) -> None:
    name = f"{live.deployment}~1"
    passed = judge(world, name)
    failed = judge(world, name, look=2, result="fail", advice="pause")
    retract(world, passed, EMITTER)
    retract(world, failed)
    assert state(world, live.deployment) == "verified"
    retract(world, passed)
    assert state(world, live.deployment) == "running"


def test_a_verdict_may_come_before_the_deployment_that_it_is_about(world: World) -> None:
    planned = world.say(ci("planned"), at=0)
    judge(world, f"{planned.deployment}~1")
    assert world.read().deployment(planned.deployment)["state"] == "planned"
    world.say(ci("applied"), at=MINUTE)
    assert state(world, planned.deployment) == "verified"
    order_does_not_matter(world)


def test_a_verdict_may_name_a_deployment_by_its_alias(world: World) -> None:
    by_commit = world.say(ci("planned", artifact=None), at=0)
    judge(world, f"{by_commit.deployment}~1")
    by_digest = world.say(ci("applied"), at=MINUTE)
    shown = world.read().deployment(by_commit.deployment)
    assert shown["aliases"] != []
    assert state(world, by_digest.deployment) == "verified"
    order_does_not_matter(world)


def test_a_verdict_is_about_its_occurrence_alone(world: World) -> None:
    first = world.say(ci("applied", attempt=1), at=0)
    judge(world, f"{first.deployment}~1")
    world.say(ci("failed", attempt=1), at=MINUTE)
    again = world.say(ci("applied", attempt=2), at=2 * MINUTE)
    assert again.occurrence == 2
    assert state(world, f"{first.deployment}~1") == "failed"
    assert state(world, first.deployment) == "running"
    judge(world, f"{first.deployment}~2")
    assert state(world, first.deployment) == "verified"


def test_what_was_promoted_is_complete(world: World) -> None:
    canary = world.say(ci("applied", weight=10), at=0)
    judge(world, f"{canary.deployment}~1")
    assert state(world, canary.deployment) == "applying"
    told = [canary, world.say(ci("promoted"), at=MINUTE)]
    assert state(world, canary.deployment) == "complete"
    order_does_not_matter(world)
    arrival_does_not_matter(world, told)


def test_a_promotion_that_succeeded_completes_what_runs(world: World) -> None:
    canary = world.say(ci("applied", weight=10), at=0)
    world.say(pod("uid-1"), at=30)
    name = f"{canary.deployment}~1"
    judge(world, name)
    assert state(world, canary.deployment) == "verified"
    decide(world, name, "promote", "failed")
    assert state(world, canary.deployment) == "verified"
    promoted = decide(world, name, "promote")
    assert state(world, canary.deployment) == "complete"
    judge(world, name, result="fail", advice="pause")
    assert state(world, canary.deployment) == "complete"
    retract(world, promoted)
    assert state(world, canary.deployment) == "running"


def test_what_was_taken_back_is_neither_complete_nor_verified(world: World, live: Said) -> None:
    name = f"{live.deployment}~1"
    judge(world, name)
    decide(world, name, "promote")
    decide(world, name, "roll_back")
    assert state(world, live.deployment) == "running"


def test_what_is_promoted_in_one_place_and_open_in_another_is_not_complete(world: World) -> None:
    told = [
        world.say(ci("applying", place="eu"), at=0),
        world.say(ci("applying", place="us"), at=1),
        world.say(ci("promoted", place="eu"), at=MINUTE),
    ]
    assert state(world, told[0].deployment) == "running"
    told.append(world.say(ci("promoted", place="us"), at=2 * MINUTE))
    assert state(world, told[0].deployment) == "complete"
    arrival_does_not_matter(world, told)


def test_a_plan_for_everywhere_does_not_wait_once_places_are_named(world: World) -> None:
    planned = world.say(ci("planned"), at=0)
    world.say(ci("promoted", place="eu"), at=MINUTE)
    assert state(world, planned.deployment) == "complete"


def test_what_goes_back_after_its_promotion_is_complete_no_more(world: World) -> None:
    told = [
        world.say(ci("promoted"), at=0),
        world.say(ci("rolling_back"), at=MINUTE),
        world.say(ci("applying"), at=2 * MINUTE),
    ]
    assert state(world, told[0].deployment) == "running"
    told.append(world.say(ci("promoted", place="eu"), at=3 * MINUTE))
    assert world.read().deployment(told[0].deployment)["state"] == "complete"
    arrival_does_not_matter(world, told)


def test_what_ended_is_neither_verified_nor_complete(world: World) -> None:
    first = world.say(ci("promoted"), at=0)
    judge(world, f"{first.deployment}~1")
    world.say(ci("applied", "v2"), at=HOUR)
    assert state(world, first.deployment) == "superseded"


def test_verdicts_are_about_code(world: World) -> None:
    limits = world.say(change("applied", "config", "limits", revision="7"), at=0)
    judge(world, f"{limits.deployment}~1")
    assert state(world, limits.deployment) == "running"
    world.say(change("promoted", "config", "limits", revision="7"), at=MINUTE)
    assert state(world, limits.deployment) == "complete"


@pytest.mark.parametrize("proven", ["running", "verified", "complete"])
def test_whatever_runs_is_missed_and_outlived_alike(proven: str) -> None:
    expected = {"environments": {ENVIRONMENT: {"clusters": ["eu"], "instances": 1}}}
    with World({"services": {SERVICE: expected}}) as world:
        world.say(ci("applied", place="eu"), at=0)
        world.say(orchestrated("applied", place="eu"), at=1)
        world.say(pod("uid-1", place="eu"), at=2)
        second = world.say(ci("applied", "v2", place="eu"), at=HOUR)
        world.say(pod("uid-2", "v2", place="eu"), at=HOUR + 1)
        if proven != "running":
            judge(world, f"{second.deployment}~1")
        if proven == "complete":
            decide(world, f"{second.deployment}~1", "promote")
        assert state(world, second.deployment) == proven
        world.say(gone("uid-2", "v2", place="eu"), at=HOUR + 2)
        watched = world.watch(at=3 * HOUR)
        codes = {each["code"] for each in watched.findings(state="open")}
    assert {"rollout_partial", "instance_unmarked"} <= codes
