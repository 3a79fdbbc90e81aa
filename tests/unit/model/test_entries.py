import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import DeploymarkError, InstantError, MarkerError, SchemaVersionError
from deploymark.model import vocabulary
from deploymark.model.canonical import encode
from deploymark.model.entries import READERS, Entry, KeyEntry, Scope, decode_entry

AT = "2026-11-23T00:00:00.000Z"
DIGEST = "sha256:" + "ab" * 32
KEY_ID = "k-" + "0" * 26
PUBLIC = "A" * 43 + "="
PLAIN: dict[str, dict[str, Any]] = {
    "key": {"action": "registered", "key_id": KEY_ID, "public_key": PUBLIC, "scope": {}},
    "verdict": {
        "deployment_id": "d-x~2", "service": "s", "environment": "e", "result": "inconclusive",
        "advice": "extend", "look": 1, "score": 50.5, "inputs_digest": DIGEST, "judge": "2x2/1",
        "log_e_fail": -0.5, "reasons": ["low_traffic"],
        "metrics": [{"name": "errors", "log_e_fail": 0, "log_e_pass": 1.5}],
    },
    "decision": {
        "action": "roll_back", "stage": "decided", "environment": "e", "actor": "policy",
        "guards": [{"name": "replay", "held": True}],
    },
    "incident": {"action": "opened", "incident_id": "inc-1", "started_at": AT},
    "finding": {
        "code": "marker_conflict", "state": "opened", "severity": "warning", "message": "m",
        "digests": [DIGEST], "indexes": [7],
    },
    "amendment": {"index": 3, "changes": {"/owner": "team:b", "/attempt": None}, "reason": "r"},
    "retraction": {"index": 3, "reason": "r"},
    "detail": {"action": "stored", "digest": DIGEST, "size": 3, "erasable": True},
}  # fmt: skip
GOOD = {name: {**fields, "timestamp": AT} for name, fields in PLAIN.items()}


def type_of(name: str) -> str:
    return str(getattr(vocabulary, name.upper()))


def decode(name: str, fields: dict[str, Any], **options: bool) -> Entry:
    return decode_entry(json.dumps(fields).encode(), type_of(name), **options)


@pytest.mark.parametrize("name", READERS)
def test_an_entry_is_read_quickly_and_thoroughly_alike(name: str) -> None:
    quickly = decode_entry(encode(GOOD[name]), type_of(name))
    assert quickly == decode(name, GOOD[name])
    assert quickly.timestamp == AT


@pytest.mark.parametrize("name", READERS)
def test_every_entry_states_when(name: str) -> None:
    with pytest.raises(MarkerError) as caught:
        decode(name, {key: value for key, value in GOOD[name].items() if key != "timestamp"})
    assert caught.value.field == "/timestamp"
    with pytest.raises(InstantError):
        decode(name, {**GOOD[name], "timestamp": "2026-02-30T00:00:00Z"})


@pytest.mark.parametrize("name", READERS)
def test_unknown_fields_of_an_entry_are_refused_or_ignored(name: str) -> None:
    later = {**GOOD[name], "future": [1]}
    with pytest.raises(MarkerError):
        decode(name, later)
    assert decode(name, later, strict=False) == decode(name, GOOD[name])


def test_a_scope_allows_nothing_that_it_does_not_name_and_markers_only() -> None:
    entry = decode("key", GOOD["key"])
    assert isinstance(entry, KeyEntry)
    assert entry.scope == Scope(
        services=(), environments=(), kinds=("*",), phases=("*",), entries=("marker",)
    )


