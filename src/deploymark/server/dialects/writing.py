"""Hands what a dialect's client said to admission: markers, corrections, what is taken back.

The platform signs for the caller, whom the leaf names (docs/adr/0015). Scopes hold here as for a
marker that was handed in directly, and for corrections too.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import msgspec
from starlette.concurrency import run_in_threadpool

from deploymark.errors import DeploymarkError, PersonalDataRefusedError, TooLargeError
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Admitted
from deploymark.ingest.permission import check_scope
from deploymark.ingest.submission import Submission
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.mapping import UNMAPPED
from deploymark.model.vocabulary import AMENDMENT, INCIDENT, RETRACTION, Phase
from deploymark.ports import Amended, Record, Said, Told
from deploymark.server.desk import Desk
from deploymark.server.dialects.composing import (
    ATTEMPTS,
    Composed,
    changes_of,
    composed,
    moved,
    moved_change,
)
from deploymark.server.parts import Outcome

REMEMBERED: Final = 1_024
"""Documents whose digests are remembered: a client that tries again stores none twice."""

_encode = msgspec.json.Encoder(order="deterministic").encode


class Writer:
    """Writes down what clients of one dialect say.

    Args:
        dialect: Its name.
    """

    def __init__(self, dialect: str) -> None:
        self._dialect = dialect
        self._kept: OrderedDict[tuple[str, bytes], str] = OrderedDict()

    async def write(self, desk: Desk, caller: Caller, said: Said) -> list[Told]:
        """Write it down, and tell what became of the markers.

        Raises:
            RefusedError: The first refusal; what came before it stands.
            UnavailableError, BrokenError: As `Intake.submit`.
        """
        told = await self._markers(desk, caller, said)
        for amended in said.amendments:
            await self._amend(desk, caller, amended)
        for record in said.retractions:
            await run_in_threadpool(_retract, desk, caller, record)
        for incident in said.incidents:
            await run_in_threadpool(_report, desk, caller, dict(incident))
        return told

    async def _markers(self, desk: Desk, caller: Caller, said: Said) -> list[Told]:
        if len(said.markers) > 1:  # the request itself was counted at the door
            key = caller.principal or caller.network
            desk.parts.throttle.demand(key, "markers", len(said.markers) - 1)
        waiting = [composed(self._dialect, each) for each in said.markers]
        outcomes: list[Outcome] = []
        for _ in range(ATTEMPTS):
            outcomes = await self._submit(desk, caller, waiting)
            again = [
                moved(marker, outcome) if isinstance(outcome, DeploymarkError) else None
                for marker, outcome in zip(waiting, outcomes, strict=True)
            ]
            if not any(again):
                break
            # What stands is a duplicate when it is handed in again, and answered as such.
            waiting = [new or old for new, old in zip(again, waiting, strict=True)]
        return [_told(outcome) for outcome in outcomes]

    async def _submit(
        self, desk: Desk, caller: Caller, markers: Sequence[Composed]
    ) -> list[Outcome]:
        if not markers:
            return []
        submissions = []
        for marker in markers:
            fields = marker.fields
            if marker.beside:
                digest = await self._keep(desk, caller, marker.beside)
                fields = {**fields, "details_digest": digest}
            submissions.append(Submission(_encode(fields), caller))
        return await desk.landing.result(desk.parts.intake.submit(submissions))

    async def _keep(self, desk: Desk, caller: Caller, beside: dict[str, Any]) -> str:
        content = _encode(beside)
        key = (caller.principal, sha256(content).digest())
        if key in self._kept:
            return self._kept[key]
        digest, _ = await run_in_threadpool(desk.parts.intake.keep_detail, content, caller)
        self._kept[key] = digest
        if len(self._kept) > REMEMBERED:
            self._kept.popitem(last=False)
        return digest

    async def _amend(self, desk: Desk, caller: Caller, amended: Amended) -> None:
        change = changes_of(amended)
        for _ in range(ATTEMPTS):
            try:
                return await self._say(desk, caller, amended, change)
            except (PersonalDataRefusedError, TooLargeError) as error:
                # What may not stand in the log for good is kept beside it, as of a marker.
                less = moved_change(amended, change, error)
                if less is None:
                    raise
                change = less
        return await self._say(desk, caller, amended, change)

    async def _say(self, desk: Desk, caller: Caller, amended: Amended, change: Composed) -> None:
        changes = change.fields
        if change.beside:
            changes = {**changes, "/details_digest": await self._keep(desk, caller, change.beside)}
        if changes:
            await run_in_threadpool(_correct, desk, caller, amended, changes)


def _correct(desk: Desk, caller: Caller, amended: Amended, changes: dict[str, Any]) -> None:
    record = amended.record
    check_scope(caller, record.fields)
    check_scope(caller, {**record.fields, **_flat(changes)})
    fields: dict[str, object] = {
        "index": record.events[amended.event].index,
        "changes": changes,
        "reason": f"A client of {record.dialect} changed what it had said.",
        "timestamp": format_instant(desk.parts.clock.now_ms()),
    }
    desk.parts.intake.say(AMENDMENT, fields, caller)


def _retract(desk: Desk, caller: Caller, record: Record) -> None:
    check_scope(caller, record.fields)
    for event in record.events:
        fields: dict[str, object] = {
            "index": event.index,
            "reason": f"A client of {record.dialect} took it back.",
            "timestamp": format_instant(desk.parts.clock.now_ms()),
        }
        desk.parts.intake.say(RETRACTION, fields, caller)


def _report(desk: Desk, caller: Caller, incident: dict[str, object]) -> None:
    # The same bytes are one entry, as of everything that is no marker.
    environment = incident.get("environment") or UNMAPPED
    services = incident.get("services")
    for service in services if isinstance(services, list) else [UNMAPPED]:
        # It says as much against a deployment as its failure would.
        fields = {"service": service, "environment": environment, "phase": Phase.FAILED.value}
        check_scope(caller, fields)
    desk.parts.intake.say(INCIDENT, incident, caller)


def _flat(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        pointer[1:]: value
        for pointer, value in changes.items()
        if pointer.count("/") == 1 and value is not None
    }


def _told(outcome: Outcome) -> Told:
    if isinstance(outcome, DeploymarkError):
        raise outcome
    return told_of(outcome)


def told_of(admitted: Admitted) -> Told:
    """Return what a dialect is told of an admitted marker."""
    return Told(
        admitted.index,
        admitted.ids["deployment_id"],
        admitted.occurrence,
        admitted.duplicate,
        parse_instant(admitted.received_at),
    )
