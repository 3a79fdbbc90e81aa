"""What was amended and taken back is shown; what follows from the first words stays."""

import json
from hashlib import sha256
from typing import Any

import pytest
from broker_checks import order_does_not_matter
from broker_markers import ENVIRONMENT, HOUR, MINUTE, SERVICE, ci, orchestrated, pod
from broker_world import EMITTER, Said, World, moment

from deploymark.ingest.callers import LOCAL, Caller
from deploymark.model.vocabulary import AMENDMENT, RETRACTION, VERDICT, Role

CORRECTOR = Caller("token:corrector", frozenset({Role.EMITTER}))
SEEN = b"The counts of a look."
Item = dict[str, Any]


def amend(world: World, index: int, **changes: Any) -> int:  # noqa: ANN401 - any scalar
    """Amend an entry; names are those of fields, with `__` for a slash. Return its index."""
    said = {f"/{name.replace('__', '/')}": value for name, value in changes.items()}
    return _say(world, AMENDMENT, {"index": index, "changes": said}, CORRECTOR)


def retract(world: World, index: int, caller: Caller = CORRECTOR) -> int:
    """Take an entry back; return the index of that."""
    return _say(world, RETRACTION, {"index": index}, caller)


def _say(world: World, kind: str, fields: Item, caller: Caller) -> int:
    said = {**fields, "reason": f"So says {caller.principal}.", "timestamp": moment(0)}
    return world.intake.say_payload(kind, json.dumps(said).encode(), caller).index


