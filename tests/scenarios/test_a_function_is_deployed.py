"""Scenario S2, serverless: a version is deployed, watched for 15 minutes, and goes back or stays.

One story and its healthy twin. The pipeline follows `docs/howto/lambda.md` word for word; nobody
but the server decides, and the clock is set ahead while requests are made up and reported.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from account import Account, account, keep_from_aws, running_moto
from serverless import Environment, Serverless, written
from team import ENVIRONMENT, SERVICE, Json, Team

TICKS_OF_THE_RULE = 90  # 15 minutes


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    keep_from_aws(monkeypatch)
    with running_moto() as behind, account(behind) as found:
        yield found


@pytest.fixture
def world(place: Path, aws: Account) -> Iterator[Serverless]:
    aws.alias(ENVIRONMENT, "$LATEST")
    with Serverless(Team(place), aws) as world:
        yield world


class Story:
    """Two versions, of which the old one is good: what both endings have in common."""

    def __init__(self, world: Serverless) -> None:
        self.world = world
        # 1. The old version is deployed, seen, and adopted by a person.
        self.old, self.stable = world.deploy(1, "the old one")
        self.resources: dict[str, Json] = {self.old: world.start(self.old).resource}
        self.observe()
        world.follow("Let a version that fails go back", "ada", STABLE=self.stable)
        for _ in range(3):
            world.serve_requests(self.resources, {})
        # 2. A new one is deployed: published, the alias flipped to it, signed for by CI.
        self.new, self.deployment = world.deploy(2, "the new one")
        assert world.leads_to() == self.new != self.old
        # 3. It starts, and says in its log which marker is about it.
        self.started = world.start(self.new)
        self.resources[self.new] = self.started.resource
        # 4. Somebody independent sees what the alias leads to.
        self.observe()

    def observe(self) -> None:
        said = self.world.follow("See what an alias leads to", "observer")
        digest = self.world.digest(self.world.leads_to())
        assert said.count(f"runs {digest}") == 2
        assert said.count("running arn:") == 1

    @property
    def markers(self) -> list[Json]:
        found: list[Json] = self.world.team._items("/v1/markers?order=oldest&limit=200")
        return found


def said_at_its_start(story: Story) -> None:
    """See that the function's log line names a marker of the log, and its deployment."""
    environment: Environment = story.started
    line = environment.line
    assert line["message"] == "deploymark startup: instance confirmed"
    (logged,) = (each for each in story.markers if each["ids"]["marker_id"] == line["marker_id"])
    marker = logged["marker"]
    assert (marker["phase"], marker["emitter"]["kind"]) == ("running", "runtime")
    assert marker["artifact"]["digest"] == story.world.digest(story.new)
    name = story.deployment.partition("~")[0]
    assert marker["deployment_id"] == line["deployment_id"] == name
    assert environment.resource["deployment.id"] == name
    assert {each["headers"]["x-deployment-id"] for each in environment.answers} == {name}


def what_ci_signed(story: Story) -> Json:
    """Return CI's marker of the new version: with its digest and its alias, signed by its key."""
    (found,) = (
        each
        for each in story.markers
        if each["marker"]["phase"] == "applied" and each["marker"].get("version") == story.new
    )
    assert found["marker"]["artifact"]["digest"] == story.world.digest(story.new)
    assert found["marker"]["target"]["workload"] == f"{SERVICE}:{ENVIRONMENT}"
    assert found["assurance"] == "signed"
    return dict(found)


def deeds(shown: Json) -> list[tuple[str, str]]:
    return [(each["action"], each["stage"]) for each in shown["decisions"]]


def verified(story: Story, indexes: list[int]) -> None:
    """Verify entries as an auditor does: with receipts, policy and keys, and without the server."""
    team = story.world.team
    auditor = team.hand_to_auditor(indexes)
    trust = ("--policy", "policy", "--keys", "keys.json")
    for index in indexes:
        team.offline("verify", f"{index}.tlog-proof", *trust, at=auditor)
    assert "everything adds up" in team.offline("log", "fsck", "--data", "data").stdout


