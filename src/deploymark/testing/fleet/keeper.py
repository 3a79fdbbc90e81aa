"""Keeps the processes of a fleet: what shall run with how much traffic, made so and ended.

One service in one environment. A release is deployed once; how many of it run and how much of the
traffic it gets is then decided by orders, each to its end before the next.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from deploymark.errors import ActuatorRefusedError, FleetUnavailableError, UsageError
from deploymark.ports import Deed, Found, Order, Release
from deploymark.testing.fleet.child import Child
from deploymark.testing.fleet.release import PROGRAM, ReleaseDirectory

_WHOLE: Final = 100.0
_DRAIN_SECONDS: Final = 3.0
_POLL_SECONDS: Final = 0.02


class FleetSettings(Struct, frozen=True, kw_only=True):
    """What a fleet is.

    Attributes:
        service, environment: Whose instances they are.
        telemetry_url: Where instances report over OTLP, such as `http://127.0.0.1:8420`; "" for
            nowhere.
        token: For that.
        report_seconds: How often they report.
        port: Where the splitter listens; 0 for any free port.
        seed: The same seed, the same chances.
        attributes: More attributes of the resource of each instance.
    """

    service: str = "shop"
    environment: str = "demo"
    telemetry_url: str = ""
    token: str = ""
    report_seconds: float = 1.0
    port: int = 0
    seed: int = 1
    attributes: dict[str, str] = {}


@dataclass
class Deployed:
    """A release that was deployed.

    Attributes:
        name: How orders may call it.
        deployment: Its id, as markers carry it.
        release: What it is.
        replicas: How many instances it was deployed with.
        whole: How many instances it was promoted with; 0 when it was not.
        weight: Percent of the traffic that it gets.
        instances: Those that run, by port.
    """

    name: str
    deployment: str
    release: ReleaseDirectory
    replicas: int
    whole: int = 0
    weight: float = 0.0
    instances: dict[int, Child] = field(default_factory=dict)


class Fleet:
    """The processes; use it as a context. Safe on any thread.

    Args:
        settings: What it is.
        folder: Where the splitter works; instances work in their release.

    Attributes:
        port: Where the splitter listens, once the block has begun.
    """

    def __init__(self, settings: FleetSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._lock = threading.RLock()
        self._deployed: dict[str, Deployed] = {}
        self._splitter: Child | None = None
        self._load: Child | None = None
        self._started = 0
        self._fence = 0
        self.port = 0

    def __enter__(self) -> Self:
        """Start the splitter."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._splitter = self._run("splitter")
            told = {"port": self._settings.port, "seed": self._settings.seed}
            self.port = int(self._splitter.begin(told)["port"])
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End all processes."""
        self.stop()

    def stop(self) -> None:
        """End all processes, and return when they are gone; idempotent."""
        with self._lock:
            children = [self._load, self._splitter]
            for each in self._deployed.values():
                children += each.instances.values()
                each.instances = {}
            self._load = self._splitter = None
            _end(child for child in children if child is not None)

    def deploy(
        self, name: str, deployment: str, release: ReleaseDirectory, replicas: int = 1
    ) -> None:
        """Start a release; it gets no traffic yet, unless it is the first.

        Args:
            name: How orders may call it.
            deployment: Its id.
            release: What it is.
            replicas: How many instances.

        Raises:
            UsageError: Another one has this name.
            FleetUnavailableError: It does not start; then it is not deployed.
        """
        with self._lock:
            if name in self._deployed:
                raise UsageError(f"A release {name} is deployed already.")
            new = Deployed(name, deployment, release, replicas)
            if not self._deployed:
                new.weight = _WHOLE
            self._deployed[name] = new
            try:
                self._settle({name: replicas})
            except BaseException:
                del self._deployed[name]
                _end(new.instances.values())
                raise

    def follow(self, order: Order) -> str:
        """Do what an order says, and return when it is so.

        Returns:
            What was done, one sentence.

        Raises:
            ActuatorRefusedError: Nothing was done, and would not be.
            FleetUnavailableError: Something does not start; it may be done in part.
        """
        with self._lock:
            canary, stable = self._find(order.canary), self._find(order.stable)
            if canary is None or stable is None or canary is stable:
                raise ActuatorRefusedError("The two releases of the order are not deployed here.")
            if order.fence < self._fence:
                raise ActuatorRefusedError(
                    f"A later holder of the lease has acted: {self._fence}, not {order.fence}."
                )
            self._fence = order.fence
            before = {each.name: each.weight for each in self._deployed.values()}
            weights = {canary.name: order.weight, stable.name: _WHOLE - order.weight}
            try:
                wanted = _wanted(order.deed, canary, stable)
                self._weigh(weights)
                self._settle(wanted)
            except BaseException:
                self._weigh(before)
                raise
            # What took the place of all of them stays as many, also beside the next canary.
            canary.whole = wanted[canary.name] if order.deed is Deed.PROMOTE else 0
            return (
                f"{canary.name} gets {order.weight:g} % of the traffic, {_counted(canary, stable)}."
            )

    def looks(self, order: Order) -> Found:
        """Tell whether what an order asks for is so, by asking the splitter and the kernel."""
        with self._lock:
            canary, stable = self._find(order.canary), self._find(order.stable)
            if canary is None or stable is None:
                return Found.UNKNOWN
            weights: Mapping[str, float] = self.tell()["weights"]
            weighted = weights.get(canary.name, 0) == order.weight
            counts = _wanted(order.deed, canary, stable)
            running = all(_alive(self._deployed[name]) == want for name, want in counts.items())
            return Found.DONE if weighted and running else Found.NOT_DONE

    def tell(self) -> dict[str, Any]:
        """Return what the splitter says: weights, backends, counts by release, in flight."""
        return self._ask_splitter({"do": "tell"})

    def state(self) -> list[dict[str, object]]:
        """Return what was deployed, with its weight and what runs of it."""
        with self._lock:
            return [
                {
                    "name": each.name,
                    "deployment": each.deployment,
                    "version": each.release.version,
                    "digest": each.release.digest,
                    "weight": each.weight,
                    "instances": [
                        {"port": port, "process": child.process, "uid": child.uid}
                        for port, child in each.instances.items()
                        if child.is_running()
                    ],
                }
                for each in self._deployed.values()
            ]

    def start_load(self, rate: float) -> None:
        """Send so many requests a second through the splitter, or another number from now on."""
        with self._lock:
            if self._load is None:
                self._load = self._run("load")
                told = {"port": self.port, "rate": rate, "seed": self._settings.seed}
                self._load.begin(told)
            else:
                self._load.ask({"do": "rate", "rate": rate})

    def load(self) -> dict[str, Any]:
        """Return what the load says: sent, answered by status, lost, waiting, latencies."""
        with self._lock:
            if self._load is None:
                raise FleetUnavailableError("There is no load.")
            return self._load.ask({"do": "tell"})

    def processes(self) -> dict[str, list[int]]:
        """Return the numbers of all processes: `splitter`, `load`, and releases by name."""
        with self._lock:
            found = {
                each.name: [child.process for child in each.instances.values()]
                for each in self._deployed.values()
            }
            named = (("splitter", self._splitter), ("load", self._load))
            return found | {name: [child.process] for name, child in named if child is not None}

    def _weigh(self, weights: Mapping[str, float]) -> None:
        for each in self._deployed.values():
            each.weight = weights.get(each.name, 0.0)

    def _settle(self, wanted: Mapping[str, int]) -> None:
        """Start what is missing, then shift, then end what is too much once nothing asks it."""
        ending: dict[int, Child] = {}
        for name, count in wanted.items():
            each = self._deployed[name]
            each.instances, gone = _parted(each.instances)
            ending |= gone
            while len(each.instances) < count:
                self._start(each)
            while len(each.instances) > count:
                port, child = each.instances.popitem()
                ending[port] = child
        weights = {each.name: each.weight for each in self._deployed.values()}
        backends = {each.name: list(each.instances) for each in self._deployed.values()}
        said = self._ask_splitter({"do": "set", "weights": weights, "backends": backends})
        waited = 0.0
        while waited < _DRAIN_SECONDS and any(str(port) in said["in_flight"] for port in ending):
            threading.Event().wait(_POLL_SECONDS)
            waited += _POLL_SECONDS
            said = self.tell()
        _end(ending.values())

    def _start(self, deployed: Deployed) -> None:
        settings = self._settings
        self._started += 1
        child = Child([PROGRAM], deployed.release.path)
        try:
            resource = {
                "service.name": settings.service,
                "service.version": deployed.release.version,
                "deployment.environment.name": settings.environment,
                "deployment.id": deployed.deployment,
                "service.instance.id": child.uid,
                **settings.attributes,
            }
            told = {
                "deployment": deployed.deployment,
                "telemetry_url": settings.telemetry_url,
                "token": settings.token,
                "report_seconds": settings.report_seconds,
                "attributes": resource,
                "seed": self._started,
                "port": 0,
            }
            deployed.instances[int(child.begin(told)["port"])] = child
        except BaseException:
            child.end()
            raise

    def _run(self, module: str) -> Child:
        return Child(["-m", f"{__package__}.{module}"], self._folder)

    def _ask_splitter(self, said: Mapping[str, object]) -> dict[str, Any]:
        with self._lock:
            if self._splitter is None:
                raise FleetUnavailableError("The fleet has ended.")
            return self._splitter.ask(said)

    def _find(self, wanted: Release | None) -> Deployed | None:
        """Return what a release of an order is here: by name, by deployment, by digest."""
        if wanted is None:
            return None
        if wanted.name:
            return self._deployed.get(wanted.name)
        known = list(self._deployed.values())
        by_id = [each for each in known if each.deployment in _ids(wanted.deployment)]
        by_digest = [each for each in known if each.release.digest == wanted.digest]
        found = by_id or by_digest
        return found[-1] if found else None


def _ids(deployment: str) -> set[str]:
    return {deployment, deployment.partition("~")[0]}


def _wanted(deed: Deed, canary: Deployed, stable: Deployed) -> dict[str, int]:
    """Return how many instances of each shall run."""
    match deed:
        case Deed.SHIFT:
            return {canary.name: canary.replicas, stable.name: _whole(stable)}
        case Deed.PROMOTE:
            return {canary.name: max(canary.replicas, _whole(stable)), stable.name: 0}
        case Deed.ROLL_BACK:
            return {canary.name: 0, stable.name: _whole(stable)}


def _whole(deployed: Deployed) -> int:
    """Return how many instances of it carry all of the traffic."""
    return max(deployed.whole, deployed.replicas)


def _alive(deployed: Deployed) -> int:
    return sum(child.is_running() for child in deployed.instances.values())


def _parted(instances: Mapping[int, Child]) -> tuple[dict[int, Child], dict[int, Child]]:
    """Return those that run, and those that have ended by themselves."""
    running = {port: child for port, child in instances.items() if child.is_running()}
    return running, {port: child for port, child in instances.items() if port not in running}


def _counted(*deployed: Deployed) -> str:
    return " and ".join(f"{_alive(each)} of {each.name} run" for each in deployed)


def _end(children: Iterable[Child]) -> None:
    """End processes at once, each by its id."""
    ending = list(children)
    for child in ending:
        child.ask_to_end()
    for child in ending:
        child.end()
