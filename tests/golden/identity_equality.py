"""Golden pairs of markers: which significant and which descriptive fields differ, by hand.

Independent of the package under test: it imports nothing of it.
"""

from typing import Any

from identity_markers import ARTIFACT, BASE, COMMIT, PLACE

OTHER_DIGEST = "sha256:" + "cd" * 32
SAME = {**BASE, **ARTIFACT, "phase": "applied"}
RUN = {**BASE, **ARTIFACT, "phase": "running", "target": {"instance_uid": "u", "instance": "p"}}

# name, first, second, differing, ignored
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
        "removed of one instance: the version describes",
        {**RUN, "phase": "removed", "version": "1"},
        {**RUN, "phase": "removed"},
        [],
        ["version"],
    ),
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
