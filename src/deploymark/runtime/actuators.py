"""Picks the actuator that a rollout plan names: the only place that knows their kinds."""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from deploymark.act.plan import ActuatorPlan
from deploymark.errors import DeploymarkError, UsageError
from deploymark.integrations.command.actuator import CommandActuator, CommandOptions
from deploymark.integrations.envoy.actuator import EnvoyActuator, EnvoyOptions
from deploymark.integrations.local_fleet.actuator import LocalFleetActuator, LocalFleetOptions
from deploymark.integrations.signed_webhook.actuator import WebhookActuator, WebhookOptions
from deploymark.ports import Actuator

NONE: Final = "none"
"""The kind that only watches."""

T = TypeVar("T", bound=Struct)
Options = Mapping[str, Any]


def _of(shape: type[T], make: Callable[[T], Actuator]) -> Callable[[Options], Actuator]:
    return lambda options: make(msgspec.convert(options, shape))


KINDS: Final[Mapping[str, Callable[[Options], Actuator]]] = {
    "command": _of(CommandOptions, CommandActuator),
    "envoy_weights": _of(EnvoyOptions, EnvoyActuator),
    "local_fleet": _of(LocalFleetOptions, LocalFleetActuator),
    "webhook": _of(WebhookOptions, WebhookActuator),
}
"""Makes an actuator of each kind from its options."""


def build_actuator(plan: ActuatorPlan, field: str) -> Actuator | None:
    """Return the actuator of a plan, None for one that only watches.

    Args:
        plan: Kind and options, as they were read.
        field: Where they stand in the configuration, as a JSON Pointer.

    Raises:
        UsageError: There is no such kind, or an option is missing, unknown or wrong.
    """
    if plan.kind == NONE:
        if plan.options:
            raise UsageError("An actuator that only watches has no options.", field=field)
        return None
    make = KINDS.get(plan.kind)
    if make is None:
        raise UsageError(
            f"There is no actuator {plan.kind!r}.",
            hint=f"Kinds are {NONE}, {', '.join(sorted(KINDS))}.",
            field=f"{field}/kind",
        )
    try:
        return make(plan.options)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"The options of the actuator {plan.kind} are wrong: {error}.",
            hint="docs/howto/actuators.md lists them.",
            field=f"{field}/options",
        ) from None
    except DeploymarkError as error:
        raise UsageError(error.message, hint=error.hint, field=f"{field}/options") from error
