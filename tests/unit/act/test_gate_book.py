"""What the gate writes down: every answer once, and never more than a caller may have written."""

from collections.abc import Iterator

import pytest
from gate_world import FREEZE, Gate, plan_of, stable_of
from rollout_world import ENVIRONMENT, SCOPE, SERVICE, RolloutWorld

from deploymark.act.gate_book import ENTRIES_AT_ONCE, ENTRIES_PER_SECOND, SAME_MS, reasons_of
from deploymark.errors import RateLimitedError
from deploymark.ingest.callers import LOCAL_PRINCIPAL
from deploymark.judge.policy import TicketRule
from deploymark.model.limits import ITEMS
from deploymark.projections.logged import read_entry

MINUTES = SAME_MS // 60_000


@pytest.fixture
def world() -> Iterator[RolloutWorld]:
    with RolloutWorld() as world:
        yield world


def test_an_answer_is_an_entry_that_the_platform_signed(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world, [FREEZE])
    index = gate.book.write(gate.look(), "token:ci")
    assert index is not None
    entry = read_entry(world.store.entry(index))
    assert world.log.ring.check(index, entry.leaf).name == "admin"
    assert entry.leaf.principal == LOCAL_PRINCIPAL
    (said,) = gate.answers()
    assert entry.content == said
    assert (said.action, said.actor, said.result) == ("gate", "token:ci", "fail")
    assert (said.service, said.environment) == SCOPE
    assert said.deployment_id == f"{identity}~1"
    assert said.reasons is not None
    assert said.reasons[0].startswith("policy:frozen: It is ")
    assert world.meter.counts["deploymark_gate_answers_total{result=fail}"] == 1


def test_the_same_answer_on_the_same_grounds_has_the_earlier_entry(world: RolloutWorld) -> None:
    plan_of(world)
    gate = Gate(world, [FREEZE])
    first = gate.book.write(gate.look(), "token:ci")
    for _ in range(MINUTES - 1):
        world.clock.advance(60)  # the sentence of the window tells another time
        assert gate.book.write(gate.look(), "token:ci") == first
    assert gate.book.write(gate.look(), "token:else") != first, "it answered somebody else"
    world.clock.advance(60)
    again = gate.book.write(gate.look(), "token:ci")
    assert again is not None
    assert first is not None
    assert again > first


def test_another_answer_or_other_grounds_are_another_entry(world: RolloutWorld) -> None:
    identity = plan_of(world)
    gate = Gate(world, [FREEZE, TicketRule(name="ticket")])
    first = gate.book.write(gate.look(), "token:ci")
    plan_of(world, phase="applying", change_tickets=["CHG1"])
    second = gate.book.write(gate.look(), "token:ci")
    glass = gate.break_glass(identity)
    third = gate.book.write(gate.look(), "token:ci")
    assert len({first, second, third}) == 3
    assert gate.answers()[-1].decision_index == glass


def test_looking_writes_nothing(world: RolloutWorld) -> None:
    plan_of(world)
    gate = Gate(world, [FREEZE])
    size = world.store.head().size
    gate.look()
    assert world.store.head().size == size


def test_what_nobody_ever_spoke_of_is_not_written(world: RolloutWorld) -> None:
    gate = Gate(world, [FREEZE], plans={})
    size = world.store.head().size
    told = gate.look(service="ann@example.com owes 4111 1111 1111 1111")
    assert gate.book.write(told, "token:reader") is None
    plan_of(world)
    told = gate.look("ann-smith-1970-01-01")
    assert gate.book.write(told, "token:reader") is not None
    (said,) = gate.answers()
    assert said.deployment_id is None
    assert "ann" not in str(said)
    assert size < world.store.head().size


def test_ten_thousand_answers_become_no_more_entries_than_one_caller_may_have(
    world: RolloutWorld,
) -> None:
    stable_of(world)
    names = [plan_of(world, version=f"v{n}", action=f"ci/{n}", artifact=None) for n in range(100)]
    gate = Gate(world, [FREEZE], plans={})
    told = [gate.look(name) for name in names]
    size = world.store.head().size
    refused = 0
    for n in range(10_000):
        world.clock.advance(0.1)
        try:
            gate.book.write(told[n % len(told)], "token:attacker")
        except RateLimitedError:
            refused += 1
    grown = world.store.head().size - size
    assert grown <= ENTRIES_AT_ONCE + 1_000 * ENTRIES_PER_SECOND
    assert refused > 0
    assert gate.book.write(told[0], "token:ci") is not None, "nobody else is kept from it"


def test_reasons_fit_into_an_entry_however_long_they_are(world: RolloutWorld) -> None:
    tickets = [str(n) + "\N{PARTY POPPER}" * 60 for n in range(30)]
    plan_of(world, change_tickets=tickets)
    rules = [TicketRule(name=f"r{n}", like=("CHG*",), why="w" * 256) for n in range(200)]
    gate = Gate(world, rules, plans={})
    told = gate.look()
    assert 0 < len(reasons_of(told)) <= ITEMS
    assert gate.book.write(told, "token:ci") is not None
    assert gate.look(service=SERVICE, environment=ENVIRONMENT).answer.decision == "fail"


def test_answers_do_not_push_out_what_was_decided_about_a_deployment(world: RolloutWorld) -> None:
    stable = stable_of(world)
    gate = Gate(world, [FREEZE])
    for n in range(ENTRIES_AT_ONCE):
        gate.book.write(gate.look(), f"token:{n}")
    for n in range(ENTRIES_AT_ONCE):
        gate.book.write(gate.look(stable), f"token:{n}-again")
    shown = world.deployment(stable)["decisions"]
    assert "adopt" in {each["action"] for each in shown}
    assert sum(each["action"] == "gate" for each in shown) == 8
