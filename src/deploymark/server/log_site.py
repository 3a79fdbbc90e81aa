"""The log as a static site (c2sp.org/tlog-tiles): checkpoint, tiles, bundles, policy."""

import gzip

from starlette.concurrency import run_in_threadpool

from deploymark.errors import NotFoundError
from deploymark.log.reader import full_note
from deploymark.log.tiles import ENTRIES, parse_tile_path
from deploymark.server.accept import takes_gzip
from deploymark.server.answer import BYTES, IMMUTABLE, Answer, Headers, headers_of, text_answer
from deploymark.server.desk import Desk
from deploymark.server.request import Request
from deploymark.server.settings import LogAccess

_OPEN_HEADERS = headers_of(BYTES, cache=IMMUTABLE[1])
_CLOSED_HEADERS = headers_of(BYTES)
_GZIP = (b"content-encoding", b"gzip")
_VARY = (b"vary", b"accept-encoding")
_GZIP_LEVEL = 6


async def show_checkpoint(desk: Desk, _: Request) -> Answer:
    """Answer `GET /log/checkpoint`."""
    return text_answer(await run_in_threadpool(_checkpoint, desk))


def _checkpoint(desk: Desk) -> str:
    reader = desk.parts.view.reader
    published = reader.checkpoint(reader.head().published_size)
    return full_note(published.note, published.cosignatures)


async def show_tile(desk: Desk, request: Request) -> Answer:
    """Answer `GET /log/tile/{level}/{index}`."""
    level, index = request.parameters["level"], request.parameters["index"]
    name = parse_tile_path(f"tile/{level}/{index}")
    body = await run_in_threadpool(desk.parts.view.tile, name)
    is_open = desk.settings.log_access is not LogAccess.PRIVATE
    return Answer(200, body, _OPEN_HEADERS if is_open else _CLOSED_HEADERS)


async def show_bundle(desk: Desk, request: Request) -> Answer:
    """Answer `GET /log/tile/entries/{index}`."""
    name = parse_tile_path(f"tile/{ENTRIES}/{request.parameters['index']}")
    is_packed = takes_gzip(request.text(b"accept-encoding"))

    def bundle() -> bytes:
        body = desk.parts.view.tile(name)
        return gzip.compress(body, _GZIP_LEVEL, mtime=0) if is_packed else body

    headers: Headers = _CLOSED_HEADERS
    if desk.settings.log_access is LogAccess.PUBLIC:
        headers = _OPEN_HEADERS
    more = (_VARY, _GZIP) if is_packed else (_VARY,)
    return Answer(200, await run_in_threadpool(bundle), (*headers, *more))


async def show_policy(desk: Desk, _: Request) -> Answer:
    """Answer `GET /log/policy`."""
    if not desk.parts.policy_text:
        raise NotFoundError("This server shows no policy.", hint="Ask its operator for one.")
    return text_answer(desk.parts.policy_text)
