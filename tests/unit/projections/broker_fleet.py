"""Random histories of a fleet, what complete witnesses say of them, and what is true.

A history is what really happened: services, their releases one after the other, and the instances
that ran them in each cluster. From it follows every marker that CI, the orchestrator, the observer
and the processes themselves would send. What of that arrives, when, and how often is drawn apart.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from broker_markers import ENVIRONMENT, HOUR, Fields, ci, gone, id_of, orchestrated, own_id, pod
from broker_reading import Settings
from broker_world import World
from hypothesis import strategies as st

WITNESSES = ("ci", "orchestrator", "runtime")
_MOST_DELAY_SECONDS = 600


@dataclass(frozen=True)
class Release:
    """One release of a service, which is the truth about its deployment.

    Attributes:
        service: Whose.
        run: The deploy action.
        artifact: What stands for its digest; two releases may share it.
        at: When CI began, seconds since the history began.
        failed: CI gave up before anything was applied.
        attempt: Of the run; the second is an old job that was run again after a newer release.
    """

    service: str
    run: str
    artifact: str
    at: int
    failed: bool
    attempt: int = 1

    @property
    def deployment(self) -> str:
        """The id that CI's markers give it."""
        return id_of(ci("planned", self.artifact, run=self.run, service=self.service))


@dataclass(frozen=True)
class Statement:
    """One marker of a complete account.

    Attributes:
        fields: The flat marker, numbered.
        at: When it was made.
        witness: Who made it.
        release: Which release it is about.
        cluster: Where.
    """

    fields: Fields
    at: int
    witness: str
    release: Release
    cluster: str

    @property
    def uid(self) -> str:
        """The instance that it is about, "" for none."""
        return str(self.fields["target"].get("instance_uid", ""))

    @property
    def joins(self) -> bool:
        """It is evidence that the broker has to find a deployment for."""
        return self.witness != "ci" and self.fields["phase"] != "removed"


@dataclass(frozen=True)
class Fleet:
    """What really happened.

    Attributes:
        releases: Of all services, in the order in which they began.
        clusters: In which each service runs.
        size: Instances of each service in each cluster.
        labelled: Instances and workloads carry the deployment id.
        ending: The end of an instance is told.
    """

    releases: tuple[Release, ...]
    clusters: tuple[str, ...]
    size: int
    labelled: bool
    ending: bool = True

    @property
    def services(self) -> list[str]:
        return sorted({each.service for each in self.releases})

    def live(self, service: str) -> list[Release]:
        """Return the releases of a service that came to run, in order."""
        return [each for each in self.releases if each.service == service and not each.failed]

    def settings(self) -> Settings:
        """Return the configuration that expects this fleet."""
        expected = {
            "clusters": list(self.clusters),
            "instances": dict.fromkeys(self.clusters, self.size),
        }
        return {
            "services": {name: {"environments": {ENVIRONMENT: expected}} for name in self.services}
        }

    def account(self) -> list[Statement]:
        """Return everything that the witnesses say, in the order in which it happens."""
        told = [each for release in self.releases for each in self._of(release)]
        told.sort(key=lambda each: each.at)
        numbers: dict[str, int] = {}
        return [_numbered(each, numbers) for each in told]

    def _of(self, release: Release) -> Iterator[Statement]:
        mine: Fields = {"service": release.service}
        label = {"deployment_id": release.deployment} if self.labelled else {}
        line = self.live(release.service)
        following = [each.at for each in line if each.at > release.at]

        def says(fields: Fields, after: int, witness: str) -> Statement:
            cluster = str(fields["target"]["cluster"])
            return Statement(fields, release.at + after, witness, release, cluster)

        for number, cluster in enumerate(self.clusters):
            for phase, after in (
                ("planned", 0),
                ("applying", 20),
                ("failed" if release.failed else "applied", 90),
            ):
                again: Fields = {"attempt": release.attempt, **mine}
                marker = ci(phase, release.artifact, run=release.run, place=cluster, **again)
                yield says(marker, after + number, "ci")
            if release.failed:
                continue
            seen = orchestrated("applied", release.artifact, place=cluster, **mine, **label)
            yield says(seen, 60 + number, "orchestrator")
            for each in range(self.size):
                uid = uid_of(release, cluster, each)
                # The last one is a scale-up, long after the others.
                later = 25 * 60 if each and each == self.size - 1 else 65 + each
                one = {"place": cluster, **mine, **label}
                declared = pod(uid, release.artifact, basis="declared", **one)
                yield says(declared, later, "runtime")
                yield says(pod(uid, release.artifact, **one), later + 5, "orchestrator")
                if following and self.ending:
                    end = min(following) - release.at + 120
                    yield says(gone(uid, release.artifact, **one), end + each, "orchestrator")


def uid_of(release: Release, cluster: str, number: int) -> str:
    """Return the uid of an instance of a release."""
    return f"{release.run}.{release.attempt}-{cluster}-{number}"


