"""What a Rollout says of itself, and what follows from it. Pure.

The fields are those of argoproj.io/v1alpha1 since Argo Rollouts 1.0, where `observedGeneration` is
the generation as text.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from deploymark.errors import ActuatorRefusedError
from deploymark.integrations.kubernetes.objects import Metadata, Template

HASH_LABEL: Final = "rollouts-pod-template-hash"
_AT_A_STEP: Final = "CanaryPauseStep"
_WHOLE: Final = 100


class _Read(Struct, frozen=True, rename="camel"):
    """What all have in common."""


class CanaryStrategy(_Read, frozen=True):
    """The canary strategy; a step is kept as it is written."""

    steps: list[dict[str, Any]] = []
    traffic_routing: dict[str, Any] | None = None


class Strategy(_Read, frozen=True):
    """One of the two."""

    canary: CanaryStrategy | None = None
    blue_green: dict[str, Any] | None = None


class RolloutSpec(_Read, frozen=True):
    """What the rollout shall be."""

    strategy: Strategy = Strategy()
    template: Template = Template()
    workload_ref: dict[str, Any] | None = None
    paused: bool = False


class PauseCondition(_Read, frozen=True):
    """Why Argo waits."""

    reason: str = ""


class Weight(_Read, frozen=True):
    """The share that one release gets."""

    weight: int = 0


class Weights(_Read, frozen=True):
    """What was set where traffic is routed."""

    canary: Weight = Weight()


class CanaryStatus(_Read, frozen=True):
    """Of the canary strategy."""

    weights: Weights | None = None


class RolloutStatus(_Read, frozen=True):
    """What the rollout is, as far as Argo has come."""

    abort: bool = False
    aborted_at: str | None = None
    promote_full: bool = False
    pause_conditions: list[PauseCondition] | None = None
    current_pod_hash: str = ""
    current_step_index: int | None = None
    observed_generation: str = ""
    stable_rs: str = msgspec.field(name="stableRS", default="")
    updated_replicas: int = 0
    phase: str = ""
    message: str = ""
    canary: CanaryStatus = CanaryStatus()


class Hold(NamedTuple):
    """Where a rollout stays by itself at a weight.

    Attributes:
        step: Index of the pause without an end.
        weight: What the canary has there.
    """

    step: int
    weight: int


class Rollout(_Read, frozen=True):
    """A Rollout."""

    metadata: Metadata
    spec: RolloutSpec = RolloutSpec()
    status: RolloutStatus = RolloutStatus()

    @property
    def is_seen(self) -> bool:
        """Whether what Argo says is about the spec as it is."""
        return self.status.observed_generation == str(self.metadata.generation)

    @property
    def is_under_way(self) -> bool:
        """Whether another template than the stable one is being rolled out, or was aborted."""
        return self.status.current_pod_hash != self.status.stable_rs

    @property
    def is_whole(self) -> bool:
        """Whether the template is the stable release, and serves."""
        return self.is_seen and not self.is_under_way and self.status.phase == "Healthy"

    @property
    def is_aborted(self) -> bool:
        """Whether Argo has taken all traffic from the template's release."""
        status = self.status
        if not (self.is_seen and self.is_under_way and status.abort and status.aborted_at):
            return False
        canary = self.spec.strategy.canary
        if canary is None:
            return True  # blue/green: the active one never changed
        if canary.traffic_routing is None:
            return status.updated_replicas == 0
        return status.canary.weights is None or status.canary.weights.canary.weight == 0

    @property
    def steps(self) -> list[dict[str, Any]]:
        """The steps of the canary strategy."""
        canary = self.spec.strategy.canary
        return [] if canary is None else canary.steps

    @property
    def waits_at(self) -> int | None:
        """The step at which it waits without an end, None while it does not."""
        index, conditions = self.status.current_step_index, self.status.pause_conditions or []
        if not self.is_seen or index is None or not 0 <= index < len(self.steps):
            return None
        waits = any(each.reason == _AT_A_STEP for each in conditions)
        return index if waits and _is_endless(self.steps[index]) else None

    def has_weight(self, hold: Hold) -> bool:
        """Tell whether it stays at a weight, and the traffic does as well."""
        if self.waits_at != hold.step or self.status.abort:
            return False
        canary = self.spec.strategy.canary
        weights = self.status.canary.weights
        if canary is None or canary.traffic_routing is None or weights is None:
            return True
        return weights.canary.weight == hold.weight


def hold_at(rollout: Rollout, weight: float) -> Hold:
    """Return where a rollout stays at a weight.

    Raises:
        ActuatorRefusedError: Its strategy has no such place, and Argo sets no other weights.
    """
    name = rollout.metadata.name
    if rollout.spec.strategy.canary is None:
        raise ActuatorRefusedError(
            f"The Rollout {name} is blue/green: its traffic is switched, never split.",
            hint="Give the plan the strategy blue_green.",
        )
    if weight != int(weight):
        raise ActuatorRefusedError(f"Argo sets whole percents, so {weight:g} cannot be set.")
    found = [each for each in holds_of(rollout.steps) if each.weight == weight]
    if not found:
        there = ", ".join(f"{each.weight} %" for each in holds_of(rollout.steps)) or "no weight"
        raise ActuatorRefusedError(
            f"The Rollout {name} does not wait at {weight:g} %; its steps wait at {there}.",
            hint="Write `setWeight` and then `pause: {}` into its steps for each step of the plan.",
        )
    return found[0]


def holds_of(steps: list[dict[str, Any]]) -> list[Hold]:
    """Return where steps wait without an end, with the weight that was set last."""
    found, weight = [], 0
    for index, step in enumerate(steps):
        weight = step.get("setWeight", weight)
        if _is_endless(step):
            found.append(Hold(index, weight))
    return found


def _is_endless(step: Mapping[str, Any]) -> bool:
    pause = step.get("pause")
    return pause is not None and not pause.get("duration")
