"""CloudEvents in HTTP requests: structured, binary and in batches. Pure.

What an event means is `translation`'s to say. Source: CloudEvents 1.0.2, HTTP protocol binding and
JSON format. Tolerant beyond it: events as plain `application/json`, and CDEvents without an
envelope, whose context has all that one needs.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

import msgspec
from msgspec import Struct

from deploymark.decoding import decode_json
from deploymark.errors import DialectError
from deploymark.model.tolerant import instant_of, member, text_of
from deploymark.ports import ForeignRequest

MAX_EVENTS: Final = 256
"""Of one batch."""

_STRUCTURED: Final = "application/cloudevents+json"
_BATCH: Final = "application/cloudevents-batch+json"
_OTHER_FORMAT: Final = "application/cloudevents"
_ATTRIBUTE: Final = "ce-"


class CloudEvent(Struct, frozen=True, kw_only=True):
    """One event.

    Attributes:
        id: Unique within its source: both together tell it from others.
        source: Who tells.
        type: What kind of thing happened.
        at: When, as markers write it; None where it does not say.
        subject: What it is about, "" where it does not say.
        data: Decoded where it is JSON, else text.
    """

    id: str
    source: str
    type: str
    at: str | None = None
    subject: str = ""
    data: Any = None


def events_of(request: ForeignRequest) -> list[CloudEvent]:
    """Return the events of a request.

    Raises:
        DialectError: It holds none, too many, or one without what every event has.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if f"{_ATTRIBUTE}specversion" in request.headers or f"{_ATTRIBUTE}id" in request.headers:
        return [_event(_attributes(request), _data(media_type, request.body), "The event")]
    if media_type.startswith(_OTHER_FORMAT) and media_type not in {_STRUCTURED, _BATCH}:
        raise DialectError(f"The format {media_type} is not read; JSON is.")
    said = _json(request.body)
    if not isinstance(said, list):
        return [_read(said, "The event")]
    if len(said) > MAX_EVENTS:
        raise DialectError(f"The batch has {len(said)} events; {MAX_EVENTS} at most.")
    return [_read(each, f"Event {number} of the batch") for number, each in enumerate(said)]


def _read(said: Any, where: str) -> CloudEvent:  # noqa: ANN401 - any JSON value
    if not isinstance(said, Mapping):
        raise DialectError(f"{where} is no JSON object.")
    if "specversion" not in said and isinstance(said.get("context"), Mapping):
        context = said["context"]
        return _event({**context, "time": context.get("timestamp")}, said, where)
    data = said.get("data")
    if data is None and (encoded := text_of(said.get("data_base64"))):
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            raise DialectError(f"{where} has data_base64 that is none.") from None
        data = _data(text_of(said.get("datacontenttype")) or "application/json", content)
    return _event(said, data, where)


def _event(attributes: Mapping[str, Any], data: Any, where: str) -> CloudEvent:  # noqa: ANN401
    missing = [name for name in ("id", "source", "type") if not text_of(attributes.get(name))]
    if missing:
        raise DialectError(f"{where} has no {' and no '.join(missing)}.")
    return CloudEvent(
        id=text_of(attributes["id"]) or "",
        source=text_of(attributes["source"]) or "",
        type=text_of(attributes["type"]) or "",
        at=instant_of(attributes.get("time")) or instant_of(member(data, "context", "timestamp")),
        subject=text_of(attributes.get("subject")) or "",
        data=data,
    )


def _attributes(request: ForeignRequest) -> dict[str, str]:
    return {
        name.removeprefix(_ATTRIBUTE): unquote(text).strip('"')
        for name, text in request.headers.items()
        if name.startswith(_ATTRIBUTE)
    }


def _data(media_type: str, content: bytes) -> Any:  # noqa: ANN401 - whatever it is
    if media_type.endswith(("/json", "+json")) or not media_type:
        return _json(content) if content.strip() else None
    return content.decode("utf-8", "replace")


def _json(content: bytes) -> Any:  # noqa: ANN401 - any JSON value
    try:
        return decode_json(content)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise DialectError(f"The body is not JSON: {error}.") from None
