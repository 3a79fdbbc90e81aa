"""Puts the front door before an open log: everything that a server is made of."""

import logging
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from deploymark.errors import BrokenError, RefusedError
from deploymark.ingest.account import LONGEST_GRACE_MS
from deploymark.ingest.accounting import Accounting
from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import PLATFORM
from deploymark.ingest.intake import Intake
from deploymark.ingest.ledger import Ledger
from deploymark.ingest.links import SignInLinks
from deploymark.ingest.privacy import PrivacyRules
from deploymark.ingest.producer_keys import ProducerKeys
from deploymark.ingest.refusals import Refusals
from deploymark.ingest.sessions import Sessions
from deploymark.ingest.throttle import Throttle
from deploymark.ingest.tokens import Tokens
from deploymark.integrations.oidc.identities import Identities
from deploymark.model.vocabulary import FINDING
from deploymark.ports import Clock, Meter
from deploymark.projections.broker.census import BrokerCensus
from deploymark.projections.broker.fleet_query import FleetBook
from deploymark.projections.broker.marks_query import Marks
from deploymark.projections.broker.punctuality import punctuality
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.run_book import RunBook
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.broker.watch import Watchers
from deploymark.projections.database import Views, open_views
from deploymark.projections.error_delta import ErrorDeltas
from deploymark.projections.expectations import Expectations
from deploymark.projections.outcomes import OutcomesView
from deploymark.projections.outcomes_query import Outcomes
from deploymark.projections.records import RecordsView
from deploymark.projections.records_query import Records
from deploymark.projections.runner import Runner, View
from deploymark.projections.search import Search, SearchView
from deploymark.projections.timeline import TimelineView
from deploymark.projections.timeline_query import Timeline
from deploymark.projections.timeline_stream import Stream
from deploymark.runtime.acting import Acting, open_acting
from deploymark.runtime.compose import OpenLog, platform_signer
from deploymark.runtime.config import Configuration
from deploymark.runtime.dialects import mounted_dialects
from deploymark.runtime.housekeeping import Housekeeper, Task
from deploymark.runtime.measuring import Measuring, deltas_of, sources_of
from deploymark.runtime.sources import open_series
from deploymark.runtime.telemetry import open_telemetry
from deploymark.server.application import Application
from deploymark.server.exposition import Exposition
from deploymark.server.hosts import answered_hosts
from deploymark.server.page_sources import PageSources
from deploymark.server.parts import Parts
from deploymark.server.recent import Recent
from deploymark.server.settings import LogAccess, MetricsAccess, Settings
from deploymark.storage.sqlite.ledger import SqliteLedgerStore
from deploymark.storage.sqlite.tokens import SqliteTokenStore
from deploymark.telemetry.room import TelemetryRoom

_log = logging.getLogger(__name__)

_TIDY_SECONDS = 1.0
_TELL_SECONDS = 5.0
_ROLLING_SECONDS = 1.0
_TABLES_SECONDS = 5.0
_PORT = re.compile(":[0-9]+$")


@dataclass(frozen=True, slots=True)
class Front:
    """A front door that stands open.

    Attributes:
        app: The ASGI application.
        admin_token: The text of a first admin token that was just made, to be shown once; None for
            one that the operator brought, who knows it.
        sign_in: Path and query of a page that signs a browser in as administrator, once and within
            ten minutes; None when no administrator's token lives.
    """

    app: Application
    admin_token: str | None
    sign_in: str | None


class _Emitters:
    """The ledger, and the broker's word on emitters, as the front door asks them."""

    def __init__(self, ledger: Ledger, clock: Clock, views: Views) -> None:
        self._ledger = ledger
        self._clock = clock
        self._views = views

    def list(self) -> Sequence[dict[str, Any]]:
        """Return every emitter with what is known of its numbers."""
        return self._ledger.emitters(self._clock.now_ms())

    def punctuality(self) -> dict[str, Any]:
        """Return how late each is, and how far off."""
        return punctuality(self._views)


class _Gauges:
    """The measure M3, and how busy the lanes of rollouts are, as the metrics show them."""

    def __init__(self, ledger: Ledger, acting: Acting, clock: Clock) -> None:
        self._ledger = ledger
        self._acting = acting
        self._clock = clock

    def __call__(self) -> dict[str, float]:
        """Return numerator and denominator, never only the share."""
        rates = self._ledger.rates(self._clock.now_ms())
        return {
            "markers_emitted": rates.emitted,
            "markers_received": rates.received,
            "emitter_epochs": rates.epochs,
            **self._acting.gauges(),
        }


