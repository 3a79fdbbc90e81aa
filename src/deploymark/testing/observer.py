"""The suite of the port `Observer`, and an observer that sees what a test says.

An observer looks at a world, so whoever runs the suite brings one: something in which an instance
of an artifact can be started and ended.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from typing import Protocol

from deploymark.errors import ObservationError
from deploymark.ports import ObservedInstance, Observer

_ARTIFACTS = (b"first artifact", b"second artifact")


class World(Protocol):
    """Where the instances of one service run, and who looks at them."""

    @property
    def observer(self) -> Observer:
        """Who looks."""
        ...

    def start(self, artifact: bytes) -> str:
        """Start an instance that executes an artifact made from these bytes, until it runs.

        Returns:
            What `stop` takes.
        """
        ...

    def stop(self, instance: str) -> None:
        """End an instance, until it is gone."""
        ...


def exercise_observer(make: Callable[[], World]) -> None:
    """Run every check on fresh worlds.

    Args:
        make: Returns a world in which nothing runs.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _sees_nothing_where_nothing_runs,
        _says_the_same_again,
        _tells_instances_and_artifacts_apart,
        _sees_who_ended,
        _ends_nobody_whom_it_does_not_know,
    ):
        check(make())


def _sees_nothing_where_nothing_runs(world: World) -> None:
    assert world.observer.observe() == []
    assert world.observer.name


def _says_the_same_again(world: World) -> None:
    instance = world.start(_ARTIFACTS[0])
    (first,) = world.observer.observe()
    (second,) = world.observer.observe()
    assert first == second
    assert first.digest.startswith("sha256:")
    assert not first.why
    world.stop(instance)


def _tells_instances_and_artifacts_apart(world: World) -> None:
    instances = [world.start(artifact) for artifact in (*_ARTIFACTS, _ARTIFACTS[0])]
    seen = world.observer.observe()
    assert len({each.uid for each in seen}) == len(instances) == len(seen)
    digests = [each.digest for each in seen]
    assert sorted(digests.count(digest) for digest in set(digests)) == [1, 2]
    for instance in instances:
        world.stop(instance)


def _sees_who_ended(world: World) -> None:
    first = world.start(_ARTIFACTS[0])
    (ended,) = world.observer.observe()
    second = world.start(_ARTIFACTS[0])
    world.stop(first)
    (left,) = world.observer.observe()
    assert left.uid != ended.uid
    assert world.observer.ended((ended.uid, left.uid)) == {ended.uid}
    world.stop(second)
    assert world.observer.observe() == []
    assert world.observer.ended((left.uid, ended.uid)) == {ended.uid, left.uid}


def _ends_nobody_whom_it_does_not_know(world: World) -> None:
    assert world.observer.ended(()) == frozenset()
    assert not world.observer.ended(("", "x", "a pod/of another kind", "0b0c:not-a-number:1"))


class ScriptedObserver:
    """An `Observer` of a world that is a list.

    Attributes:
        blind: It cannot look.
        asked: Of which instances it was asked whether they have ended, each time.
    """

    def __init__(self) -> None:
        self.blind = False
        self.asked: list[tuple[str, ...]] = []
        self._running: dict[str, ObservedInstance] = {}
        self._ended: frozenset[str] = frozenset()
        self._started = 0

    @property
    def name(self) -> str:
        """See `Observer.name`."""
        return "scripted:test"

    @property
    def observer(self) -> Observer:
        """See `World.observer`."""
        return self

    def observe(self) -> Sequence[ObservedInstance]:
        """See `Observer.observe`."""
        if self.blind:
            raise ObservationError("Told to see nothing.")
        return list(self._running.values())

    def ended(self, uids: Collection[str]) -> frozenset[str]:
        """See `Observer.ended`."""
        self.asked.append(tuple(uids))
        return self._ended.intersection(uids)

    def start(self, artifact: bytes, place: Mapping[str, str] | None = None) -> str:
        """See `World.start`; what it returns is the instance uid.

        Args:
            artifact: What it executes; nobody knows of an empty one.
            place: Where it runs, as far as the observer sees it.
        """
        self._started += 1
        uid = f"uid-{self._started}"
        digest = f"sha256:{sha256(artifact).hexdigest()}" if artifact else ""
        why = "" if artifact else "Nobody knows."
        name = f"instance-{self._started}"
        self._running[uid] = ObservedInstance(uid, name, digest, why, place or {})
        return uid

    def stop(self, instance: str) -> None:
        """See `World.stop`."""
        del self._running[instance]
        self._ended |= {instance}