def _numbered(statement: Statement, numbers: dict[str, int]) -> Statement:
    emitter = statement.fields["emitter"]
    # A pipeline numbers anew in each run.
    release = statement.release
    epoch = f"{release.run}.{release.attempt}" if statement.witness == "ci" else "one"
    mine = f"{emitter['id']} {epoch}"
    numbers[mine] = numbers.get(mine, -1) + 1
    fields = {
        **statement.fields,
        "emitter": {**emitter, "epoch": epoch, "sequence": numbers[mine]},
    }
    return Statement(fields, statement.at, statement.witness, statement.release, statement.cluster)


@st.composite
def fleets(
    draw: st.DrawFn,
    *,
    labelled: bool | None = None,
    distinct: bool = True,
    failing: bool = True,
    ending: bool = True,
) -> Fleet:
    """Draw a history.

    Args:
        draw: As hypothesis gives it.
        labelled: Whether deployment ids are carried along; drawn when None.
        distinct: No two releases share a digest; otherwise every third returns to the one of two
            before.
        failing: Some releases may fail.
        ending: The end of an instance is told.
    """
    services = draw(st.integers(1, 2))
    releases: list[Release] = []
    for service in range(services):
        for number in range(draw(st.integers(1, 3) if distinct else st.just(3))):
            name = f"service-{service}"
            returns = not distinct and number == 2
            # What is run again while it is still live is a duplicate, and nothing happens.
            again = distinct and number == 2 and not releases[-1].failed and draw(st.booleans())
            releases.append(
                Release(
                    name,
                    run=f"{name}-{0 if again else number}",
                    artifact=f"{name}-{0 if returns or again else number}",
                    at=number * HOUR + service * 7 + draw(st.integers(0, 600)),
                    failed=failing and number > 0 and not again and draw(st.booleans()),
                    attempt=2 if again else 1,
                )
            )
    return Fleet(
        tuple(sorted(releases, key=lambda each: each.at)),
        draw(st.sampled_from((("eu",), ("eu", "us")))),
        size=draw(st.integers(1, 3)),
        labelled=draw(st.booleans()) if labelled is None else labelled,
        ending=ending,
    )


# Delivering --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Loss:
    """What happens on the way to the log.

    Attributes:
        seed: Decides everything that follows.
        lost: Share that never arrives.
        late: Share that arrives up to ten minutes late.
        doubled: Share that arrives twice.
    """

    seed: int = 0
    lost: float = 0
    late: float = 0
    doubled: float = 0


def losses(*, losing: bool) -> st.SearchStrategy[Loss]:
    """Draw what happens on the way."""
    shares = st.sampled_from((0.0, 0.1, 0.4))
    return st.builds(
        Loss,
        seed=st.integers(0, 2**16),
        lost=shares if losing else st.just(0.0),
        late=shares,
        doubled=shares,
    )


@dataclass
class Told:
    """A fleet whose witnesses have spoken.

    Attributes:
        world: The log that heard them.
        fleet: What really happened.
        heard: What arrived, by the index at which it stands.
    """

    world: World
    fleet: Fleet
    heard: dict[int, Statement] = field(default_factory=dict)

    def spoke(self, release: Release, witness: str) -> list[Statement]:
        """Return what a witness was heard to say of a release."""
        return [
            each
            for each in self.heard.values()
            if each.release == release and each.witness == witness
        ]

    def truth(self, statement: Statement) -> str | None:
        """Return the deployment that evidence belongs to, as far as anybody can know.

        With its label, or when CI was heard of that release: CI's. When CI was not heard at all:
        one of its own. When CI was heard of other clusters only, or of the first attempt only,
        nobody can say: None.
        """
        release = statement.release
        if self.fleet.labelled:
            return release.deployment
        announced = self.spoke(release, "ci")
        if not announced and release.attempt == 1:
            return own_id(release.artifact, release.service)
        if any(each.cluster == statement.cluster for each in announced):
            return release.deployment
        return None


def deliver(world: World, fleet: Fleet, statements: Sequence[Statement], how: Loss) -> Told:
    """Hand statements in, as they come through."""
    random = Random(how.seed)
    arrivals: list[tuple[float, int, Statement]] = []
    for number, each in enumerate(statements):
        lost, late, doubled = (random.random() for _ in range(3))
        if lost < how.lost:
            continue
        copies = 2 if doubled < how.doubled else 1
        for _ in range(copies):
            delay = random.uniform(0, _MOST_DELAY_SECONDS) if late < how.late else 0.2
            arrivals.append((each.at + delay, number, each))
    told = Told(world, fleet)
    for at, _, each in sorted(arrivals, key=lambda arrival: arrival[:2]):
        said = world.say(each.fields, at=at, claimed=each.at)
        assert not said.refused, said
        told.heard.setdefault(said.index, each)
    return told


def all_of(fleet: Fleet, *, but: str | None = None) -> list[Statement]:
    """Return the whole account, or all of it but what one witness says."""
    return [each for each in fleet.account() if each.witness != but]
