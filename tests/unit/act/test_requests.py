"""What people ask of a rollout is answered: carried out, or refused with the reason."""

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import structs
from rollout_world import ENVIRONMENT, PLAN, SCOPE, SERVICE, RolloutWorld

from deploymark.act.controller import Controller
from deploymark.act.plan import RollBackPlan, RolloutPlan
from deploymark.act.rollouts import ActionRequest, Rollouts
from deploymark.errors import ActionRefusedError, ForbiddenError, QueryError
from deploymark.ingest.callers import PLATFORM
from deploymark.integrations.oidc.rules import principal_of
from deploymark.judge.replay import digest_of
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import DECISION
from deploymark.projections.broker.rolling import RollingQuery
from deploymark.runtime.config import parse_configuration


class People:
    """Who looks at the world's rollouts, and asks."""

    def __init__(self, world: RolloutWorld) -> None:
        self._world = world
        self.silence = ""
        query, store = RollingQuery(world.views), world.store
        self.rollouts = Rollouts(
            {SCOPE: world.plan},
            query,
            store,
            lambda digest: store.blob(bytes.fromhex(digest.removeprefix("sha256:"))).content or b"",
            lambda fields: world.intake.say(DECISION, dict(fields), PLATFORM).index,
            lambda: world.controller.wanted,
            next_looks=lambda: world.controller.next_looks,
            silence=lambda _: self.silence,
        )

    def ask(
        self, action: str, deployment: str, *, by: str = "ada", break_glass: bool = False
    ) -> int:
        asked = ActionRequest(
            action=action, deployment_id=deployment, reason="because", break_glass=break_glass
        )
        index = self.rollouts.ask(asked, by, self._world.clock.now_ms())
        self._world.runner.catch_up()
        return index


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


def _going(world: RolloutWorld, *, adopted: bool = True) -> str:
    """Bring a release to its first step beside an older one, and return its deployment."""
    stable = world.deploy("v1")
    if adopted:
        world.adopt(stable)
    world.traffic.share({stable: 200.0})
    world.clock.advance(400)
    canary = world.deploy("v2", weight=0)
    world.go_on(4)
    assert world.splitter.deeds == ["shift"]
    return canary


def _answers(world: RolloutWorld, index: int) -> list[Any]:
    return [each for each in world.entries("decision") if each.decision_index == index]


def test_a_request_that_a_guard_refuses_is_answered_once_and_keeps_nothing_from_going_on(
    world: RolloutWorld,
) -> None:
    canary = _going(world, adopted=False)
    index = People(world).ask("roll_back", canary)
    world.go_on(3)
    (refusal,) = _answers(world, index)
    assert (refusal.action, refusal.stage, refusal.outcome) == ("roll_back", "outcome", "failed")
    assert refusal.actor == "policy"
    assert "target" in [each.name for each in refusal.guards if not each.held]
    assert "has passed, was promoted by a person, or was adopted" in refusal.reason
    assert world.splitter.deeds == ["shift"]
    world.go_on(30)
    assert world.entries("verdict")  # it is looked at again
    assert People(world).rollouts.show(canary)["asked"] == []


def test_people_see_when_the_next_look_is_due(world: RolloutWorld) -> None:
    canary, people = _going(world), People(world)
    world.go_on(1)
    first = people.rollouts.show(canary)["next_look_at"]
    assert first is not None
    while not world.entries("verdict"):
        assert parse_instant(first) >= world.clock.now_ms()
        assert [each["next_look_at"] for each in people.rollouts.newest()] == [first]
        world.go_on(1)
    assert world.clock.now_ms() - parse_instant(first) <= 1_000
    world.go_on(1)
    second = people.rollouts.show(canary)["next_look_at"]
    assert parse_instant(second) - parse_instant(first) == PLAN.look_seconds * 1_000
    world.restart()
    assert people.rollouts.show(canary)["next_look_at"] is None  # nobody has asked yet
    world.go_on(1)
    assert people.rollouts.show(canary)["next_look_at"] == second


