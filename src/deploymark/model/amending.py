"""What an amendment may change in a marker, and the marker as it then is.

Admission asks before an amendment is written, and every reader asks again: what stands in a log
stays there, whatever an earlier release let in. One answer for both. Nothing is read here but the
values given; which entry is meant, and who may correct it, is the caller's matter.
"""

import copy
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from deploymark.errors import MarkerError, RefusedError, TooLargeError
from deploymark.model.inspection import escape, show, unescape
from deploymark.model.marker import FLAT, Marker

_LISTS: Final = frozenset(
    {"approvers", "change_tickets", "changes", "flags", "links", "risk_flags", "steps"}
)
_POINTER: Final = re.compile(r"(/([^~/]|~[01])*)+")
_PLACE: Final = re.compile(r"0|[1-9][0-9]{0,8}")
_SMALLEST: Final = {"service": "a", "environment": "a", "phase": "planned", "version": "1"}
"""A marker in which every field but these is free."""


def check_changes(changes: Mapping[str, Any]) -> None:
    """Refuse changes that would be wrong in every marker.

    Args:
        changes: New values by JSON Pointer (RFC 6901) into the flat marker; None takes away.

    Raises:
        MarkerError: A pointer leads to no field of a marker, or its value is none of that field;
            `field` points into the amendment.
        TooLargeError: A value is above the limit of its field.
    """
    check_pointers(changes)
    for pointer, value in changes.items():
        name, *_ = _names(pointer)
        if name not in Marker.__struct_fields__:
            raise _refusal(pointer, f"A marker has no field {show(name)}.", _KNOWN)
        fields: dict[str, Any] = dict(_SMALLEST)
        place = _put(fields, pointer, value, anywhere=True)
        if place is None:
            raise _refusal(pointer, f"{show(pointer)} leads to no field of a marker.", _KNOWN)
        for fault in FLAT.faults(fields):
            # Only what is wrong with the value: what must stand beside it may be there already.
            if f"{place}/".startswith(f"{fault.field}/"):
                error = TooLargeError if isinstance(fault, TooLargeError) else MarkerError
                raise _refusal(pointer, fault.message, fault.hint, error)


def check_pointers(changes: Iterable[str]) -> None:
    """Refuse what is no JSON Pointer at all.

    Raises:
        MarkerError: As `check_changes`.
    """
    for pointer in changes:
        if not _POINTER.fullmatch(pointer):
            raise _refusal(
                pointer,
                f"{show(pointer)} is no JSON Pointer.",
                f"Begin it with a slash and write ~1 for / in a name: "
                f"{show('/' + pointer.lstrip('/'))}.",
            )


def lay_over(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a marker with all changes of one amendment; the argument stays as it is.

    Args:
        fields: The flat marker as it stands, with earlier amendments.
        changes: As `check_changes`. A place beyond the end of a list changes nothing.

    Raises:
        MarkerError, TooLargeError: As `check_changes`, or it would be no valid marker any more.
    """
    check_changes(changes)
    result: dict[str, Any] = copy.deepcopy(dict(fields))
    for pointer, value in changes.items():
        set_pointer(result, pointer, value)
    faults = list(FLAT.faults(result))
    if faults:
        before = {each.field for each in FLAT.faults(dict(fields))}
        for fault in faults:
            if fault.field not in before:
                raise MarkerError(
                    f"The marker would be no valid one: {fault.message}",
                    hint=fault.hint,
                    field="/changes",
                )
    return result


def why_not(changes: Mapping[str, Any], fields: Mapping[str, Any] | None = None) -> str:
    """Return why changes are not taken over, "" when they are.

    Args:
        changes: Of one amendment.
        fields: The flat marker as it stands; None where only the changes are at hand.
    """
    try:
        check_changes(changes)
        if fields is not None:
            lay_over(fields, changes)
    except RefusedError as error:
        return error.message
    return ""


def set_pointer(fields: dict[str, Any], pointer: str, value: object) -> None:
    """Put a value where a JSON Pointer leads, or take away what is there when it is None.

    Objects on the way are made. A list takes a value at one of its places or behind its end; a
    pointer that leads nowhere, or is none, changes nothing.
    """
    if pointer.startswith("/"):
        _put(fields, pointer, value)


_KNOWN: Final = "docs/formats/marker.md lists the fields; `deploymark schema marker` prints them."


def _refusal(
    pointer: str, message: str, hint: str, error: type[RefusedError] = MarkerError
) -> RefusedError:
    return error(
        f"An amendment cannot say this: {message}", hint=hint, field=f"/changes/{escape(pointer)}"
    )


def _names(pointer: str) -> list[str]:
    return [unescape(each) for each in pointer.split("/")[1:]]


def _put(
    fields: dict[str, Any], pointer: str, value: object, *, anywhere: bool = False
) -> str | None:
    """Do as `set_pointer`; return the pointer to where it was put, None when that is nowhere.

    With `anywhere`, a place beyond the end of a list is its end.
    """
    *way, last = _names(pointer)
    holder: Any = fields
    place = ""
    for name in way:
        here = _place(holder, name, anywhere=anywhere)
        if here is None:
            return None
        if value is None and not isinstance(here, int) and holder.get(here) is None:
            return pointer  # there is nothing to take away
        holder = _inside(holder, here)
        place += f"/{escape(str(here))}"
    end = _place(holder, last, anywhere=anywhere)
    if end is None:
        return None
    if isinstance(end, int):
        # In its place, behind the end, or away with it.
        holder[end : end + 1] = [] if value is None else [value]
    elif value is None:
        holder.pop(end, None)
    else:
        holder[end] = value
    return f"{place}/{escape(str(end))}"


def _place(holder: object, name: str, *, anywhere: bool) -> str | int | None:
    if isinstance(holder, dict):
        return name
    if isinstance(holder, list) and _PLACE.fullmatch(name):
        if int(name) <= len(holder):
            return int(name)
        return len(holder) if anywhere else None
    return None


def _inside(holder: Any, place: str | int) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(place, int):
        if place == len(holder):
            holder.append({})
        return holder[place]
    inner = holder.get(place)
    if inner is None:
        inner = holder[place] = [] if place in _LISTS else {}
    return inner
