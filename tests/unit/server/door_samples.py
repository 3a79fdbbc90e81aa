"""A front door before a real log in memory, and two ways to knock: in process, and over a socket.

Log, intake, tokens, sessions and throttles are the real ones; views of the log are scanned.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Self
from urllib.parse import unquote

from deploymark.errors import NotFoundError, StoreUnavailableError
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.intake import Admitted, Intake
from deploymark.ingest.key_entries import registration
from deploymark.ingest.sessions import Sessions
from deploymark.ingest.throttle import Throttle
from deploymark.ingest.tokens import Tokens
from deploymark.model.distribution import Distribution
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import KEY, Role
from deploymark.projections.broker.corrected import Corrections
from deploymark.projections.broker.questions import (
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
    Items,
)
from deploymark.projections.outcome_questions import SliQuery
from deploymark.projections.search_query import EntryQuery, MarkerQuery, Page, plan_query
from deploymark.projections.timeline_query import TimelineQuery
from deploymark.server.application import Application
from deploymark.server.listening import LOOPBACK, build_server
from deploymark.server.parts import Parts
from deploymark.server.protocol import Bounds
from deploymark.server.settings import Settings
from deploymark.server.views import entry_view
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_tokens import MemoryTokenStore
from deploymark.testing.whole_log import WholeLog, producer, sample_marker

ALL = Scope(services=("*",), environments=("*",))
BREAKS_OFF = b"<the client leaves>"
STOP_SECONDS = 30
TIMEOUT_SECONDS = 20


class Chance:
    """Random bytes that are the same in every run."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def __call__(self, size: int) -> bytes:
        return sha256(b"chance %d" % next(self._count)).digest()[:size].ljust(size, b"\0")


