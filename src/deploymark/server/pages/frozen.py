"""Keeps a page as it is, under an address that does not change, and shows it again.

What is kept is the document that the server makes at that moment, never one that a client sends:
it is evidence of what was shown. It is kept like any erasable detail, with an entry in the log that
says who kept it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.routing import compile_path

from deploymark.decoding import decode_json
from deploymark.errors import NotFoundError, RequestError
from deploymark.ingest.callers import PLATFORM
from deploymark.ingest.throttle import Throttle
from deploymark.model.instants import format_instant
from deploymark.server.access import read_small
from deploymark.server.answer import Answer, json_answer
from deploymark.server.broker import asked_lately
from deploymark.server.desk import Desk
from deploymark.server.operation import Operation
from deploymark.server.pages.asked import Asked, asked_of
from deploymark.server.pages.shapes_audit import Frozen, KeptView, NewView
from deploymark.server.pages.shapes_boot import Page
from deploymark.server.request import Request

FORMAT: Final = "deploymark.view/1"

_CREATED: Final = 201
# What is kept stays until somebody erases it, so a reader may not keep without end.
_KEPT_PER_SECOND: Final = 0.05
_KEPT_AT_ONCE: Final = 10
_SHOWN: Final = 80


class Kept(Struct, frozen=True):
    """What is kept of a page."""

    format: str
    page: Page
    address: str
    frozen_at: str
    frozen_by: str
    document: dict[str, Any]


class Freezable(NamedTuple):
    """A page that can be kept."""

    operation: Operation
    page: Page
    make: Callable[[Asked], Any]


def frozen(asked: Asked) -> Frozen:
    """Return a page as it was when it was kept.

    Raises:
        NotFoundError: Nothing is kept there, or it was erased.
        StoreUnavailableError: A medium refuses.
    """
    digest = asked.parameters["hash"]
    content = asked.parts.view.reader.blob(bytes.fromhex(digest)).content
    if content is None:
        raise NotFoundError("This view was erased.", hint="The log says when, and by whom.")
    try:
        kept = decode_json(content, Kept)
    except msgspec.MsgspecError:
        kept = None
    if kept is None or kept.format != FORMAT:  # some other detail
        raise NotFoundError("No view is kept there.")
    return Frozen(
        **asked.head(asked.parts.view.reader.head().size),
        page=kept.page,
        address=kept.address,
        frozen_at=kept.frozen_at,
        frozen_by=kept.frozen_by,
        document=kept.document,
        digest=f"sha256:{digest}",
    )


def keeper(pages: Sequence[Freezable]) -> Callable[[Desk, Request], Any]:
    """Return what answers `POST /v1/views` for these pages."""
    throttles: dict[int, Throttle] = {}
    known = [(compile_path(each.operation.path)[0], each) for each in pages]

    async def keep_view(desk: Desk, request: Request) -> Answer:
        throttle = throttles.setdefault(
            id(desk), Throttle(desk.parts.clock, _KEPT_PER_SECOND, _KEPT_AT_ONCE)
        )
        throttle.demand(request.caller.principal, "views to keep")
        address = (await read_small(desk, request, NewView)).address
        path, query = _parts(address)
        for pattern, each in known:
            if (match := pattern.match(path)) is not None:
                asked_for = _request(request, match.groupdict(), query)
                return await _keep(desk, asked_for, each, address)
        raise NotFoundError(f"There is no page at {path[:_SHOWN]!r}.", field="/address")

    return keep_view


def _parts(address: str) -> tuple[str, str]:
    try:
        parts = urlsplit(address)
    except ValueError:
        raise RequestError("The address is none.", field="/address") from None
    if parts.scheme or parts.netloc or not parts.path.startswith("/"):
        raise RequestError(
            "The address names a host.", hint="Send path and query only.", field="/address"
        )
    return parts.path, parts.query


def _request(request: Request, segments: Mapping[str, str], query: str) -> Request:
    """Return the request that a browser would make for a page, of the same caller."""
    scope = {
        **request.scope,
        "path_params": dict(segments),
        "query_string": query.encode("ascii", "replace"),
        "headers": [],
    }
    page = Request(scope, request.receive)
    page.caller = request.caller
    return page


async def _keep(desk: Desk, request: Request, each: Freezable, address: str) -> Answer:
    request.parameters = each.operation.read_parameters(request)
    request.parameters.pop("token", None)
    parameters = await asked_lately(desk, request)
    asked = asked_of(desk.parts, desk.settings, request.caller, parameters)

    def keep() -> str:
        kept = Kept(
            FORMAT,
            each.page,
            address,
            format_instant(asked.now_ms),
            request.caller.principal,
            msgspec.to_builtins(each.make(asked)),
        )
        digest, _ = desk.parts.intake.keep_detail(msgspec.json.encode(kept), PLATFORM)
        return digest

    digest = await run_in_threadpool(keep)
    told = KeptView(f"/s/{digest.removeprefix('sha256:')}", digest)
    return json_answer(told, _CREATED)
