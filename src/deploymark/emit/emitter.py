"""The emitter: one who says what happens to deployments, numbered, kept, and delivered later.

`mark` costs its host some microseconds, never raises and never waits for a disk or a network; a
background thread delivers. Commands use `mark_and_deliver`, which waits for both, up to a budget.
Threads may share an emitter, and a forked child gets a journal of its own.
"""

import atexit
import os
import weakref
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deploymark.emit.ci import detect
from deploymark.emit.draft import Draft, body_of, draft_marker
from deploymark.emit.endpoint import server_of
from deploymark.emit.host import Host, SystemHost
from deploymark.emit.journal import Record
from deploymark.emit.sender import Round, Sender
from deploymark.emit.settings import Settings, read_settings
from deploymark.emit.spool import REFUSED, Counts, Place, Spool
from deploymark.errors import DeploymarkError
from deploymark.model.vocabulary import EmitterKind, Phase

if TYPE_CHECKING:
    from deploymark.emit.signing import MarkerSigner

LOGGER: Final = "deploymark.emit"

_NOTHING: Final[Mapping[str, Any]] = {}


class State(StrEnum):
    """What has become of a marker so far."""

    SPOOLED = "spooled"
    DELIVERED = "delivered"
    REFUSED = "refused"
    LOST = "lost"


class Marked(NamedTuple):
    """What the emitter says about one marker.

    Attributes:
        state: `spooled`: kept and not yet delivered. `delivered`: in the log. `refused`: by us or
            by the server, for good. `lost`: it could be neither delivered nor kept.
        deployment_id: The deployment it speaks of; "" when it could not be told.
        marker_id: Its own id, or "".
        epoch: The epoch it is numbered in, or "".
        number: Its number there, or -1.
        reason: Why it is not delivered, or not kept as well as it should be; "" when all is well.
        answer: What the server said: index, occurrence, receipt … or the problem.
    """

    state: State
    deployment_id: str = ""
    marker_id: str = ""
    epoch: str = ""
    number: int = -1
    reason: str = ""
    answer: Mapping[str, Any] = _NOTHING


