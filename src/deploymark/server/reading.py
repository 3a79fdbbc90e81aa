"""What readers ask: markers, entries, receipts, emitters, schemas, the stream."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool

from deploymark.errors import (
    ForbiddenError,
    NotFoundError,
    NotPublishedError,
    RequestError,
    StoreUnavailableError,
    ViewsBehindError,
)
from deploymark.log.receipt import format_receipt
from deploymark.log.steps import counted
from deploymark.model.leaf import decode_leaf
from deploymark.model.schema import schema, schemas
from deploymark.model.vocabulary import Role
from deploymark.projections.broker.corrected import NONE, Corrections
from deploymark.projections.outcome_questions import SliQuery
from deploymark.projections.search_query import (
    ENTRY_TYPES,
    EntryQuery,
    MarkerQuery,
    Page,
    check_words,
)
from deploymark.server.answer import (
    BYTES,
    EVENTS,
    TEXT_HEADERS,
    Answer,
    Streaming,
    headers_of,
    json_answer,
)
from deploymark.server.desk import Desk
from deploymark.server.events import EVERYTHING, Filter
from deploymark.server.request import ABORT, Request
from deploymark.server.views import MARKER, corrected_view

_LOOK_AGAIN_SECONDS = 0.01
_LOOKS = 12
_PUBLISHED_AGAIN_SECONDS = 0.25

_EVENT_HEADERS = headers_of(EVENTS, (b"x-accel-buffering", b"no"))  # a proxy must not collect
_DETAIL_HEADERS = headers_of(BYTES, (b"content-disposition", b"attachment"))
_SCHEMA_HEADERS = headers_of("application/schema+json", cache=b"public, max-age=3600")


async def list_markers(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/markers`."""
    query = MarkerQuery(**await asked_of(desk, request))
    return await _page(desk, await run_in_threadpool(desk.parts.search.markers, query))


