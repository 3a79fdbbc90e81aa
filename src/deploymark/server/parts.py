"""What the front door needs of the rooms behind it, and nothing more.

`runtime.compose` fills `Parts` with the real ones, tests with fakes. What is called on the event
loop must not wait; what may wait is called on a thread, and the Protocols say which is which.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from deploymark.act.gate_book import GateBook
from deploymark.act.rollouts import Rollouts
from deploymark.errors import DeploymarkError, IdentityRefusedError
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Admitted
from deploymark.ingest.sessions import OpenedSession
from deploymark.ingest.submission import Submission
from deploymark.ingest.tokens import IssuedToken
from deploymark.log.reader import LogView
from deploymark.model.distribution import Distribution
from deploymark.model.entries import Scope
from deploymark.ports import Clock, DialectRecords, Grant, Meter, TokenRecord
from deploymark.projections.broker.corrected import Corrections
from deploymark.projections.broker.questions import (
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
    Items,
)
from deploymark.projections.outcome_questions import SliQuery
from deploymark.projections.search_query import EntryQuery, MarkerQuery, Page
from deploymark.projections.timeline_query import TimelineQuery
from deploymark.server.page_sources import PageSources
from deploymark.telemetry.room import TelemetryRoom

Outcome = Admitted | DeploymarkError


class Intake(Protocol):
    """Admits what callers hand in (`ingest.intake`)."""

    def submit(self, submissions: Sequence[Submission]) -> Future[list[Outcome]]:
        """Queue a batch; never waits. The future fails as a whole or answers item by item."""
        ...

    def keep_detail(self, content: bytes, caller: Caller) -> tuple[str, Admitted]:
        """Store erasable content and return its digest `sha256:…`; waits for the disk."""
        ...

    def erase_detail(self, digest: str, reason: str, caller: Caller) -> Admitted:
        """Erase content; waits for the disk."""
        ...

    def say(self, payload_type: str, fields: dict[str, object], caller: Caller) -> Admitted:
        """Append an entry that the platform signs for a caller; waits for the disk."""
        ...


class Tokens(Protocol):
    """Who callers are, by the token that they hold (`ingest.tokens`)."""

    def authenticate(self, text: str, network: str = "") -> Caller:
        """Return whose token this is; from memory, or by one quick read.

        Raises:
            UnauthenticatedError: Nobody's.
            TooManyFailuresError: The same, after too many failures from this network.
        """
        ...

    def issue(
        self,
        name: str,
        roles: Iterable[str],
        scope: Scope | None,
        lifetime_s: int | None,
        by: Caller,
    ) -> IssuedToken:
        """Make a token; waits for the disk."""
        ...

    def exchange(self, grant: Grant) -> IssuedToken:
        """Make the token that an identity token is exchanged for; waits for the disk."""
        ...

    def count_failure(self, network: str) -> None:
        """Count a failed attempt to authenticate, or raise TooManyFailuresError."""
        ...

    def revoke(self, token_id: str, by: Caller) -> TokenRecord:
        """End a token, or raise NotFoundError; waits for the disk."""
        ...

    def ls(self, by: Caller) -> list[TokenRecord]:
        """Return every token that ever was; waits for the disk."""
        ...


class Sessions(Protocol):
    """Who callers are, by the cookie that their browser sends (`ingest.sessions`).

    Everything but `check_csrf` waits for the disk.
    """

    def open(self, token_text: str, network: str = "") -> OpenedSession:
        """Begin a session for the bearer of a token, or raise UnauthenticatedError."""
        ...

    def open_once(self, link: str, network: str = "") -> OpenedSession:
        """Begin a session for whom a link was made, or raise UnauthenticatedError; ends it."""
        ...

    def authenticate(self, cookie: str, network: str = "") -> Caller:
        """Return whose session this is, or raise UnauthenticatedError."""
        ...

    def check_csrf(self, cookie: str, header: str | None) -> None:
        """Raise ForbiddenError unless the header belongs to the session."""
        ...

    def close(self, cookie: str) -> None:
        """End a session."""
        ...


class Throttle(Protocol):
    """Bounds how often somebody may ask; answers from memory (`ingest.throttle`)."""

    def demand(self, key: str, what: str, amount: int = 1) -> None:
        """Count, or raise RateLimitedError."""
        ...


class Search(Protocol):
    """Finds entries by what they say; waits for the disk (`projections.search`)."""

    def markers(self, query: MarkerQuery) -> Page:
        """Return the indexes of markers."""
        ...

    def entries(self, query: EntryQuery) -> Page:
        """Return the indexes of entries of any type."""
        ...


class Runner(Protocol):
    """Keeps the views in step with the log (`projections.runner`)."""

    def position(self) -> int:
        """Return how many entries the views have seen; answers from memory."""
        ...


class Broker(Protocol):
    """What the broker found out (`projections.broker.query`); waits for the disk."""

    def deployments(self, query: DeploymentQuery) -> Items:
        """Return deployments, the one that opened last first."""
        ...

    def deployment(self, name: str) -> dict[str, Any]:
        """Return one, by an id of any of the accepted notations, or raise NotFoundError."""
        ...

    def instances(self, query: InstanceQuery) -> Items:
        """Return instances that run."""
        ...

    def findings(self, query: FindingQuery) -> Items:
        """Return what is wrong."""
        ...

    def coverage(self, query: CoverageQuery) -> Items:
        """Return how many instances run what they should."""
        ...

    def corrections(self, indexes: Sequence[int]) -> Mapping[int, Corrections]:
        """Return what was corrected of these entries, by index; the others are left out."""
        ...


class Timeline(Protocol):
    """What happened (`projections.timeline_query`); waits for the disk."""

    def events(self, query: TimelineQuery) -> Items:
        """Return events, the one that happened last first."""
        ...


class Emitters(Protocol):
    """The ledger of emitters; may wait."""

    def list(self) -> Sequence[dict[str, Any]]:
        """Return every emitter with what is known of its sequence."""
        ...

    def punctuality(self) -> dict[str, Any]:
        """Return how late emitters are, and how far off: items, known, as_of.

        Raises:
            StoreUnavailableError: The views are being built, or their medium refuses.
        """
        ...


class Keys(Protocol):
    """The producers' keys that the log knows."""

    def list(self) -> Sequence[dict[str, Any]]:
        """Return every key with its scope and validity; may wait."""
        ...

    def register(self, fields: Mapping[str, Any], caller: Caller) -> Admitted:
        """Append a key entry that the platform signs; waits for the disk."""
        ...


