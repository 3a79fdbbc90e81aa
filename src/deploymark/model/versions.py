"""Keeps version-1 bytes readable for ever: which versions exist, and how old values become new.

Every format carries its version on the wire: in the payload type, the predicate type, or `v` of
a leaf. Stored bytes are never rewritten; a reader lifts the *value* it decoded, step by step, to
the version that this release works with. To add version 2 of a format, register the step from 1,
raise its current version, and keep the bytes of version 1 under tests/compat.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from deploymark.errors import SchemaVersionError
from deploymark.model.vocabulary import PREDICATE_TYPE

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
"""Takes a plain value of one version, returns that of the next."""

_PAYLOAD_TYPE = re.compile(r"application/vnd\.deploymark\.([a-z]+)\.v([1-9][0-9]{0,3})\+json")
_PREDICATE_TYPE = re.compile(re.escape(PREDICATE_TYPE.removesuffix("1")) + r"([1-9][0-9]{0,3})")
_SHOWN = 80


class Versions:
    """The current version of every format, and the steps that lead to it.

    Args:
        current: Version in use, by name of the format.
        upcasts: The step from (name, version) to the next version.
    """

    def __init__(
        self, current: Mapping[str, int], upcasts: Mapping[tuple[str, int], Upcast]
    ) -> None:
        """Refuse a table with a gap: a version that could no longer be read."""
        self.current = MappingProxyType(dict(current))
        self._upcasts = dict(upcasts)
        missing = [
            f"{name}/{version}"
            for name, newest in current.items()
            for version in range(1, newest)
            if (name, version) not in self._upcasts
        ]
        if missing:
            raise SchemaVersionError(f"No upcast is registered from {', '.join(missing)}.")

    def check(self, name: str, version: int) -> None:
        """Refuse a version that this release does not know.

        Raises:
            SchemaVersionError: Newer than the current one, or the format is unknown.
        """
        newest = self.current.get(name, 0)
        if not 1 <= version <= newest:
            known = f"versions 1 to {newest}" if newest else "no such format"
            raise SchemaVersionError(f"{name}/{version} is not known; this release knows {known}.")

    def is_current(self, name: str, version: int) -> bool:
        """Tell whether a value needs no upcast."""
        return self.current.get(name) == version

    def upcast(self, name: str, version: int, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return a plain value as the current version has it.

        Raises:
            SchemaVersionError: The version is not known.
        """
        self.check(name, version)
        if not isinstance(value, dict):
            return value  # the reader refuses it, and says why
        for step in range(version, self.current[name]):
            value = self._upcasts[name, step](value)
        return value


VERSIONS = Versions(
    current=dict.fromkeys(
        (
            "marker",
            "statement",
            "leaf",
            "verdict",
            "decision",
            "incident",
            "finding",
            "key",
            "amendment",
            "retraction",
            "detail",
        ),
        1,
    ),
    upcasts={},
)
"""The formats of this release."""


def format_of_payload_type(payload_type: str) -> tuple[str, int]:
    """Return (name, version) of a deploymark payload type.

    Raises:
        SchemaVersionError: It is not one of ours.
    """
    found = _PAYLOAD_TYPE.fullmatch(payload_type)
    if found is None:
        raise SchemaVersionError(
            f"{payload_type[:_SHOWN]!r} is not a payload type of deploymark.",
            hint="Payload types look like application/vnd.deploymark.marker.v1+json.",
            field="/payloadType",
        )
    return found[1], int(found[2])


def version_of_predicate_type(predicate_type: str) -> int:
    """Return the marker version of an in-toto predicate type.

    Raises:
        SchemaVersionError: It is not the marker predicate.
    """
    found = _PREDICATE_TYPE.fullmatch(predicate_type)
    if found is None:
        raise SchemaVersionError(
            f"{predicate_type[:_SHOWN]!r} is not the marker predicate.",
            hint=f"Write {PREDICATE_TYPE} as predicateType.",
            field="/predicateType",
        )
    return int(found[1])
