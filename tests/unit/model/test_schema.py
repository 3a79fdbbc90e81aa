import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker

from deploymark.errors import DeploymarkError, NotFoundError, SchemaVersionError
from deploymark.model import vocabulary
from deploymark.model.canonical import encode
from deploymark.model.entries import decode_entry
from deploymark.model.instants import parse_instant
from deploymark.model.marker import decode_marker
from deploymark.model.schema import schema, schemas
from deploymark.model.vocabulary import IN_TOTO, MARKER, PREDICATE_TYPE, STATEMENT_TYPE

FORMATS = FormatChecker(formats=())


def is_instant(value: object) -> bool:
    return not isinstance(value, str) or parse_instant(value) is not None


FORMATS.checks("date-time", raises=DeploymarkError)(is_instant)


VALIDATORS = {
    name: Draft202012Validator(schema(name, version), format_checker=FORMATS)
    for name, version in schemas()
}
DIGEST = "sha256:" + "ab" * 32
BASE = {"service": "s", "environment": "e", "phase": "applied", "version": "1"}
CONFIG = {"service": "s", "environment": "e", "phase": "applied", "kind": "config", "key": "k"}
AT = "2026-11-23T00:00:00Z"
KEY = {"key_id": "k-" + "0" * 26, "timestamp": AT}
NEW_KEY = {**KEY, "public_key": "A" * 43 + "="}


def decodes(name: str, value: object) -> bool:
    payload = json.dumps(value).encode()
    try:
        if name in {"marker", "statement"}:
            decode_marker(payload, MARKER if name == "marker" else IN_TOTO)
        else:
            decode_entry(payload, getattr(vocabulary, name.upper()))
    except DeploymarkError:
        return False
    return True


def statement(predicate: object, subject: object) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE, "predicateType": PREDICATE_TYPE, "predicate": predicate,
        "subject": subject,
    }  # fmt: skip


GOOD = {
    "least": BASE,
    "commit": {**BASE, "version": None, "commit_hash": "abcdef0"},
    "digest": {**BASE, "version": None, "artifact": {"digest": DIGEST}},
    "digest alias": {**BASE, "version": None, "artifact_digest": DIGEST},
    "aliases": {**BASE, "change_ticket": "C", "rollout_strategy": "canary"},
    "ticket list": {**BASE, "change_ticket": ["C", "D"]},
    "null aliases": {**BASE, "change_ticket": None, "artifact_digest": None},
    "nulls": {**BASE, "target": None, "labels": None, "attempt": None, "key": None},
    "weights": {**BASE, "rollout": {"weight": 12.5, "steps": [5, 25.0, 100]}},
    "whole float": {**BASE, "attempt": 1.0},
    "instant": {**BASE, "timestamp": "2024-02-29T23:59:59.123456+05:30"},
    "config": {**CONFIG, "revision": "1"},
    "config by value": {**CONFIG, "value": "on"},
    "config by digest": {**CONFIG, "artifact": {"digest": DIGEST}},
    "secret": {**CONFIG, "kind": "secret_version", "revision": "3"},
    "256": {**BASE, "owner": "x" * 256},
    "16 labels": {**BASE, "labels": {"k" * 60 + str(n): "x" * 256 for n in range(16)}},
    "emoji": {**BASE, "owner": "\U0001f680"},
}
BAD = {
    "a list": [],
    "nothing": {},
    "unknown": {**BASE, "x": 1},
    "unknown inside": {**BASE, "target": {"x": 1}},
    "nothing deployed": {**BASE, "version": None},
    "null artifact": {**BASE, "version": None, "artifact": None},
    "artifact without digest": {**BASE, "version": None, "artifact": {"tag": "t"}},
    "null kind": {**BASE, "kind": None},
    "no key": {**CONFIG, "key": None, "revision": "1"},
    "no revision": {**CONFIG, "version": "1"},
    "secret value": {**CONFIG, "kind": "secret_version", "revision": "1", "value": "hunter2"},
    "empty service": {**BASE, "service": ""},
    "phase": {**BASE, "phase": "done"},
    "257": {**BASE, "owner": "x" * 257},
    "17 labels": {**BASE, "labels": {str(n): "" for n in range(17)}},
    "65-byte name": {**BASE, "labels": {"k" * 65: ""}},
    "empty name": {**BASE, "labels": {"": ""}},
    "NUL": {**BASE, "owner": "\0"},
    "NUL in a label's name": {**BASE, "labels": {"\0": ""}},
    "weight": {**BASE, "rollout": {"weight": 100.5}},
    "fraction": {**BASE, "attempt": 1.5},
    "truth": {**BASE, "attempt": True},
    "no instant": {**BASE, "timestamp": "2026-02-30T00:00:00Z"},
    "id and newline": {**BASE, "deployment_id": "a\n"},
    "upper digest": {**BASE, "details_digest": DIGEST.upper()},
    "alias": {**BASE, "rollout_strategy": "yolo"},
    "alias of a number": {**BASE, "change_ticket": 5},
}
OTHERS = {
    "statement": ("statement", statement(
        {**BASE, "artifact": {"digest": DIGEST}}, [{"digest": {"sha256": "ab" * 32}}]), True),
    "statement, no predicate": ("statement", statement({}, [{"digest": {"sha256": "0"}}]), False),
    "statement, no subject": ("statement", statement(BASE, []), False),
    "statement, other hash": ("statement", statement(BASE, [{"digest": {"md5": "0"}}]), False),
    "registered": ("key", {**NEW_KEY, "action": "registered", "scope": {"services": ["*"]}}, True),
    "no scope": ("key", {**NEW_KEY, "action": "registered"}, False),
    "rotated": ("key", {**NEW_KEY, "action": "rotated", "successor_of": KEY["key_id"]}, True),
    "rotated from nothing": ("key", {**NEW_KEY, "action": "rotated"}, False),
    "revoked": ("key", {**KEY, "action": "revoked", "distrust_from": 3}, True),
    "revoked with a key": ("key", {**NEW_KEY, "action": "revoked"}, False),
    "short key": (
        "key", {**KEY, "action": "registered", "public_key": "AAAA", "scope": {}}, False),
    "retraction": ("retraction", {"index": 0, "reason": "r", "timestamp": AT}, True),
    "retraction of -1": ("retraction", {"index": -1, "reason": "r", "timestamp": AT}, False),
    "stored": (
        "detail", {"action": "stored", "digest": DIGEST, "timestamp": AT, "size": 1,
                   "erasable": False}, True),
    "stored without size": ("detail", {"action": "stored", "digest": DIGEST, "timestamp": AT},
                            False),
    "broken glass": (
        "decision", {"action": "freeze", "stage": "decided", "environment": "e", "actor": "a",
                     "break_glass": True, "timestamp": AT}, False),
}  # fmt: skip


