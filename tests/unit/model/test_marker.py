import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import (
    DeploymarkError,
    InstantError,
    MarkerError,
    SchemaVersionError,
    TooLargeError,
)
from deploymark.model.canonical import encode
from deploymark.model.marker import Marker, decode_marker
from deploymark.model.vocabulary import IN_TOTO, MARKER, Kind, Phase, Strategy

DIGEST = "sha256:" + "ab" * 32
BASE = {"service": "checkout", "environment": "prod", "phase": "applied", "version": "1"}
OTHER = {"service": "s", "environment": "e", "phase": "applied", "kind": "config"}
FULL = {
    **BASE,
    "deployment_id": "release-1", "marker_id": "m-1", "kind": "deployment", "action": "gh:a/b:1",
    "artifact": {"name": "n", "digest": DIGEST, "tag": "t", "platforms": {"linux/amd64": DIGEST}},
    "commit_hash": "0" * 40, "repository": "https://x", "ref": "refs/heads/main",
    "build_id": "1", "build_url": "https://x/1", "release_id": "r", "correlation_id": "c",
    "target": {"cluster": "c", "region": "r", "zone": "z", "node": "n", "namespace": "ns",
               "workload": "w", "instance": "i", "instance_uid": "u", "colour": "blue"},
    "rollout": {"strategy": "canary", "steps": [5, 12.5, 100], "track": "canary", "weight": 5,
                "previous_deployment_id": "d-x~2", "rollback_of": "d-y"},
    "owner": "team:a", "change_tickets": ["CHG1"], "author": "a", "approvers": ["b"],
    "deployer": "c", "change_type": "standard", "reason": "why", "risk_flags": ["x"],
    "schema": {"requires": "1", "provides": "2", "step": "expand"},
    "flags": [{"key": "f", "variant": "on"}], "key": "k", "revision": "r", "value": "v",
    "direction": "up", "attempt": 1,
    "evidence": {"basis": "declared", "digest": DIGEST, "observer": "o",
                 "at": "2026-11-23T00:00:00Z"},
    "resources": {"cpu_request": "500m"}, "timestamp": "2026-11-23T00:00:00.000Z",
    "emitter": {"kind": "ci", "id": "https://x/y.yml", "epoch": "e", "sequence": 17},
    "changes": [{"commit": "c", "ticket": "t", "title": "x"}],
    "links": [{"rel": "ci", "href": "https://x"}], "labels": {"team": "a", "empty": ""},
    "details_digest": DIGEST,
}  # fmt: skip


def decode(fields: dict[str, Any], **options: bool) -> Marker:
    return decode_marker(json.dumps(fields).encode(), MARKER, **options)


@pytest.mark.parametrize(
    "spelling",
    [
        encode(FULL),
        json.dumps(FULL).encode(),
        json.dumps(FULL, indent=2).encode(),
    ],
    ids=["canonical", "spaced", "indented"],
)
def test_every_field_is_read_however_it_is_spelt(spelling: bytes) -> None:
    marker = decode_marker(spelling, MARKER)
    assert marker.fields() == FULL
    assert marker.phase is Phase.APPLIED
    assert marker.rollout is not None
    assert marker.rollout.strategy is Strategy.CANARY


def test_null_says_the_same_as_leaving_out() -> None:
    nulls = {name: None for name in FULL if name not in {*BASE, "kind"}}
    assert decode({**BASE, **nulls}).fields() == {**BASE, "kind": "deployment"}


def test_the_kind_is_deployment_unless_stated() -> None:
    assert decode(BASE).kind is Kind.DEPLOYMENT


def test_whole_numbers_may_be_written_with_a_fraction_of_zero() -> None:
    assert decode({**BASE, "attempt": 2.0}).attempt == 2


ALIASES = {
    "artifact_digest": ({"artifact_digest": DIGEST}, {"artifact": {"digest": DIGEST}}),
    "beside an artifact": (
        {"artifact_digest": DIGEST, "artifact": {"tag": "t"}},
        {"artifact": {"tag": "t", "digest": DIGEST}},
    ),
    "change_ticket": ({"change_ticket": "C"}, {"change_tickets": ["C"]}),
    "change_ticket as list": ({"change_ticket": ["C", "D"]}, {"change_tickets": ["C", "D"]}),
    "rollout_strategy": ({"rollout_strategy": "canary"}, {"rollout": {"strategy": "canary"}}),
    "the same twice": ({"change_ticket": "C", "change_tickets": ["C"]}, {"change_tickets": ["C"]}),
    "null": ({"change_ticket": None, "rollout_strategy": None}, {}),
}


