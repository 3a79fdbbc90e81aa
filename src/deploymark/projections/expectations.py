"""What is expected to run, as the configuration says it, and how long silence is borne.

Expectations are input of the broker's fold, beside the log: other expectations make another view,
so the broker's version contains their `fingerprint`. Pure values.
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated
from zlib import crc32

import msgspec
from msgspec import Meta, Struct

Seconds = Annotated[float, Meta(ge=0.1, le=31_536_000)]
Instances = Annotated[int, Meta(ge=0, le=1_000_000)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all parts have in common."""


class ExpectedEnvironment(_Part, frozen=True):
    """Where a service is expected in one environment.

    Attributes:
        clusters: The places where every deployment shall go live.
        instances: How many shall run, all together or by cluster; None for not known.
    """

    clusters: tuple[str, ...] = ()
    instances: Instances | dict[str, Instances] | None = None

    @property
    def total(self) -> int | None:
        """How many instances shall run in all."""
        if isinstance(self.instances, dict):
            return sum(self.instances.values())
        return self.instances

    def of_cluster(self, cluster: str | None) -> int | None:
        """Return how many instances shall run in a cluster, None when that is not known."""
        if isinstance(self.instances, dict):
            return self.instances.get(cluster or "")
        return self.instances if self.clusters in ((), (cluster,)) else None


class ExpectedService(_Part, frozen=True):
    """What is known of a service before anything is deployed.

    Attributes:
        owner: Whom to ask.
        tier: How much depends on it.
        aliases: Other names under which evidence speaks of it.
        workloads: Patterns of `target.workload`, as `deploy/checkout*`, that are it.
        environments: Where it is expected, by environment.
    """

    owner: str | None = None
    tier: str = "standard"
    aliases: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    environments: dict[str, ExpectedEnvironment] = {}


class Deadlines(_Part, frozen=True):
    """How long silence is borne, in seconds.

    Attributes:
        marker: Until the marker of something that runs, or was carried out, is missing.
        intent: Until an intent of which nothing more is heard is unconfirmed.
        rollout: Until a rollout that is not live everywhere is partial.
        silence: Until an open deployment of which nothing is heard has failed.
        stale: How late a marker may be received.
        flag: Until a feature flag that nobody changed is stale.
    """

    marker: Seconds = 600.0
    intent: Seconds = 900.0
    rollout: Seconds = 1_800.0
    silence: Seconds = 86_400.0
    stale: Seconds = 300.0
    flag: Seconds = 7_776_000.0


class Expectations(Struct, frozen=True):
    """All of it.

    Attributes:
        services: By name.
        deadlines: For all of them.
        signed_environments: Where intent must be signed by a producer.
    """

    services: dict[str, ExpectedService] = {}
    deadlines: Deadlines = Deadlines()
    signed_environments: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> int:
        """31 bits that change with what the fold takes from here."""
        return crc32(msgspec.json.encode(self, order="sorted")) & 0x7FFFFFFF

    def environment(self, service: str, environment: str) -> ExpectedEnvironment | None:
        """Return where a service is expected, None when nothing is said of it."""
        expected = self.services.get(service)
        return None if expected is None else expected.environments.get(environment)

    def service_of(self, said: str, workload: str | None) -> str:
        """Return the service that evidence is of: by its workload, else by its name or alias."""
        if said in self.services:
            return said
        for name, expected in self.services.items():
            if said in expected.aliases:
                return name
        if workload is not None:
            for name, expected in self.services.items():
                if any(fnmatchcase(workload, pattern) for pattern in expected.workloads):
                    return name
        return said


def merged(services: Mapping[str, ExpectedService]) -> dict[str, ExpectedService]:
    """Return services in the order of their names, so that a file's order means nothing."""
    return dict(sorted(services.items()))
