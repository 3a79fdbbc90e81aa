"""The routes of Honeycomb's markers."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.honeycomb_markers.translation import (
    NAME,
    added,
    asked,
    changed,
    found,
    removed,
    shown,
    shown_as_said,
)
from deploymark.ports import (
    Carrier,
    Change,
    Dialect,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Read,
    Refusal,
    Route,
    Said,
    Token,
    Told,
    Write,
    in_json,
)

_CREDENTIALS: Final = (Token(Carrier.HEADER, "x-honeycomb-team"),)


def _added(request: ForeignRequest, _: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json(shown_as_said(request, told[0]), 201)


def _changed(request: ForeignRequest, said: Said, _: Sequence[Told]) -> ForeignReply:
    record = said.amendments[0].record
    body = request.json()
    names = ("start_time", "end_time", "message", "type", "url")
    return in_json(shown(record) | {name: body[name] for name in names if name in body})


def _removed(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return ForeignReply(204)


def _list(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json([shown(each) for each in asked(request, records)])


def _show(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json(shown(found(request, records)))


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Honeycomb does; honeymarker prints it."""
    return in_json({"error": refusal.message}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Honeycomb markers",
    (
        Route(
            "POST", "/1/markers/{dataset}", "Add a marker.",
            Write(added, _added), _CREDENTIALS,
        ),
        Route("GET", "/1/markers/{dataset}", "List markers.", Read(_list), _CREDENTIALS),
        Route("GET", "/1/markers/{dataset}/{id}", "Show one.", Read(_show), _CREDENTIALS),
        Route(
            "PUT", "/1/markers/{dataset}/{id}", "Change one.",
            Change(changed, _changed), _CREDENTIALS,
        ),
        Route(
            "DELETE", "/1/markers/{dataset}/{id}", "Take one back.",
            Change(removed, _removed), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="honeycomb",
)  # fmt: skip
"""The table."""
