"""Reads request bodies: in time, within a limit, of a known type, also behind gzip.

What is wrong with a whole body is said here. What is wrong with one item of it (its UTF-8, its
nesting, a repeated key) is admission's to say, item by item.
"""

import asyncio
import zlib
from collections.abc import Collection
from typing import TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from deploymark.decoding import decode_json, json_decoder
from deploymark.errors import (
    BodyError,
    MediaTypeError,
    RequestError,
    SlowRequestError,
    TooLargeError,
)
from deploymark.server.budget import BodyBudget
from deploymark.server.request import Request

T = TypeVar("T")

NDJSON = "application/x-ndjson"
MARKER_TYPES = (
    "application/json",
    NDJSON,
    "application/vnd.in-toto+json",
    "application/vnd.dsse.envelope.v1+json",
)
_GZIP = 16 + zlib.MAX_WBITS
_WORTH_A_THREAD_BYTES = 16_384
_SHOWN = 64
_EMPTY = "Expected `str` of length >= 1"  # as msgspec says it
_decode_array = json_decoder(list[msgspec.Raw]).decode


def media_type(request: Request, accepted: Collection[str]) -> str:
    """Return the body's type, when it is one of `accepted`.

    Raises:
        MediaTypeError: Another type, another charset than UTF-8, or none named.
    """
    name, _, more = request.text(b"content-type").lower().partition(";")
    name = name.strip()
    if name not in accepted:
        said = f"{name[:_SHOWN]!r}" if name else "missing"
        raise MediaTypeError(
            f"The Content-Type is {said}; this takes {', '.join(accepted)}.",
            hint=f"Send Content-Type: {next(iter(accepted))}.",
        )
    charset = more.strip().removeprefix("charset=").strip('"')
    if charset not in {"", "utf-8", "utf8"}:
        raise MediaTypeError(f"Only UTF-8 is read, not {charset[:_SHOWN]!r}.")
    return name


async def read_body(request: Request, limit: int, seconds: float, budget: BodyBudget) -> bytes:
    """Return the body, unpacked.

    Args:
        request: The request; its body is read once.
        limit: Most bytes, both as sent and unpacked.
        seconds: Within which it must have arrived.
        budget: The room that all bodies have together; who called frees it.

    Raises:
        OverloadedError: There is no room for it now.
        TooLargeError: More than `limit`.
        SlowRequestError: It did not arrive in time.
        RequestError: It is not the gzip that it says, or broke off.
        MediaTypeError: Another encoding than gzip.
    """
    encoding = request.text(b"content-encoding").lower()
    if encoding not in {"", "identity", "gzip"}:
        raise MediaTypeError(
            f"The Content-Encoding is {encoding[:_SHOWN]!r}; only gzip is unpacked.",
            hint="Send the body plain or with gzip.",
        )
    body = await _receive(request, limit, seconds, budget)
    if encoding != "gzip":
        return body
    if len(body) > _WORTH_A_THREAD_BYTES:
        unpacked = await run_in_threadpool(unpack, body, limit)
    else:
        unpacked = unpack(body, limit)
    budget.take(request, len(unpacked))
    return unpacked


async def _receive(request: Request, limit: int, seconds: float, budget: BodyBudget) -> bytes:
    _check_declared(request, limit)
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                if part := message.get("body", b""):
                    size += len(part)
                    if size > limit:
                        raise _too_large(limit)
                    budget.take(request, len(part))
                    parts.append(part)
                if not message.get("more_body", False):
                    return parts[0] if len(parts) == 1 else b"".join(parts)
    except TimeoutError:
        raise SlowRequestError(
            f"The body did not arrive within {seconds:g} seconds; {size} bytes did."
        ) from None


def _check_declared(request: Request, limit: int) -> None:
    declared = request.headers.get(b"content-length")
    # A length that is no number never comes through the parser; what comes is counted anyway.
    if declared is not None and declared.isdigit() and int(declared[:20]) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The body has more than {limit} bytes, which is the limit of this operation.",
        hint="Send less at once; a batch may be cut in pieces.",
    )


def unpack(body: bytes, limit: int) -> bytes:
    """Return what one gzip member holds; never unpacks more than a byte beyond `limit`.

    Raises:
        TooLargeError: It holds more.
        RequestError: It is no gzip, is cut off, or something follows it.
    """
    reader = zlib.decompressobj(_GZIP)
    try:
        content = reader.decompress(body, limit + 1)
    except zlib.error as error:
        raise RequestError(f"The body is not gzip: {error}.") from None
    if len(content) > limit:
        raise _too_large(limit)
    if not reader.eof or reader.unused_data:
        raise RequestError("The gzip of the body is cut off, or something follows it.")
    return content


def items_of(body: bytes, kind: str, most: int) -> list[bytes] | None:
    """Cut a batch into its items; None when the body is one item and no batch.

    Args:
        body: The whole body.
        kind: Its media type.
        most: Items in a batch.

    Raises:
        RequestError: The body is empty or an array that cannot be cut.
        TooLargeError: More than `most` items.
    """
    if kind == NDJSON:
        items = [line for line in body.split(b"\n") if line.strip()]
    else:
        start = body.lstrip(b" \t\r\n")[:1]
        if start != b"[":
            if start != b"{":
                raise RequestError("The body is neither a JSON object nor an array of them.")
            return None
        items = _cut(body)
    if not items:
        raise RequestError("The batch is empty.", hint="Send at least one item.")
    if len(items) > most:
        raise TooLargeError(
            f"The batch has {len(items)} items; the limit is {most}.", hint="Cut it in pieces."
        )
    return items


def _cut(body: bytes) -> list[bytes]:
    try:
        return [bytes(item) for item in _decode_array(body)]
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestError(f"The body is not a JSON array: {error}.") from None


def read_as(body: bytes, kind: type[T]) -> T:
    """Return a small JSON body as a Struct.

    Raises:
        RequestError: Not JSON.
        BodyError: JSON of another shape.
    """
    try:
        return decode_json(body, kind)
    except msgspec.ValidationError as error:
        sentence, _, place = str(error).partition(" - at ")
        pointer = place.strip("`").removeprefix("$").replace(".", "/").replace("[", "/")
        field = pointer.replace("]", "")
        if sentence == _EMPTY:
            sentence = f"{field} is empty."
        raise BodyError(sentence, field=field) from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RequestError(f"The body is not JSON: {error}.") from None
