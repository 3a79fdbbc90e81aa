"""Dialects as operations: each route becomes one, answered at the root beside our own."""

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import takewhile

import msgspec
from starlette.concurrency import run_in_threadpool

from deploymark.decoding import decode_json
from deploymark.errors import StoreUnavailableError
from deploymark.ingest.callers import Caller
from deploymark.model.vocabulary import Role
from deploymark.ports import (
    Ask,
    Change,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Read,
    Record,
    RecordQuery,
    Refusal,
    Route,
    Said,
    Write,
)
from deploymark.server.answer import Answer, headers_of
from deploymark.server.desk import Desk
from deploymark.server.dialects.calling import body_of, described, form_of, identify
from deploymark.server.dialects.calling import headers_of as request_headers
from deploymark.server.dialects.gating import CallersGate
from deploymark.server.dialects.mounted import Mounted
from deploymark.server.dialects.writing import Writer
from deploymark.server.gate import gate_of, seen
from deploymark.server.operation import EMITTER, PUBLIC, READER, Access, Operation, Retelling
from deploymark.server.reading import catch_up
from deploymark.server.request import Request

TAG = "dialects"
_LOOKS = Access((Role.READER, Role.EMITTER), described="an emitter sees only its own in its scope")
_KEPT_HEADERS = frozenset({b"allow", b"retry-after", b"www-authenticate"})
_OWN_SEGMENTS = 2
"""A path is a dialect's when it begins as a route does, with so many segments: `/v1` and `/api`
alone begin those of many."""

__all__ = ["Mounted", "described", "operations_of", "overlap", "retelling_at"]


def operations_of(dialects: Sequence[Mounted]) -> list[Operation]:
    """Return the operations of dialects, in the order in which addresses are compared."""
    found = []
    for mounted in dialects:
        writer = Writer(mounted.dialect.name)
        for route in mounted.dialect.routes:
            operation = _operation(mounted, writer, route)
            found += [msgspec.structs.replace(operation, path=path) for path in paths_of(route)]
    return found


def paths_of(route: Route) -> tuple[str, ...]:
    """Return the addresses of a route: with and without a final slash."""
    bare = route.path.rstrip("/")
    return (bare, f"{bare}/")


def retelling_at(path: str, dialects: Sequence[Mounted]) -> Retelling | None:
    """Return how the clients of a path are told of an error where no route fits.

    Args:
        path: As asked for.
        dialects: Those that may have sent the client here; of several the first that is nearest.

    Returns:
        That of the dialect with a route that begins like the path; None where none does.
    """
    asked, most, nearest = _segments(path), _OWN_SEGMENTS - 1, None
    for mounted in dialects:
        shared = max(
            (_shared(_segments(route.path), asked) for route in mounted.dialect.routes), default=0
        )
        if shared > most:
            most, nearest = shared, mounted
    return None if nearest is None else partial(_retold, nearest)


def overlap(one: str, other: str) -> bool:
    """Tell whether some address fits both templates; a final slash makes no difference."""
    return _overlap(_segments(one), _segments(other))


def _operation(mounted: Mounted, writer: Writer, route: Route) -> Operation:
    return Operation(
        route.method,
        route.path,
        mounted.dialect.name,
        route.summary,
        TAG,
        _access(route) if route.credentials else PUBLIC,
        partial(_answer, mounted, writer, route),
        {},
        retell=partial(_retold, mounted),
        identify=partial(identify, mounted, route.credentials),
        lenient=True,
    )


def _access(route: Route) -> Access:
    match route.does:
        case Write() | Change():
            return EMITTER
        case Read():
            return _LOOKS
        case Ask():
            return READER