class _Findings:
    """Appends findings about refused attempts; what the log does not take now waits here."""

    def __init__(self, refusals: Refusals, intake: Intake, meter: Meter) -> None:
        self._refusals = refusals
        self._intake = intake
        self._meter = meter
        self._waiting: list[bytes] = []

    def tell(self, now_ms: int | None) -> None:
        """Append what is due; everything when no time is given.

        Raises:
            UnavailableError, BrokenError: As `Intake.submit`; the next call tries again.
        """
        self._waiting += self._refusals.due(now_ms)
        while self._waiting:
            try:
                self._intake.say_payload(FINDING, self._waiting[0], PLATFORM)
            except RefusedError as error:
                # Words of an attacker that the log does not take must not hold up the others.
                self._meter.count("deploymark_findings_dropped_total", code=error.code)
                _log.error("a finding is refused by the log", extra={"code": error.code})
            self._waiting.pop(0)


def admission_rules(configuration: Configuration) -> AdmissionRules:
    """Return what a configuration admits."""
    policy = configuration.policy
    return AdmissionRules(
        anonymous_environments=policy.anonymous_environments,
        signed_without_token=configuration.auth.signed_without_token,
        privacy=PrivacyRules(allow_email=policy.allow_email, allow_phone=policy.allow_phone),
    )


def door_settings(configuration: Configuration, listen_host: str) -> Settings:
    """Return how a configuration sets the front door up."""
    server = configuration.server
    named = [*server.hosts]
    if server.url:
        named.append(_PORT.sub("", server.url.partition("://")[2].rstrip("/")))
    return Settings(
        hosts=answered_hosts(listen_host, named),
        log_access=LogAccess(configuration.log.access),
        metrics_access=MetricsAccess(server.metrics),
        secure_cookies=server.url.startswith("https://"),
        simulated=server.simulated,
    )


def _projected(expectations: Expectations) -> list[View[Any]]:
    """Return every view."""
    return [
        SearchView(),
        BrokerView(expectations),
        TimelineView(expectations),
        OutcomesView(),
        RecordsView(),
    ]


def _pages(
    configuration: Configuration,
    views: Views,
    acting: Acting,
    telemetry: TelemetryRoom | None,
    deltas: ErrorDeltas | None,
    clock: Clock,
) -> PageSources:
    """Return what only pages ask."""
    plans = configuration.plans
    return PageSources(
        marks=Marks(views),
        book=RunBook(views),
        stream=Stream(views),
        fleet=FleetBook(views),
        one_commit=views.one_commit,
        deltas=deltas,
        series=open_series(configuration, telemetry),
        drawn_from={scope: plan.source for scope, plan in plans.items()},
        expectations=configuration.expectations,
        rolling=Recent(acting.rollouts.newest, clock, _ROLLING_SECONDS),
        look_seconds={scope: plan.look_seconds for scope, plan in plans.items()},
    )


