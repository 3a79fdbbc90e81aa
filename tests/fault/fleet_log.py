"""A log in which three services deploy again and again, for those that follow it.

Made of leaves alone, which nobody signed. News is late now and then, instances confirm themselves
and are seen, and there is enough of it that scopes settle what is old.
"""

import json
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from deploymark.log.tree import EMPTY_ROOT, leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.filing import file_entry
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import MARKER, Assurance
from deploymark.ports import Batch, Head, StoredEntry
from deploymark.storage.sqlite import SqliteLogStore

_START_MS = 1_795_392_000_000
_HOUR_MS = 3_600_000
_ROUNDS = 90
_SERVICES = ("checkout", "search", "stock")
_CLUSTERS = ("eu-1", "us-1")
_PODS = 2

Fields = dict[str, Any]


def write_fleet_log(path: Path) -> int:
    """Write the log; return how many entries it has."""
    said = sorted(_said(Random(1)), key=lambda each: each[0])
    rows = []
    for index, (at_ms, fields) in enumerate(said):
        payload = json.dumps(fields, separators=(",", ":")).encode()
        leaf = Leaf(
            assurance=Assurance.ANONYMOUS,
            dsse=Envelope(b64encode(payload).decode(), MARKER, []),
            ids=file_entry(MARKER, payload).ids,
            occurrence=1,
            principal="",
            received_at=format_instant(at_ms),
        )
        body = encode_leaf(leaf)
        rows.append(StoredEntry(index, leaf_hash(body), at_ms, "", leaf.dedupe, body))
    store = SqliteLogStore(path)
    store.create(Head("log.example/fleet", 0, EMPTY_ROOT, b"", "", 0))
    store.append(Batch(0, rows, [], Head("log.example/fleet", len(rows), EMPTY_ROOT, b"", "", 0)))
    store.close()
    return len(rows)


def _said(random: Random) -> Iterator[tuple[int, Fields]]:
    """Return every marker with the time at which it arrives."""
    sequence = 0
    for number in range(_ROUNDS):
        for service in _SERVICES:
            for after, fields in _release(service, number):
                at_ms = _START_MS + number * _HOUR_MS + after
                delay_ms = random.randint(0, 600_000) if random.random() < 0.05 else 200
                sequence += 1
                emitter = {**fields["emitter"], "epoch": "one", "sequence": sequence}
                claimed = {"timestamp": format_instant(at_ms), "environment": "prod"}
                yield at_ms + delay_ms, {**fields, **claimed, "emitter": emitter}


def _release(service: str, number: int) -> Iterator[tuple[int, Fields]]:
    digest = f"sha256:{sha256(f'{service}/{number}'.encode()).hexdigest()}"
    what = {"service": service, "artifact": {"digest": digest}}
    action = {"action": f"github/acme/{service}/{number}", "version": f"1.{number}"}
    for place, cluster in enumerate(_CLUSTERS):
        target = {"cluster": cluster}
        told = (("planned", 0), ("applying", 20_000), ("applied", 90_000))
        # Now and then nobody announces a release.
        for phase, after in told if number % 7 else ():
            said = {**what, **action, "phase": phase, "target": target}
            yield after + place, {**said, "emitter": {"kind": "ci", "id": service}}
        for each in range(_PODS):
            uid = f"{service}-{number}-{cluster}-{each}"
            here = {**target, "instance_uid": uid, "instance": f"{service}-{each}"}
            runs = {**what, "phase": "running", "target": here}
            for basis, kind in (("self_observed", "runtime"), ("observed", "orchestrator")):
                emitter = {"kind": kind, "id": f"{kind}/{cluster}"}
                evidence = {"basis": basis, "digest": digest}
                after = 65_000 + 2_000 * each
                yield after + place, {**runs, "evidence": evidence, "emitter": emitter}
