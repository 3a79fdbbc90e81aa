"""The measures that the server takes of itself, as pages show them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from deploymark.errors import StoreUnavailableError
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.shapes_overview import Aim, Measured

_UNITS: Final = {"M4": "points"}
_LISTED: Final = {"M1", "M4", "M6", "M7", "M9", "M11", "M14"}
_ELSEWHERE: Final = {
    "M2": "/audit",
    "M3": "/audit",
    "M8": "/v1/telemetry/marked",
    "M10": "/fleet",
}

_COUNTING: Final = "The measures are being counted; they are shown here when that is done."
_AGAIN_SECONDS: Final = 2
"""When whoever is told so asks again: counting takes seconds, an answer without them little."""

Item = Mapping[str, Any]


def measures_of(asked: Asked) -> Sequence[Item]:
    """Return the measures of the last week that were counted last, noting when there are none."""
    try:
        items = asked.parts.measures.lately()
    except StoreUnavailableError as error:
        hint = error.hint or "The measures are not there yet; try again."
        asked.miss("measures", hint, _AGAIN_SECONDS)
        return []
    if items is None:
        asked.miss("measures", _COUNTING, _AGAIN_SECONDS)
    return items or []


def measured(item: Item) -> Measured:
    """Return a measure from what the interface shows of it (`projections.measures`)."""
    name, value = item["measure"], item["value"]
    interval: Item = item["interval"] or {}
    is_difference = "before" in item
    after: Item = item["after"] if is_difference else item
    return Measured(
        id=name,
        title=item["title"],
        value=value,
        numerator=after["numerator"],
        denominator=after["denominator"],
        low=interval.get("low"),
        high=interval.get("high"),
        target=item["target"],
        aim=Aim(item["aim"]),
        met=_met(value, item["target"], Aim(item["aim"])),
        unit=_UNITS.get(name, "share"),
        formula=item["formula"],
        since_at=item["window"]["since"],
        until_at=item["window"]["until"],
        list=list_of(name, item["window"]),
    )


def _met(value: float | None, target: float, aim: Aim) -> bool | None:
    if value is None:
        return None
    match aim:
        case Aim.AT_LEAST:
            return value >= target
        case Aim.AT_MOST:
            return value <= target
        case Aim.BELOW:
            return value < target


def list_of(name: str, window: Item) -> str:
    """Return the address of the list that proves a measure."""
    if name not in _LISTED:
        return _ELSEWHERE.get(name, "/v1/slis")
    asked = {key: window[key] for key in ("since", "until") if window[key]}
    return f"/v1/slis/{name}/items?{urlencode(asked)}"