async def list_entries(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/entries`."""
    query = EntryQuery(**await asked_of(desk, request))
    return await _page(desk, await run_in_threadpool(desk.parts.search.entries, query))


async def asked_of(desk: Desk, request: Request) -> dict[str, Any]:
    """Wait until the views are as fresh as asked, and return the query.

    Raises:
        RequestError: The log has no such entry to wait for.
        ViewsBehindError: The views have not seen it in time.
    """
    asked = dict(request.parameters)
    after = asked.pop("after", None)
    if after is not None and after >= desk.parts.runner.position():
        await _wait(desk, after)
    return asked


async def catch_up(desk: Desk) -> None:
    """Wait until the views have seen everything that stands in the log by now.

    Raises:
        ViewsBehindError: They have not in time.
    """
    newest = (await run_in_threadpool(desk.parts.view.reader.head)).size - 1
    if newest >= desk.parts.runner.position():
        await _wait(desk, newest)


async def _wait(desk: Desk, after: int) -> None:
    size = (await run_in_threadpool(desk.parts.view.reader.head)).size
    if after >= size:
        raise RequestError(
            f"The log has {counted(size, 'entry', 'entries')}; "
            f"there is nothing to wait for at {after}."
        )
    seconds = desk.settings.fresh_seconds
    try:
        async with asyncio.timeout(seconds):
            # Asked again and again rather than waited for on a thread: threads are for reading,
            # and a few clients that wait must not hold them all.
            while after >= desk.parts.runner.position():  # noqa: ASYNC110 - as said
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    except TimeoutError:
        raise ViewsBehindError(
            f"The views have not seen entry {after} within {seconds:g} seconds."
        ) from None


async def _page(desk: Desk, page: Page) -> Answer:
    views = await run_in_threadpool(_views, desk, page.indexes)
    return json_answer({"items": views, "next_cursor": page.next_cursor, "as_of": page.as_of})


def _views(desk: Desk, indexes: Sequence[int]) -> list[dict[str, Any]]:
    reader, known = desk.parts.view.reader, _corrections(desk, indexes)
    return [
        corrected_view(reader.entry(index), None if known is None else known.get(index, NONE))
        for index in indexes
    ]


def _corrections(desk: Desk, indexes: Sequence[int]) -> Mapping[int, Corrections] | None:
    """Return what was corrected of entries; None while views are built: the log has its own."""
    with suppress(StoreUnavailableError):
        return desk.parts.broker.corrections(indexes)
    return None


async def show_marker(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/markers/{index}`."""
    view = await _one(desk, request)
    if view["type"] != MARKER:
        raise NotFoundError(
            f"Entry {view['index']} is a {view['type']} and no marker.",
            hint=f"GET /v1/entries/{view['index']} shows it.",
        )
    return json_answer(view)


async def show_entry(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/entries/{index}`."""
    return json_answer(await _one(desk, request))


async def _one(desk: Desk, request: Request) -> dict[str, Any]:
    (view,) = await run_in_threadpool(_views, desk, [request.parameters["index"]])
    return view


async def show_receipt(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/markers/{index}/receipt`."""
    for _ in range(_LOOKS):
        try:
            text = await run_in_threadpool(_receipt, desk, request)
        except NotPublishedError:
            await asyncio.sleep(_PUBLISHED_AGAIN_SECONDS)
        else:
            return Answer(200, text.encode(), TEXT_HEADERS)
    raise NotPublishedError(f"Entry {request.parameters['index']} is not published yet.")


def _receipt(desk: Desk, request: Request) -> str:
    index = request.parameters["index"]
    head = desk.parts.view.reader.head()
    if head.published_size <= index < head.size:
        raise NotPublishedError(f"Entry {index} is not published yet.")
    receipt = desk.parts.view.published_receipt(index)
    caller = request.caller
    if (
        not caller.has(Role.READER)
        and decode_leaf(receipt.extra or b"").principal != caller.principal
    ):
        raise ForbiddenError(
            f"Entry {index} was handed in by somebody else.",
            hint="An emitter may fetch its own receipts; others need the role reader.",
        )
    return format_receipt(receipt)


async def show_detail(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/details/{digest}`."""
    digest = request.parameters["digest"]
    raw = bytes.fromhex(digest.removeprefix("sha256:"))
    blob = await run_in_threadpool(desk.parts.view.reader.blob, raw)
    if blob.content is None:
        raise NotFoundError(f"The content {digest} was erased.", hint="Its digest stands.")
    # With the salt anybody can recompute the digest that markers name.
    salt = base64.b64encode(blob.salt or b"")
    return Answer(200, blob.content, (*_DETAIL_HEADERS, (b"deploymark-salt", salt)))


async def list_emitters(desk: Desk, _: Request) -> Answer:
    """Answer `GET /v1/emitters`."""
    return json_answer(await run_in_threadpool(_emitters, desk))


def _emitters(desk: Desk) -> dict[str, Any]:
    known = desk.parts.emitters
    told: dict[str, Any] | None = None
    # The ledger counts what is missing whether or not the views are there.
    with suppress(StoreUnavailableError):
        told = known.punctuality()
    return {"items": known.list(), "punctuality": told}


async def list_slis(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/slis`."""
    query = SliQuery(**await asked_of(desk, request))
    after = request.parameters.get("after", -1)
    return json_answer({"items": await run_in_threadpool(desk.parts.measures.slis, query, after)})


async def list_sli_items(desk: Desk, request: Request) -> Answer:
    """Answer `GET /v1/slis/{measure}/items`."""
    query = SliQuery(**await asked_of(desk, request))
    found = await run_in_threadpool(desk.parts.measures.items, query)
    return json_answer(
        {"items": found.items, "next_cursor": found.next_cursor, "as_of": found.as_of}
    )


async def list_schemas(_: Desk, __: Request) -> Answer:
    """Answer `GET /v1/schema`."""
    items = [{"name": name, "version": version} for name, version in sorted(schemas())]
    return json_answer({"items": items})


async def show_schema(_: Desk, request: Request) -> Answer:
    """Answer `GET /v1/schema/{name}/{version}`."""
    found = schema(request.parameters["name"], request.parameters["version"])
    return json_answer(found, headers=_SCHEMA_HEADERS)


async def stream(desk: Desk, request: Request) -> Streaming:
    """Answer `GET /v1/stream`."""
    subscription = await desk.feed.subscribe(
        _after(request), _filter(request.parameters), request.check
    )
    subscription.cut_off_with(request.scope.get("extensions", {}).get(ABORT))
    return Streaming(_EVENT_HEADERS, subscription.run)


def _after(request: Request) -> int | None:
    text = request.text(b"last-event-id")
    if not text:
        return request.parameters.get("after")
    # What a client resumes from counts more than the address, which stays as it was.
    try:
        after = int(text)
    except ValueError:
        after = -2
    if not -1 <= after < 2**53 or str(after) != text:
        raise RequestError(f"Last-Event-ID is {text[:64]!r}; it is the index of an entry.")
    return after


def _filter(asked: Mapping[str, Any]) -> Filter:
    wanted = {name: value for name, value in asked.items() if name != "after"}
    if "type" in wanted:  # else whoever misspells it follows silence
        check_words("type", (wanted["type"],), ENTRY_TYPES)
    return Filter(**wanted) if wanted else EVERYTHING
