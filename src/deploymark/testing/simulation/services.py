"""Which services the simulated fleet has, and what a server is told of them. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from deploymark.testing.gameday.fleet import Lane, Service, Site

ENVIRONMENT: Final = "prod"
HISTORY_DAYS: Final = 30
SILENT_CLUSTER: Final = "ap-1"
SILENT_ZONE: Final = "c"

_REGIONS: Final = {"ap-1": "ap-south-1", "eu-1": "eu-west-1", "us-1": "us-east-1"}
_ZONES: Final = ("a", "b", "c")
_MISSING_SECONDS: Final = 45
_DAY_SECONDS: Final = 86_400


class Simulated(NamedTuple):
    """One service.

    Attributes:
        owner: The team that answers for it.
        author: Who changes it.
        clusters: Where it runs.
        instances: In each of them.
        version: The first two numbers of its versions.
        rate: Requests a second.
        errors: The share of them that fails while nothing is wrong.
        seconds: How long half of them take.
    """

    name: str
    owner: str
    author: str
    tier: str
    clusters: tuple[str, ...]
    instances: int
    version: str
    rate: int
    errors: float
    seconds: float

    @property
    def lane(self) -> Lane:
        """Where its deploys follow each other."""
        service = Service(self.name, self.owner, self.tier, labelled=True)
        sites = tuple(Site(each, _REGIONS[each], _ZONES, self.instances) for each in self.clusters)
        return Lane(service, ENVIRONMENT, sites)


_EVERYWHERE: Final = ("ap-1", "eu-1", "us-1")

SERVICES: Final = (
    Simulated(
        "cart", "team:shop", "bruno", "critical", ("eu-1", "us-1"), 2, "5.12", 60, 0.002, 0.018
    ),
    Simulated(
        "catalog", "team:search", "dara", "standard", ("eu-1", "us-1"), 2, "4.8", 80, 0.001, 0.024
    ),
    Simulated(
        "checkout", "team:payments", "ana", "critical", ("eu-1", "us-1"), 3, "2.31", 40, 0.004, 0.06
    ),
    Simulated("gateway", "team:edge", "gus", "critical", _EVERYWHERE, 2, "7.3", 200, 0.001, 0.009),
    Simulated(
        "identity", "team:edge", "fatima", "critical", _EVERYWHERE, 2, "3.0", 30, 0.001, 0.03
    ),
    Simulated("notify", "team:shop", "emeka", "standard", ("eu-1",), 2, "1.44", 12, 0.006, 0.045),
    Simulated(
        "payments", "team:payments", "chen", "critical", ("eu-1",), 3, "4.27", 20, 0.002, 0.09
    ),
    Simulated(
        "pricing", "team:shop", "hana", "standard", ("eu-1", "us-1"), 2, "6.1", 50, 0.002, 0.02
    ),
    Simulated("reco", "team:search", "ivan", "standard", ("us-1",), 2, "0.98", 25, 0.008, 0.07),
    Simulated(
        "search", "team:search", "chen", "standard", _EVERYWHERE, 3, "3.53", 90, 0.003, 0.035
    ),
)
"""All of them, by name."""


def configuration() -> str:
    """Return what a server must be told of the fleet, as a piece of its configuration in TOML.

    The history is handed in long after it happened, as out of a spool that waited for a month; what
    is missing is found within a minute, because nobody looks at a demonstration for an hour.
    """
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield "[server]"
    yield "simulated = true"
    yield "[policy.deadlines]"
    yield f"marker = {_MISSING_SECONDS}"
    yield f"stale = {(HISTORY_DAYS + 1) * _DAY_SECONDS}"
    yield "[auth]"
    yield "requests_per_second = 20000"
    yield "requests_burst = 40000"
    for each in SERVICES:
        clusters = ", ".join(f'"{name}"' for name in each.clusters)
        counts = ", ".join(f"{name} = {each.instances}" for name in each.clusters)
        yield f"[services.{each.name}]"
        yield f'owner = "{each.owner}"'
        yield f'tier = "{each.tier}"'
        yield f"[services.{each.name}.environments.{ENVIRONMENT}]"
        yield f"clusters = [{clusters}]"
        yield f"instances = {{ {counts} }}"
    yield ""