@pytest.mark.parametrize(("given_fields", "read"), ALIASES.values(), ids=ALIASES)
def test_names_of_the_source_document_are_accepted(
    given_fields: dict[str, Any], read: dict[str, Any]
) -> None:
    assert decode({**BASE, **given_fields}).fields() == {**BASE, "kind": "deployment", **read}


LONG = "x" * 257
REFUSED = {
    "no service": ({**BASE, "service": None}, "/service", "string"),
    "empty service": ({**BASE, "service": ""}, "/service", "empty"),
    "nothing deployed": (
        {**BASE, "version": None, "deployment_id": "d-1"}, "/artifact/digest", "missing"),
    "nothing runs": ({**BASE, "version": None, "phase": "running"}, "/artifact/digest", "missing"),
    "nothing is removed": (
        {**BASE, "version": None, "phase": "removed", "deployment_id": "d-1"},
        "/artifact/digest",
        "missing",
    ),
    "nothing at all": ({**BASE, "version": None}, "/artifact/digest", "missing"),
    "no key": (OTHER | {"revision": "1"}, "/key", "missing"),
    "no content": (OTHER | {"key": "k", "version": "1"}, "/revision", "missing"),
    "a secret in clear": (
        OTHER | {"kind": "secret_version", "key": "k", "value": "v"}, "/value", "not allowed"),
    "unknown phase": ({**BASE, "phase": "aplied"}, "/phase", "'aplied'"),
    "unknown kind": ({**BASE, "kind": "deploy"}, "/kind", "one of deployment"),
    "unknown strategy": ({**BASE, "rollout": {"strategy": "x"}}, "/rollout/strategy", "'x'"),
    "long value": ({**BASE, "owner": LONG}, "/owner", "257 bytes; the limit is 256"),
    "long in bytes": ({**BASE, "owner": "é" * 129}, "/owner", "258 bytes; the limit is 256"),
    "long text": ({**BASE, "reason": "x" * 2049}, "/reason", "2049 bytes; the limit is 2048"),
    "17 labels": (
        {**BASE, "labels": {str(n): "" for n in range(17)}}, "/labels",
        "17 entries; the limit is 16"),
    "long label name": (
        {**BASE, "labels": {"k" * 65: "v"}}, "/labels/" + "k" * 64 + "…",
        "65 bytes; the limit is 64"),
    "long label": ({**BASE, "labels": {"a/b~c": LONG}}, "/labels/a~1b~0c", "257 bytes"),
    "label of a number": ({**BASE, "labels": {"a": 5}}, "/labels/a", "a string, not 5"),
    "65 tickets": ({**BASE, "change_tickets": ["t"] * 65}, "/change_tickets", "65 entries"),
    "65 links": ({**BASE, "links": [{"rel": "r", "href": "h"}] * 65}, "/links", "65 entries"),
    "65 flags": ({**BASE, "flags": [{"key": "k"}] * 65}, "/flags", "65 entries"),
    "link without href": ({**BASE, "links": [{"rel": "r"}]}, "/links/0/href", "missing"),
    "bad digest": ({**BASE, "artifact": {"digest": "sha256:AB"}}, "/artifact/digest", "64 lower"),
    "digest and newline": (
        {**BASE, "details_digest": DIGEST + "\n"}, "/details_digest", "64 lower-case"),
    "bad alias": ({**BASE, "artifact_digest": "x"}, "/artifact/digest", "64 lower-case"),
    "alias against field": (
        {**BASE, "rollout_strategy": "canary", "rollout": {"strategy": "other"}},
        "/rollout_strategy", "'other'"),
    "bad id": ({**BASE, "deployment_id": "a b"}, "/deployment_id", "an id"),
    "an occurrence as id": ({**BASE, "deployment_id": "a~2"}, "/deployment_id", "an id"),
    "weight above": ({**BASE, "rollout": {"weight": 101}}, "/rollout/weight", "between 0 and 100"),
    "weight as text": ({**BASE, "rollout": {"weight": "5"}}, "/rollout/weight", "a number"),
    "weight as truth": ({**BASE, "rollout": {"weight": True}}, "/rollout/weight", "a number"),
    "negative sequence": ({**BASE, "emitter": {"sequence": -1}}, "/emitter/sequence", "between 0"),
    "fraction": ({**BASE, "attempt": 1.5}, "/attempt", "a whole number"),
    "huge integer": ({**BASE, "attempt": 2**53}, "/attempt", "2**53 - 1"),
    "target as text": ({**BASE, "target": "eu"}, "/target", "an object"),
    "list as object": ({**BASE, "flags": {}}, "/flags", "a list"),
    "no such day": ({**BASE, "timestamp": "2026-02-30T00:00:00Z"}, "/timestamp", "2026-02-30"),
    "no zone": ({**BASE, "timestamp": "2026-02-03T00:00:00"}, "/timestamp", "RFC 3339"),
    "no such hour": (
        {**BASE, "evidence": {"basis": "observed", "at": "2026-02-03T25:00:00Z"}}, "/evidence/at",
        "RFC 3339"),
    "NUL": ({**BASE, "owner": "a\0b"}, "/owner", "U+0000"),
    "NUL in a name": ({**BASE, "labels": {"a\0": ""}}, "/labels", "U+0000"),
    "lone surrogate": ({**BASE, "owner": "\ud800"}, "/owner", "U+D800"),
    "deep": ({**BASE, "labels": json.loads("[" * 40 + "]" * 40)}, "/labels" + "/0" * 31, "deeper"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "pointer", "part"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_names_field_limit_and_what_was_sent(
    fields: dict[str, Any], pointer: str, part: str
) -> None:
    with pytest.raises(DeploymarkError) as caught:
        decode(fields)
    assert (caught.value.field, part in caught.value.message) == (pointer, True), caught.value


CLASSES = {
    TooLargeError: {**BASE, "owner": LONG},
    InstantError: {**BASE, "timestamp": "yesterday"},
    MarkerError: {**BASE, "phase": "x"},
}


@pytest.mark.parametrize(("error", "fields"), CLASSES.items())
def test_a_refusal_is_of_the_fitting_class(
    error: type[DeploymarkError], fields: dict[str, Any]
) -> None:
    with pytest.raises(error):
        decode(fields)


NEAREST = {
    "a slip": ({"enviroment": "x"}, "`environment`"),
    "an inner slip": ({"target": {"clustr": "x"}}, "`cluster`"),
    "a field in the wrong place": ({"cluster": "x"}, "/target/cluster"),
    "nonsense": ({"q" * 30_000: 1}, "nearest known field is"),
}


@pytest.mark.parametrize(("more", "hint"), NEAREST.values(), ids=NEAREST)
def test_an_unknown_field_is_refused_naming_the_nearest_known_one(
    more: dict[str, Any], hint: str
) -> None:
    with pytest.raises(MarkerError) as caught:
        decode({**BASE, **more})
    assert hint in caught.value.hint
    assert len(caught.value.message) < 200


def test_unknown_fields_are_ignored_when_reading_what_a_later_minor_version_wrote() -> None:
    later = {
        **BASE, "future": {"x": 1}, "target": {"cluster": "c", "planet": "mars"},
        "links": [{"rel": "r", "href": "h", "new": 1}], "labels": {"planet": "mars"},
    }  # fmt: skip
    assert decode(later, strict=False).fields() == {
        **BASE, "kind": "deployment", "target": {"cluster": "c"},
        "links": [{"rel": "r", "href": "h"}], "labels": {"planet": "mars"},
    }  # fmt: skip


def test_other_faults_are_refused_when_unknown_fields_are_not() -> None:
    with pytest.raises(MarkerError):
        decode({**BASE, "future": 1, "phase": "x"}, strict=False)


TEXTS = {
    "nothing": b"",
    "not JSON": b"{",
    "two values": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "a byte order mark": b"\xef\xbb\xbf{}",
    "invalid UTF-8": b'{"service":"\xff"}',
    "UTF-16": json.dumps(BASE).encode("utf-16"),
    "NaN": b'{"attempt":NaN}',
    "infinity": b'{"attempt":-Infinity}',
    "a number beyond doubles": b'{"attempt":1e999}',
    "a number of 9,000 digits": b'{"attempt":' + b"9" * 9000 + b"}",
    "16,000 brackets": b"[" * 16_000,
    "5,000 nested lists": b'{"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "5,000 nested objects": b'{"a":' * 5000 + b"1" + b"}" * 5000,
    "a raw control character": b'{"service":"\x01"}',
    "half a surrogate pair": b'{"service":"\\ud83d"}',
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("payload", TEXTS.values(), ids=TEXTS)
def test_what_is_no_json_object_is_refused_with_our_error(payload: bytes, *, strict: bool) -> None:
    for payload_type in (MARKER, IN_TOTO):
        with pytest.raises(MarkerError):
            decode_marker(payload, payload_type, strict=strict)


REPEATED = {
    "at the top": (b'{"service":"a","service":"b"}', "/service"),
    "the same value": (b'{"service":"a","service":"a"}', "/service"),
    "spelt differently": (b'{"service":"a","\\u0073ervice":"b"}', "/service"),
    "inside": (b'{"target":{"cluster":"a","cluster":"b"}}', "/target/cluster"),
    "in a list": (b'{"flags":[{"key":"a"},{"key":"b","key":"c"}]}', "/flags/1/key"),
    "in a map": (b'{"labels":{"a":"1","a":"2"}}', "/labels/a"),
}


@pytest.mark.parametrize(("more", "pointer"), REPEATED.values(), ids=REPEATED)
def test_a_repeated_key_is_refused(more: bytes, pointer: str) -> None:
    payload = encode({"environment": "e", "phase": "applied", "version": "1"})[:-1]
    service = b"" if more.startswith(b'{"service"') else b'"service":"s",'
    with pytest.raises(MarkerError) as caught:
        decode_marker(payload + b"," + service + more[1:], MARKER)
    assert caught.value.field == pointer
    assert "more than once" in caught.value.message


def test_a_payload_of_32_kib_is_the_largest() -> None:
    changes = [{"title": "x" * 2000}] * 16
    room = 32_768 - len(encode({**BASE, "changes": changes, "reason": ""}))
    fitting = encode({**BASE, "changes": changes, "reason": "r" * room})
    assert len(fitting) == 32_768
    assert decode_marker(fitting, MARKER).changes
    with pytest.raises(TooLargeError) as caught:
        decode_marker(fitting + b" ", MARKER)
    assert "32769 bytes; the limit is 32768" in caught.value.message


TYPES = {
    "another entry": "application/vnd.deploymark.key.v1+json",
    "a later version": "application/vnd.deploymark.marker.v2+json",
    "version zero": "application/vnd.deploymark.marker.v0+json",
    "foreign": "application/json",
    "empty": "",
}


@pytest.mark.parametrize("payload_type", TYPES.values(), ids=TYPES)
def test_another_payload_type_is_refused(payload_type: str) -> None:
    with pytest.raises((MarkerError, SchemaVersionError)):
        decode_marker(encode(BASE), payload_type)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*FULL, "digest", "kind", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    more=st.dictionaries(st.sampled_from([*FULL, "artifact_digest", "change_ticket"]), JSON),
    strict=st.booleans(),
)
def test_any_object_is_read_or_refused_with_our_error(
    more: dict[str, Any], *, strict: bool
) -> None:
    payload = json.dumps({**BASE, **more}).encode()
    for payload_type in (MARKER, IN_TOTO):
        with suppress(DeploymarkError):
            decode_marker(payload, payload_type, strict=strict)


@given(st.binary(max_size=60), st.sampled_from([MARKER, IN_TOTO]))
def test_any_bytes_are_read_or_refused_with_our_error(payload: bytes, payload_type: str) -> None:
    with pytest.raises(DeploymarkError):
        decode_marker(payload, payload_type)


@given(st.integers(0, len(encode(FULL)) - 1), st.binary(min_size=0, max_size=3))
def test_a_damaged_payload_is_read_or_refused_with_our_error(position: int, junk: bytes) -> None:
    payload = encode(FULL)
    damaged = payload[:position] + junk + payload[position + 1 :]
    with suppress(DeploymarkError):
        decode_marker(damaged, MARKER)


def test_an_instance_may_know_its_deployment_and_nothing_else() -> None:
    known = {**BASE, "version": None, "phase": "running", "deployment_id": "d-1"}
    assert decode(known).version is None
    ended = {**known, "phase": "removed", "target": {"instance_uid": "boot:1:2"}}
    assert decode(ended).version is None
