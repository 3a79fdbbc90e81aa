"""The suite of the port `Actuator` passes a right one and finds each kind of wrong one."""

from collections.abc import Callable

import msgspec
import pytest

from deploymark.errors import ActuatorRefusedError, ActuatorUnavailableError, OutcomeUnknownError
from deploymark.ports import Actuator, Deed, Found, Order, encode_order
from deploymark.testing.actuator import (
    ScriptedActuator,
    Trouble,
    exercise_actuator,
    order_for,
)


@pytest.mark.parametrize("sees", [True, False])
def test_the_scripted_actuator_passes(*, sees: bool) -> None:
    exercise_actuator(lambda: ScriptedActuator(sees=sees))


class Remembering(ScriptedActuator):
    """Looks at what it did last, not at what is so."""

    def look(self, order: Order) -> Found:
        return Found.DONE if order in self.orders else Found.NOT_DONE


class Adding(ScriptedActuator):
    """Does the same order twice."""

    def carry_out(self, order: Order) -> str:
        again = order in self.orders
        said = super().carry_out(order)
        self._weight += again
        return said


class Forgetful(ScriptedActuator):
    """Takes any fence."""

    def carry_out(self, order: Order) -> str:
        self._fence = 0
        return super().carry_out(order)


class Eager(ScriptedActuator):
    """Acts, and then says that it did nothing."""

    def carry_out(self, order: Order) -> str:
        try:
            return super().carry_out(order)
        except ActuatorUnavailableError:
            self._weight = order.weight
            raise


class Hopeful(ScriptedActuator):
    """Says that it may be tried again where that could do it twice."""

    def carry_out(self, order: Order) -> str:
        try:
            return super().carry_out(order)
        except OutcomeUnknownError as error:
            raise ActuatorUnavailableError(error.message) from None


class Stubborn(ScriptedActuator):
    """Says that it may be tried again where it refuses for good."""

    def carry_out(self, order: Order) -> str:
        try:
            return super().carry_out(order)
        except ActuatorRefusedError as error:
            raise ActuatorUnavailableError(error.message) from None


class Homeless(ScriptedActuator):
    """Returns to a release that is not there."""

    def carry_out(self, order: Order) -> str:
        return super().carry_out(msgspec.structs.replace(order, stable=self.stable))


class Boastful(ScriptedActuator):
    """Says that it is so, whatever is."""

    def look(self, order: Order) -> Found:
        return Found.DONE if order.key else Found.UNKNOWN


class Mute(ScriptedActuator):
    """Does not say what it did."""

    def carry_out(self, order: Order) -> str:
        super().carry_out(order)
        return ""


class Reluctant(ScriptedActuator):
    """Does not go back."""

    def carry_out(self, order: Order) -> str:
        if order.deed is Deed.ROLL_BACK and order.stable is not None:
            return "Not now."
        return super().carry_out(order)


WRONG = (
    *(Remembering, Adding, Forgetful, Eager, Hopeful, Stubborn),
    *(Homeless, Boastful, Mute, Reluctant),
)


@pytest.mark.parametrize("make", WRONG)
def test_the_suite_finds_what_is_wrong(make: Callable[[], ScriptedActuator]) -> None:
    with pytest.raises(AssertionError):
        exercise_actuator(make)


def test_a_world_where_a_trouble_cannot_happen_says_so_and_passes() -> None:
    class Calm(ScriptedActuator):
        def suffer(self, trouble: Trouble) -> bool:
            return trouble not in Trouble

    exercise_actuator(Calm)


def test_programs_outside_are_told_every_part_of_an_order_by_name() -> None:
    world = ScriptedActuator()
    actuator: Actuator = world
    order = order_for(world, Deed.ROLL_BACK, fence=3)
    assert actuator.carry_out(order)
    assert msgspec.json.decode(encode_order(order)) == {
        "v": 1,
        "action": "roll_back",
        "key": "d-canary~1:roll_back:1",
        "service": "shop",
        "environment": "prod",
        "canary": {"deployment": "d-canary~1", "version": "2", "digest": "", "name": "canary"},
        "stable": {"deployment": "d-stable~1", "version": "1", "digest": "", "name": "stable"},
        "weight": 0.0,
        "reason": "A test wants it.",
        "decision_index": 41,
        "fence": 3,
    }
    without = msgspec.structs.replace(order, stable=None)
    assert msgspec.json.decode(encode_order(without))["stable"] is None