class Emitter:
    """One emitter of this process.

    Nothing is opened before the first marker.

    Args:
        settings: Where to and how; those of the environment when left out.
        kind: Who speaks; `ci` in CI, else `runtime` for the phase `running` and `human` for others.
        emitter_id: A name that stays the same from run to run; what CI names, else the host.
        facts: Fields for every marker that does not state them itself; what CI knows when left
            out.
        strict: Raise what is wrong with a marker instead of logging it; for commands.
        host: The outside; tests give another.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        kind: str = "",
        emitter_id: str = "",
        facts: Mapping[str, Any] | None = None,
        strict: bool = False,
        host: Host | None = None,
    ) -> None:
        self._host = host or SystemHost()
        self._settings = settings or read_settings(self._host.environment(), self._host.user())
        if facts is None:
            run = detect(self._host.environment())
            facts = run.fields() if run is not None else {}
        speaker = facts.get("emitter") or {}
        self._kind = kind or speaker.get("kind", "")
        self._id = emitter_id or speaker.get("id") or f"host:{self._host.name()}"
        self._facts = {name: value for name, value in facts.items() if name != "emitter"}
        self._strict = strict
        self._signer: MarkerSigner | None = None
        self._warned: set[str] = set()
        self._told = False
        self._process = -1
        self._start_process()
        _living.add(self)

    def _start_process(self) -> None:
        """Begin anew in this process; nothing is shared with the one it was forked from."""
        self._process = self._host.process()
        self._spool = Spool(
            self._settings.spool,
            self._id,
            server_of(self._settings.url),
            self._settings.spool_max_bytes,
            self._host,
        )
        self._sender = Sender(self._spool, self._settings, self._host)
        self._awaited = True  # nothing was said that nobody has waited for

    @property
    def budget_seconds(self) -> float:
        """How long a command, or the end of the process, waits for delivery."""
        return self._settings.budget_seconds

    # Saying -------------------------------------------------------------------------------------

    def draft(self, phase: str, /, **fields: Any) -> Draft:  # noqa: ANN401 - JSON values
        """Return the marker that `mark` would keep, with its ids; nothing is numbered or kept.

        Args:
            phase: As `mark`.
            fields: As `mark`.

        Raises:
            RefusedError: The marker is wrong.
        """
        return draft_marker(
            {"phase": phase, **fields},
            self._facts,
            {"kind": self._speaker(phase), "id": self._id},
            self._host.now_ms(),
        )

    def mark(self, phase: str, /, **fields: Any) -> Marked:  # noqa: ANN401 - JSON values
        """Say that a deployment has reached a phase; returns at once.

        Args:
            phase: One of `deploymark.model.vocabulary.Phase`.
            fields: Fields of the flat marker (spec: marker); `artifact` may be text.

        Raises:
            RefusedError: The marker is wrong, and the emitter is strict.
        """
        try:
            marked = self._keep(phase, fields)
            self._awaited = False
            self._sender.wake()
        except DeploymarkError as error:
            if self._strict:
                raise
            return self._refused(error)
        except Exception as error:  # noqa: BLE001 - never into the host
            return self._lost(error)
        return marked

    def mark_and_deliver(
        self,
        phase: str,
        /,
        *,
        budget_seconds: float | None = None,
        durable: bool = True,
        patient: bool = False,
        **fields: Any,  # noqa: ANN401 - JSON values
    ) -> Marked:
        """Say it and wait until the server has it, or the budget is used up.

        Args:
            phase: As `mark`.
            budget_seconds: How long to wait for the server; that of the settings when left out.
            durable: Wait until the disk has it as well: a command is over before the disk would
                have it by itself, and there is no next marker to show the gap.
            patient: Try again until the budget is used up; else one attempt is enough.
            fields: As `mark`.

        Raises:
            RefusedError: The marker is wrong, and the emitter is strict. What the server refuses
                is returned.
        """
        budget = self._settings.budget_seconds if budget_seconds is None else budget_seconds
        try:
            marked = self._keep(phase, fields, durable=durable)
            if marked.state is State.LOST:
                return marked
            key = (marked.epoch, marked.number)
            self._sender.watch(key, marked.deployment_id)
            outcome, last = self._sender.wait_for(key, budget, patient=patient)
        except DeploymarkError as error:
            if self._strict:
                raise
            return self._refused(error)
        except Exception as error:  # noqa: BLE001 - never into the host
            return self._lost(error)
        if outcome is not None:
            state = State.DELIVERED if outcome.accepted else State.REFUSED
            reason = "" if outcome.accepted else str(outcome.content.get("detail", ""))
            return marked._replace(state=state, reason=reason, answer=outcome.content)
        if marked.reason and self._spool.only_in_memory(key):
            # The process of a command ends now, and its memory with it.
            return marked._replace(state=State.LOST, reason=f"{marked.reason} {last.problem}")
        return marked._replace(
            reason=f"{last.problem} {marked.reason}".rstrip(), answer=last.refusal
        )

    # Delivering ---------------------------------------------------------------------------------

    def flush(self, seconds: float | None = None, *, every: bool = False) -> Round:
        """Deliver what waits, also what other processes left; returns when done or time is over.

        Args:
            seconds: How long to wait; the budget of the settings when left out.
            every: Try also what was put off because its caller might not say it.

        Returns:
            What was delivered and refused since the emitter began, and the problem that is left.
        """
        budget = self._settings.budget_seconds if seconds is None else seconds
        try:
            self._check_process()
            self._spool.open()
            done = self._sender.run_round(budget, every=every)
        except Exception as error:  # noqa: BLE001 - never into the host
            return Round(problem=f"Delivery failed: {error}.", cut_short=True)
        total = self._sender.total()
        if done is None:
            problem = total.problem or f"Not done within {budget:g} seconds."
            return total._replace(problem=problem, cut_short=True)
        return total

    def close(self, seconds: float | None = None, *, told: bool = False) -> None:
        """Let go of the journal, for the next process to go on with.

        What `mark` has kept is flushed before; `mark_and_deliver` has used its budget already.
        What is not in the log then is logged as one warning, unless the emitter is strict.

        Args:
            seconds: How long to wait for that; the budget of the settings when left out.
            told: The caller has said itself what is not in the log.
        """
        self._told = self._told or told
        if self._process == self._host.process():
            last = self._sender.total() if self._awaited else self.flush(seconds)
            if not self._strict:  # a command has said it already
                self._tell_what_is_left(last)
        self._sender.stop()
        self._spool.close()

    def prepare_exit(self) -> None:
        """See to it that the end of the process delivers; the first marker does so by itself.

        What is registered with `atexit` after this can still mark.
        """
        if not _registered:
            _registered.append(True)
            atexit.register(_flush_all)

    def counts(self) -> Counts:
        """Return what waits and what was tolerated."""
        return self._spool.counts()

    def since(self, marked: Marked) -> Marked:
        """Return what has become of a marker of this emitter since it was said.

        Args:
            marked: As `mark` returned it.
        """
        if marked.state is not State.SPOOLED:
            return marked
        problem = self.refusal_of(marked)
        if problem:
            reason = str(problem.get("detail", ""))
            return marked._replace(state=State.REFUSED, reason=reason, answer=problem)
        key = (marked.epoch, marked.number)
        if self._spool.waits(key):
            return marked
        answer = {"duplicate": self._sender.was_known(key)}
        return marked._replace(state=State.DELIVERED, reason="", answer=answer)

    def withdraw(self, marked: Marked) -> bool:
        """Keep a marker no longer that waits to be delivered; tell whether it waited here.

        Args:
            marked: As `mark` returned it. Its number is given to no other: of markers that went
                before it and were delivered, the log knows that this one is missing.
        """
        key = (marked.epoch, marked.number)
        found = [each for each in self._spool.plan() if (each.epoch, each.number) == key]
        self._spool.settle([(each, "withdrawn") for each in found])
        return bool(found)

    def refusal_of(self, marked: Marked) -> Mapping[str, Any]:
        """Return the problem with which the server refused a marker since; empty without one."""
        return dict(self._sender.refusals()).get((marked.epoch, marked.number), _NOTHING)

    # Inside -------------------------------------------------------------------------------------

    def _keep(self, phase: str, fields: Mapping[str, Any], *, durable: bool = False) -> Marked:
        self._check_process()
        draft = self.draft(phase, **fields)
        if self._settings.key and self._signer is None:
            from deploymark.emit.signing import open_signer  # noqa: PLC0415 - only with a key

            self._signer = open_signer(self._settings.key, self._settings.passphrase)

        def make(epoch: str, number: int) -> Record:
            return Record(
                draft.priority, draft.deployment_id, self._body(draft.numbered(epoch, number))
            )

        place = self._spool.append(make, durable=durable)
        self.prepare_exit()
        if place.trouble:
            self._warn(place.trouble)
        return _marked(draft, place)

    def _body(self, fields: dict[str, Any]) -> bytes:
        body = body_of(fields)
        return body if self._signer is None else self._signer.seal(fields)

    def _speaker(self, phase: str) -> str:
        if self._kind:
            return self._kind
        return EmitterKind.RUNTIME if phase == Phase.RUNNING else EmitterKind.HUMAN

    def _check_process(self) -> None:
        if self._process != self._host.process():
            self._abandon()

    def _abandon(self) -> None:
        """Leave the journal and the connection to the parent of a fork."""
        self._sender.abandon()
        self._spool.abandon()
        self._start_process()

    def _refused(self, error: DeploymarkError) -> Marked:
        reason = f"{error.message} {error.hint}".rstrip()
        self._warn(reason)
        return Marked(State.REFUSED, reason=reason)

    def _lost(self, error: Exception) -> Marked:
        reason = f"The marker could not be kept: {type(error).__name__}: {error}."
        self._warn(reason)
        return Marked(State.LOST, reason=reason)

    def _tell_what_is_left(self, last: Round) -> None:
        """Log once what is not in the log at the end: nobody else would ever hear of it."""
        spool, in_memory = self._settings.spool, self._spool.waiting_in_memory()
        # What an earlier process was not allowed to say it has told of itself.
        waiting = self._spool.counts().waiting - in_memory - self._sender.left_alone()
        problem = last.problem or "the server was not asked yet."
        said = []
        if waiting:
            said.append(f"{_markers(waiting, 'waits', 'wait')} in {spool}: {problem}")
        if in_memory:
            said.append(f"{_markers(in_memory, 'is', 'are')} lost with this process: {problem}")
        refusals = self._sender.refusals()
        if refusals:
            detail = refusals[-1][1].get("detail") or "no reason was given."
            refused = _markers(last.refused, "was", "were")
            said.append(f"{refused} refused, see {spool}/{REFUSED}; the last: {detail}")
        if said and not self._told:
            self._told = True
            import logging  # noqa: PLC0415 - as below

            logging.getLogger(LOGGER).warning("deploymark: %s", " ".join(said))

    def _warn(self, reason: str) -> None:
        """Log each trouble once: a marker a second must not become a line a second."""
        if reason in self._warned or len(self._warned) >= _WARNINGS:
            return
        self._warned.add(reason)
        import logging  # noqa: PLC0415 - only when there is something to say

        logging.getLogger(LOGGER).warning("marker trouble: %s", reason)


_WARNINGS: Final = 32
_living: "weakref.WeakSet[Emitter]" = weakref.WeakSet()
_registered: list[bool] = []


def _markers(number: int, one: str, several: str) -> str:
    return f"1 marker {one}" if number == 1 else f"{number} markers {several}"


def _marked(draft: Draft, place: Place) -> Marked:
    kept = State.SPOOLED if place.kept else State.LOST
    reason = place.trouble if place.kept else "The spool is full of more important markers."
    return Marked(kept, draft.deployment_id, draft.marker_id, place.epoch, place.number, reason)


def _flush_all() -> None:
    """Deliver at the end of the process, all emitters together within the budget of one."""
    clock, started = SystemHost(), SystemHost().elapsed_seconds()
    for emitter in list(_living):
        spent = clock.elapsed_seconds() - started
        emitter.close(max(emitter.budget_seconds - spent, 0.0))


def _begin_anew() -> None:
    for emitter in list(_living):
        emitter._abandon()  # noqa: SLF001 - this module's own class


# Without this a child that never marks anything would keep its parent's journal locked.
os.register_at_fork(after_in_child=_begin_anew)