def test_what_is_not_looked_at_any_more_has_no_next_look(world: RolloutWorld) -> None:
    canary, people = _going(world), People(world)
    world.go_on(2)
    people.ask("promote", canary)
    world.go_on(10)
    shown = people.rollouts.show(canary)
    assert (shown["ended"], shown["next_look_at"]) == ("promoted", None)
    world.deploy("v3", weight=0)
    world.rule("freeze", service=None, reason="A sale goes on.")
    world.go_on(5)
    (shown,) = people.rollouts.newest()
    assert (shown["step"], shown["next_look_at"]) == (0, None)


def test_the_glass_is_broken_after_a_refusal(world: RolloutWorld) -> None:
    canary = _going(world, adopted=False)
    people = People(world)
    people.ask("roll_back", canary)
    world.go_on(2)
    index = people.ask("roll_back", canary, break_glass=True)
    world.go_on(2)
    (decided,) = _answers(world, index)
    assert (decided.stage, decided.break_glass, decided.actor) == ("decided", True, "ada")
    assert world.splitter.deeds == ["shift", "roll_back"]


def test_what_a_plan_without_an_actuator_cannot_do_is_refused_in_words(
    world: RolloutWorld,
) -> None:
    canary = _going(world)
    hands = world.controller._hands
    watching = type(hands)(
        **{name: getattr(hands, name) for name in hands.__slots__ if name != "actuators"},
        actuators={},
    )
    world.controller = Controller({SCOPE: world.plan}, world.terms, watching)
    index = People(world).ask("promote", canary)
    world.go_on(2)
    (refusal,) = _answers(world, index)
    assert refusal.outcome == "failed"
    assert "no actuator" in refusal.reason


def test_a_deed_that_puts_a_release_away_answers_its_request_itself() -> None:
    by_people = RollBackPlan(automatic=False, recovery_seconds=60)
    with RolloutWorld(structs.replace(PLAN, roll_back=by_people)) as world:
        canary = _going(world)
        world.traffic.errors[canary] = 0.4
        world.go_on(30)
        assert world.splitter.deeds == ["shift"]
        index = People(world).ask("roll_back", canary)
        world.go_on(2)
        (answer,) = _answers(world, index)
        assert (answer.action, answer.actor) == ("roll_back", "ada")
        (away,) = [each for each in world.entries("decision") if each.action == "quarantine"]
        assert away.decision_index is None  # stopped right behind it, the request still waits


def test_what_is_not_rolled_out_any_more_is_refused_at_once(world: RolloutWorld) -> None:
    first = _going(world)
    world.deploy("v3", weight=0)
    with pytest.raises(ActionRefusedError, match="is not what is rolled out in prod now"):
        People(world).ask("pause", first)


def test_what_would_be_refused_is_known_before_it_is_asked_for(world: RolloutWorld) -> None:
    first, people = world.deploy("v1", weight=0), People(world)
    world.go_on(1)
    assert people.rollouts.refused(first, SCOPE, "ada") == {}
    world.deploy("v2", weight=0)
    refused = people.rollouts.refused(first, SCOPE, "ada")
    assert set(refused) == {"promote", "pause", "resume", "roll_back"}
    for action, why in refused.items():
        with pytest.raises(ActionRefusedError) as told:
            people.ask(action, first)
        assert told.value.message == why


def test_who_looks_sees_the_guards_that_keep_it_back(world: RolloutWorld) -> None:
    canary = world.deploy("v2", weight=0, instances=0)
    world.go_on(3)
    wants = People(world).rollouts.show(canary)["wants"]
    assert (wants["move"], wants["code"]) == ("hold", "guarded")
    away = [each["name"] for each in wants["guards"] if not each["held"]]
    assert "binding" in away
    assert len(wants["guards"]) == 10


