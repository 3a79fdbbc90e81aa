"""Each scope has a lane of its own: what hangs there holds up nobody, and no two act at once."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import pytest
from rollout_traffic import Splitter
from rollout_world import SCOPE, RolloutWorld

from deploymark.act.plan import Scope
from deploymark.errors import ActuatorRefusedError, DeploymarkError
from deploymark.model.vocabulary import VERDICT
from deploymark.ports import Cohort, Deed, Found, Order
from deploymark.projections.broker.rolling import Side
from deploymark.runtime.crew import Crew

CART = ("cart", "prod")
PATIENCE = 60
"""Seconds after which a test is stuck; nothing here waits for as long."""
MOMENT = 0.5
"""Seconds for which something that must not happen is waited for."""


Hangs = Mapping[Scope, threading.Event]
"""Scopes that may hang, and what says that they do."""


class Hanging:
    """An actuator that hangs until it is let go, and then does what it is told, or raises."""

    name = "hanging"

    def __init__(self, splitter: Splitter) -> None:
        self._splitter = splitter
        self.began = threading.Event()
        self.ends = threading.Event()
        self.error: DeploymarkError | None = None

    def look(self, order: Order) -> Found:
        return self._splitter.look(order)

    def carry_out(self, order: Order) -> str:
        self.began.set()
        assert self.ends.wait(PATIENCE)
        if self.error is not None:
            raise self.error
        return self._splitter.carry_out(order)


class Shift:
    """A crew at work on a world, a turn at a time."""

    def __init__(self, world: RolloutWorld, size: int = 4) -> None:
        self._world = world
        self.crew = Crew(size, world.controller.take, world.meter, world.clock.now_ms)

    def go_on(self, seconds: int, hangs: Hangs | None = None, tick: float = 1.0) -> None:
        """Let time pass; at the end of each turn only what hangs is still worked on."""
        for _ in range(int(seconds / tick)):
            self._world.clock.advance(tick)
            self.crew.offer(self._world.controller.due())
            self.rest(hangs)
            self._world.runner.catch_up()

    def rest(self, hangs: Hangs | None = None) -> None:
        """Wait until everything has ended but what hangs by now."""
        crew, known = self.crew, hangs or {}
        for _ in range(PATIENCE * 100):
            hung = {scope for scope, event in known.items() if event.is_set()}
            with crew._condition:
                if not crew._waiting and set(crew._busy) <= hung:
                    return
                crew._condition.wait(0.01)
        pytest.fail(f"Still busy: {crew._busy}, waiting: {crew._waiting}.")


@contextmanager
def _working(world: RolloutWorld, size: int = 4) -> Iterator[Shift]:
    shift = Shift(world, size)
    shift.crew.start()
    yield shift
    assert shift.crew.stop(PATIENCE) == []


@contextmanager
def _taking(world: RolloutWorld, *scopes: Scope) -> Iterator[None]:
    """Take scopes on a thread each, until all have ended."""
    threads = [threading.Thread(target=world.controller.take, args=(each,)) for each in scopes]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()


def _hold_back(world: RolloutWorld, service: str) -> tuple[threading.Event, threading.Event]:
    """Let the source hang where it is asked about a service; return when it is, and the end."""
    asked, ends = threading.Event(), threading.Event()

    def hangs(cohort: Cohort) -> None:
        if cohort.service == service:
            asked.set()
            assert ends.wait(PATIENCE)

    world.traffic.asked = hangs
    return asked, ends


def _decided(world: RolloutWorld, action: str = "shift") -> list[str]:
    return [
        each.service
        for each in world.entries("decision")
        if (each.action, each.stage) == (action, "decided")
    ]


def test_an_actuator_that_hangs_holds_up_nobody_but_its_own_service() -> None:
    with RolloutWorld(services=("cart", "checkout"), environments=("prod", "test")) as world:
        for service, place in (CART, SCOPE, ("checkout", "test")):
            world.stable(service, place)
        hanging = world.actuators[CART] = Hanging(world.splitter)
        world.deploy("v2", weight=0, service="cart")
        with _working(world) as shift:
            hung = {CART: hanging.began}
            shift.go_on(4, hung)
            assert hanging.began.is_set()
            for place in ("prod", "test"):
                world.deploy("v2", weight=0, environment=place)
            shift.go_on(60, hung)
            done = [(order.service, order.environment) for order in world.splitter.orders]
            assert ("checkout", "test") in done
            assert {each.environment for each in world.entries("verdict")} == {"test"}
            # Where something is being changed nothing else is.
            assert SCOPE not in done
            assert "cart is being changed here" in world.controller.wanted[SCOPE].intent.reason
            hanging.ends.set()
            shift.go_on(30)
            done = [(order.service, order.environment) for order in world.splitter.orders]
            assert done.count(CART) >= 1
            assert SCOPE in done


def test_a_source_that_hangs_holds_up_nobody_but_its_own_service() -> None:
    with RolloutWorld(services=("cart", "checkout")) as world:
        for service in ("cart", "checkout"):
            world.stable(service)
            world.deploy("v2", weight=0, service=service)
        asked, ends = _hold_back(world, "cart")
        with _working(world) as shift:
            shift.go_on(400, {CART: asked})
            assert asked.is_set()
            assert world.splitter.deeds == ["shift", "shift", "promote"]
            ends.set()
            shift.go_on(30)
            assert "cart" in [order.service for order in world.splitter.orders]


def test_more_scopes_than_threads_all_have_their_turn() -> None:
    services = [f"shop-{number}" for number in range(5)]
    with RolloutWorld(services=services) as world:
        for service in services:
            world.stable(service)
        for service in services:
            world.deploy("v2", weight=0, service=service)
        with _working(world, size=2) as shift:
            shift.go_on(100)
        assert {order.service for order in world.splitter.orders} == set(services)


def test_of_two_that_decide_at_the_same_moment_in_an_environment_one_acts() -> None:
    with RolloutWorld(services=("cart", "checkout")) as world:
        for service in ("cart", "checkout"):
            world.stable(service)
        for service in ("cart", "checkout"):
            world.deploy("v2", weight=0, service=service)
        together = threading.Barrier(2)

        def meet(_: Side) -> None:
            # Both have read how things are before either of them says anything.
            with suppress(threading.BrokenBarrierError):
                together.wait(MOMENT)

        world.asked = meet
        assert set(world.controller.due()) == {CART, SCOPE}
        with _taking(world, CART, SCOPE):
            pass
        assert len(_decided(world)) == 1


def test_in_two_environments_both_act_at_the_same_moment() -> None:
    with RolloutWorld(environments=("prod", "test")) as world:
        for place in ("prod", "test"):
            world.stable(environment=place)
        for place in ("prod", "test"):
            world.deploy("v2", weight=0, environment=place)
        together = threading.Barrier(2)
        came: set[str] = set()

        def meet(side: Side) -> None:
            # Facts are gathered more than once in a turn: each environment comes once, and is
            # noted before it waits, so that the faster one does not wait again for nobody.
            place = side.document["environment"]
            if side.document["version"] == "v2" and place not in came:
                came.add(place)
                together.wait(PATIENCE)

        world.asked = meet
        scopes = world.controller.due()
        with _taking(world, *scopes):
            pass
        assert came == {"prod", "test"}


def test_a_verdict_is_not_said_while_another_service_decides() -> None:
    with RolloutWorld(services=("cart", "checkout")) as world:
        for service in ("cart", "checkout"):
            world.stable(service)
        world.deploy("v2", weight=0, service="cart")
        while "shift outcome succeeded" not in world.told():
            world.go_on(1)
        world.clock.advance(20)
        canary = world.deploy("v2", weight=0)
        decides, said = threading.Event(), threading.Event()
        early: list[bool] = []

        def decide(side: Side) -> None:
            if side.name.startswith(canary) and not early:
                decides.set()
                early.append(said.wait(MOMENT))

        def say(kind: str, _: bytes) -> None:
            if kind == VERDICT:
                said.set()

        world.asked, world.overheard = decide, say
        assert set(world.controller.due()) == {CART, SCOPE}
        with _taking(world, SCOPE):
            assert decides.wait(PATIENCE)
            with _taking(world, CART):
                pass
        assert early == [False]
        assert said.is_set()


def test_three_services_that_fail_together_are_frozen_once_however_many_threads_there_are() -> None:
    services = ("cart", "checkout", "search")
    with RolloutWorld(services=services) as world:
        for service in services:
            world.stable(service)
        for service in services:
            world.traffic.errors[world.deploy("v2", weight=0, service=service)] = 0.3
        with _working(world) as shift:
            shift.go_on(200)
        assert _decided(world, "freeze") == [None]
        # One was returned before the third failed.
        assert world.splitter.deeds.count(Deed.ROLL_BACK) <= 1


def test_the_lease_is_prolonged_for_as_long_as_something_is_carried_out() -> None:
    with RolloutWorld() as world:
        world.stable()
        hanging = world.actuators[SCOPE] = Hanging(world.splitter)
        world.deploy("v2", weight=0)
        other = world.new_controller("two")
        with _working(world) as shift:
            hung = {SCOPE: hanging.began}
            shift.go_on(4, hung)
            assert hanging.began.is_set()
            for _ in range(6):
                world.clock.advance(110)
                assert other.due() == []
                shift.go_on(5, hung, tick=5)
            hanging.ends.set()
            shift.rest()
            world.runner.catch_up()
            shift.go_on(1)
        assert world.splitter.deeds == ["shift"]
        assert world.told()[-3:] == ["shift decided", "shift executed", "shift outcome succeeded"]


@pytest.mark.parametrize("error", [ActuatorRefusedError("A later order is in force."), None])
def test_who_lost_the_lease_while_it_carried_something_out_says_at_most_what_it_did(
    error: DeploymarkError | None,
) -> None:
    with RolloutWorld() as world:
        world.stable()
        world.deploy("v2", weight=0)
        world.go_on(1)
        assert world.told()[-1] == "shift decided"
        hanging = world.actuators[SCOPE] = Hanging(world.splitter)
        hanging.error = error
        world.controller.due()
        with _taking(world, SCOPE):
            assert hanging.began.wait(PATIENCE)
            world.actuators[SCOPE] = world.splitter
            other = world.new_controller("two")
            world.clock.advance(119)
            assert other.due() == []
            world.clock.advance(2)  # the first one does not come to prolong it
            for _ in range(3):
                world.turn(other)
            hanging.ends.set()
        world.runner.catch_up()
        world.turn(other)
        told = [each for each in world.told() if each.startswith("shift outcome")]
        assert told == ["shift outcome succeeded"]
        fences = [order.fence for order in world.splitter.orders]
        # What can remember a fence refuses the late one; what cannot is brought to the same.
        assert fences == ([2] if error else [2, 1])
        assert len({order.key for order in world.splitter.orders}) == 1


def test_what_was_seen_under_a_lease_that_ended_is_not_said() -> None:
    with RolloutWorld() as world:
        world.stable()
        world.deploy("v2", weight=0)
        while "shift outcome succeeded" not in world.told():
            world.go_on(1)
        world.clock.advance(20)
        world.controller.due()
        asked, ends = _hold_back(world, "checkout")
        with _taking(world, SCOPE):
            assert asked.wait(PATIENCE)
            world.clock.advance(121)
            ends.set()
        assert world.entries("verdict") == []
        world.go_on(3)
        assert [each.look for each in world.entries("verdict")] == [1]


def test_who_let_go_decides_and_carries_out_nothing_more() -> None:
    with RolloutWorld() as world:
        world.stable()
        world.deploy("v2", weight=0)
        world.go_on(1)
        assert world.told()[-1] == "shift decided"
        assert world.controller.due() == [SCOPE]
        world.controller.let_go()
        world.controller.take(SCOPE)
        world.go_on(5)
        assert world.splitter.deeds == []
        assert world.controller.due() == []


def test_an_actuator_that_fails_by_itself_leaves_it_to_a_person() -> None:
    with RolloutWorld() as world:
        world.stable()
        world.splitter.before = [ZeroDivisionError()]
        world.deploy("v2", weight=0)
        world.go_on(10)
        assert world.told()[-1] == "shift outcome unknown"
        assert world.wants == ("page", "outcome_unknown")


def test_a_word_in_doubt_lets_nobody_decide_before_it_is_known_whether_it_stands() -> None:
    with RolloutWorld(services=("cart", "checkout")) as world:
        for service in ("cart", "checkout"):
            world.stable(service)
            world.deploy("v2", weight=0, service=service)
        world.lag = True
        world.lost.add("decided")
        world.clock.advance(1)
        world.turn()
        assert len(_decided(world)) == 1
        world.go_on(5)  # the views do not show it yet
        assert len(_decided(world)) == 1
