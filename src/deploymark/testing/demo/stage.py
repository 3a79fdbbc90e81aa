"""What the demonstration happens on: a server, an observer and a fleet, started and ended here.

All of it lies in one throw-away directory, and every process is one that this one started. Leaving
the block ends them in an order in which nothing waits for what has gone, each in bounded time.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, save_private
from deploymark.emit.emitter import Emitter, State
from deploymark.emit.settings import Settings
from deploymark.errors import RefusedError, ServerUnavailableError
from deploymark.ingest.key_entries import registration
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import KEY, EmitterKind, Phase
from deploymark.runtime.compose import platform_signer
from deploymark.runtime.data_directory import DataDirectory
from deploymark.runtime.serve import parse_listen
from deploymark.runtime.system import SystemClock
from deploymark.server.listening import listen
from deploymark.testing.demo.commands import Command
from deploymark.testing.demo.story import ENVIRONMENT, SERVICE, Act, configuration
from deploymark.testing.fleet.control import controlled
from deploymark.testing.fleet.keeper import Fleet, FleetSettings
from deploymark.testing.fleet.release import ReleaseDirectory, write_release
from deploymark.testing.gameday.door import Door
from deploymark.testing.simulation import services as simulated_services
from deploymark.testing.simulation.player import Told, simulating

PREFIX: Final = "deploymark-demo-"
PRODUCERS: Final = ("ci", "observer")

_REFUSED: Final = 400
_BUDGET_SECONDS: Final = 20.0
_OBSERVE_SECONDS: Final = 1
_REPORT_SECONDS: Final = 0.5

Pause = Callable[[float], None]
"""Waits so many seconds; raises when somebody wants to end."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the stage is made for.

    Attributes:
        listen: Where the server listens, `HOST:PORT`.
        seed: The same seed, the same chances.
        latency: Latency is compared as well.
        fleet: A simulated fleet stands beside it.
    """

    listen: str
    seed: int
    latency: bool
    fleet: bool = False


class Stage:
    """The stage while it stands; not for several threads at once.

    Attributes:
        url: Of the server.
        data: Its data directory.
        fleet: The processes of the service.
        reader: Asks the server what people may see.
        token: What a person takes to look around: reader and operator.
        sign_in: A link that signs a browser in, once and within ten minutes.
        simulated: What the server was told of a simulated fleet; None without one.
    """

    def __init__(
        self, place: Path, server: "_Server", fleet: Fleet, emitter: Emitter, observer: Command
    ) -> None:
        self.url, self.data, self.token = server.url, server.data, server.people
        self.sign_in, self.simulated = server.sign_in, server.simulated
        self.reader, self.fleet = server.door, fleet
        self._server, self._observer = server.command, observer
        self._place = place
        self._emitter = emitter

    def check(self) -> None:
        """Raise `ServerUnavailableError` when the server or the observer has ended by itself."""
        self._server.check()
        self._observer.check()

    def deploy(self, act: Act, *, weight: float | None) -> tuple[str, ReleaseDirectory, int]:
        """Deploy a release as a pipeline does, and say so; returns its id, itself, the entry.

        Args:
            act: Which.
            weight: Percent of the traffic that it has by its deploy; None: all of it.

        Raises:
            ServerUnavailableError, RefusedError: The marker does not stand in the log.
            FleetUnavailableError: It does not start.
        """
        release = write_release(self._place / "releases" / act.version, act.behaviour)
        identity, _ = self._mark(Phase.APPLYING, release, weight)
        self.fleet.deploy(f"v{act.version}", identity, release, act.replicas)
        identity, index = self._mark(Phase.APPLIED, release, weight)
        return identity, release, index

    def ask(self, action: str, deployment: str, reason: str) -> int:
        """Let a person ask for an action, and return the entry that says so.

        Raises:
            ServerUnavailableError: The server refuses.
        """
        asked = {"action": action, "deployment_id": deployment, "reason": reason}
        reply = self.reader.post("/v1/actions", json.dumps(asked).encode())
        return int(_granted(reply.status, reply.content)["decision_index"])

    def _mark(
        self, phase: Phase, release: ReleaseDirectory, weight: float | None
    ) -> tuple[str, int]:
        rollout = None if weight is None else {"strategy": "canary", "weight": weight}
        marked = self._emitter.mark_and_deliver(
            phase,
            budget_seconds=_BUDGET_SECONDS,
            patient=True,
            service=SERVICE,
            environment=ENVIRONMENT,
            artifact={"digest": release.digest},
            version=release.version,
            rollout=rollout,
        )
        if marked.state is State.REFUSED:
            raise RefusedError(f"The marker of version {release.version}: {marked.reason}")
        if marked.state is not State.DELIVERED:
            raise ServerUnavailableError(f"The marker of {release.version}: {marked.reason}")
        return marked.deployment_id, int(marked.answer["index"])


@contextmanager
def throw_away() -> Iterator[Path]:
    """Make a directory that is gone afterwards, with all that is in it."""
    # Resolved: observers see where processes work as the kernel names it.
    place = Path(mkdtemp(prefix=PREFIX)).resolve()
    try:
        yield place
    finally:
        rmtree(place, ignore_errors=True)


@contextmanager
def open_stage(place: Path, wanted: Wanted, pause: Pause) -> Iterator[Stage]:
    """Start everything; on leaving, end it all.

    Args:
        place: An empty directory.
        wanted: What for.
        pause: How to wait.

    Raises:
        UsageError: The address cannot be listened on.
        UnavailableError: Something does not start.
    """
    listen(*parse_listen(wanted.listen)).close()
    control = place / "fleet.json"
    with ExitStack() as stack:
        server = _start_server(stack, place, wanted, control, pause)
        emitter = Emitter(
            Settings(
                url=server.url,
                token=server.tokens["ci"],
                key=str(place / "ci.pem"),
                spool=str(place / "spool"),
            ),
            kind=EmitterKind.CI,
            emitter_id="demo/deploy",
            facts={},
            strict=True,
        )
        stack.callback(emitter.close, 1.0)
        settings = FleetSettings(
            service=SERVICE,
            environment=ENVIRONMENT,
            telemetry_url=server.url,
            token=server.tokens["service"],
            report_seconds=_REPORT_SECONDS,
            seed=wanted.seed,
        )
        fleet = stack.enter_context(Fleet(settings, place / "fleet"))
        stack.enter_context(controlled(fleet, control))
        observer = _start_observer(place, server)
        stack.callback(observer.end)
        yield Stage(place, server, fleet, emitter, observer)


@dataclass(frozen=True, slots=True)
class _Server:
    command: Command
    url: str
    data: Path
    tokens: dict[str, str]
    people: str
    door: Door
    sign_in: str
    simulated: Told | None


def _start_server(
    stack: ExitStack, place: Path, wanted: Wanted, control: Path, pause: Pause
) -> _Server:
    written = configuration(str(control), latency=wanted.latency)
    if wanted.fleet:
        written += simulated_services.configuration()
    (place / "deploymark.toml").write_text(written, encoding="utf-8")
    words = ("up", "--data", "data", "--config", "deploymark.toml", "--listen", wanted.listen)
    command = Command((*words, "--json"), place, {})
    stack.callback(command.end)
    said = command.first_line(pause)
    url, data = str(said["url"]), place / "data"
    simulated = None
    with closing(Door(url, str(said["admin_token"]))) as admin:
        if wanted.fleet:
            pause(0)
            simulated = stack.enter_context(simulating(admin, wanted.seed, SystemClock()))
        scope = {"services": [SERVICE], "environments": [ENVIRONMENT]}
        tokens = {
            "ci": _issue(admin, "ci", ["emitter"], scope),
            "observer": _issue(admin, "observer", ["emitter", "reader"], scope),
            "service": _issue(admin, "service", ["emitter"], scope),
        }
        people = _issue(admin, "ada", ["reader", "operator"], None)
        for name in PRODUCERS:
            _register(admin, DataDirectory(data), name, place / f"{name}.pem")
    door = stack.enter_context(closing(Door(url, people)))
    return _Server(command, url, data, tokens, people, door, str(said["sign_in"]), simulated)


def _start_observer(place: Path, server: _Server) -> Command:
    words = ("observe", "--service", SERVICE, "--environment", ENVIRONMENT)
    which = ("--directory", str(place / "releases"), "--release", "cwd")
    how = ("--interval", f"{_OBSERVE_SECONDS}", "--url", server.url, "--sign", "observer.pem")
    (place / "releases").mkdir()
    told = {
        "DEPLOYMARK_TOKEN": server.tokens["observer"],
        "DEPLOYMARK_SPOOL": str(place / "observer-spool"),
    }
    return Command((*words, *which, *how, "--json"), place, told)


def _issue(admin: Door, name: str, roles: list[str], scope: dict[str, list[str]] | None) -> str:
    wanted: dict[str, Any] = {"name": name, "roles": roles}
    if scope is not None:
        wanted["scope"] = scope
    reply = admin.post("/v1/tokens", json.dumps(wanted).encode())
    return str(_granted(reply.status, reply.content)["token"])


def _register(admin: Door, data: DataDirectory, name: str, file: Path) -> None:
    """Make a producer key, and let the log say what it may sign."""
    key = generate_key(KeyAlgorithm.ED25519)
    assert isinstance(key, Ed25519PrivateKey)
    save_private(file, key)
    payload = registration(
        key.public_key().public_bytes_raw(),
        name,
        Scope(services=(SERVICE,), environments=(ENVIRONMENT,)),
        SystemClock().now_ms(),
        "signs in the demonstration",
    )
    envelope = sign_envelope(KEY, payload, [platform_signer(data, None)])
    reply = admin.post("/v1/entries", msgspec.json.encode(envelope))
    _granted(reply.status, reply.content)


def _granted(status: int, content: dict[str, Any]) -> dict[str, Any]:
    if status >= _REFUSED:
        raise ServerUnavailableError(f"The server refuses with {status}: {content.get('detail')}.")
    return content