class ReadMeter:
    """A meter with one counter and one distribution, to be shown."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None: ...

    def observe(self, name: str, seconds: float) -> None: ...

    def distributions(self) -> dict[str, Distribution]:
        late = Distribution()
        late.add(2.0)
        return {"deploymark_time_to_marker_seconds": late}

    def read(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], int]:
        return {("deploymark_witness_failures_total", (("code", 'un"known'),)): 3}


class ScannedViews:
    """Every view, by reading the whole log; also the runner that has always seen all of it."""

    def __init__(self, log: WholeLog) -> None:
        self._log = log
        self.seen: int | None = None

    def markers(self, query: MarkerQuery) -> Page:
        return self._page(query, {"type": ("marker",)})

    def entries(self, query: EntryQuery) -> Page:
        return self._page(query, {"type": query.type} if query.type else {})

    def _page(self, query: MarkerQuery | EntryQuery, own: Mapping[str, Sequence[str]]) -> Page:
        plan_query(query)
        size = self._log.store.head().size
        found = []
        for index in reversed(range(size)):
            view = entry_view(self._log.store.entry(index))
            said = view.get("marker") or view["entry"]
            wanted = dict(own)
            if isinstance(query, MarkerQuery) and query.service:
                wanted["service"] = query.service
            if all({**said, "type": view["type"]}.get(k) in v for k, v in wanted.items()):
                found.append(index)
        return Page(tuple(found[: query.limit]), None, size)

    def position(self) -> int:
        return self._log.store.head().size if self.seen is None else self.seen


class OneBroker:
    """A broker with one deployment, which otherwise repeats what it was asked."""

    def deployments(self, query: DeploymentQuery) -> Items:
        asked = {"service": list(query.service), "limit": query.limit}
        return Items([{"id": "d-one", **asked}], None, 1)

    def deployment(self, name: str) -> dict[str, Any]:
        if name != "d-one":
            raise NotFoundError(f"There is no deployment {name!r}.")
        return {"id": name}

    def instances(self, query: InstanceQuery) -> Items:
        return Items([{"status": list(query.status)}], None, 1)

    def findings(self, query: FindingQuery) -> Items:
        return Items([{"state": query.state}], None, 1)

    def coverage(self, query: CoverageQuery) -> Items:
        return Items([{"by": query.by}], None, 1)

    def corrections(self, indexes: Sequence[int]) -> dict[int, Corrections]:  # noqa: ARG002
        return {}


class NoEmitters:
    """An empty ledger."""

    def list(self) -> Sequence[dict[str, Any]]:
        return []

    def punctuality(self) -> dict[str, Any]:
        raise StoreUnavailableError("The views are being built from the log.")


class OneTimeline:
    """A timeline with one event, which otherwise repeats what it was asked."""

    def events(self, query: TimelineQuery) -> Items:
        return Items([{"index": 0, "phase": list(query.phase)}], None, 1)


class AskedMeasures:
    """One measure, which repeats what it was asked."""

    def slis(self, query: SliQuery, after: int) -> Sequence[dict[str, Any]]:
        return [{"environment": list(query.environment), "since": query.since, "after": after}]

    def lately(self) -> Sequence[dict[str, Any]] | None:
        return None

    def items(self, query: SliQuery) -> Items:
        if query.measure != "M1":
            raise NotFoundError("There is no list of it.")
        asked = {"limit": query.limit, "until": query.until}
        return Items([{"environment": list(query.environment), **asked}], "next", 7)


class LogKeys:
    """The keys of a log."""

    def __init__(self, log: WholeLog, intake: Intake) -> None:
        self._log = log
        self._intake = intake

    def list(self) -> Sequence[dict[str, Any]]:
        return [{"key_id": key} for key in self._log.ring.keys()]  # noqa: SIM118 - not a dict

    def register(self, fields: Mapping[str, Any], caller: Caller) -> Admitted:
        key = producer(fields["name"])
        said = registration(key.public, fields["name"], fields["scope"], self._log.clock.now_ms())
        return self._intake.say(KEY, json.loads(said), caller)


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever it says
        return json.loads(self.body)


class Door:
    """A front door and everything behind it."""

    def __init__(self, settings: Settings | None = None, **parts: Any) -> None:  # noqa: ANN401 - any part
        self.log = WholeLog(MemoryLogStore())
        self.intake = Intake(self.log.receiver, self.log.admin, self.log.clock, Chance())
        self.kept, chance = MemoryTokenStore(), Chance()
        self.keeper = tokens = Tokens(self.kept, self.log.clock, chance)
        self.views = ScannedViews(self.log)
        self.tokens = {
            role: tokens.issue(
                role, [role], ALL if role is Role.EMITTER else None, None, LOCAL
            ).text
            for role in Role
        }
        self.parts = replace(
            Parts(
                intake=self.intake,
                tokens=tokens,
                sessions=Sessions(self.kept, tokens, self.log.clock, chance, ReadMeter()),
                throttle=Throttle(self.log.clock, 1_000, 10_000),
                search=self.views,
                runner=self.views,
                view=self.log.view,
                broker=OneBroker(),
                timeline=OneTimeline(),
                emitters=NoEmitters(),
                keys=LogKeys(self.log, self.intake),
                measures=AskedMeasures(),
                clock=self.log.clock,
                meter=ReadMeter(),
                policy_text="log log.example\n",
            ),
            **parts,
        )
        self.app = Application(self.parts, settings or Settings())

    def ask(
        self,
        method: str,
        path: str,
        role: Role | None = None,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
        peer: str = "127.0.0.1",
    ) -> Reply:
        """Send one request in process; a body in parts arrives in as many messages."""
        said = {"host": "localhost", **(headers or {})}
        if role is not None:
            said["authorization"] = f"Bearer {self.tokens[role]}"
        return asyncio.run(knock(self.app, method, path, said, body, peer))

    def post(self, value: object, role: Role | None = Role.EMITTER, **headers: str) -> Reply:
        """Hand in markers as JSON."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        said = {"content-type": "application/json"}
        said |= {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("POST", "/v1/markers", role, body, said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.intake.close()
        self.log.close()


async def knock(
    app: Application,
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | Iterable[bytes] = b"",
    peer: str = "127.0.0.1",
) -> Reply:
    """Send one request to an application."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "method": method,
        "path": unquote(path),  # as servers hand it on
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "scheme": "http",
        "client": (peer, 50_000),
        "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers.items()],
    }
    parts = [body] if isinstance(body, bytes) else list(body)
    waiting = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, 1)
        if part is not BREAKS_OFF
    ]
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401 - an ASGI message
        if not waiting:
            return {"type": "http.disconnect"}
        return waiting.pop(0)

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return Reply(0, {}, b"")
    start, *rest = sent
    told = {name.decode(): text.decode("latin-1") for name, text in start["headers"]}
    return Reply(start["status"], told, b"".join(each.get("body", b"") for each in rest))


def marker(number: int, **changes: object) -> dict[str, Any]:
    """Return a flat marker that no other number has."""
    return sample_marker(number, **changes)


@contextlib.contextmanager
def serving(door: Door, bounds: Bounds | None = None) -> Iterator[int]:
    """Serve a door over real sockets until the block ends.

    Yields:
        The port on loopback.
    """
    with socket.create_server((LOOPBACK, 0)) as listener:
        server = build_server(door.app, bounds, door.app.close)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(STOP_SECONDS)
            assert not thread.is_alive()


def connect(port: int) -> socket.socket:
    """Connect to a served door."""
    return socket.create_connection((LOOPBACK, port), TIMEOUT_SECONDS)


def exchange(port: int, request: bytes) -> bytes:
    """Send bytes and return everything until the server closes."""
    with connect(port) as peer:
        peer.sendall(request)
        return rest_of(peer)


def rest_of(peer: socket.socket) -> bytes:
    """Return everything until the server closes."""
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while part := peer.recv(65_536):
            received += part
    return bytes(received)
