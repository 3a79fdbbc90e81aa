"""Producers' keys are shown as the log knows them, and registered in the platform's name."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from receive_samples import CI, faulty_store, leaf_at, sound_log

from deploymark.errors import RefusedError
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.intake import Intake
from deploymark.ingest.key_entries import revocation
from deploymark.ingest.producer_keys import ProducerKeys
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.testing.whole_log import WholeLog, producer, sample_marker, sign

ADMIN = Caller("token:admin", frozenset({Role.ADMIN}))
NEW = producer("new")
SCOPE = Scope(("shop-*",), ("prod",))

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)


@pytest.fixture
def keys(log: WholeLog) -> Iterator[ProducerKeys]:
    intake = Intake(log.receiver, log.admin, log.clock, bytes)
    yield ProducerKeys(log.ring, intake, log.clock)
    intake.close()


def asked(**changes: object) -> dict[str, Any]:
    public = base64.b64encode(NEW.public).decode()
    return {"name": "new", "public_key": public, "scope": SCOPE, "reason": "asked", **changes}


def test_a_key_is_registered_by_the_platform_for_whoever_asked(
    keys: ProducerKeys, log: WholeLog
) -> None:
    admitted = keys.register(asked(), ADMIN)
    assert (admitted.index, admitted.principal, admitted.duplicate) == (2, "token:admin", False)
    leaf = leaf_at(log, 2)
    assert leaf.key_id == log.admin.key_id
    assert json.loads(leaf.dsse.payload_bytes())["reason"] == "asked"
    shown = json.loads(json.dumps(keys.list()[-1]))
    assert shown == {
        "key_id": NEW.key_id,
        "algorithm": "ed25519",
        "public_key": asked()["public_key"],
        "name": "new",
        "scope": {"services": ["shop-*"], "environments": ["prod"]},
        "from_index": 2,
        "end_index": None,
        "registered_by": log.admin.key_id,
        "successor_of": None,
    }
    log.append(sign(sample_marker(1, service="shop-front"), NEW))


def test_keys_stand_in_the_order_of_their_registration_with_their_end(
    keys: ProducerKeys, log: WholeLog
) -> None:
    log.append_key(revocation(CI.key_id, log.clock.now_ms()))
    keys.register(asked(reason=""), LOCAL)
    assert [(key["name"], key["from_index"], key["end_index"]) for key in keys.list()] == [
        ("admin", 0, None),
        ("ci", 1, 2),
        ("new", 3, None),
    ]
    json.dumps(keys.list())


NONE: dict[str, tuple[dict[str, object], str, str]] = {
    "no base64": ({"public_key": "~"}, "bad_marker", "/public_key"),
    "too short": ({"public_key": "AAAA"}, "bad_marker", "/public_key"),
    "too long": ({"public_key": "A" * 60}, "bad_marker", "/public_key"),
    "another spelling of base64": ({"public_key": "A" * 41 + "\n=="}, "bad_marker", "/public_key"),
    "not ASCII": ({"public_key": "é" * 44}, "bad_marker", "/public_key"),
    "nothing": ({"public_key": ""}, "bad_marker", "/public_key"),
    "a key that is registered": (
        {"public_key": base64.b64encode(CI.public).decode()},
        "key_untrusted",
        "",
    ),
}


@pytest.mark.parametrize("case", NONE)
def test_what_is_no_new_key_is_refused_as_the_callers_fault(
    keys: ProducerKeys, log: WholeLog, case: str
) -> None:
    changes, code, field = NONE[case]
    with pytest.raises(RefusedError) as caught:
        keys.register(asked(**changes), ADMIN)
    assert (caught.value.code, caught.value.field) == (code, field)
    assert caught.value.hint
    assert log.store.head().size == 2