@pytest.mark.parametrize("name", VALIDATORS)
def test_a_schema_is_a_valid_schema_with_its_own_address(name: str) -> None:
    found = schema(name, 1)
    Draft202012Validator.check_schema(found)
    assert found["$id"] == f"https://deploymark.dev/schema/{name}/1"
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("fields", GOOD.values(), ids=GOOD)
def test_schema_and_decoder_accept_a_good_marker(fields: dict[str, Any]) -> None:
    assert (VALIDATORS["marker"].is_valid(fields), decodes("marker", fields)) == (True, True)


@pytest.mark.parametrize("fields", BAD.values(), ids=BAD)
def test_schema_and_decoder_refuse_a_bad_marker(fields: dict[str, Any]) -> None:
    assert (VALIDATORS["marker"].is_valid(fields), decodes("marker", fields)) == (False, False)


@pytest.mark.parametrize(("name", "value", "good"), OTHERS.values(), ids=OTHERS)
def test_schema_and_decoder_agree_about_the_other_formats(
    name: str, value: object, *, good: bool
) -> None:
    assert (VALIDATORS[name].is_valid(value), decodes(name, value)) == (good, good)


PROPERTIES = schema("marker", 1)["$defs"]["Marker"]["properties"]
SCALARS = (
    st.none() | st.booleans() | st.integers(-1, 101) | st.sampled_from([0.5, 100.5, 1.0])
    | st.sampled_from(["", "x", "applied", "config", "secret_version", "canary", "ci", DIGEST, AT,
                       "abcdef0", "a b", "x" * 257, "observed", "2026-02-30T00:00:00Z"])
)  # fmt: skip
INNER = sorted(
    {name for part in schema("marker", 1)["$defs"].values() for name in part.get("properties", {})}
    - {"artifact", "rollout", "change_tickets"}
)
PARTS = (
    SCALARS
    | st.lists(SCALARS, max_size=2)
    | st.dictionaries(st.sampled_from(INNER), SCALARS, max_size=2)
    | st.lists(
        st.dictionaries(st.sampled_from(["key", "rel", "href", "variant"]), SCALARS), max_size=2
    )
)
# Two fields cannot be compared in a schema: an alias never stands beside what it stands for here.
FIELDS = st.dictionaries(
    st.sampled_from(
        sorted(
            PROPERTIES.keys()
            - {"artifact_digest", "rollout_strategy"}
            - {"change_ticket", "marker_id"}
        )
    ),
    PARTS,
    max_size=3,
)


@settings(max_examples=300)
@given(FIELDS)
def test_schema_and_decoder_agree_about_any_marker(more: dict[str, Any]) -> None:
    fields = {**BASE, **more}
    assert VALIDATORS["marker"].is_valid(fields) == decodes("marker", fields), fields


@given(st.text(max_size=300), st.text(max_size=70))
def test_the_schema_accepts_every_text_that_the_decoder_accepts(owner: str, name: str) -> None:
    fields = {**BASE, "owner": owner, "labels": {name: owner}}
    if decodes("marker", fields):
        assert VALIDATORS["marker"].is_valid(fields)


def test_a_name_or_version_that_is_not_there_is_refused() -> None:
    with pytest.raises(NotFoundError):
        schema("banana", 1)
    with pytest.raises(SchemaVersionError):
        schema("marker", 2)


def test_a_schema_that_was_handed_out_can_be_changed_without_harm() -> None:
    schema("marker", 1).clear()
    schemas()["marker", 1].clear()
    assert schema("marker", 1)["$defs"]
    assert encode(schema("marker", 1))
