"""How long a server under test waits, and how much faster than life a game day runs.

A game day is planned in *simulated seconds*, the seconds of a real deploy, and played in real ones:
one real second stands for `compression` simulated ones. The deadlines of the server are divided by
the same number, so the proportions stay those of production. What cannot be compressed keeps its
real length and is named here: a minute off is a wrong clock, refusals are summed up per minute, and
this machine needs some real time to carry a marker from one process to the other.
"""

from dataclasses import dataclass
from typing import Final

REFUSALS_SECONDS: Final = 60.0
"""Refused attempts are told once a minute is over (real seconds; spec: trust)."""

LOST_NUMBER_SECONDS: Final = 10.0
"""A number counts as lost up to this much later than its deadline (real seconds)."""

LEAST_STALE_SECONDS: Final = 2.5
"""No shorter lateness is asked for: it would measure the load of this machine (real seconds)."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """What watchers wait, in simulated seconds; production's defaults.

    Attributes:
        marker: An expected instance or cluster has a marker by then.
        intent: Something followed an intent by then.
        rollout: What is live somewhere is live everywhere by then.
        silence: What is open and silent has failed then.
        stale: Received so much later than claimed.
    """

    marker: float = 600.0
    intent: float = 900.0
    rollout: float = 1_800.0
    silence: float = 86_400.0
    stale: float = 300.0


@dataclass(frozen=True, slots=True)
class Timing:
    """The pace of a game day.

    Attributes:
        compression: Simulated seconds in a real one.
        deadlines: Of the server, in simulated seconds.
        slack_seconds: What a finding may come later than its deadline: watchers and the looks of
            the scorer have an interval, and the machine is busy (real seconds).
    """

    compression: float = 100.0
    deadlines: Deadlines = Deadlines()
    slack_seconds: float = 5.0

    def real(self, simulated: float) -> float:
        """Return real seconds."""
        return simulated / self.compression

    def simulated(self, real: float) -> float:
        """Return simulated seconds."""
        return real * self.compression

    @property
    def marker_seconds(self) -> float:
        """Real seconds that `policy.deadlines.marker` must be."""
        return self.real(self.deadlines.marker)

    @property
    def intent_seconds(self) -> float:
        """Real seconds that `policy.deadlines.intent` must be."""
        return self.real(self.deadlines.intent)

    @property
    def rollout_seconds(self) -> float:
        """Real seconds that `policy.deadlines.rollout` must be."""
        return self.real(self.deadlines.rollout)

    @property
    def silence_seconds(self) -> float:
        """Real seconds that `policy.deadlines.silence` must be."""
        return self.real(self.deadlines.silence)

    @property
    def stale_seconds(self) -> float:
        """Real seconds that `policy.deadlines.stale` must be."""
        return max(self.real(self.deadlines.stale), LEAST_STALE_SECONDS)