async def _answer(
    mounted: Mounted, writer: Writer, route: Route, desk: Desk, request: Request
) -> Answer:
    if route.credentials:  # nobody knows who sends any other
        await body_of(mounted, desk, request)
    foreign = _foreign(mounted, desk, request)
    if isinstance(route.does, Ask):
        book = gate_of(desk)
        gate = CallersGate(book, desk.parts, request.caller.principal, await seen(desk))
        return _answered(await run_in_threadpool(route.does.answer, foreign, gate))
    if isinstance(route.does, Read):
        if route.does.looks:
            await catch_up(desk)
        records = _records(mounted, desk, request.caller)
        return _answered(await run_in_threadpool(route.does.answer, foreign, records))
    said: Said | None = None
    if isinstance(route.does, Write):
        said = route.does.translate(foreign)
    elif route.does.alone is not None:
        said = route.does.alone(foreign)
    if said is None and isinstance(route.does, Change):
        await catch_up(desk)
        records = _records(mounted, desk, request.caller)
        said = await run_in_threadpool(route.does.translate, foreign, records)
    assert said is not None  # noqa: S101 - whatever writes has said something by now
    told = await writer.write(desk, request.caller, said)
    return _answered(route.does.answer(foreign, said, told))


def _foreign(mounted: Mounted, desk: Desk, request: Request) -> ForeignRequest:
    scope = request.scope
    principal = request.caller.principal
    return ForeignRequest(
        method=scope["method"],
        # A parameter that may hold slashes takes the final one of the address, too.
        path={name: text.rstrip("/") for name, text in scope["path_params"].items()},
        query=tuple(request.query()),
        headers=request_headers(request),
        body=request.body or b"",
        form=form_of(request),
        caller=principal,
        received_ms=desk.parts.clock.now_ms(),
        origin=f"{scope.get('scheme', 'http')}://{request.text(b'host')}",
        mapping=mounted.mapping_of(principal),
    )


class _NoRecords:
    """What a route without a view looks at, which only some never do."""

    def find(self, index: int) -> Record | None:
        raise StoreUnavailableError(f"There are no records here, nor {index}.")

    def search(self, query: RecordQuery) -> list[Record]:
        raise StoreUnavailableError(f"There are no records here for {query}.")


def _records(mounted: Mounted, desk: Desk, caller: Caller) -> DialectRecords:
    if desk.parts.records is None:
        return _NoRecords()
    if caller.has(Role.READER):
        return desk.parts.records.of(mounted.dialect.name)
    return desk.parts.records.of(mounted.dialect.name, caller.principal, caller.scope)


def _answered(reply: ForeignReply, kept: Iterable[tuple[bytes, bytes]] = ()) -> Answer:
    more = [(name.encode("latin-1"), text.encode("latin-1")) for name, text in reply.headers]
    return Answer(reply.status, reply.body, headers_of(reply.media_type, *more, *kept))


def _retold(mounted: Mounted, _: Desk, __: Request, answer: Answer) -> Answer:
    told = decode_json(answer.body)
    kept = [header for header in answer.headers if header[0] in _KEPT_HEADERS]
    retry = next((int(text) for name, text in kept if name == b"retry-after"), None)
    message = " ".join(filter(None, (told["detail"], told["hint"])))
    refusal = Refusal(answer.status, told["code"], message, retry)
    return _answered(mounted.dialect.refuse(refusal), kept)


def _segments(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


def _shared(template: tuple[str, ...], asked: tuple[str, ...]) -> int:
    """Return with how many segments that fit the template a path begins."""
    fits = (a.startswith("{") or a == b for a, b in zip(template, asked, strict=False))
    return sum(1 for _ in takewhile(bool, fits))


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    if not one or not other:
        return not one and not other
    for first, second in ((one, other), (other, one)):
        if first[0].endswith(":path}"):
            # It takes one segment of the other and ends, or takes it and goes on.
            return _overlap(first[1:], second[1:]) or _overlap(first, second[1:])
    fits = one[0] == other[0] or one[0].startswith("{") or other[0].startswith("{")
    return fits and _overlap(one[1:], other[1:])