def test_a_version_that_burns_its_budget_is_taken_back_and_the_log_can_prove_it(
    world: Serverless,
) -> None:
    story = Story(world)
    said_at_its_start(story)
    signed = what_ci_signed(story)

    # 5. It fails: within the 15 minutes of the rule the alias is taken back, by nobody's hand.
    watching = (story.deployment, story.resources)
    for _ in world.watch_requests(*watching, {story.new: 0.3}, TICKS_OF_THE_RULE):
        if world.leads_to() == story.old:
            break
    assert world.leads_to() == story.old
    # 6. The old version serves, which is seen and waited for before the rollback counts as done.
    with world.observing() as reporter:
        done = reporter.run_round()
        assert [each.digest for each in done.seen] == [world.digest(story.old)]
        ended = [uid for phase, uid, _ in done.said if phase == "removed"]
    arn = world.aws.shown(ENVIRONMENT)["AliasArn"]
    assert f"{arn}/{story.new}/" in " ".join(ended)
    for _ in range(TICKS_OF_THE_RULE):
        world.serve_requests(story.resources, {})
        if world.shown(story.deployment)["ended"]:
            break
    shown = world.shown(story.deployment)
    assert (shown["ended"], shown["weight"]) == ("rolled_back", 0)
    assert [each for each in deeds(shown) if each[0] == "roll_back"] == [
        ("roll_back", "decided"),
        ("roll_back", "executed"),
        ("roll_back", "outcome"),
    ]
    decided = next(each for each in shown["decisions"] if each["action"] == "roll_back")
    assert decided["actor"] == "policy"
    assert "burns more than 2 times too fast" in decided["reason"]
    assert f"decision={decided['index']}" in world.aws.shown(ENVIRONMENT)["Description"]

    # 7. The trail: each step is an entry, and each entry can be verified without the server.
    name = story.deployment.partition("~")[0]
    about = [each for each in story.markers if each["ids"]["deployment_id"] == name]
    told = {each["marker"]["phase"]: each["index"] for each in about}
    assert {"applied", "running", "rolling_back", "rolled_back"} <= told.keys()
    ruled = [each["index"] for each in shown["decisions"]]
    trail = [signed["index"], told["running"], shown["verdict"]["index"], *ruled]
    trail += [told["rolling_back"], told["rolled_back"]]
    assert len(set(trail)) == len(trail) >= 8
    replay = ("canary", "replay", str(shown["verdict"]["index"]))
    assert "is the same" in world.team.command(*replay, role="ada").stdout
    verified(story, trail)


@pytest.mark.long
def test_a_version_that_keeps_its_objective_stays_and_is_promoted(world: Serverless) -> None:
    story = Story(world)
    said_at_its_start(story)
    signed = what_ci_signed(story)

    # 5. It is well, and is looked at for as long as the rule holds; nothing is done by itself.
    watching = (story.deployment, story.resources)
    for _ in world.watch_requests(*watching, {}, TICKS_OF_THE_RULE + 6):
        assert world.leads_to() == story.new
    shown = world.shown(story.deployment)
    assert (shown["ended"], deeds(shown)) == (None, [])
    looks = shown["verdict"]
    assert looks["advice"] != "roll_back"
    # 6. The pipeline has looked as well and says so; from now on one may return to this version.
    said = world.follow("Let a version that fails go back", "ada", 1, DEPLOYMENT=story.deployment)
    assert "Done: promote" in said
    shown = world.shown(story.deployment)
    assert shown["ended"] == "promoted"
    assert world.leads_to() == story.new
    ruled = [each["index"] for each in shown["decisions"]]
    verified(story, [signed["index"], looks["index"], *ruled])


def test_the_log_line_of_the_function_has_the_fields_that_the_how_to_shows(
    world: Serverless,
) -> None:
    version, deployment = world.deploy(1, "the only one")
    line = world.start(version).line
    shown = json.loads(written("Let the function say what it is", "json"))
    assert shown.keys() <= line.keys()
    assert line["deployment_id"] == deployment.partition("~")[0]
