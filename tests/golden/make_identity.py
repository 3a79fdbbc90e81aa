"""Writes identity.json: the golden vectors of ids, canonical form and equality.

Independent of the package under test on purpose: it imports nothing of it. The identity arrays
and the equality answers are written by hand from the specification, canonical bytes come from the
`rfc8785` package or are quoted from RFC 8785, and ids from the few lines below.

Run it with `python tests/golden/make_identity.py` after adding a vector; a test fails when file
and script disagree. Never change a vector: ids that were given out stay.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import rfc8785

FILE = Path(__file__).with_name("identity.json")
DIGEST = "sha256:" + "ab" * 32
OTHER_DIGEST = "sha256:" + "cd" * 32
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def id_of(prefix: str, array: list[Any]) -> str:
    number = int.from_bytes(hashlib.sha256(rfc8785.dumps(array)).digest()[:16], "big")
    text = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        text = "0123456789abcdefghjkmnpqrstvwxyz"[digit] + text
    return prefix + text


# RFC 8785: sections 3.2.2 and 3.2.3, quoted ------------------------------------------------------

CANONICAL_QUOTED = [
    (
        "the sample object of RFC 8785 section 3.2.2",
        '{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],'
        r'"string":"\u20ac$\u000F\u000aA' + "'" + r'\u0042\u0022\u005c\\\"\/",'
        '"literals":[null,true,false]}',
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"\u20ac$\\u000f\\nA' + "'" + r'B\"\\\\\"/"}',
    ),
    (
        "the sorting sample of RFC 8785 section 3.2.3: UTF-16 code units, astral before U+FB33",
        (
            r'{"\u20ac":"Euro Sign","\r":"Carriage Return",'
            r'"\ufb33":"Hebrew Letter Dalet With Dagesh",'
            r'"1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",'
            r'"\u00f6":"Latin Small Letter O With Diaeresis"}'
        ),
        (
            '{"\\r":"Carriage Return","1":"One","\u0080":"Control",'
            '"\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign",'
            '"\U0001f600":"Emoji: Grinning Face","\ufb33":"Hebrew Letter Dalet With Dagesh"}'
        ),
    ),
]

CANONICAL_COMPUTED = [
    ("null is null", "null"),
    ("an empty string is not null", '""'),
    ("an empty array", "[]"),
    ("an empty object", "{}"),
    ("null and empty side by side", '[null,"",[],{},0,false]'),
    ("spaces go", ' { "b" : [ 1 , 2 ] , "a" : 1 } '),
    ("keys are sorted at every depth", '{"b":{"z":1,"a":2},"a":[{"d":1,"c":2}]}'),
    ("a prefix sorts first", '{"aa":1,"a":2,"":3}'),
    ("capitals sort before small letters", '{"a":1,"B":2}'),
    ("every control character is escaped", json.dumps("".join(map(chr, range(32))))),
    ("delete and line separators are not", json.dumps("\x7f\u2028\u2029")),
    ("quote, backslash and slash", r'"\"\\\/"'),
    ("an astral character", json.dumps("\U0001f680 ship it")),
    ("composed and decomposed stay apart", json.dumps(["\u00e9", "e\u0301"])),
    ("one point zero is one", "1.0"),
    ("minus zero is zero", "-0.0"),
    ("exponents", "[1e2,1E-7,1.5e300,1.2345678901234568e20,1e21]"),
    ("the largest integers", "[9007199254740991,-9007199254740991]"),
]

# RFC 8785 Appendix B, quoted: IEEE 754 bits and text; null where there is none.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("7fffffffffffffff", None),
    ("7ff0000000000000", None),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]

# Markers: flat fields, and by hand the arrays that identify them --------------------------------

BASE = {"service": "checkout", "environment": "prod"}
ARTIFACT = {"artifact": {"digest": DIGEST}}
PLACE = {"cluster": "eu-1", "region": "eu-west-1", "namespace": "shop", "workload": "deploy/x"}
AT = ["eu-1", "eu-west-1", "shop", "deploy/x"]
NOWHERE = [None, None, None, None, None]


def deployment(subject: str, action: str = "") -> list[Any]:
    return ["deployment/1", "checkout", "prod", subject, action]


# name, fields, deployment array (or the id that the marker carries), kind, phase, emitter kind,
# discriminator
MARKERS: list[tuple[str, dict[str, Any], Any, str, str, str | None, list[Any]]] = [
    *(
        (
            f"phase {phase}",
            {
                **BASE,
                **ARTIFACT,
                "phase": phase,
                "target": {**PLACE, "colour": "blue"},
                "rollout": {"weight": 25},
                "emitter": {"kind": "ci"},
            },
            deployment(DIGEST),
            "deployment",
            phase,
            "ci",
            [*AT, "blue", 25],
        )
        for phase in (
            "planned",
            "applying",
            "applied",
            "promoted",
            "failed",
            "rolling_back",
            "rolled_back",
            "removed",
        )
    ),
    (
        "phase running: only the instance uid",
        {
            **BASE,
            **ARTIFACT,
            "phase": "running",
            "target": {**PLACE, "instance_uid": "uid-1"},
            "rollout": {"weight": 25},
            "emitter": {"kind": "runtime"},
        },
        deployment(DIGEST),
        "deployment",
        "running",
        "runtime",
        ["uid-1"],
    ),
    (
        "phase running without an instance uid",
        {**BASE, **ARTIFACT, "phase": "running"},
        deployment(DIGEST),
        "deployment",
        "running",
        None,
        [None],
    ),
    (
        "phase cutover: no weight",
        {
            **BASE,
            **ARTIFACT,
            "phase": "cutover",
            "target": {**PLACE, "colour": "green"},
            "rollout": {"weight": 100},
        },
        deployment(DIGEST),
        "deployment",
        "cutover",
        None,
        [*AT, "green"],
    ),
    (
        "subject: the commit where there is no digest",
        {**BASE, "phase": "applied", "commit_hash": COMMIT, "version": "2.31.0"},
        deployment("commit:" + COMMIT),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "subject: the version alone",
        {**BASE, "phase": "applied", "version": "2.31.0"},
        deployment("version:2.31.0"),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "subject: a null digest is no digest",
        {**BASE, "phase": "applied", "version": "1", "artifact": {"digest": None, "name": "x"}},
        deployment("version:1"),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "action: the run that all its jobs share",
        {**BASE, **ARTIFACT, "phase": "applied", "action": "github:acme/shop:123456"},
        deployment(DIGEST, "github:acme/shop:123456"),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "action: null is the empty action",
        {**BASE, **ARTIFACT, "phase": "applied", "action": None},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "action: neither correlation nor build id nor emitter matters",
        {
            **BASE,
            **ARTIFACT,
            "phase": "applied",
            "correlation_id": "c",
            "build_id": "7",
            "emitter": {"id": "https://ci.example/1"},
            "attempt": 2,
        },
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "kind: an explicit deployment is the default",
        {**BASE, **ARTIFACT, "phase": "applied", "kind": "deployment"},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "place: null is not the empty string",
        {**BASE, **ARTIFACT, "phase": "applied", "target": {"cluster": ""}},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        ["", None, None, None, None, None],
    ),
    (
        "place: null fields are as absent ones",
        {**BASE, **ARTIFACT, "phase": "applied", "target": {"cluster": None}, "rollout": None},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "place: a serverless alias is function:alias",
        {**BASE, **ARTIFACT, "phase": "applied", "target": {"workload": "checkout:live"}},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [None, None, None, "checkout:live", None, None],
    ),
    (
        "place: zone, node and instance do not matter",
        {
            **BASE,
            **ARTIFACT,
            "phase": "applied",
            "target": {**PLACE, "zone": "a", "node": "n1", "instance": "i"},
        },
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*AT, None, None],
    ),
    (
        "weight: a fraction",
        {**BASE, **ARTIFACT, "phase": "applied", "rollout": {"weight": 12.5}},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, 12.5],
    ),
    (
        "weight: 5.0 is 5",
        {**BASE, **ARTIFACT, "phase": "applied", "rollout": {"weight": 5.0}},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, 5],
    ),
    (
        "weight: zero is not null",
        {**BASE, **ARTIFACT, "phase": "applied", "rollout": {"weight": 0}},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [*NOWHERE, 0],
    ),
    (
        "unicode: an astral character in the workload",
        {**BASE, **ARTIFACT, "phase": "applied", "target": {"workload": "\U0001f680/\u00e9"}},
        deployment(DIGEST),
        "deployment",
        "applied",
        None,
        [None, None, None, "\U0001f680/\u00e9", None, None],
    ),
    (
        "given: the deployment id that the marker carries stands",
        {**BASE, **ARTIFACT, "phase": "applied", "deployment_id": "release-2026.11_23"},
        "release-2026.11_23",
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "given: in lower case",
        {**BASE, **ARTIFACT, "phase": "applied", "deployment_id": "Release-42"},
        "release-42",
        "deployment",
        "applied",
        None,
        [*NOWHERE, None],
    ),
    (
        "kind config: key and revision",
        {**BASE, "kind": "config", "phase": "applied", "key": "checkout.yaml", "revision": "7"},
        deployment("config:checkout.yaml=7"),
        "config",
        "applied",
        None,
        [*NOWHERE, None, "checkout.yaml", "7", None],
    ),
    (
        "kind config: the digest of the rendered file",
        {**BASE, **ARTIFACT, "kind": "config", "phase": "applied", "key": "checkout.yaml"},
        deployment("config:checkout.yaml=" + DIGEST),
        "config",
        "applied",
        None,
        [*NOWHERE, None, "checkout.yaml", None, None],
    ),
    (
        "kind config: revision before value before digest",
        {
            **BASE,
            **ARTIFACT,
            "kind": "config",
            "phase": "applied",
            "key": "k",
            "revision": "r",
            "value": "v",
        },
        deployment("config:k=r"),
        "config",
        "applied",
        None,
        [*NOWHERE, None, "k", "r", None],
    ),
    (
        "kind config, running: uid and key",
        {
            **BASE,
            "kind": "config",
            "phase": "running",
            "key": "k",
            "revision": "r",
            "target": {"instance_uid": "u"},
        },
        deployment("config:k=r"),
        "config",
        "running",
        None,
        ["u", "k", "r", None],
    ),
    (
        "kind config, cutover",
        {
            **BASE,
            "kind": "config",
            "phase": "cutover",
            "key": "k",
            "revision": "r",
            "target": {"colour": "blue"},
        },
        deployment("config:k=r"),
        "config",
        "cutover",
        None,
        [None, None, None, None, "blue", "k", "r", None],
    ),
    (
        "kind feature_flag: a value",
        {**BASE, "kind": "feature_flag", "phase": "applied", "key": "new-basket", "value": "on"},
        deployment("feature_flag:new-basket=on"),
        "feature_flag",
        "applied",
        None,
        [*NOWHERE, None, "new-basket", None, None],
    ),
    (
        "kind schema_migration: a direction",
        {
            **BASE,
            "kind": "schema_migration",
            "phase": "applied",
            "key": "orders",
            "revision": "0042",
            "direction": "up",
        },
        deployment("schema_migration:orders=0042"),
        "schema_migration",
        "applied",
        None,
        [*NOWHERE, None, "orders", "0042", "up"],
    ),
    (
        "kind secret_version",
        {**BASE, "kind": "secret_version", "phase": "applied", "key": "db", "revision": "v3"},
        deployment("secret_version:db=v3"),
        "secret_version",
        "applied",
        None,
        [*NOWHERE, None, "db", "v3", None],
    ),
    (
        "kind network_policy",
        {**BASE, "kind": "network_policy", "phase": "removed", "key": "deny-all", "revision": "1"},
        deployment("network_policy:deny-all=1"),
        "network_policy",
        "removed",
        None,
        [*NOWHERE, None, "deny-all", "1", None],
    ),
    (
        "kind infrastructure by a gateway",
        {
            **BASE,
            "kind": "infrastructure",
            "phase": "applied",
            "key": "vpc",
            "revision": "9",
            "emitter": {"kind": "gateway"},
        },
        deployment("infrastructure:vpc=9"),
        "infrastructure",
        "applied",
        "gateway",
        [*NOWHERE, None, "vpc", "9", None],
    ),
]

ARRAYS = [
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

# name, first, second, differing, ignored
SAME = {**BASE, **ARTIFACT, "phase": "applied"}
RUN = {**BASE, **ARTIFACT, "phase": "running", "target": {"instance_uid": "u", "instance": "p"}}
EQUALITY: list[tuple[str, dict[str, Any], dict[str, Any], list[str], list[str]]] = [
    ("the same marker", SAME, SAME, [], []),
    (
        "new timestamp, epoch, sequence and attempt",
        {
            **SAME,
            "timestamp": "2026-11-23T00:00:00Z",
            "attempt": 1,
            "emitter": {"epoch": "a", "sequence": 1},
        },
        {
            **SAME,
            "timestamp": "2026-11-23T00:00:09Z",
            "attempt": 2,
            "emitter": {"epoch": "b", "sequence": 2},
        },
        [],
        ["attempt", "emitter.epoch", "emitter.sequence", "timestamp"],
    ),
    ("other digest", SAME, {**SAME, "artifact": {"digest": OTHER_DIGEST}}, ["artifact.digest"], []),
    (
        "other commit",
        {**SAME, "commit_hash": COMMIT},
        {**SAME, "commit_hash": "f" * 40},
        ["commit_hash"],
        [],
    ),
    ("a version only once", SAME, {**SAME, "version": "2"}, ["version"], []),
    (
        "other repository",
        {**SAME, "repository": "a"},
        {**SAME, "repository": "b"},
        ["repository"],
        [],
    ),
    (
        "every part of the place",
        {**SAME, "target": PLACE},
        {**SAME, "target": {"cluster": "a", "region": "b", "namespace": "c", "workload": "d"}},
        ["target.cluster", "target.namespace", "target.region", "target.workload"],
        [],
    ),
    (
        "zone and node describe",
        {**SAME, "target": {"zone": "a"}},
        {**SAME, "target": {"node": "b"}},
        [],
        ["target.node", "target.zone"],
    ),
    (
        "schema, flags, resources and risk",
        {
            **SAME,
            "schema": {"provides": "1"},
            "flags": [{"key": "f", "variant": "on"}],
            "resources": {"cpu_request": "1"},
            "risk_flags": ["schema-migration"],
        },
        SAME,
        ["flags", "resources", "risk_flags", "schema"],
        [],
    ),
    ("null is absent", {**SAME, "version": None, "target": {"cluster": None}}, SAME, [], []),
    (
        "an empty list or object is absent",
        {**SAME, "flags": [], "labels": {}, "schema": {}},
        SAME,
        [],
        [],
    ),
    (
        "an empty string is a value",
        {**SAME, "target": {"cluster": ""}},
        SAME,
        ["target.cluster"],
        [],
    ),
    ("the default kind is the same as a stated one", {**SAME, "kind": "deployment"}, SAME, [], []),
    (
        "rollout, links, labels, reason and people describe",
        {
            **SAME,
            "rollout": {"strategy": "canary"},
            "links": [{"rel": "ci", "href": "x"}],
            "labels": {"a": "b"},
            "reason": "r",
            "author": "a",
            "approvers": ["b"],
            "owner": "o",
        },
        SAME,
        [],
        ["approvers", "author", "labels", "links", "owner", "reason", "rollout.strategy"],
    ),
    (
        "5 and 5.0 are one number",
        {**SAME, "rollout": {"steps": [5, 25.0]}},
        {**SAME, "rollout": {"steps": [5.0, 25]}},
        [],
        [],
    ),
    ("running: the version describes", {**RUN, "version": "1"}, RUN, [], ["version"]),
    (
        "running: the place describes",
        {**RUN, "target": {"instance_uid": "u", "cluster": "c"}},
        RUN,
        [],
        ["target.cluster", "target.instance"],
    ),
    (
        "running: other digest",
        RUN,
        {**RUN, "artifact": {"digest": OTHER_DIGEST}},
        ["artifact.digest"],
        [],
    ),
    (
        "running: other uid",
        RUN,
        {**RUN, "target": {"instance_uid": "w", "instance": "p"}},
        ["target.instance_uid"],
        [],
    ),
    (
        "running without a uid: other name",
        {**RUN, "target": {"instance": "p"}},
        {**RUN, "target": {"instance": "q"}},
        ["target.instance"],
        [],
    ),
    (
        "other service under one given id",
        {**SAME, "deployment_id": "x"},
        {**SAME, "deployment_id": "x", "service": "basket"},
        ["service"],
        [],
    ),
    ("a given and a derived id are no description", {**SAME, "deployment_id": "x"}, SAME, [], []),
    (
        "the value of a flag",
        {**BASE, "kind": "feature_flag", "phase": "applied", "key": "f", "value": "on"},
        {**BASE, "kind": "feature_flag", "phase": "applied", "key": "f", "value": "off"},
        ["value"],
        [],
    ),
]


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
