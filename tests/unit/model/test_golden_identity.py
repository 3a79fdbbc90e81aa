"""Holds ids, canonical form and equality to the golden vectors that every language shares."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from make_identity import vectors

from deploymark.errors import CanonicalError, IdError
from deploymark.model import canonical, equality, ids

FOLDER = Path(__file__).parents[2] / "golden"
VECTORS = json.loads((FOLDER / "identity.json").read_text())


def named(group: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "vector",
        [pytest.param(v, id=v.get("name") or str(n)) for n, v in enumerate(VECTORS[group])],
    )


def test_the_file_is_what_its_independent_script_writes() -> None:
    assert json.loads(json.dumps(vectors())) == VECTORS
    assert sum(len(group) for group in VECTORS.values() if isinstance(group, list)) >= 60


def test_the_script_does_not_know_the_code_that_it_checks() -> None:
    scripts = {each.name: each.read_text() for each in FOLDER.glob("*.py")}
    assert set(scripts) >= {"make_identity.py", "identity_markers.py", "identity_equality.py"}
    for name, text in scripts.items():
        assert "deploymark." not in text.replace("vnd.deploymark.", ""), name


@named("canonical")
def test_the_canonical_form(vector: dict[str, Any]) -> None:
    assert canonical.encode(json.loads(vector["json"])) == vector["canonical"].encode()


@named("numbers")
def test_the_numbers_of_rfc_8785_appendix_b(vector: dict[str, Any]) -> None:
    value = struct.unpack(">d", bytes.fromhex(vector["ieee754"]))[0]
    if vector["text"] is None:
        with pytest.raises(CanonicalError):
            canonical.encode(value)
    else:
        assert canonical.encode(value).decode() == vector["text"]


@named("encode_id")
def test_the_id_of_an_array(vector: dict[str, Any]) -> None:
    assert ids.encode_id(vector["prefix"], vector["array"]) == vector["id"]


@named("markers")
def test_the_ids_of_a_marker(vector: dict[str, Any]) -> None:
    expected = (vector["deployment_id"], vector["marker_id"])
    assert ids.ids_of_marker(vector["fields"]) == expected
    if vector["deployment_array"] is not None:
        assert ids.encode_id("d-", vector["deployment_array"]) == vector["deployment_id"]
        assert ids.deployment_id(*vector["deployment_array"][1:]) == vector["deployment_id"]
    assert ids.discriminator(vector["fields"]) == vector["marker_array"][-1]
    carried = {**vector["fields"], "marker_id": vector["marker_id"]}
    assert ids.ids_of_marker(carried) == expected


@named("key_id")
def test_the_id_of_a_key(vector: dict[str, Any]) -> None:
    assert ids.key_id(vector["algorithm"], bytes.fromhex(vector["public_key"])) == vector["id"]


@named("entry_id")
def test_the_id_of_an_entry(vector: dict[str, Any]) -> None:
    assert ids.entry_id(vector["payload_type"], vector["payload"].encode()) == vector["id"]


@named("given_id")
def test_an_id_that_the_caller_gives(vector: dict[str, Any]) -> None:
    if vector["id"] is None:
        with pytest.raises(IdError):
            ids.check_given_id(vector["text"])
    else:
        assert ids.check_given_id(vector["text"]) == vector["id"]


@named("occurrence")
def test_the_name_of_an_occurrence(vector: dict[str, Any]) -> None:
    if vector["id"] is None:
        with pytest.raises(IdError):
            ids.parse_occurrence(vector["text"])
        return
    found = ids.parse_occurrence(vector["text"])
    assert found == (vector["id"], vector["occurrence"])
    if found[1] is not None:
        assert ids.format_occurrence(found[0], found[1]) == vector["text"].lower()


@named("equality")
def test_whether_two_markers_say_the_same(vector: dict[str, Any]) -> None:
    first, second = vector["first"], vector["second"]
    assert equality.differing(first, second) == vector["differing"]
    assert equality.differing(second, first) == vector["differing"]
    assert equality.ignored(first, second) == vector["ignored"]
