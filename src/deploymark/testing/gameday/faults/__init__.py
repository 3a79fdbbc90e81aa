"""The faults of a game day, each a small class that knows what must be found.

`ALL` has every one; a third party can add its own, which need nothing but the protocol
`deploymark.testing.gameday.fault.Fault`.
"""

from typing import Final

from deploymark.testing.gameday.fault import Fault
from deploymark.testing.gameday.faults.evidence import DeclaredOnly, TagOnly, WrongDigest
from deploymark.testing.gameday.faults.forgery import Forged, OutOfScope, StrangerKey
from deploymark.testing.gameday.faults.lateness import (
    ClockAhead,
    ClockBehind,
    Delayed,
    PartitionedCi,
    PartitionedOrchestrator,
)
from deploymark.testing.gameday.faults.loss import (
    IntentOnly,
    LostCi,
    LostNumber,
    LostOrchestrator,
    LostRuntime,
)
from deploymark.testing.gameday.faults.repetition import (
    Conflicting,
    RetriedElsewhere,
    SentThrice,
)
from deploymark.testing.gameday.faults.silence import SilentCluster, SilentZone

ALL: Final[tuple[Fault, ...]] = (
    Forged(),
    StrangerKey(),
    OutOfScope(),
    Conflicting(),
    SilentZone(),
    SilentCluster(),
    IntentOnly(),
    LostNumber(),
    LostCi(),
    LostOrchestrator(),
    LostRuntime(),
    Delayed(),
    PartitionedCi(),
    PartitionedOrchestrator(),
    ClockAhead(),
    ClockBehind(),
    SentThrice(),
    RetriedElsewhere(),
    WrongDigest(),
    TagOnly(),
    DeclaredOnly(),
)
"""In the order in which they are given out; those that take longest to be told come first."""

__all__ = ["ALL"]
