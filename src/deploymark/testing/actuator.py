"""The suite of the port `Actuator`, and an actuator that does what a test says.

An actuator changes a world, so whoever runs the suite brings one, in which two releases run and
from which can be told, without the actuator, how much traffic the canary gets.
"""

from collections.abc import Callable
from enum import Enum
from functools import partial
from typing import Protocol

import msgspec

from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
)
from deploymark.ports import Actuator, Deed, Found, Order, Release


class Trouble(Enum):
    """What may stand between an actuator and its world."""

    NONE = "none"
    AWAY = "away"
    """It cannot be asked: nothing is done."""
    REFUSES = "refuses"
    """It does nothing, and would refuse again."""
    SILENT = "silent"
    """It is asked, and nobody learns what came of it."""


class ActedOn(Protocol):
    """Where two releases of a service run, and who shifts the traffic between them.

    Attributes:
        canary, stable: The releases, named as the actuator wants them named.
        sees: The actuator can look; otherwise it must say `unknown`.
        remembers_fence: What it acts on outlives it, and can tell an older holder of the lease.
    """

    canary: Release
    stable: Release
    sees: bool
    remembers_fence: bool

    def actuator(self) -> Actuator:
        """Return an actuator that has done nothing yet, on the world as it is."""
        ...

    def weight(self) -> float:
        """Return the percent of the traffic that the canary gets, by the world's own word."""
        ...

    def suffer(self, trouble: Trouble) -> bool:
        """Bring a trouble about, or end all with `NONE`; False when it cannot happen here."""
        ...


def order_for(
    world: ActedOn,
    deed: Deed = Deed.SHIFT,
    weight: float = 25,
    *,
    fence: int = 1,
    step: int = 1,
) -> Order:
    """Return an order about the two releases of a world."""
    return Order(
        deed=deed,
        key=f"{world.canary.deployment}:{deed.value}:{step}",
        service="shop",
        environment="prod",
        canary=world.canary,
        stable=world.stable,
        weight={Deed.SHIFT: weight, Deed.PROMOTE: 100.0, Deed.ROLL_BACK: 0.0}[deed],
        reason="A test wants it.",
        decision_index=40 + step,
        fence=fence,
    )