@contextmanager
def open_front(
    log: OpenLog,
    configuration: Configuration,
    *,
    listen_host: str,
    passphrase: str | None = None,
    admin_token: str | None = None,
) -> Iterator[Front]:
    """Open the front door of a log; on leaving, what waits is finished and the books are closed.

    Args:
        log: Open for writing.
        configuration: How.
        listen_host: The address that it listens on, for the names that it answers to.
        passphrase: Unlocks the platform's key.
        admin_token: What the first admin token shall be.
    """
    clock, meter = log.clock, log.meter
    with ExitStack() as stack:
        # 1. The views, which lag behind the log and never stop it.
        views = open_views(log.data.views)
        stack.callback(views.close)
        expectations = configuration.expectations
        runner = Runner(log.store, views, _projected(expectations), meter)
        runner.start()
        stack.callback(runner.stop)
        # 2. The books: which numbers came, and what was refused.
        ledger = Ledger(SqliteLedgerStore(log.state), log.store, meter, since_ms=clock.now_ms())
        refusals = Refusals(meter)
        accounting = Accounting(ledger, refusals, clock, meter)
        # 3. The way in.
        signer = platform_signer(log.data, passphrase)
        intake = Intake(log.receiver, signer, clock, secrets.token_bytes, accounting.answered)
        # 4. What is done by the clock, and once more when the intake is closed: only then
        # everything that was refused is known.
        findings = _Findings(refusals, intake, meter)
        # Publishing waits for witnesses, and nothing else shall wait for them.
        looking = _looking(log, views, expectations, intake, ledger, clock)
        watching = Housekeeper([looking], meter)
        publishing = Housekeeper([_publishing(log, configuration.log.publish_seconds)], meter)
        bookkeeping = Housekeeper(_bookkeeping(log, ledger, findings, clock), meter)
        for keeper in (watching, publishing, bookkeeping):
            stack.callback(keeper.stop)
        stack.callback(intake.close)
        for keeper in (watching, publishing, bookkeeping):
            keeper.start()
        # 5. What running software reports; it is asked to stop before the intake that it feeds.
        auth = configuration.auth
        throttle = Throttle(clock, auth.requests_per_second, auth.requests_burst)
        telemetry = stack.enter_context(
            open_telemetry(
                log.data.telemetry,
                configuration.telemetry,
                admission_rules(configuration),
                intake,
                throttle,
                clock=clock,
                meter=meter,
            )
        )
        # 6. What is rolled out, and by what plan.
        acting = stack.enter_context(
            open_acting(
                log,
                configuration,
                views,
                intake,
                telemetry,
                holder=secrets.token_hex(8),
                clock=clock,
                meter=meter,
            )
        )
        # 7. Who may come in.
        store = SqliteTokenStore(log.state)
        tokens = Tokens(store, clock, secrets.token_bytes)
        links = SignInLinks(clock, secrets.token_bytes)
        first = tokens.ensure_admin(admin_token)
        # 8. What the server measures of itself.
        deltas = deltas_of(views, telemetry)
        measuring = Measuring(
            BrokerCensus(views, expectations),
            sources_of(meter.distributions, ledger, telemetry, clock),
            Outcomes(views),
            deltas,
            clock,
        )
        stack.callback(measuring.close)
        parts = Parts(
            intake=intake,
            tokens=tokens,
            granted=Identities(configuration.oidc, clock, meter).grant,
            sessions=Sessions(store, tokens, clock, secrets.token_bytes, meter, links),
            throttle=throttle,
            search=Search(views),
            runner=runner,
            view=log.view,
            broker=BrokerQuery(views, expectations),
            timeline=Timeline(views),
            emitters=_Emitters(ledger, clock, views),
            keys=ProducerKeys(log.ring, intake, clock),
            clock=clock,
            meter=meter,
            policy_text=log.data.policy.read_text(encoding="utf-8"),
            check_writing=log.receiver.check_writing,
            turned_away=accounting.turned_away,
            gauges=_Gauges(ledger, acting, clock),
            exposition=Exposition(measuring, log.view, runner, clock=clock, meter=meter),
            measures=measuring,
            telemetry=telemetry,
            rollouts=acting.rollouts,
            gate=acting.gate,
            records=Records(views, log.store),
            pages=_pages(configuration, views, acting, telemetry, deltas, clock),
        )
        settings = door_settings(configuration, listen_host)
        app = Application(parts, settings, mounted_dialects(configuration.dialects))
        log.listeners.extend((app.feed.notify, runner.notify))
        app.feed.notify(log.store.head().size)
        # Who is told that the server is up asks it at once; a medium that refuses says so itself.
        views.wait_for_tables(_TABLES_SECONDS)
        yield Front(
            app,
            first.text if first is not None and admin_token is None else None,
            _page_link(tokens, links),
        )


def _page_link(tokens: Tokens, links: SignInLinks) -> str | None:
    """Return where an administrator signs in to the page, once; None where there is none."""
    admin = tokens.administrator()
    return None if admin is None else f"/oncall?token={links.issue(admin.id)}"


def _looking(
    log: OpenLog,
    views: Views,
    expectations: Expectations,
    intake: Intake,
    ledger: Ledger,
    clock: Clock,
) -> Task:
    grace_ms = int(min(LONGEST_GRACE_MS, expectations.deadlines.marker * 1_000))
    watchers = Watchers(
        views,
        expectations,
        lambda: log.store.head().size,
        lambda kind, payload: intake.say_payload(kind, payload, PLATFORM).index,
        lambda: ledger.emitters(clock.now_ms(), grace_ms),
    )

    def look() -> None:
        watchers.look(clock.now_ms())

    return Task("watchers", watchers.seconds, look)


def _publishing(log: OpenLog, seconds: float) -> Task:
    def publish() -> None:
        head = log.store.head()
        if head.size > head.published_size:
            try:
                log.publisher.publish()
            except BrokenError as error:
                # A witness saw another history, or the guard remembers more: writing on would
                # only make it longer.
                log.receiver.stop_writing(error)
                raise

    return Task("publish", seconds, publish)


def _bookkeeping(log: OpenLog, ledger: Ledger, findings: _Findings, clock: Clock) -> list[Task]:
    def tell() -> None:
        findings.tell(clock.now_ms())

    def tell_all() -> None:
        findings.tell(None)

    return [
        Task("findings", _TELL_SECONDS, tell, last=tell_all),
        Task("registry", _TIDY_SECONDS, log.registry.flush),
        Task("ledger", _TIDY_SECONDS, ledger.flush),
    ]
