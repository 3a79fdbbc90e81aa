"""Writes identity.json: the golden vectors of ids, canonical form and equality.

Independent of the package under test on purpose: neither this script nor the modules of vectors
beside it import anything of it. The identity arrays and the equality answers are written by hand
from the specification, canonical bytes come from the `rfc8785` package or are quoted from
RFC 8785, and ids from the few lines below.

Run it with `python tests/golden/make_identity.py` after adding a vector; a test fails when file
and script disagree. Never change a vector: ids that were given out stay.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import rfc8785
from identity_canonical import CANONICAL_COMPUTED, CANONICAL_QUOTED, NUMBERS
from identity_equality import EQUALITY
from identity_markers import MARKERS

FILE = Path(__file__).with_name("identity.json")

ARRAYS: list[tuple[str, list[Any]]] = [
    ("d-", ["deployment/1", "", "", "", ""]),
    ("d-", ["deployment/1", None, None, None, None]),
    ("d-", ["deployment/1", "caf\u00e9", "pr\u00f6d", "version:\U0001f680", '\u0000\u001f"\\']),
    ("x-", []),
    ("x-", [[[1.5, 1e21, -0.0, 1e-7]]]),
]

KEYS = [
    ("ed25519", "00" * 32),
    ("ed25519", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
    ("ecdsa-p256", "02" + "11" * 32),
]

ENTRIES = [
    ("application/vnd.deploymark.finding.v1+json", ""),
    ("application/vnd.deploymark.key.v1+json", '{"a":1}'),
    ("application/vnd.deploymark.key.v1+json", '{"a": 1}'),
    ("application/vnd.deploymark.key.v1+json", '{"name":"\u00e9\U0001f680"}'),
]

GIVEN = [
    ("a", "a"),
    ("A-b_c.9", "a-b_c.9"),
    ("0", "0"),
    ("x" * 63, "x" * 63),
    ("x" * 64, None),
    ("", None),
    ("-a", None),
    ("a-", None),
    ("a.", None),
    ("a b", None),
    ("a~2", None),
    ("caf\u00e9", None),
    ("\u212a", None),
    ("a\n", None),
    ("a/b", None),
    ("a--b", "a--b"),
]

OCCURRENCES = [
    ("rel", "rel", None),
    ("rel~1", "rel", 1),
    ("REL~23", "rel", 23),
    ("rel~0", None, None),
    ("rel~01", None, None),
    ("rel~", None, None),
    ("~2", None, None),
    ("rel~2~3", None, None),
    ("rel~-1", None, None),
    ("rel~\u0662", None, None),
]


def id_of(prefix: str, array: list[Any]) -> str:
    number = int.from_bytes(hashlib.sha256(rfc8785.dumps(array)).digest()[:16], "big")
    text = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        text = "0123456789abcdefghjkmnpqrstvwxyz"[digit] + text
    return prefix + text


def marker_vector(vector: tuple[Any, ...]) -> dict[str, Any]:
    name, fields, identity, kind, phase, emitter, discriminator = vector
    given = isinstance(identity, str)
    deployment_id = identity if given else id_of("d-", identity)
    array = ["marker/1", deployment_id, kind, phase, emitter, discriminator]
    return {
        "name": name,
        "fields": fields,
        "deployment_array": None if given else identity,
        "deployment_id": deployment_id,
        "marker_array": array,
        "marker_id": id_of("m-", array),
    }


def vectors() -> dict[str, Any]:
    canonical = [
        {"name": name, "json": text, "canonical": rfc8785.dumps(json.loads(text)).decode()}
        for name, text in CANONICAL_COMPUTED
    ]
    quoted = [{"name": n, "json": t, "canonical": c} for n, t, c in CANONICAL_QUOTED]
    return {
        "about": "Golden vectors of deploymark identity, version 1; see make_identity.py.",
        "canonical": quoted + canonical,
        "numbers": [{"ieee754": bits, "text": text} for bits, text in NUMBERS],
        "encode_id": [{"prefix": p, "array": a, "id": id_of(p, a)} for p, a in ARRAYS],
        "markers": [marker_vector(vector) for vector in MARKERS],
        "key_id": [
            {"algorithm": a, "public_key": k, "id": id_of("k-", ["key/1", a, k])} for a, k in KEYS
        ],
        "entry_id": [
            {
                "payload_type": t,
                "payload": p,
                # The prefix names the type: e-<name>-, by which a store finds entries of one type.
                "id": id_of(
                    f"e-{t.split('.')[2]}-", ["entry/1", t, hashlib.sha256(p.encode()).hexdigest()]
                ),
            }
            for t, p in ENTRIES
        ],
        "given_id": [{"text": text, "id": expected} for text, expected in GIVEN],
        "occurrence": [{"text": t, "id": i, "occurrence": n} for t, i, n in OCCURRENCES],
        "equality": [
            {"name": n, "first": a, "second": b, "differing": d, "ignored": i}
            for n, a, b, d, i in EQUALITY
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n")