def test_evidence_names_the_verdict_of_each_look(world: RolloutWorld) -> None:
    canary = _going(world)
    world.go_on(25)
    people = People(world)
    shown = people.rollouts.show(canary)
    evidence = people.rollouts.evidence(shown["verdict"]["index"])
    assert [each["index"] for each in evidence["looks"]] == [
        each["index"] for each in shown["looks"]
    ]
    for each in (evidence["basis"], *evidence["looks"]):
        assert digest_of(each["text"].encode()) == each["digest"]
    assert (shown["service"], shown["environment"]) == (SERVICE, ENVIRONMENT)


def _promoted(world: RolloutWorld) -> str:
    canary = _going(world)
    People(world).ask("promote", canary)
    world.go_on(10)
    assert world.splitter.deeds == ["shift", "promote"]
    return canary


def test_a_promoted_release_shows_what_it_replaced_and_that_it_is_being_returned(
    world: RolloutWorld,
) -> None:
    canary, people = _promoted(world), People(world)
    shown = people.rollouts.show(canary)
    assert (shown["ended"], shown["doing"], shown["failed"]) == ("promoted", None, None)
    old = shown["target_deployment_id"]
    assert old is not None
    people.ask("roll_back", canary)
    world.go_on(3)
    shown = people.rollouts.show(canary)
    assert (shown["ended"], shown["doing"]) == ("promoted", "roll_back")
    world.traffic.share({canary: 200.0})  # it never leaves
    world.go_on(90)
    shown = people.rollouts.show(canary)
    assert (shown["failed"]["action"], shown["doing"]) == ("roll_back", None)
    assert "not well again" in shown["failed"]["reason"]
    world.clock.advance(1)
    world.deploy("v0", weight=0)
    assert people.rollouts.show(canary)["target_deployment_id"] == old


def test_a_freeze_is_shown_and_what_it_led_to_no_longer_when_it_is_lifted(
    world: RolloutWorld,
) -> None:
    canary, people = world.deploy("v2", weight=0), People(world)
    world.rule("freeze", service=None, reason="A sale goes on.")
    world.go_on(3)
    (shown,) = people.rollouts.newest()
    assert [each["by"] for each in shown["frozen"]] == ["ada"]
    assert "A sale goes on." in shown["wants"]["reason"]
    world.rule("unfreeze", service=None)
    # Whatever holds the controller up now, nobody is told of the freeze any more.
    shown = people.rollouts.show(canary)
    assert (shown["frozen"], shown["wants"]) == ([], None)
    world.go_on(3)
    assert "A sale goes on." not in people.rollouts.show(canary)["wants"]["reason"]


def test_what_is_being_carried_out_is_not_asked_for_again(world: RolloutWorld) -> None:
    canary, people = _going(world), People(world)
    people.ask("roll_back", canary)
    world.go_on(3)
    with pytest.raises(ActionRefusedError, match="is being carried out"):
        people.ask("roll_back", canary)
    world.go_on(60)
    with pytest.raises(ActionRefusedError, match="rolled back already"):
        people.ask("roll_back", canary)


def test_who_looks_sees_that_the_source_does_not_answer(world: RolloutWorld) -> None:
    canary, people = _going(world), People(world)
    assert people.rollouts.show(canary)["silence"] is None
    people.silence = "The Prometheus main did not answer: timed out."
    assert people.rollouts.show(canary)["silence"] == people.silence


def test_a_step_that_the_plan_does_not_have_is_refused_with_those_it_has(
    world: RolloutWorld,
) -> None:
    canary, rollouts = _going(world), People(world).rollouts
    asked = ActionRequest(action="approve", deployment_id=canary, step=7)
    with pytest.raises(QueryError, match=r"There is no step 7.*in 2 steps") as refused:
        rollouts.ask(asked, "ada", world.clock.now_ms())
    assert "0 (before the first one) to 2" in refused.value.hint
    with pytest.raises(QueryError, match="There is no step -1"):
        rollouts.ask(structs.replace(asked, step=-1), "ada", world.clock.now_ms())
    rollouts.ask(structs.replace(asked, step=2), "ada", world.clock.now_ms())


