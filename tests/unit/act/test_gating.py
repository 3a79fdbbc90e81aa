"""What the gate answers about a service: from its log, its markers, its verdicts and its counts."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec
import pytest
from gate_world import FREEZE, Gate, plan_of, stable_of
from rollout_world import ENVIRONMENT, PLAN, SCOPE, RolloutWorld, digest_of

from deploymark.act.budgets import Budgets
from deploymark.act.gating import Gating
from deploymark.act.plan import Objective
from deploymark.act.rollouts import ActionRequest
from deploymark.errors import NotFoundError, QueryError
from deploymark.judge.policy import (
    ApproverRule,
    ArtifactRule,
    AssuranceRule,
    BudgetRule,
    ChangeSetRule,
    Days,
    MigrationRule,
    OwnerRule,
    QuarantineRule,
    Rule,
    TicketRule,
    WindowRule,
)
from deploymark.projections.broker.gated import GateQuery


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


# What is not known -------------------------------------------------------------------------------


def test_nothing_that_nobody_spoke_of_passes(world: RolloutWorld) -> None:
    allowed = WindowRule(name="open", days=(Days(first="2000-01-01", last="2000-01-02"),))
    gate = Gate(world, [allowed], plans={})
    told = gate.look(service="nobody")
    assert (told.answer.decision, told.known, told.name) == ("inconclusive", False, None)
    plan_of(world)
    assert gate.says() == "pass"
    for name in ("d-nobody", f"{plan_of(world)}~9", "-", "d" * 64):
        told = gate.look(name)
        assert (told.answer.decision, told.known, told.name) == ("inconclusive", True, None), name


def test_a_deployment_of_another_service_is_not_known_here(world: RolloutWorld) -> None:
    identity = plan_of(world)
    plan_of(world, service="other")
    gate = Gate(world, [ArtifactRule(name="digest")], plans={})
    assert gate.says(identity) == "pass"
    assert gate.look(identity, service="other").answer.decision == "inconclusive"
    assert gate.look(identity, environment="dev").answer.decision == "inconclusive"


def test_a_rule_that_fails_fails_also_what_is_not_known(world: RolloutWorld) -> None:
    plan_of(world)
    assert Gate(world, [FREEZE]).says("d-nobody") == "fail"


def test_views_that_are_behind_answer_nothing(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world, [ArtifactRule(name="digest")], plans={})
    size = world.store.head().size
    assert gate.book.look(*SCOPE, identity, size).answer.decision == "pass"
    told = gate.book.look(*SCOPE, identity, size + 1)
    assert (told.answer.decision, told.known) == ("inconclusive", False)


def test_without_a_name_it_is_about_the_one_that_opened_last_whatever_became_of_it(
    world: RolloutWorld,
) -> None:
    stable_of(world)
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.2
    world.go_on(300)
    told = Gate(world).look()
    assert (told.name, told.state) == (f"{canary}~1", "rolled_back")
    assert told.answer.decision == "fail"


def test_what_was_superseded_does_not_pass(world: RolloutWorld) -> None:
    stable = stable_of(world)
    world.deploy("v2")
    gate = Gate(world, [ArtifactRule(name="digest")])
    assert gate.reasons(stable)["deployment"] == "unknown"
    assert gate.says(stable) == "inconclusive"


def test_what_was_taken_back_does_not_pass(world: RolloutWorld) -> None:
    gate = Gate(world, [ArtifactRule(name="digest")])
    planned = plan_of(world)
    first = world.store.head().size - 1
    plan_of(world, target={"cluster": "eu"})
    world.retract(first)
    assert gate.says(planned) == "pass"
    last = world.store.head().size
    world.retract(last - 2)
    told = gate.look(planned)
    assert (told.answer.decision, told.state) == ("inconclusive", None)
    (said,) = [each.reason for each in told.answer.reasons if each.about == "deployment"]
    assert said.endswith(f"in entry {last}: It was a mistake.")
    assert gate.reasons(planned)["deployment"] == "unknown"


# Policy ------------------------------------------------------------------------------------------

TOLD = {
    "an owner": (OwnerRule(name="r"), {"owner": "team:shop"}, {}),
    "a ticket": (TicketRule(name="r", like=("CHG*",)), {"change_tickets": ["CHG1"]}, {}),
    "a digest": (ArtifactRule(name="r"), {}, {"artifact": None}),
    "few changes": (
        ChangeSetRule(name="r", most=1),
        {"changes": [{"commit": "a"}]},
        {"changes": [{"commit": "a"}, {"commit": "b"}]},
    ),
}


@pytest.mark.parametrize(("rule", "good", "bad"), TOLD.values(), ids=TOLD)
def test_a_rule_is_asked_about_what_markers_say(
    world: RolloutWorld, rule: Rule, good: dict[str, object], bad: dict[str, object]
) -> None:
    gate = Gate(world, [rule], plans={})
    passes = plan_of(world, **good)
    fails = plan_of(world, **{"version": "v3", "action": "ci/v3", "artifact": None, **bad})
    assert (gate.says(passes), gate.says(fails)) == ("pass", "fail")


def test_a_rule_asks_who_stands_behind_the_markers(world: RolloutWorld) -> None:
    plan_of(world)
    assert Gate(world, [AssuranceRule(name="r")]).reasons()["policy:r"] == "pass"
    signed = AssuranceRule(name="r", least="signed")
    assert Gate(world, [signed]).reasons()["policy:r"] == "fail"


def test_approvers_are_those_of_decisions_and_not_the_author(world: RolloutWorld) -> None:
    identity = plan_of(world, author="Ada L", approvers=["bob"])
    gate = Gate(world, [ApproverRule(name="r")], plans={})
    assert gate.says() == "fail", "the pipeline's own word approves nothing"
    asked = ActionRequest(action="approve", deployment_id=identity)
    gate.rollouts.ask(asked, "token:ada", world.clock.now_ms())
    assert gate.says() == "fail", "the author"
    gate.rollouts.ask(asked, "token:stranger", world.clock.now_ms())
    assert gate.says() == "fail", "nobody knows who that is"
    gate.rollouts.ask(asked, "token:bob", world.clock.now_ms())
    assert gate.says() == "pass"


def test_what_was_put_away_passes_no_gate_until_it_is_released(world: RolloutWorld) -> None:
    stable_of(world)
    canary = world.deploy("v2", weight=0)
    world.traffic.errors[canary] = 0.2
    world.go_on(300)
    again = plan_of(world, action="ci/again")
    owned = plan_of(world, version="v9", action="ci/9", artifact=None)
    gate = Gate(
        world, [WindowRule(name="open", days=(Days(first="2000-01-01", last="2000-01-02"),))]
    )
    assert gate.says(again) == "fail", "the same digest, and no rule says so"
    assert gate.reasons(again)["policy:quarantine"] == "fail"
    assert gate.says(owned) == "pass"
    release = ActionRequest(action="release", deployment_id=canary)
    gate.rollouts.ask(release, "token:ada", world.clock.now_ms())
    assert gate.says(again) == "pass"
    rule = Gate(world, [QuarantineRule(name="r")])
    assert rule.reasons(again)["policy:r"] == "pass"
    assert rule.reasons(owned)["policy:r"] == "unknown", "it has no digest to be known by"


def test_a_schema_must_be_applied_and_not_taken_back(world: RolloutWorld) -> None:
    def migrate(phase: str) -> None:
        world.say(
            phase=phase,
            kind="schema_migration",
            key="orders",
            revision="42",
            action="ci/migrate",
            emitter={"kind": "ci", "id": "migrate.yml"},
        )

    identity = plan_of(world, schema={"requires": "42"})
    gate = Gate(world, [MigrationRule(name="r")], plans={})
    assert gate.reasons(identity)["policy:r"] == "unknown", "nobody ever told of a migration"
    migrate("applying")
    assert gate.reasons(identity)["policy:r"] == "fail"
    migrate("applied")
    assert gate.reasons(identity)["policy:r"] == "pass"
    migrate("rolled_back")
    assert gate.reasons(identity)["policy:r"] == "fail"
    own = plan_of(world, version="v3", artifact=None, schema={"requires": "7", "provides": "7"})
    assert gate.reasons(own)["policy:r"] == "pass", "it brings its own"


# Verdict and rollout -----------------------------------------------------------------------------


def test_a_rollout_is_open_then_passes_when_it_is_promoted(world: RolloutWorld) -> None:
    stable_of(world)
    canary = world.deploy("v2", weight=0)
    gate = Gate(world)
    assert (gate.says(canary), gate.look(canary).state) == ("inconclusive", "going")
    seen = []
    for _ in range(50):
        world.go_on(10)
        told = gate.look(canary)
        seen.append((told.state, told.answer.decision))
    assert seen[-1] == ("promoted", "pass")
    assert ("going", "inconclusive") in seen
    assert "fail" not in {decision for _, decision in seen}


def test_a_pipeline_that_says_promoted_promotes_nothing(world: RolloutWorld) -> None:
    stable = stable_of(world)
    world.say(
        phase="promoted",
        artifact={"digest": digest_of("v1")},
        version="v1",
        deployment_id=stable,
        emitter={"kind": "ci", "id": "deploy.yml"},
    )
    told = Gate(world).look(stable)
    assert (told.name, told.state) == (f"{stable}~1", "going")
    assert told.answer.decision == "inconclusive"


def test_a_verdict_that_does_not_follow_from_what_was_kept_lets_nothing_pass(
    world: RolloutWorld,
) -> None:
    stable_of(world)
    canary = world.deploy("v2", weight=0)
    for _ in range(60):
        world.go_on(1)
        told = Gate(world).look(canary)
        if told.state == "going" and told.answer.decision == "pass":
            break
    else:
        pytest.fail("no verdict passed before the next step")
    assert told.verdict_index is not None
    digests = [each.inputs_digest for each in world.entries("verdict")]
    forged = Gate(world)
    forged.lost = {digests[-1]}
    assert forged.reasons(canary)["verdict"] == "unknown"
    assert forged.says(canary) == "inconclusive"


def test_a_rollout_that_is_paused_waits_for_a_person(world: RolloutWorld) -> None:
    stable_of(world)
    canary = world.deploy("v2", weight=0)
    world.go_on(5)
    world.ask("pause", canary)
    world.go_on(2)
    assert Gate(world).reasons(canary)["rollout"] == "unknown"


# Error budget ------------------------------------------------------------------------------------

DAY = Objective(target=0.99, window_days=1)


def budgets(world: RolloutWorld, objective: Objective) -> Gate:
    return Gate(world, plans={SCOPE: msgspec.structs.replace(PLAN, objective=objective)})


def lasting(world: RolloutWorld, bad: float) -> Gate:
    """Let a release run for more than the window of its budget."""
    stable = world.deploy("v1")
    world.traffic.errors[stable] = bad
    world.traffic.share({stable: 4.0})
    world.clock.advance(30 * 3_600)
    return budgets(world, DAY)


@pytest.mark.parametrize(("bad", "left"), [(0.0, 1.0), (0.005, 0.5), (0.2, 0.0)])
def test_what_is_left_of_a_budget_is_counted_over_its_window(
    world: RolloutWorld, bad: float, left: float
) -> None:
    gate = lasting(world, bad)
    found = gate.grounds.budgets.left(SCOPE, world.clock.now_ms())
    assert found == pytest.approx(left, abs=0.1)
    rules = [BudgetRule(name="r", withheld=0.25)]
    asked = Gate(world, rules, gate.plans)
    assert asked.reasons()["policy:r"] == ("pass" if left > 0.25 else "fail")


def test_a_plan_that_withholds_budget_is_a_rule(world: RolloutWorld) -> None:
    lasting(world, 0.005)
    asked = budgets(world, Objective(target=0.99, window_days=1, withheld=0.75))
    assert asked.reasons()["policy:objective"] == "fail"


def test_a_source_that_has_forgotten_the_beginning_tells_nothing_of_a_budget(
    world: RolloutWorld,
) -> None:
    lasting(world, 0.0)
    world.traffic.changes = [
        (world.clock.now_ms() - 3_600_000, rates) for _, rates in world.traffic.changes
    ]
    long = budgets(world, Objective(target=0.99, window_days=30))
    world.clock.advance(3 * 86_400)
    world.traffic.changes = [
        (world.clock.now_ms() - 3_600_000, rates) for _, rates in world.traffic.changes
    ]
    assert long.grounds.budgets.left(SCOPE, world.clock.now_ms()) is None


def test_a_source_that_is_away_makes_it_inconclusive(world: RolloutWorld) -> None:
    gate = lasting(world, 0.0)
    plan_of(world)
    rules = [BudgetRule(name="r")]
    world.traffic.away = True
    asked = Gate(world, rules, gate.plans)
    assert asked.reasons() == {"policy:r": "unknown", "error_budget": "unknown"}
    assert asked.says() == "inconclusive"
    world.traffic.away = False
    world.clock.advance(61)
    assert asked.says() == "pass"


def test_a_budget_that_burns_shuts_the_gate_before_anything_is_deployed(
    world: RolloutWorld,
) -> None:
    lasting(world, 0.2)
    plan_of(world)
    gate = budgets(world, DAY)
    assert gate.look().state == "not_begun"
    assert gate.reasons()["error_budget"] == "fail"
    assert gate.says() == "fail"


def test_a_source_is_asked_once_a_minute_however_often_the_gate_is(world: RolloutWorld) -> None:
    gate = lasting(world, 0.0)
    asked = []

    class Counting:
        name, lag_ms = "telemetry", world.traffic.lag_ms

        def count(self, *words: object) -> object:
            asked.append(words)
            return world.traffic.count(*words)  # type: ignore[arg-type]

    query = GateQuery(world.views)
    counting = Budgets(gate.plans, {"telemetry": Counting()}, query)  # type: ignore[dict-item]
    room = Gating(replace(gate.grounds, budgets=counting, rules=[BudgetRule(name="r")]))
    room.look(*SCOPE, None, world.clock.now_ms())
    first = len(asked)
    for _ in range(20):
        world.clock.advance(1)
        room.look(*SCOPE, None, world.clock.now_ms())
    assert len(asked) == first > 0
    world.clock.advance(60)
    room.look(*SCOPE, None, world.clock.now_ms())
    assert len(asked) > first


# Breaking the glass ------------------------------------------------------------------------------


def test_the_glass_is_broken_for_one_occurrence_and_for_no_other(world: RolloutWorld) -> None:
    identity, other = plan_of(world), plan_of(world, version="v3", artifact=None)
    gate = Gate(world, [FREEZE])
    assert gate.says(identity) == "fail"
    index = gate.break_glass(identity)
    told = gate.look(identity)
    assert told.answer.decision == "pass"
    assert told.glass is not None
    assert told.glass.index == index
    assert [each.answer for each in told.answer.reasons] == ["fail", "pass"], "all of it shows"
    assert gate.says(other) == "fail"
    assert gate.says() == gate.says(f"{other}~1") == "fail"
    # It failed, and is tried again: what somebody said of the first occurrence is over.
    plan_of(world, target={"cluster": "eu"})
    plan_of(world, phase="failed")
    world.clock.advance(1)
    plan_of(world)
    assert gate.look(identity).name == f"{identity}~2"
    assert gate.says(identity) == "fail"


def test_who_breaks_the_glass_says_why_and_is_told_of(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world, [FREEZE])
    with pytest.raises(QueryError, match="says why"):
        gate.break_glass(identity, reason="")
    with pytest.raises(QueryError, match="breaking its glass"):
        gate.rollouts.ask(
            ActionRequest(action="gate", deployment_id=identity), "token:ada", world.clock.now_ms()
        )
    assert gate.answers() == []
    gate.break_glass(identity)
    (entry,) = gate.answers()
    assert (entry.actor, entry.reason, entry.break_glass) == ("token:ada", "INC-17", True)
    assert (entry.deployment_id, entry.result) == (f"{identity}~1", "pass")
    (concern,) = gate.rollouts.concerns(world.clock.now_ms())
    assert (concern.code, concern.deployment) == ("glass_broken", f"{identity}~1")


def test_a_glass_is_broken_once_by_one_request(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world)
    asked = ActionRequest(
        action="gate",
        deployment_id=identity,
        reason="INC-17",
        break_glass=True,
        idempotency_key="one",
    )
    indexes = {gate.rollouts.ask(asked, "token:ada", world.clock.now_ms()) for _ in range(3)}
    assert len(indexes) == 1


def test_an_answer_of_the_gate_breaks_no_glass(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world, [FREEZE])
    gate.break_glass(identity)
    gate.book.write(gate.look(identity), "token:ci")
    world.runner.catch_up()
    _, answer = gate.answers()
    assert (answer.result, answer.break_glass) == ("pass", False)
    assert len(gate.grounds.rolling.glasses()) == 1


def test_the_glass_of_another_service_is_not_broken(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world, [FREEZE])
    asked = ActionRequest(
        action="gate",
        deployment_id=identity,
        service="other",
        environment=ENVIRONMENT,
        reason="INC-17",
        break_glass=True,
    )
    with pytest.raises(NotFoundError):
        gate.rollouts.ask(asked, "token:ada", world.clock.now_ms())
    assert gate.says(identity) == "fail"
