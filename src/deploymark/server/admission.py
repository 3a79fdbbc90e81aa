"""What callers hand in: markers and other entries, one or many, and erasable details.

The door reads the body, hands each item to `ingest` and says what became of it. Whether an item
is right, and whether its caller may say it, is decided there.
"""

from email.utils import parsedate_to_datetime
from typing import Any

from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from deploymark.crypto.note import parse_note
from deploymark.errors import DeploymarkError, NotFoundError, TooLargeError
from deploymark.ingest.callers import Caller
from deploymark.ingest.intake import Admitted
from deploymark.ingest.submission import Submission
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.log.reader import LogView
from deploymark.log.receipt import format_receipt
from deploymark.model.vocabulary import Role
from deploymark.server.answer import JSON_HEADERS, Answer, json_answer
from deploymark.server.body import MARKER_TYPES, items_of, media_type, read_body
from deploymark.server.desk import Desk
from deploymark.server.parts import Outcome
from deploymark.server.problems import problem
from deploymark.server.request import Request

RECEIPT = "receipt"
DETAIL_TYPES = ("text/plain", "application/json", "application/octet-stream")

_CREATED, _OK, _MIXED, _UNPROCESSABLE = 201, 200, 207, 422
_WITH_RECEIPT = (*JSON_HEADERS, (b"preference-applied", b"receipt"))


class Acknowledgement(Struct, frozen=True, omit_defaults=True):
    """What an emitter is told of one item that stands in the log."""

    index: int
    received_at: str
    duplicate: bool
    ignored: list[str]
    marker_id: str = ""
    deployment_id: str = ""
    entry_id: str = ""
    occurrence: int = 0
    repeat: int = 0
    receipt: str = ""
    status: int = 0


async def admit(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/markers` and `POST /v1/entries`."""
    settings = desk.settings
    kind = media_type(request, MARKER_TYPES)
    caller = request.caller
    limit = settings.max_batch_bytes if caller.principal else settings.max_stranger_bytes
    body = await read_body(request, limit, settings.body_seconds, desk.bodies)
    items = items_of(body, kind, settings.max_batch_items)
    if items is None and len(body) > settings.max_marker_bytes:
        raise TooLargeError(
            f"The item has {len(body)} bytes; the limit is {settings.max_marker_bytes}."
        )
    if items is not None and len(items) > 1:  # the request itself was counted at the door
        desk.parts.throttle.demand(caller.principal or caller.network, "markers", len(items) - 1)
    submissions = [Submission(item, caller) for item in items or (body,)]
    if (sent_at_ms := sent_at(request.text(b"date"))) is not None:  # one measures the clock of all
        submissions[-1] = Submission(submissions[-1].body, caller, sent_at_ms)
    outcomes = await desk.landing.result(desk.parts.intake.submit(submissions))
    for outcome in outcomes:
        desk.requests.item(_label(outcome))
    receipts = [""] * len(outcomes)
    wants_receipts = request.prefers(RECEIPT)
    if wants_receipts:
        receipts = await run_in_threadpool(_receipts, desk.parts.view, outcomes, caller)
    headers = _WITH_RECEIPT if wants_receipts else JSON_HEADERS
    if items is None:
        return _single(outcomes[0], receipts[0], headers)
    return _batch(outcomes, receipts, headers)


def sent_at(said: str) -> int | None:
    """Return the time in a `Date` (RFC 9110) in milliseconds, None when it states none."""
    if not said:
        return None
    try:
        return int(parsedate_to_datetime(said).timestamp() * 1_000)
    except (ValueError, OverflowError):
        return None


def _single(outcome: Outcome, receipt: str, headers: tuple[tuple[bytes, bytes], ...]) -> Answer:
    if isinstance(outcome, DeploymarkError):
        raise outcome
    status = _OK if outcome.duplicate else _CREATED
    return json_answer(acknowledgement(outcome, receipt), status, headers)


def _batch(
    outcomes: list[Outcome], receipts: list[str], headers: tuple[tuple[bytes, bytes], ...]
) -> Answer:
    results: list[Acknowledgement | dict[str, Any]] = []
    statuses = []
    for outcome, receipt in zip(outcomes, receipts, strict=True):
        if isinstance(outcome, DeploymarkError):
            results.append(told := problem(outcome))
            statuses.append(told["status"])
        else:
            statuses.append(_OK if outcome.duplicate else _CREATED)
            results.append(acknowledgement(outcome, receipt, statuses[-1]))
    return json_answer({"results": results}, batch_status(statuses), headers)


def batch_status(statuses: list[int]) -> int:
    """Return the status of a batch from those of its items.

    What all items share, 207 for a mixture, and 422 when all were refused for several reasons.
    """
    if len(set(statuses)) == 1:
        return statuses[0]
    return _MIXED if min(statuses) <= _CREATED else _UNPROCESSABLE


def acknowledgement(admitted: Admitted, receipt: str = "", status: int = 0) -> Acknowledgement:
    """Return what a caller is told of an admitted entry."""
    ids = admitted.ids
    return Acknowledgement(
        index=admitted.index,
        received_at=admitted.received_at,
        duplicate=admitted.duplicate,
        ignored=list(admitted.ignored),
        marker_id=ids.get("marker_id", ""),
        deployment_id=ids.get("deployment_id", ""),
        entry_id=ids.get("entry_id", ""),
        occurrence=admitted.occurrence,
        repeat=admitted.repeat,
        receipt=receipt,
        status=status,
    )


def _label(outcome: Outcome) -> str:
    if isinstance(outcome, DeploymarkError):
        return outcome.code
    return "duplicate" if outcome.duplicate else "new"


def _receipts(view: LogView, outcomes: list[Outcome], caller: Caller) -> list[str]:
    return [
        "" if isinstance(o, DeploymarkError) or not _may_see(caller, o) else _receipt(view, o)
        for o in outcomes
    ]


def _may_see(caller: Caller, admitted: Admitted) -> bool:
    """Tell whether a receipt, which holds the whole entry, is for this caller.

    As GET …/receipt has it: an emitter sees its own entries only. A duplicate may be another's
    entry; strangers share one name and have none of their own.
    """
    if not admitted.duplicate or caller.has(Role.READER):
        return True
    return bool(caller.principal) and admitted.principal == caller.principal


def _receipt(view: LogView, admitted: Admitted) -> str:
    size = parse_checkpoint(parse_note(admitted.note).text).size
    try:
        return format_receipt(view.receipt(admitted.index, admitted.note, size))
    except NotFoundError:
        return ""  # a duplicate of an archived entry: it stands, which is what was asked


async def keep_detail(desk: Desk, request: Request) -> Answer:
    """Answer `POST /v1/details`."""
    media_type(request, DETAIL_TYPES)
    settings = desk.settings
    content = await read_body(
        request, settings.max_detail_bytes, settings.body_seconds, desk.bodies
    )
    digest, admitted = await run_in_threadpool(
        desk.parts.intake.keep_detail, content, request.caller
    )
    told = {
        "digest": digest,
        "size": len(content),
        "index": admitted.index,
        "received_at": admitted.received_at,
    }
    return json_answer(told, _CREATED)


async def erase_detail(desk: Desk, request: Request) -> Answer:
    """Answer `DELETE /v1/details/{digest}`."""
    erased = await run_in_threadpool(
        desk.parts.intake.erase_detail,
        request.parameters["digest"],
        request.parameters["reason"],
        request.caller,
    )
    return json_answer(acknowledgement(erased))
