"""What truly happens: deploys, the steps that they take, and the instances that they start and end.

Plain values. They say what *is*; `witnesses` turn them into what is said.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha1, sha256

from deploymark.model.vocabulary import Kind
from deploymark.testing.gameday.fleet import Lane, Line, Site


class Shape(StrEnum):
    """How a change is brought to its environment."""

    ROLLING = "rolling"
    CANARY = "canary"
    BLUE_GREEN = "blue/green"
    MULTI_CLUSTER = "multi-cluster"
    ROLLBACK = "rollback"
    RERUN = "re-run of an old job"
    FAILING = "failing"
    ABANDONED = "abandoned"
    CONFIG = "config"
    FLAG = "flag"
    MIGRATION = "migration"


KINDS = {
    Shape.CONFIG: Kind.CONFIG,
    Shape.FLAG: Kind.FEATURE_FLAG,
    Shape.MIGRATION: Kind.SCHEMA_MIGRATION,
}
"""The kinds of change that are no deployment of code."""


class What(StrEnum):
    """One step of a deploy."""

    INTENDED = "intended"
    BEGUN = "begun"
    SITE_BEGUN = "site begun"
    STARTED = "instance started"
    ENDED = "instance ended"
    APPLIED = "applied on a site"
    CUT_OVER = "cut over on a site"
    FAILED_HERE = "failed on a site"
    DONE = "done"
    PROMOTED = "promoted"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Release:
    """What can be deployed."""

    name: str
    version: str
    commit: str
    digest: str


def release_of(name: str, version: str) -> Release:
    """Return the release of a service with digests that follow from its name."""
    text = f"{name} {version}".encode()
    commit = sha1(text, usedforsecurity=False).hexdigest()
    return Release(name, version, commit, f"sha256:{sha256(text).hexdigest()}")


@dataclass(slots=True, eq=False)
class Instance:
    """One process of a service.

    Attributes:
        uid: Never used again.
        name: As people see it.
        started, ended: In simulated seconds; it still runs where `ended` is None.
        silent: Nobody ever says anything about it: a fault.
    """

    uid: str
    name: str
    site: Site
    zone: str
    node: str
    deploy: "Deploy" = field(repr=False)
    started: float
    ended: float | None = None
    colour: str | None = None
    track: str | None = None
    silent: bool = False

    def runs_at(self, at: float) -> bool:
        """Tell whether it runs at a simulated second."""
        return self.started <= at and (self.ended is None or at < self.ended)


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happens in a deploy, at a simulated second."""

    at: float
    what: What
    site: Site | None = None
    instance: Instance | None = None
    weight: int | None = None


@dataclass(slots=True, eq=False)
class Deploy:
    """One deploy action.

    Attributes:
        number: Counted over the day.
        run: Of CI; a re-run has the number of the run that it repeats.
        attempt: Of that run.
        rollback_of: The deploy that it takes back.
        colour: Of a blue/green deploy.
        steps: What happens, in the order of time.
        born: The instances that it starts.
        fault: The name of what goes wrong with its markers, None for nothing.
        tag_only: CI does not say the digest.
    """

    number: int
    line: Line
    shape: Shape
    release: Release
    run: int
    revision: str | None = None
    attempt: int = 1
    occurrence: int = 1
    rollback_of: "Deploy | None" = field(default=None, repr=False)
    colour: str | None = None
    steps: tuple[Step, ...] = field(default=(), repr=False)
    born: list[Instance] = field(default_factory=list, repr=False)
    fault: str | None = None
    tag_only: bool = False

    @property
    def lane(self) -> Lane:
        """Where it happens."""
        return self.line.lane

    @property
    def starts(self) -> float:
        """Its first simulated second."""
        return self.steps[0].at

    @property
    def ends(self) -> float:
        """Its last simulated second."""
        return self.steps[-1].at

    @property
    def fails(self) -> bool:
        """It ends without having changed what runs."""
        return self.shape is Shape.FAILING


@dataclass(slots=True)
class World:
    """Everything that truly happened.

    Attributes:
        deploys: In the order of their beginning on each lane.
    """

    lanes: tuple[Lane, ...]
    deploys: list[Deploy]

    def instances(self) -> Iterable[Instance]:
        """Return every instance that ever ran."""
        return (instance for deploy in self.deploys for instance in deploy.born)

    def running_at(self, at: float) -> dict[str, Instance]:
        """Return what runs at a simulated second, by instance uid."""
        return {each.uid: each for each in self.instances() if each.runs_at(at)}