def exercise_actuator(make: Callable[[], ActedOn]) -> None:
    """Run every check on fresh worlds.

    Args:
        make: Returns a world in which the canary gets nothing yet and nothing is in the way.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _does_what_is_ordered,
        _does_the_same_again_without_change,
        _goes_there_and_back,
        _looks_and_does_not_remember,
        _returns_to_nothing_that_is_not_there,
        _refuses_a_lower_fence,
        _does_nothing_while_it_is_away,
        _says_when_it_is_refused,
        _says_when_the_outcome_is_unknown,
    ):
        check(make())


def _does_what_is_ordered(world: ActedOn) -> None:
    actuator, order = world.actuator(), order_for(world)
    assert actuator.name
    assert actuator.look(order) is (Found.NOT_DONE if world.sees else Found.UNKNOWN)
    said = actuator.carry_out(order)
    assert said.strip()
    assert "\n" not in said
    assert world.weight() == 25
    assert actuator.look(order) is (Found.DONE if world.sees else Found.UNKNOWN)


def _does_the_same_again_without_change(world: ActedOn) -> None:
    actuator, order = world.actuator(), order_for(world)
    for _ in range(3):
        actuator.carry_out(order)
        assert world.weight() == 25
    world.actuator().carry_out(order)
    assert world.weight() == 25


def _goes_there_and_back(world: ActedOn) -> None:
    actuator = world.actuator()
    for step, weight in enumerate((5, 0.5, 100, 0, 50)):
        actuator.carry_out(order_for(world, weight=weight, step=step))
        assert world.weight() == weight
    actuator.carry_out(order_for(world, Deed.ROLL_BACK, step=6))
    assert world.weight() == 0
    actuator.carry_out(order_for(world, weight=50, step=7))
    actuator.carry_out(order_for(world, Deed.PROMOTE, step=8))
    assert world.weight() == 100


def _looks_and_does_not_remember(world: ActedOn) -> None:
    first, second = order_for(world, weight=10), order_for(world, weight=20, step=2)
    world.actuator().carry_out(first)
    other = world.actuator()
    if not world.sees:
        assert other.look(first) is Found.UNKNOWN
        return
    assert other.look(first) is Found.DONE
    assert other.look(second) is Found.NOT_DONE
    other.carry_out(second)
    # The first actuator's own order is undone, whoever did that.
    assert world.actuator().look(first) is Found.NOT_DONE
    other.carry_out(order_for(world, Deed.ROLL_BACK, step=3))
    assert other.look(second) is Found.NOT_DONE
    assert other.look(order_for(world, Deed.ROLL_BACK, step=3)) is Found.DONE


def _returns_to_nothing_that_is_not_there(world: ActedOn) -> None:
    actuator = world.actuator()
    actuator.carry_out(order_for(world))
    order = order_for(world, Deed.ROLL_BACK, step=2)
    nowhere = msgspec.structs.replace(order, stable=None)
    assert isinstance(_problem(lambda: actuator.carry_out(nowhere)), ActuatorRefusedError)
    assert world.weight() == 25


def _refuses_a_lower_fence(world: ActedOn) -> None:
    actuator = world.actuator()
    actuator.carry_out(order_for(world, weight=25, fence=7))
    actuator.carry_out(order_for(world, weight=30, fence=7, step=2))  # the same holder goes on
    if not world.remembers_fence:
        return
    older = order_for(world, weight=50, fence=6, step=3)
    for late in (actuator, world.actuator()):
        assert isinstance(_problem(partial(late.carry_out, older)), ActuatorRefusedError)
        assert world.weight() == 30
    actuator.carry_out(order_for(world, weight=50, fence=8, step=3))
    assert world.weight() == 50


def _does_nothing_while_it_is_away(world: ActedOn) -> None:
    actuator = world.actuator()
    actuator.carry_out(order_for(world, weight=10))
    if not world.suffer(Trouble.AWAY):
        return
    order = order_for(world, weight=20, step=2)
    for _ in range(2):
        assert isinstance(_problem(lambda: actuator.carry_out(order)), ActuatorUnavailableError)
    if world.sees:
        assert isinstance(_problem(lambda: actuator.look(order)), ActuatorUnavailableError)
    assert world.suffer(Trouble.NONE)
    assert world.weight() == 10
    actuator.carry_out(order)
    assert world.weight() == 20


def _says_when_it_is_refused(world: ActedOn) -> None:
    actuator = world.actuator()
    actuator.carry_out(order_for(world, weight=10))
    if not world.suffer(Trouble.REFUSES):
        return
    order = order_for(world, weight=20, step=2)
    for _ in range(2):
        assert isinstance(_problem(lambda: actuator.carry_out(order)), ActuatorRefusedError)
    assert world.suffer(Trouble.NONE)
    assert world.weight() == 10


def _says_when_the_outcome_is_unknown(world: ActedOn) -> None:
    actuator = world.actuator()
    actuator.carry_out(order_for(world, weight=10))
    if not world.suffer(Trouble.SILENT):
        return
    order = order_for(world, weight=20, step=2)
    assert isinstance(_problem(lambda: actuator.carry_out(order)), OutcomeUnknownError)
    assert world.suffer(Trouble.NONE)
    assert world.weight() in (10, 20)
    if world.sees:
        done = world.weight() == 20
        assert world.actuator().look(order) is (Found.DONE if done else Found.NOT_DONE)
    actuator.carry_out(order)
    assert world.weight() == 20


def _problem(act: Callable[[], object]) -> DeploymarkError | None:
    try:
        act()
    except DeploymarkError as error:
        return error
    return None


class ScriptedActuator:
    """An `Actuator` of a world that is a number, and that world.

    Attributes:
        canary, stable, sees, remembers_fence: See `ActedOn`.
        trouble: What is in the way now.
        orders: All that were carried out, in order, repetitions as well.
    """

    def __init__(self, *, sees: bool = True) -> None:
        self.canary = Release("d-canary~1", "2", "", "canary")
        self.stable = Release("d-stable~1", "1", "", "stable")
        self.sees = sees
        self.remembers_fence = True
        self.trouble = Trouble.NONE
        self.orders: list[Order] = []
        self._weight = 0.0
        self._fence = 0

    @property
    def name(self) -> str:
        """See `Actuator.name`."""
        return "scripted"

    def actuator(self) -> Actuator:
        """See `ActedOn.actuator`."""
        return self

    def weight(self) -> float:
        """See `ActedOn.weight`."""
        return self._weight

    def suffer(self, trouble: Trouble) -> bool:
        """See `ActedOn.suffer`."""
        self.trouble = trouble
        return True

    def look(self, order: Order) -> Found:
        """See `Actuator.look`."""
        if not self.sees:
            return Found.UNKNOWN
        if self.trouble is Trouble.AWAY:
            raise ActuatorUnavailableError("Told to be away.")
        return Found.DONE if self._weight == order.weight else Found.NOT_DONE

    def carry_out(self, order: Order) -> str:
        """See `Actuator.carry_out`."""
        if self.trouble is Trouble.AWAY:
            raise ActuatorUnavailableError("Told to be away.")
        if self.trouble is Trouble.REFUSES:
            raise ActuatorRefusedError("Told to refuse.")
        if order.fence < self._fence:
            raise ActuatorRefusedError("A later holder of the lease has acted.")
        if order.deed is Deed.ROLL_BACK and order.stable is None:
            raise ActuatorRefusedError("There is no release to return to.")
        self._fence = order.fence
        self._weight = order.weight
        self.orders.append(order)
        if self.trouble is Trouble.SILENT:
            raise OutcomeUnknownError("Told to be silent.")
        return f"The canary gets {order.weight:g} % of the traffic."
