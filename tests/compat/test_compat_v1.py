"""Version-1 bytes stay readable for ever: every kept file reads as the value beside it."""

import json
from pathlib import Path

import msgspec
import pytest

from deploymark.model.canonical import encode
from deploymark.model.entries import READERS, decode_entry
from deploymark.model.leaf import decode_leaf, encode_leaf
from deploymark.model.marker import decode_marker
from deploymark.model.versions import VERSIONS

FOLDER = Path(__file__).with_name("v1")
EXPECTED = json.loads((FOLDER / "expected.json").read_text())


def kept(part: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in EXPECTED if part in EXPECTED[name]])


def holds(value: object, expected: object) -> bool:
    """Tell whether a value has all that version 1 said; later fields may stand beside it."""
    if isinstance(expected, dict):
        return isinstance(value, dict) and all(
            name in value and holds(value[name], part) for name, part in expected.items()
        )
    if isinstance(expected, list):
        return (
            isinstance(value, list)
            and len(value) == len(expected)
            and all(map(holds, value, expected))
        )
    return value == expected


def test_every_kept_file_is_read_and_every_format_is_kept() -> None:
    files = {path.name for path in FOLDER.glob("*.json")} - {"expected.json"}
    assert files == set(EXPECTED)
    for name in (*READERS, "marker", "statement", "leaf"):
        assert any(file.startswith(name) for file in files), name
    assert set(VERSIONS.current) == {*READERS, "marker", "statement", "leaf"}


@kept("fields")
@pytest.mark.parametrize("strict", [True, False])
def test_a_kept_marker_reads_as_it_always_did(name: str, *, strict: bool) -> None:
    payload = (FOLDER / name).read_bytes()
    marker = decode_marker(payload, EXPECTED[name]["payload_type"], strict=strict)
    assert holds(marker.fields(), EXPECTED[name]["fields"])


@kept("entry")
@pytest.mark.parametrize("strict", [True, False])
def test_a_kept_entry_reads_as_it_always_did(name: str, *, strict: bool) -> None:
    payload = (FOLDER / name).read_bytes()
    entry = decode_entry(payload, EXPECTED[name]["payload_type"], strict=strict)
    assert holds(plain(entry), EXPECTED[name]["entry"])


def plain(value: object) -> object:
    """Return a Struct as JSON values with its defaults, which are not written again."""
    if isinstance(value, msgspec.Struct):
        return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


@kept("leaf")
def test_a_kept_leaf_reads_as_it_always_did_and_is_written_back_byte_for_byte(name: str) -> None:
    data = (FOLDER / name).read_bytes()
    leaf = decode_leaf(data)
    assert holds(json.loads(encode_leaf(leaf)), EXPECTED[name]["leaf"])
    assert encode_leaf(leaf) == data == encode(EXPECTED[name]["leaf"])
    assert leaf.dedupe == EXPECTED[name]["dedupe"]
    assert leaf.key_id == EXPECTED[name]["key_id"]
