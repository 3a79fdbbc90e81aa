"""What a key may say: whether a scope allows a kind of entry, and a marker.

A scope (`deploymark.model.entries.Scope`) is lists of globs in which only `*` is special, so that
a name with brackets or question marks means itself. A key whose `entries` allow `key` is an
administrator of the whole log, whatever the other lists say. Pure.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from deploymark.model.entries import Scope
from deploymark.model.versions import format_of_payload_type
from deploymark.model.vocabulary import IN_TOTO, Kind

MARKER_ENTRY: Final = "marker"


class Said(NamedTuple):
    """What an entry says as far as scopes care; the last four are of markers only."""

    payload_type: str
    service: str | None = None
    environment: str | None = None
    kind: str | None = None
    phase: str | None = None


def allows_entry(scope: Scope, name: str) -> bool:
    """Tell whether a key of this scope may sign entries of a kind (`marker`, `key`, …) at all."""
    return matches_any(scope.entries, name)


def marker_refusal(scope: Scope, fields: Mapping[str, Any]) -> str:
    """Return why a key of this scope may not say a marker, "" when it may.

    Args:
        scope: The key's scope.
        fields: The flat marker; an absent kind means `deployment`.
    """
    said = {
        "service": (scope.services, fields.get("service")),
        "environment": (scope.environments, fields.get("environment")),
        "kind": (scope.kinds, fields.get("kind") or Kind.DEPLOYMENT),
        "phase": (scope.phases, fields.get("phase")),
    }
    for name, (globs, value) in said.items():
        if not isinstance(value, str) or not matches_any(globs, value):
            allowed = ", ".join(globs) or "none"
            return f"{name} {value!r} is outside its scope ({allowed})"
    return ""


def matches_any(globs: Iterable[str], value: str) -> bool:
    """Tell whether any of the globs matches the whole value."""
    return any(matches(glob, value) for glob in globs)


def matches(glob: str, value: str) -> bool:
    """Tell whether a glob matches the whole value; only `*` is special, case counts.

    Takes time linear in glob and value, whoever wrote them.
    """
    first, *rest = glob.split("*")
    if not rest:
        return glob == value
    *middle, last = rest
    if len(value) < len(first) + len(last):
        return False
    if not (value.startswith(first) and value.endswith(last)):
        return False
    position, end = len(first), len(value) - len(last)
    for part in middle:  # the leftmost place of each part leaves the most room for the next
        position = value.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def said_by(payload_type: str, fields: Mapping[str, Any] | None) -> Said:
    """Return everything about an entry that a scope looks at.

    Args:
        payload_type: Of its envelope.
        fields: The flat marker; None for other entries.
    """
    if fields is None:
        return Said(payload_type)
    return Said(
        payload_type,
        fields.get("service"),
        fields.get("environment"),
        fields.get("kind"),
        fields.get("phase"),
    )


def entry_name(payload_type: str) -> str:
    """Return the kind of an entry, as scopes name it, from the type of its payload."""
    if payload_type == IN_TOTO:
        return MARKER_ENTRY
    name, _version = format_of_payload_type(payload_type)
    return name
