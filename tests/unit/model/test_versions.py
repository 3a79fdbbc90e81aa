from typing import Any

import msgspec
import pytest

from deploymark.errors import MarkerError, SchemaVersionError
from deploymark.model.reading import StructReader
from deploymark.model.versions import VERSIONS, Versions


class Toy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Version 3 of a format that never was: 1 had `who`, 2 split it, 3 counts `times`."""

    first: str
    last: str
    times: int


def split(value: dict[str, Any]) -> dict[str, Any]:
    first, _, last = value["who"].partition(" ")
    return {"first": first, "last": last}


def count(value: dict[str, Any]) -> dict[str, Any]:
    return {**value, "times": 1}


TOYS = StructReader(
    "toy", Toy, versions=Versions({"toy": 3}, {("toy", 1): split, ("toy", 2): count})
)


@pytest.mark.parametrize(
    ("payload", "version"),
    [
        (b'{"who":"Ada Lovelace"}', 1),
        (b'{"first":"Ada","last":"Lovelace"}', 2),
        (b'{"first":"Ada","last":"Lovelace","times":1}', 3),
    ],
)
def test_bytes_of_every_version_read_as_the_current_one(payload: bytes, version: int) -> None:
    assert TOYS.read(payload, version) == Toy("Ada", "Lovelace", 1)


def test_bytes_are_read_by_the_version_that_they_name() -> None:
    with pytest.raises(MarkerError):
        TOYS.read(b'{"first":"Ada","last":"Lovelace"}', 3)


@pytest.mark.parametrize("version", [0, 4, -1])
def test_a_version_that_is_not_known_is_refused(version: int) -> None:
    with pytest.raises(SchemaVersionError):
        TOYS.read(b"{}", version)


@pytest.mark.parametrize("payload", [b"[]", b"null", b'"x"'])
def test_what_is_no_object_is_refused_in_old_versions_too(payload: bytes) -> None:
    with pytest.raises(MarkerError):
        TOYS.read(payload, 1)


def test_a_gap_in_the_steps_is_refused_when_the_table_is_made() -> None:
    with pytest.raises(SchemaVersionError, match="toy/2"):
        Versions({"toy": 3}, {("toy", 1): split})


def test_every_format_of_this_release_is_at_version_1() -> None:
    assert set(VERSIONS.current.values()) == {1}
