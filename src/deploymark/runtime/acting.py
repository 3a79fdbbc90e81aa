"""Opens the room that acts: the controller, what it works with, and what people ask of it.

With `sources`, `actuators` and `notifying` the only place that picks adapters for it.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from deploymark.act.alerts import alerts_of
from deploymark.act.backing import LogBacking
from deploymark.act.breaches import Breaches
from deploymark.act.budgets import Budgets
from deploymark.act.controller import Controller
from deploymark.act.execute import Executor
from deploymark.act.gate_book import GateBook
from deploymark.act.gating import Gating, Grounds, Load
from deploymark.act.hands import Hands
from deploymark.act.hearing import Hearing, silences, silent_times
from deploymark.act.plan import Scope
from deploymark.act.rollouts import Rollouts
from deploymark.act.scene import Terms
from deploymark.act.verdicts import Verdicts
from deploymark.errors import NotFoundError
from deploymark.ingest.callers import PLATFORM
from deploymark.ingest.intake import Intake
from deploymark.judge.ruling import Known, zone_names
from deploymark.model.canonical import encode
from deploymark.model.vocabulary import DECISION, Assurance
from deploymark.ports import Clock, CountsSource, LogReader, Meter
from deploymark.projections.broker.gated import GateQuery
from deploymark.projections.broker.rolling import RollingQuery
from deploymark.projections.database import Views
from deploymark.runtime.actuators import build_actuator, missing_programs
from deploymark.runtime.compose import OpenLog
from deploymark.runtime.config import Configuration
from deploymark.runtime.crew import Crew
from deploymark.runtime.housekeeping import Housekeeper, Task
from deploymark.runtime.notifying import Teller, open_routes, patience_of
from deploymark.runtime.sources import open_sources
from deploymark.runtime.system import ServerClock
from deploymark.runtime.zones import time_zones
from deploymark.storage.sqlite.leases import SqliteLeaseStore
from deploymark.telemetry.room import TelemetryRoom

_log = logging.getLogger(__name__)

_TELL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Acting:
    """The room that acts, open.

    Attributes:
        rollouts: What people see and ask.
        controller: Takes rollouts further.
        gate: Tells pipelines whether they may go on.
        gauges: Returns how busy its lanes are, for the metrics.
    """

    rollouts: Rollouts
    controller: Controller
    gate: GateBook
    gauges: Callable[[], dict[str, float]]


@contextmanager
def open_acting(  # noqa: PLR0913 - one argument for each neighbour
    log: OpenLog,
    configuration: Configuration,
    views: Views,
    intake: Intake,
    telemetry: TelemetryRoom | None,
    *,
    holder: str,
    clock: ServerClock,
    meter: Meter,
) -> Iterator[Acting]:
    """Open the room; on leaving, what is being done may end within a few seconds, and no more.

    Args:
        log: Open for writing.
        configuration: Plans, and what may be done automatically.
        views: What is rolled out is read from them.
        intake: Appends verdicts and decisions.
        telemetry: The embedded source of counts; None where it is switched off.
        holder: Who this process is, as the lease names it.
        clock: Tells the time.
        meter: Counts what went wrong.

    Raises:
        UsageError: A plan names a source or an actuator that there is not, or one that cannot do
            what it wants.
    """
    plans = configuration.plans
    sources = {
        name: Hearing(source, clock.steady_ms)
        for name, source in open_sources(configuration, telemetry).items()
    }
    silence = silences(plans, sources)
    actuators = {
        scope: actuator
        for scope, plan in plans.items()
        if (actuator := build_actuator(plan.actuator, _field(scope) + "/actuator")) is not None
    }
    for scope, plan in plans.items():
        for program in missing_programs(plan.actuator):
            _log.warning(
                "the program of an actuator cannot be run",
                extra={"service": scope[0], "environment": scope[1], "program": program},
            )
    query, load = RollingQuery(views), evidence_of(log.store)
    leases = SqliteLeaseStore(log.state)
    leases.free_all()  # the log is open for writing here, so nobody else acts on it

    def say(kind: str, payload: bytes) -> int:
        return intake.say_payload(kind, payload, PLATFORM).index

    def tell(fields: Mapping[str, Any]) -> int:
        return say(DECISION, encode(dict(fields)))

    gating = _gating(log, configuration, views, load, sources, silence)
    verdicts = Verdicts(
        lambda content: intake.keep_evidence(content, PLATFORM),
        lambda kind, payload, content: intake.say_with(kind, payload, content, PLATFORM).index,
        load,
    )
    hands = Hands(
        query=query,
        size=lambda: log.store.head().size,
        say=say,
        verdicts=verdicts,
        executor=Executor(say),
        leases=leases,
        holder=holder,
        backed=LogBacking(log.store, log.ring),
        sources=sources,
        actuators=actuators,
        meter=meter,
        clock=clock,
        steady_ms=clock.steady_ms,
        objection=gating.objection,
    )
    controller = Controller(plans, _terms(configuration), hands)
    rollouts = Rollouts(
        plans,
        query,
        log.store,
        load,
        tell,
        lambda: controller.wanted,
        next_looks=lambda: controller.next_looks,
        silence=silence,
        silent_ms=silent_times(plans, sources),
    )
    size = min(configuration.act.workers, len(plans))
    crew = Crew(size, controller.take, meter, clock.steady_ms)
    breaches = Breaches(plans, sources, GateQuery(views), meter)
    telling = _Telling(configuration, rollouts, breaches, clock, meter)
    # Who tells people may wait for them; rollouts shall not.
    keepers = []
    if any(plan.objective is not None for plan in plans.values()):
        # Not once more at the end: nobody is told what it would find.
        looks = Task("budgets", _TELL_SECONDS, lambda: breaches.look(clock.now_ms()), _nothing)
        keepers.append(Housekeeper([looks], meter))
    # Who has no plan is told when somebody breaks the glass of a gate.
    if plans or configuration.policy.rules:
        keepers.append(Housekeeper([Task("alerts", _TELL_SECONDS, telling.tell)], meter))
    turns = Task(
        "rollouts",
        configuration.act.turn_seconds,
        lambda: crew.offer(controller.due()),
        last=_nothing,
    )
    going: AbstractContextManager[None] = (
        _rolling_out(controller, crew, Housekeeper([turns], meter)) if plans else nullcontext()
    )
    with _running(keepers), going:
        gate = GateBook(gating, tell, clock, meter)
        yield Acting(rollouts, controller, gate, crew.gauges)


def _nothing() -> None:
    """Begin nothing more: what is decided is carried out after the next start."""


@contextmanager
def _rolling_out(controller: Controller, crew: Crew, turns: Housekeeper) -> Iterator[None]:
    crew.start()
    turns.start()
    try:
        yield
    finally:
        turns.stop()
        left = crew.stop()
        controller.let_go()
        for service, environment in left:
            _log.warning(
                "what was being done for a rollout did not end in time, and is looked at after "
                "the next start",
                extra={"service": service, "environment": environment},
            )


@contextmanager
def _running(keepers: Sequence[Housekeeper]) -> Iterator[None]:
    for keeper in keepers:
        keeper.start()
    try:
        yield
    finally:
        for keeper in keepers:
            keeper.stop()


def _gating(
    log: OpenLog,
    configuration: Configuration,
    views: Views,
    load: Load,
    sources: Mapping[str, CountsSource],
    silence: Callable[[Scope], str],
) -> Gating:
    plans, rules, query = configuration.plans, configuration.policy.rules, GateQuery(views)
    return Gating(
        Grounds(
            plans=plans,
            rules=rules,
            known=Known(configuration.auth.identities, time_zones(zone_names(rules))),
            rolling=RollingQuery(views),
            query=query,
            backed=LogBacking(log.store, log.ring),
            load=load,
            budgets=Budgets(plans, sources, query),
            silence=silence,
        )
    )


class _Telling:
    """Tells people what changed at once, and what lasts again and again."""

    def __init__(
        self,
        configuration: Configuration,
        rollouts: Rollouts,
        breaches: Breaches,
        clock: Clock,
        meter: Meter,
    ) -> None:
        section = configuration.alerts
        self._teller = Teller(open_routes(section, clock), meter)
        self._patience = patience_of(section)
        self._repeat_ms = section.repeat_seconds * 1_000
        self._expectations = configuration.expectations
        self._rollouts = rollouts
        self._breaches = breaches
        self._clock = clock
        self._told: tuple[set[tuple[str, bool]], int] = (set(), 0)

    def tell(self) -> None:
        """Hand over what people should know now."""
        now_ms = self._clock.now_ms()
        concerns = [*self._rollouts.concerns(now_ms), *self._breaches.concerns]
        alerts = alerts_of(concerns, self._expectations, now_ms, self._patience)
        known = {(each.key, each.ended_ms is None) for each in alerts}
        if known == self._told[0] and abs(now_ms - self._told[1]) < self._repeat_ms:
            return
        self._teller.tell(alerts)
        self._told = (known, now_ms)


def evidence_of(reader: LogReader) -> Callable[[str], bytes]:
    """Return what reads evidence by its digest `sha256:…`; it raises `NotFoundError`."""

    def load(digest: str) -> bytes:
        try:
            raw = bytes.fromhex(digest.removeprefix("sha256:"))
        except ValueError:
            raise NotFoundError(f"{digest[:80]!r} names no evidence.") from None
        content = reader.blob(raw).content
        if content is None:
            raise NotFoundError(f"The evidence {digest} was erased.")
        return content

    return load


def _field(scope: Scope) -> str:
    return f"/rollouts/{scope[0]}/{scope[1]}"


def _terms(configuration: Configuration) -> Terms:
    return Terms(
        automation=configuration.act.automation,
        assurances={
            name: Assurance(policy.action_assurance)
            for name, policy in configuration.policy.environments.items()
        },
    )
