"""Picks the actuator that a plan names, and reads its options.

One row of `KINDS` for each; an adapter is imported when a plan names it, so that nobody installs
what they do not use.
"""

import shutil
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import msgspec

from deploymark.act.plan import ActuatorPlan
from deploymark.decoding import convert
from deploymark.errors import CONFIGURATION_HINT, DeploymarkError, ExtraMissingError, UsageError
from deploymark.model.inspection import Inspector
from deploymark.ports import Actuator

NONE: Final = "none"
"""The actuator that only watches: a person does what the rollout wants."""


_LISTED: Final = "docs/howto/actuators.md lists the options of each."


class Kind(NamedTuple):
    """Where an actuator is found.

    Attributes:
        module: Its module below `deploymark.integrations`.
        options: The Struct of its options there.
        actuator: The class there, made of the options alone.
    """

    module: str
    options: str
    actuator: str


KINDS: Final[Mapping[str, Kind]] = {
    "argo_rollout": Kind("argo_rollouts.actuator", "RolloutOptions", "ArgoRollout"),
    "command": Kind("command.actuator", "CommandOptions", "CommandActuator"),
    "webhook": Kind("signed_webhook.actuator", "WebhookOptions", "WebhookActuator"),
    "envoy_weights": Kind("envoy.actuator", "EnvoyOptions", "EnvoyActuator"),
    "kubernetes_deployment": Kind(
        "kubernetes.deployment", "DeploymentOptions", "KubernetesDeployment"
    ),
    "lambda_alias": Kind("aws_lambda.alias", "AliasOptions", "LambdaAlias"),
    "local_fleet": Kind("local_fleet.actuator", "LocalFleetOptions", "LocalFleetActuator"),
}
"""Every actuator, by the kind that plans name."""


def build_actuator(plan: ActuatorPlan, field: str) -> Actuator | None:
    """Return the actuator of a plan, None for one that only watches.

    Args:
        plan: As it was read.
        field: Where it stands in the configuration, as a JSON Pointer.

    Raises:
        UsageError: There is no such actuator, or its options are not what they may be.
        ExtraMissingError: It needs a part of the distribution that is not installed.
    """
    if plan.kind == NONE:
        if plan.options:
            raise UsageError("An actuator that only watches has no options.", field=field)
        return None
    kind = KINDS.get(plan.kind)
    if kind is None:
        raise UsageError(
            f"There is no actuator {plan.kind!r}.",
            hint=f"Kinds are {NONE}, {', '.join(sorted(KINDS))}.",
            field=f"{field}/kind",
        )
    module = import_module(f"deploymark.integrations.{kind.module}")
    make: Callable[[Any], Actuator] = getattr(module, kind.actuator)
    options = _options(getattr(module, kind.options), plan, f"{field}/options")
    try:
        return make(options)
    except ExtraMissingError:
        raise
    except DeploymarkError as error:
        raise UsageError(error.message, hint=_hint_of(error), field=f"{field}/options") from error


def missing_programs(plan: ActuatorPlan) -> tuple[str, ...]:
    """Return the programs of an actuator `command` that cannot be found and run here now."""
    if plan.kind != "command":
        return ()
    named = [plan.options.get(each) for each in ("run", "look")]
    programs = [words[0] for words in named if isinstance(words, list) and words]
    return tuple(each for each in dict.fromkeys(programs) if shutil.which(each) is None)


def _options(struct: type[Any], plan: ActuatorPlan, field: str) -> Any:  # noqa: ANN401 - of the struct
    for fault in Inspector(struct, UsageError).faults(plan.options):
        raise UsageError(
            f"The options of the actuator {plan.kind} are wrong: {fault.message}",
            hint=_hint_of(fault).removesuffix(" Free pairs belong in `labels`."),
            field=f"{field}{fault.field}",
        )
    try:
        return convert(plan.options, struct)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"The options of the actuator {plan.kind} are wrong: {error}.",
            hint=_LISTED,
            field=field,
        ) from error


def _hint_of(error: DeploymarkError) -> str:
    """Return its hint, or where options are described when it has none of its own."""
    usual = (CONFIGURATION_HINT, UsageError.default_hint)
    return _LISTED if error.hint in usual else error.hint
