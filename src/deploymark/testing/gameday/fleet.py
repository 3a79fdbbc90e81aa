"""The fleet of a game day: services, their environments, and the places where they run.

Pure; the same seed gives the same fleet. Everything is named `gameday-…`, so that nothing of it can
be taken for something real.
"""

import random
from dataclasses import dataclass
from typing import Final

from deploymark.model.vocabulary import Kind

PREFIX: Final = "gameday-"
PRODUCTION: Final = f"{PREFIX}prod"
STAGE: Final = f"{PREFIX}stage"
NAMESPACE: Final = "gameday"

_REGIONS: Final = {"eu-1": "eu-west-1", "us-1": "us-east-1", "ap-1": "ap-south-1"}
_ZONES: Final = ("a", "b", "c")
_TEAMS: Final = ("payments", "search", "identity", "media")


@dataclass(frozen=True, slots=True)
class Site:
    """One cluster in which a service is expected, and how many instances there.

    Attributes:
        zones: Instances are spread over them in turn.
    """

    cluster: str
    region: str
    zones: tuple[str, ...]
    instances: int


@dataclass(frozen=True, slots=True)
class Service:
    """One service.

    Attributes:
        labelled: Its instances carry their deployment id; those of others are correlated.
    """

    name: str
    owner: str
    tier: str
    labelled: bool

    @property
    def workload(self) -> str:
        """How orchestrators name it."""
        return f"deploy/{self.name}"


@dataclass(frozen=True, slots=True)
class Lane:
    """A service in an environment: deploys on one lane follow each other."""

    service: Service
    environment: str
    sites: tuple[Site, ...]

    @property
    def key(self) -> str:
        """A name for it."""
        return f"{self.service.name}/{self.environment}"

    @property
    def instances(self) -> int:
        """How many are expected on all sites."""
        return sum(site.instances for site in self.sites)


@dataclass(frozen=True, slots=True)
class Line:
    """What supersedes each other on a lane: of one kind, and of one key where the kind has keys."""

    lane: Lane
    kind: Kind
    key: str | None


def build_fleet(seed: int, services: int) -> tuple[Lane, ...]:
    """Return the lanes of a fleet: every service in production and on stage.

    Every third service runs in several clusters in production, every other one is labelled.

    Args:
        seed: The same seed gives the same fleet.
        services: How many.
    """
    chance = random.Random(f"fleet/{seed}")  # noqa: S311 - a plan, no secret
    lanes = []
    for number in range(services):
        service = Service(
            name=f"{PREFIX}{number:03}",
            owner=f"team:{chance.choice(_TEAMS)}",
            tier="critical" if number % 4 == 0 else "standard",
            labelled=number % 2 == 0,
        )
        clusters = 1 if number % 3 else chance.choice((2, 3))
        lanes.append(Lane(service, PRODUCTION, _sites(chance, clusters, 3)))
        lanes.append(Lane(service, STAGE, _sites(chance, 1, 2)))
    return tuple(lanes)


def _sites(chance: random.Random, clusters: int, instances: int) -> tuple[Site, ...]:
    chosen = sorted(chance.sample(sorted(_REGIONS), clusters))
    return tuple(Site(name, _REGIONS[name], _ZONES, instances) for name in chosen)
