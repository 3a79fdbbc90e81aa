"""A world in which deployments happen: the real admission in this process, its clock moved by hand.

`World.say` hands one marker to the intake at a moment of the story and returns what became of it;
`World.read` lets the views read the whole log and answers what the read API answers, as plain
values. The views themselves are connected in `broker_reading`.
"""

import json
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from tempfile import TemporaryDirectory
from typing import Any, Self

from broker_reading import Broker, Settings, keep_watch, read_views
from projected_log import append, empty_log

from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.ingest.accounting import Accounting
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.intake import Admitted, Answer, Intake
from deploymark.ingest.ledger import Ledger
from deploymark.ingest.refusals import Refusals
from deploymark.ingest.submission import Submission
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.leaf import Leaf, decode_leaf
from deploymark.model.vocabulary import FINDING, Role
from deploymark.ports import LogStore
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import WholeLog, envelope_json, producer, sign

EMITTER = Caller("token:emitter", frozenset({Role.EMITTER}))
SANDBOX = "sandbox-*"
_PATIENCE_SECONDS = 30


@dataclass(frozen=True)
class Said:
    """One marker as it was handed in, and what became of it.

    Attributes:
        body: As it was sent.
        deployment: The `deployment_id` in the leaf that stands; "" when it was refused.
        occurrence, repeat: As admission decided.
        index: Where it stands, or the one that it repeats; -1 when it was refused.
        duplicate: It stood there already.
        refused: The code of the refusal, "" when there was none.
    """

    body: bytes
    deployment: str = ""
    occurrence: int = 0
    repeat: int = 0
    index: int = -1
    duplicate: bool = False
    refused: str = ""


def moment(seconds: float) -> str:
    """Return the instant so many seconds after the story began."""
    return format_instant(START_MS + round(seconds * 1_000))


class World:
    """A log, its front door and its clock.

    Args:
        settings: The configuration as its TOML would be read: services and policy.
        store: Where the log is kept; a new one in memory unless given.
    """

    def __init__(self, settings: Settings | None = None, store: LogStore | None = None) -> None:
        self.settings: Settings = settings or {}
        self.clock = ManualClock(START_MS)
        self.store = store or MemoryLogStore()
        self._folder = TemporaryDirectory(prefix="broker-")
        self._read = 0
        self._sequences: dict[tuple[str, str], int] = {}
        rules = AdmissionRules(anonymous_environments=(SANDBOX,))
        self.log = WholeLog(self.store, clock=self.clock, rules=rules)
        meter = ListMeter()
        self._refusals = Refusals(meter)
        ledger = Ledger(MemoryLedgerStore(), self.store, meter)
        self._accounting = Accounting(ledger, self._refusals, self.clock, meter)
        self.intake = Intake(self.log.receiver, self.log.admin, self.clock, bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.intake.close()
        self.log.close()
        self._folder.cleanup()

    # Saying ---------------------------------------------------------------------------------

    def say(
        self,
        marker: Mapping[str, Any],
        *,
        at: float,
        claimed: float | None = None,
        numbered: bool = True,
        **door: Any,  # noqa: ANN401 - as `send`
    ) -> Said:
        """Hand a marker in.

        Args:
            marker: The flat marker. Its time and its number are filled in where it has none.
            at: When it is received, seconds since the story began; may be before the last one.
            claimed: When it says that it happened; the moment it is received unless said.
            numbered: Its emitter numbers its markers, in the order in which they are said.
            door: `key` or `caller`, as `send`.
        """
        said = at if claimed is None else claimed
        body = {"timestamp": moment(said), **marker}
        if numbered:
            body["emitter"] = self._number(body.get("emitter") or {})
        return self.send(json.dumps(body).encode(), at=at, **door)

    def send(
        self,
        body: bytes,
        *,
        at: float,
        key: Ed25519EnvelopeSigner | None = None,
        caller: Caller = EMITTER,
    ) -> Said:
        """Hand bytes in, perhaps again.

        Args:
            body: A flat marker.
            at: When it is received, seconds since the story began.
            key: Signs it as the producer; the platform signs for the caller otherwise.
            caller: Who hands it in; `ANONYMOUS` has no token.
        """
        now_ms = START_MS + round(at * 1_000)
        self.clock.advance((now_ms - self.clock.now_ms()) / 1_000)
        sent = body if key is None else envelope_json(sign(json.loads(body), key))
        submission = Submission(sent, caller)
        (answer,) = self.intake.submit([submission]).result(_PATIENCE_SECONDS)
        self._accounting.answered([submission], [answer])
        return _said(body, answer)

    def trusted(self, name: str) -> Ed25519EnvelopeSigner:
        """Return a producer's key that is registered from here on."""
        key = producer(name)
        self.log.register(key, name)
        return key

    def tell_refusals(self) -> None:
        """Append the findings about what was refused."""
        for payload in self._refusals.due(None):
            self.intake.say_payload(FINDING, payload, LOCAL)

    def _number(self, emitter: Mapping[str, Any]) -> dict[str, Any]:
        if "sequence" in emitter:
            return dict(emitter)
        epoch = str(emitter.get("epoch", "one"))
        mine = (str(emitter.get("id")), epoch)
        number = self._sequences.get(mine, -1) + 1
        self._sequences[mine] = number
        return {**emitter, "epoch": epoch, "sequence": number}

    # Reading --------------------------------------------------------------------------------

    def read(self, *, batches: Sequence[int] = (), restarting: bool = False) -> Broker:
        """Let new views read the whole log and return what they answer.

        Args:
            batches: Sizes at which the log stands when the views are fed in between.
            restarting: Whoever feeds them is another process each time.
        """
        assert self.log.faults() == []
        return self.read_log(self.leaves(), batches=batches, restarting=restarting)

    def read_log(
        self, bodies: Sequence[bytes], *, batches: Sequence[int] = (), restarting: bool = False
    ) -> Broker:
        """Let new views read a log of these leaves, in this order."""
        self._read += 1
        store = empty_log()
        times = [_received_ms(decode_leaf(body)) for body in bodies]

        def grow(size: int) -> None:
            start = store.head().size
            append(store, bodies[start:size], times[start:size])

        steps = [partial(grow, size) for size in sorted({*batches, len(bodies)})]
        views = pathlib.Path(self._folder.name) / f"views-{self._read}.db"
        return read_views(store, steps, views, self.settings, self.clock, restarting=restarting)

    def watch(self, at: float, idle: int = 2) -> Broker:
        """Let the watchers look at a moment, until they find nothing more, and read again.

        What they find is appended to the log of this world.
        """
        self.clock.advance(START_MS / 1_000 + at - self.clock.now_ms() / 1_000)
        self._read += 1
        views = pathlib.Path(self._folder.name) / f"views-{self._read}.db"
        keep_watch(self.store, self.intake, views, self.settings, self.clock, idle)
        return self.read()

    def leaves(self) -> list[bytes]:
        """Return what the log holds."""
        return [row.leaf or b"" for row in self.store.entries(0, self.store.head().size)]


def _said(body: bytes, answer: Answer) -> Said:
    if not isinstance(answer, Admitted):
        return Said(body, refused=answer.code)
    return Said(
        body,
        answer.ids["deployment_id"],
        answer.occurrence,
        answer.repeat,
        answer.index,
        answer.duplicate,
    )


def _received_ms(leaf: Leaf) -> int:
    return parse_instant(leaf.received_at)
