"""What changes what runs: actuators, and the lease that lets one controller act.

An actuator is told what shall be, not what to do: the same order again changes nothing. It keeps
nothing that it could not find out again.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from msgspec import Struct


class Deed(StrEnum):
    """What may be ordered."""

    SHIFT = "shift"
    PROMOTE = "promote"
    ROLL_BACK = "roll_back"


class Release(NamedTuple):
    """One of the two releases of a rollout, as far as it is known.

    Attributes:
        deployment: `d-…~1`.
        version: For people, "" when nobody said it.
        digest: Of the artifact, `sha256:…`, "" when it is unknown.
        name: What the actuator calls it, from the plan or the marker: a weighted cluster, a
            revision, an alias version, a folder; "" lets the actuator find out by digest.
    """

    deployment: str
    version: str
    digest: str
    name: str = ""


class Order(Struct, frozen=True):
    """What shall be, as it was decided and logged.

    Attributes:
        deed: `shift`: the canary gets `weight`; `promote`: the canary is the release, and gets all
            of it; `roll_back`: the stable release is, and the canary gets nothing.
        key: `id~occurrence:action:step`; the same key is the same order.
        service, environment: Where.
        canary: The release that comes.
        stable: The one to return to; None where there is none.
        weight: Percent of the traffic for the canary, 0 to 100.
        reason: Why, one sentence.
        decision_index: The entry of the log that decided it.
        fence: Rises with every holder of the lease: an actuator that can remember it refuses an
            order of a lower fence.
    """

    deed: Deed
    key: str
    service: str
    environment: str
    canary: Release
    stable: Release | None
    weight: float
    reason: str
    decision_index: int
    fence: int


class Found(StrEnum):
    """Whether what an order asks for is so."""

    DONE = "done"
    NOT_DONE = "not_done"
    UNKNOWN = "unknown"


class Actuator(Protocol):
    """Brings one service in one environment to what an order says; one thread at a time."""

    @property
    def name(self) -> str:
        """Which actuator this is, for people."""
        ...

    def look(self, order: Order) -> Found:
        """Tell whether what the order asks for is so, by looking and never by remembering.

        Asked before an order is carried out again after a crash.

        Returns:
            `unknown` when it cannot be seen at all.

        Raises:
            ActuatorUnavailableError: It cannot be asked now.
        """
        ...

    def carry_out(self, order: Order) -> str:
        """Do what the order says, and return when it is so.

        Returns:
            What was done, one sentence.

        Raises:
            ActuatorUnavailableError: Nothing was done, and it may be tried again.
            ActuatorRefusedError: Nothing was done, and it would be refused again.
            OutcomeUnknownError: It may have been done, wholly or in part.
        """
        ...


class LeaseStore(Protocol):
    """Lets one holder at a time do something, and numbers the holders.

    Safe on any thread and, where the medium is shared, among processes. Every method raises
    `StoreUnavailableError` when the medium refuses and `StateBrokenError` when it is damaged.
    """

    def take(self, name: str, holder: str, now_ms: int, until_ms: int) -> int | None:
        """Take or prolong a lease, durably.

        Args:
            name: Of the lease.
            holder: Who asks; the same one prolongs what it holds.
            now_ms: A lease that ended before is free.
            until_ms: Until when it shall be held.

        Returns:
            The fence: higher than that of every earlier holder, the same while it is prolonged.
            None when somebody else holds it.
        """
        ...

    def drop(self, name: str, holder: str) -> None:
        """Give a lease back, if this holder has it."""
        ...
