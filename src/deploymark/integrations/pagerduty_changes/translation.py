"""What a change event means: its details are tags. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.model.limits import ITEMS, TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import marker_of
from deploymark.model.tolerant import bounded, instant_of, milliseconds_of, text_of
from deploymark.ports import ForeignRequest, Said, Translated

NAME: Final = "pagerduty_changes"

_SOURCE_LABEL: Final = "source"


def enqueued(request: ForeignRequest) -> Said:
    """Translate `POST /v2/change/enqueue`."""
    body = request.json()
    payload = _mapping(body.get("payload"))
    summary = text_of(payload.get("summary")) or ""
    details = _mapping(payload.get("custom_details"))
    tags = tuple(
        f"{name}:{text}" for name, value in details.items() if (text := text_of(value)) is not None
    )
    at = milliseconds_of(payload.get("timestamp"))
    fields = marker_of(summary, tags, at or request.received_ms, request.mapping, key=NAME)
    if source := bounded(text_of(payload.get("source")), VALUE_BYTES):
        fields["labels"] = {_SOURCE_LABEL: source}
    if links := _links(body.get("links")):
        fields["links"] = links
    fields["timestamp"] = instant_of(at)
    return Said((Translated(fields, summary, tags),))


def _links(value: object) -> list[dict[str, str]]:
    found = []
    for each in value[:ITEMS] if isinstance(value, list) else ():
        href = bounded(text_of(_mapping(each).get("href")), TEXT_BYTES)
        rel = bounded(text_of(_mapping(each).get("text")), VALUE_BYTES)
        if href:
            found.append({"rel": rel or "related", "href": href})
    return found


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401 - any JSON value
    return value if isinstance(value, Mapping) else {}