def admit_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let in what an earlier release let in."""
    monkeypatch.setattr("deploymark.ingest.receive.check_correction", lambda *_: None)


def shown(world: World, name: str) -> Item:
    """Return a deployment, which must be the same however the log was read."""
    order_does_not_matter(world)
    return world.read().deployment(name)


@pytest.fixture
def live(world: World) -> Said:
    """A deployment that has all of the traffic."""
    return world.say(ci("applied", owner="team:a", version="1.0", reason="Why."), at=0)


def test_a_deployment_shows_the_newest_value_and_what_was_said_first(
    world: World, live: Said
) -> None:
    amend(world, live.index, owner="team:b", reason=None, artifact__tag="1.1")
    last = amend(world, live.index, owner="team:c", rollout__strategy="canary")

    item = shown(world, live.deployment)
    assert (item["owner"], item["reason"], item["tag"]) == ("team:c", None, "1.1")
    assert item["strategy"] == "canary"
    assert item["amended"] == {"owner": "team:a", "reason": "Why.", "tag": None, "strategy": None}
    newest = item["corrections"][0]
    assert (newest["index"], newest["about"], newest["by"]) == (last, live.index, "token:corrector")
    assert newest["reason"] == "So says token:corrector."
    assert newest["changes"] == {"/owner": "team:c", "/rollout/strategy": "canary"}
    assert item["retracted"] is None


def test_where_it_runs_and_what_it_is_are_not_amended(world: World, live: Said) -> None:
    before = world.read().deployment(live.deployment)
    digest = f"sha256:{'0' * 64}"
    amend(world, live.index, phase="failed", environment="test", artifact__digest=digest)

    item = shown(world, live.deployment)
    same = ("state", "environment", "digest", "phases", "places", "binding", "findings")
    assert [item[name] for name in same] == [before[name] for name in same]
    assert item["amended"] == {}
    assert len(item["corrections"]) == 1


def test_a_deployment_is_retracted_when_all_that_was_said_of_it_is(world: World) -> None:
    before = world.say(ci("applied", "v0"), at=0)
    planned = world.say(ci("planned"), at=HOUR)
    applied = world.say(ci("applied"), at=HOUR + MINUTE)
    retract(world, planned.index)
    assert shown(world, applied.deployment)["retracted"] is None
    last = retract(world, applied.index)

    item = shown(world, applied.deployment)
    assert item["retracted"]["index"] == last
    assert item["retracted"]["by"] == "token:corrector"
    assert [each["about"] for each in item["corrections"]] == [applied.index, planned.index]
    # What followed from it has happened, and admission has numbered what came since.
    assert item["state"] == "running"
    assert world.read().deployment(before.deployment)["state"] == "superseded"
    assert world.read().deployment(before.deployment)["corrections"] == []


def test_what_somebody_else_confirms_is_not_retracted(world: World, live: Said) -> None:
    retract(world, live.index)
    seen = world.say(pod("uid-1"), at=MINUTE)
    item = shown(world, live.deployment)
    assert item["retracted"] is None
    retract(world, seen.index)
    assert shown(world, live.deployment)["retracted"]["about"] == seen.index


def test_evidence_is_corrected_where_it_was_joined(world: World, live: Said) -> None:
    evidence = world.say(orchestrated("applied"), at=MINUTE)
    assert evidence.deployment != live.deployment
    amend(world, evidence.index, author="robot")
    assert shown(world, live.deployment)["author"] == "robot"


def test_an_occurrence_is_corrected_apart_from_the_others(world: World, live: Said) -> None:
    world.say(ci("failed"), at=MINUTE)
    again = world.say(ci("applied", reason="Again."), at=HOUR)
    assert again.occurrence == 2
    amend(world, live.index, reason="First.")
    assert shown(world, f"{live.deployment}~1")["reason"] == "First."
    assert shown(world, f"{live.deployment}~2")["reason"] == "Again."


def test_a_correction_counts_behind_a_rename(world: World) -> None:
    by_commit = world.say(ci("planned", artifact=None), at=0)
    amend(world, by_commit.index, owner="team:b")
    applied = world.say(ci("applied"), at=MINUTE)
    assert by_commit.deployment != applied.deployment
    assert shown(world, applied.deployment)["owner"] == "team:b"


def test_what_names_no_earlier_entry_corrects_nothing(
    world: World, live: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit_any(monkeypatch)
    size = len(world.leaves())
    amend(world, size + 1, owner="team:b")
    amend(world, size + 1, owner="team:c")  # itself
    later = world.say(ci("promoted"), at=MINUTE)
    assert later.index == size + 2
    assert shown(world, live.deployment)["corrections"] == []


def test_a_correction_is_not_corrected(
    world: World, live: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    admit_any(monkeypatch)
    amended = amend(world, live.index, owner="team:b")
    amend(world, amended, owner="team:c")
    retract(world, amended)
    item = shown(world, live.deployment)
    assert item["owner"] == "team:b"
    assert [each["index"] for each in item["corrections"]] == [amended]


def test_only_its_author_takes_a_verdict_back(world: World, live: Said) -> None:
    said = {
        "service": SERVICE,
        "environment": ENVIRONMENT,
        "deployment_id": f"{live.deployment}~1",
        "result": "pass",
        "advice": "promote",
        "look": 1,
        "score": 100,
        "judge": "judge/1",
        "timestamp": moment(0),
        "inputs_digest": f"sha256:{sha256(SEEN).hexdigest()}",
    }
    verdict = world.intake.say_with(VERDICT, json.dumps(said).encode(), SEEN, LOCAL).index
    retract(world, verdict, EMITTER)
    (passed,) = shown(world, live.deployment)["verdicts"]
    assert passed["retracted"] is None
    last = retract(world, verdict, LOCAL)
    (passed,) = shown(world, live.deployment)["verdicts"]
    assert passed["retracted"]["index"] == last


def test_a_list_of_deployments_shows_it_too(world: World, live: Said) -> None:
    amend(world, live.index, owner="team:b")
    other = world.say(ci("applied", "v2"), at=MINUTE)
    retract(world, other.index)
    listed = {each["deployment_id"]: each for each in world.read().deployments()}
    assert listed[live.deployment]["owner"] == "team:b"
    assert listed[live.deployment]["retracted"] is None
    assert listed[other.deployment]["retracted"]["about"] == other.index
