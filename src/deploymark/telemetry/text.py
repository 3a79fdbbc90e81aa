"""Values of attributes and log bodies as short text. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from deploymark.telemetry.limits import EXCERPT_CHARACTERS

DEPTH: Final = 6
"""How deep lists and maps are followed; OpenTelemetry nests two or three."""

_encode = msgspec.json.Encoder(enc_hook=repr).encode


def shown(value: Any) -> str:  # noqa: ANN401 - any attribute value
    """Return a value as text: text as it is, lists and maps as JSON."""
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            return value[:EXCERPT_CHARACTERS].hex()
        case bool() | int() | float():
            return str(value)
        case _:
            return _encode(value).decode("utf-8", "replace")


def clip(text: str, most: int = EXCERPT_CHARACTERS) -> str:
    """Return the beginning of a text, marked where it was cut."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def event_of(name: str, attributes: Mapping[str, Any]) -> str:
    """Return what a log record calls its event, or the type of its exception."""
    found = name or attributes.get("event.name") or attributes.get("exception.type") or ""
    return clip(shown(found), 128)