class ReadableMeter(Meter, Protocol):
    """A meter whose counts can be shown."""

    def read(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], int]:
        """Return every counter by name and sorted labels."""
        ...

    def distributions(self) -> dict[str, Distribution]:
        """Return every distribution by name."""
        ...


class Records(Protocol):
    """What clients of other systems were told (`projections.records_query`)."""

    def of(
        self, dialect: str, principal: str | None = None, scope: Scope | None = None
    ) -> DialectRecords:
        """Return the records of a dialect: all, or one caller's own as far as a scope has them."""
        ...


def _nothing(*_: object) -> None:
    """Do nothing."""


def _nobody(_: str) -> Grant:
    raise IdentityRefusedError("No issuer of identity tokens is trusted here.")


class Measures(Protocol):
    """The measures that the server takes of itself (`runtime.measuring`); waits for the disk."""

    def slis(self, query: SliQuery, after: int) -> Sequence[dict[str, Any]]:
        """Return all of them, as of an entry or later."""
        ...

    def lately(self) -> Sequence[dict[str, Any]] | None:
        """Return all of them as counted last, soon; None while they are first counted."""
        ...

    def items(self, query: SliQuery) -> Items:
        """Return what one of them counts, or raise NotFoundError."""
        ...


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything behind the front door.

    Attributes:
        policy_text: The tlog-policy file that verifiers trust, or "" when there is none to show.
        granted: Says what the bearer of an identity token gets, or raises IdentityRefusedError; may
            wait for its issuer.
        check_writing: Raises what keeps the log from being written; answers from memory.
        turned_away: Told of every request that was refused for who asked, or how often.
        gauges: What else `/metrics` shows, by name without the prefix; may wait.
        exposition: More of its page, rendered; may wait, and never raises `DeploymarkError`.
        telemetry: Takes what running software reports; None where it is switched off.
        rollouts: Shows people rollouts, and takes what they ask; None where nothing is rolled out.
        gate: Tells pipelines whether they may go on, and writes that down; None in tests without.
        records: What clients of other systems were told; None in tests without.
        pages: What only pages ask; None in tests without.
    """

    intake: Intake
    tokens: Tokens
    sessions: Sessions
    throttle: Throttle
    search: Search
    runner: Runner
    view: LogView
    broker: Broker
    timeline: Timeline
    emitters: Emitters
    keys: Keys
    measures: Measures
    clock: Clock
    meter: ReadableMeter
    policy_text: str = ""
    granted: Callable[[str], Grant] = _nobody
    check_writing: Callable[[], None] = _nothing
    turned_away: Callable[[DeploymarkError, Caller], None] = _nothing
    gauges: Callable[[], Mapping[str, float]] = dict
    exposition: Callable[[], bytes] = bytes
    telemetry: TelemetryRoom | None = None
    rollouts: Rollouts | None = None
    gate: GateBook | None = None
    records: Records | None = None
    pages: PageSources | None = None
