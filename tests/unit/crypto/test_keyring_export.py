"""An exported ring is canonical, comes back the same, and is refused when it is broken."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from ring_samples import (
    ADMIN,
    ADMIN_SCOPE,
    NEXT,
    OTHER,
    PRODUCER,
    PRODUCER_SCOPE,
    STRANGER,
    key_leaf,
    registered,
    revoked,
    rotated,
    usual_ring,
    valid_indexes,
)

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.keyring import KeyRing
from deploymark.errors import KeyFileError
from deploymark.model.canonical import encode


def full_ring() -> KeyRing:
    ring = usual_ring()
    ring.apply(9, key_leaf(rotated(PRODUCER, NEXT), PRODUCER))
    ring.apply(12, key_leaf(registered(OTHER, {**ADMIN_SCOPE, "kinds": ["config"]}), ADMIN))
    ring.apply(15, key_leaf(revoked(NEXT, distrust_from=11), ADMIN))
    return ring


def test_an_export_gives_the_same_ring() -> None:
    ring = full_ring()
    again = KeyRing.load(ring.export())
    assert again.keys() == ring.keys()
    assert again.applied_index == 15
    assert again.export() == ring.export()
    for key in (ADMIN, PRODUCER, NEXT, OTHER, STRANGER):
        assert valid_indexes(again, key) == valid_indexes(ring, key)
    again.apply(16, key_leaf(revoked(OTHER), ADMIN))


def test_an_export_is_canonical_and_spells_scopes_out() -> None:
    exported = full_ring().export()
    assert encode(json.loads(exported)) == exported
    producer = json.loads(exported)["keys"][1]
    assert producer == {
        "algorithm": "ed25519",
        "end_index": 9,
        "from_index": 5,
        "key_id": PRODUCER.key_id,
        "name": "label",
        "public_key": encode_base64(PRODUCER.public),
        "registered_by": ADMIN.key_id,
        "scope": {**PRODUCER_SCOPE, "kinds": ["*"], "phases": ["*"], "entries": ["marker"]},
        "successor_of": None,
    }


def test_an_empty_ring_is_exported_too() -> None:
    assert KeyRing.load(KeyRing().export()).keys() == []


def changed_export(change: Callable[[Any], object]) -> bytes:
    content = json.loads(full_ring().export())
    change(content)
    return json.dumps(content).encode()


BAD_EXPORTS = {
    "nothing": b"",
    "no JSON": b"keys",
    "not UTF-8": b'{"v":1,"keys":[],"applied_index":"\xff"}',
    "another version": changed_export(lambda content: content.update(v=2)),
    "an unknown field": changed_export(lambda content: content.update(w=2)),
    "an unknown field of a key": changed_export(lambda content: content["keys"][0].update(w=2)),
    "a missing scope": changed_export(lambda content: content["keys"][0].pop("scope")),
    "a key under another id": changed_export(
        lambda content: content["keys"][0].update(public_key=encode_base64(b"k" * 32))
    ),
    "a key twice": changed_export(lambda content: content["keys"].append(content["keys"][0])),
    "a key that is not base64": changed_export(
        lambda content: content["keys"][0].update(public_key="!")
    ),
    "another algorithm": changed_export(lambda content: content["keys"][0].update(algorithm="x")),
}


@pytest.mark.parametrize("content", BAD_EXPORTS.values(), ids=BAD_EXPORTS)
def test_a_broken_export_is_refused(content: bytes) -> None:
    with pytest.raises(KeyFileError) as caught:
        KeyRing.load(content)
    assert caught.value.hint