REGISTERED = GOOD["key"]
ROTATED = {**REGISTERED, "action": "rotated", "successor_of": KEY_ID, "scope": None}
REVOKED = {"action": "revoked", "key_id": KEY_ID, "timestamp": AT}
ALLOWED = {
    "a rotation that inherits its scope": ("key", ROTATED),
    "a revocation": ("key", REVOKED),
    "a revocation of earlier trust": ("key", {**REVOKED, "distrust_from": 0}),
    "an outcome": (
        "decision", {**GOOD["decision"], "stage": "outcome", "outcome": "succeeded"}),
    "an erasure": ("detail", {"action": "erased", "digest": DIGEST, "timestamp": AT}),
}  # fmt: skip
REFUSED = {
    "a registration without key": ("key", {**REGISTERED, "public_key": None}, "/public_key"),
    "a registration without scope": ("key", {**REGISTERED, "scope": None}, "/scope"),
    "a registration that succeeds": (
        "key", {**REGISTERED, "successor_of": KEY_ID}, "/successor_of"),
    "a registration that distrusts": ("key", {**REGISTERED, "distrust_from": 1}, "/distrust_from"),
    "a rotation from nothing": ("key", {**ROTATED, "successor_of": None}, "/successor_of"),
    "a revocation with a key": ("key", {**REVOKED, "public_key": PUBLIC}, "/public_key"),
    "a key of 31 bytes": ("key", {**REGISTERED, "public_key": "A" * 40 + "AA=="}, "/public_key"),
    "a short key": ("key", {**REGISTERED, "public_key": "AAAA"}, "/public_key"),
    "another algorithm": ("key", {**REGISTERED, "algorithm": "rsa"}, "/algorithm"),
    "a malformed key id": ("key", {**REGISTERED, "key_id": "k-1"}, "/key_id"),
    "an unknown finding": ("finding", {**GOOD["finding"], "code": "odd"}, "/code"),
    "an outcome without one": ("decision", {**GOOD["decision"], "stage": "outcome"}, "/outcome"),
    "broken glass without reason": (
        "decision", {**GOOD["decision"], "break_glass": True}, "/reason"),
    "an amendment of nothing": ("amendment", {**GOOD["amendment"], "changes": {}}, "/changes"),
    "an amendment by an object": (
        "amendment", {**GOOD["amendment"], "changes": {"/a": {}}}, "/changes/~1a"),
    "a negative index": ("retraction", {**GOOD["retraction"], "index": -1}, "/index"),
    "stored without size": ("detail", {**GOOD["detail"], "size": None}, "/size"),
    "a score above 100": ("verdict", {**GOOD["verdict"], "score": 101}, "/score"),
    "evidence of NaN": ("verdict", {**GOOD["verdict"], "log_e_fail": "NaN"}, "/log_e_fail"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "fields"), ALLOWED.values(), ids=ALLOWED)
def test_an_entry_that_follows_its_rules_is_read(name: str, fields: dict[str, Any]) -> None:
    assert decode(name, fields).timestamp == AT


@pytest.mark.parametrize(("name", "fields", "pointer"), REFUSED.values(), ids=REFUSED)
def test_an_entry_that_breaks_its_rules_is_refused(
    name: str, fields: dict[str, Any], pointer: str
) -> None:
    with pytest.raises(MarkerError) as caught:
        decode(name, fields)
    assert caught.value.field == pointer


@pytest.mark.parametrize(
    ("payload_type", "error"),
    [
        (vocabulary.MARKER, MarkerError),
        (vocabulary.IN_TOTO, SchemaVersionError),
        ("application/vnd.deploymark.key.v2+json", SchemaVersionError),
    ],
)
def test_another_payload_type_is_refused(payload_type: str, error: type[DeploymarkError]) -> None:
    with pytest.raises(error):
        decode_entry(b"{}", payload_type)


@given(st.sampled_from(list(READERS)), st.data())
def test_any_change_of_an_entry_is_read_or_refused_with_our_error(
    name: str, data: st.DataObject
) -> None:
    value: st.SearchStrategy[object] = (
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just([{}])
    )
    field = data.draw(st.sampled_from([*GOOD[name]]))
    changed = {**GOOD[name], field: data.draw(value)}
    with suppress(DeploymarkError):
        decode(name, changed)