def test_who_goes_back_does_not_wait_behind_pauses(world: RolloutWorld) -> None:
    canary = _going(world)
    for action in ("pause", "resume") * 5:
        People(world).ask(action, canary)
    back = People(world).ask("roll_back", canary)
    world.go_on(3)
    assert [each.action for each in _answers(world, back)][:1] == ["roll_back"]
    assert world.splitter.deeds == ["shift", "roll_back"]


def test_who_approves_what_is_paused_hears_when_it_counts(world: RolloutWorld) -> None:
    canary, people = _going(world), People(world)
    asked = ActionRequest(action="approve", deployment_id=canary)
    assert people.rollouts.remark(asked) == ""
    people.ask("pause", canary)
    world.go_on(2)
    assert "takes effect when it is resumed" in people.rollouts.remark(asked)


SSO = {
    "issuer": "https://sso.example",
    "audience": "x",
    "subjects": ["corp|*"],
    "roles": ["operator"],
}
ANN = {"subjects": ["oidc:sso:corp|ann", "token:ann", "token:shared"]}
PEOPLE = {"ann": ANN, "bob": {"subjects": ["token:shared"]}}
APPROVERS = {
    "an identity token, as it says it": ("oidc:sso:corp|ann", True),
    "an identity token, as an entry shows it": ("oidc:sso:corp%7Cann", True),
    "a person by handle": ("ann", True),
    "another person": ("bob", False),
    "another subject": ("oidc:sso:corp|annette", False),
    "a subject without its rule": ("corp|ann", False),
}


def _approved_by(*approvers: str) -> RolloutPlan:
    """Return a plan that waits for somebody, as a configuration has it."""
    plan = {"approvers": list(approvers), "promotion": "person"}
    configuration = parse_configuration(
        {
            "oidc": {"sso": SSO},
            "auth": {"identities": PEOPLE},
            "rollouts": {SERVICE: {ENVIRONMENT: plan}},
        }
    )
    named = configuration.plans[SERVICE, ENVIRONMENT].approvers
    return structs.replace(PLAN, promotion="person", approvers=named)


@pytest.mark.parametrize(("approver", "may"), APPROVERS.values(), ids=APPROVERS)
def test_who_shows_an_identity_token_approves_where_the_plan_names_that_person(
    approver: str, *, may: bool
) -> None:
    principal = principal_of("sso", "corp|ann")
    with RolloutWorld(_approved_by(approver)) as world:
        canary, people = _going(world), People(world)
        world.go_on(400, tick=2)
        assert world.wants == ("hold", "awaits_approval")
        if not may:
            with pytest.raises(ForbiddenError, match="may not approve"):
                people.ask("approve", canary, by=principal)
            return
        people.ask("approve", canary, by=principal)
        world.go_on(20)
        assert "promote outcome succeeded" in world.told()
        (approved,) = [each for each in world.entries("decision") if each.action == "approve"]
        assert approved.actor == principal


@pytest.mark.parametrize("by", ["token:shared", "local", "", "ann"])
def test_a_handle_stands_for_the_calls_of_one_person_alone(by: str) -> None:
    with RolloutWorld(_approved_by("ann")) as world:
        canary, people = _going(world), People(world)
        with pytest.raises(ForbiddenError):
            people.ask("approve", canary, by=by)


def test_who_freezes_what_nobody_knows_hears_that(world: RolloutWorld) -> None:
    _going(world)
    people = People(world).rollouts
    freeze = ActionRequest(action="freeze", environment=ENVIRONMENT)
    assert people.remark(freeze) == ""
    misspelt = structs.replace(freeze, environment="prd")
    assert people.remark(misspelt) == "Nothing is known of prd here; did you mean prod?"
