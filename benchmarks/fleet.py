"""A fleet that deploys, as a log: what CI, orchestrators, processes and observers say of it.

The log of the benchmarks about views. Nobody signs in it and its tree is empty, for views look at
neither. Its clock is its own: an hour of the fleet is as long as it takes to read it. One marker
in twenty arrives up to half a minute late, one in a hundred up to five minutes, all numbered. One
service in ten has no pipeline that tells, and one instance in five hundred runs something else.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from deploymark.log.tree import EMPTY_ROOT, leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.filing import file_entry
from deploymark.model.ids import ids_of_marker
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import MARKER, Assurance
from deploymark.ports import Batch, Head, LogStore, StoredEntry
from deploymark.storage.sqlite import SqliteLogStore

START_MS = 1_795_392_000_000
ROUND_MS = 3_600_000
"""Each service releases once in a round."""

Fields = dict[str, Any]
Said = tuple[int, Fields]


@dataclass(frozen=True)
class Fleet:
    """Who deploys what, and how much of it.

    Attributes:
        services: Each is a scope of its own.
        clusters: In which each of them runs.
        instances: Of each service in each cluster.
        labelled: Every so many services carry deployment ids along; 0 for none.
    """

    services: int = 40
    clusters: tuple[str, ...] = ("eu-1", "us-1")
    instances: int = 8
    labelled: int = 2

    def markers(self) -> Iterator[Said]:
        """Return flat markers without end, with the time of their arrival, in its order."""
        random = Random(1)
        waiting: list[tuple[int, int, Fields]] = []
        count = 0
        sequences: dict[str, int] = {}
        for number in range(1_000_000):
            start_ms = START_MS + number * ROUND_MS
            told = [said for service in range(self.services) for said in self._of(service, number)]
            told.sort(key=lambda said: said[0])
            for at_ms, fields in told:
                emitter = fields["emitter"]
                sequence = sequences[emitter["id"]] = sequences.get(emitter["id"], -1) + 1
                emitter |= {"epoch": "one", "sequence": sequence}
                fields["timestamp"] = format_instant(at_ms)
                waiting.append((at_ms + _delay_ms(random), count, fields))
                count += 1
            waiting.sort(key=lambda each: each[:2])
            next_ms = start_ms + ROUND_MS
            yield from ((at_ms, fields) for at_ms, _, fields in waiting if at_ms < next_ms)
            waiting = [each for each in waiting if each[0] >= next_ms]

    def _of(self, service: int, number: int) -> Iterator[Said]:
        """Return everything about one release, each part when it happens."""
        start_ms = START_MS + number * ROUND_MS + service * ROUND_MS // self.services // 2
        name = f"service-{service:03}"
        digest = f"sha256:{sha256(f'{name}/{number}'.encode()).hexdigest()}"
        other = f"sha256:{sha256(b'another').hexdigest()}"
        scope = {"service": name, "environment": "prod", "artifact": {"digest": digest}}
        ci = {
            **scope,
            "commit_hash": sha256(digest.encode()).hexdigest()[:40],
            "version": f"2.{number}.0",
            "action": f"github/acme/{name}/{number}",
            "owner": "team:payments",
            "repository": f"https://git.example.com/{name}",
            "change_tickets": [f"CHG{number:07}"],
        }
        known = ids_of_marker({"kind": "deployment", "phase": "planned", **ci})[0]
        label = {"deployment_id": known} if self.labelled and service % self.labelled == 0 else {}
        for place, cluster in enumerate(self.clusters):
            target = {"cluster": cluster, "region": cluster[:2], "namespace": "shop"}

            def says(after: int, kind: str, who: str, fields: Fields) -> Said:
                emitter = {"kind": kind, "id": who}
                return start_ms + after + place, {"target": target, "emitter": emitter, **fields}  # noqa: B023

            told = (("planned", 0), ("applying", 20_000), ("applied", 90_000))
            for phase, after in () if service % 10 == 9 else told:
                yield says(after, "ci", f"{name}/deploy", {**ci, "phase": phase})
            observer = f"observer/{cluster}"
            seen = {**scope, **label}
            yield says(60_000, "orchestrator", observer, {**seen, "phase": "applied"})
            for each in range(self.instances):
                uid = f"{name}-{number}-{cluster}-{each}"
                here = {
                    **target,
                    "instance": f"{name}-{number}-{each}",
                    "instance_uid": uid,
                    "zone": f"{cluster}{'abc'[each % 3]}",
                }
                runs = {**seen, "target": here, "phase": "running"}
                declared = {"evidence": {"basis": "self_observed", "digest": digest}}
                sees = other if (number + service + each) % 500 == 0 else digest
                observed = {"evidence": {"basis": "observed", "digest": sees, "observer": observer}}
                after = 65_000 + each * 1_000
                yield says(after, "runtime", f"runtime/{uid}", {**runs, **declared})
                yield says(after + 5_000, "orchestrator", observer, {**runs, **observed})
                end = {**seen, "target": here, "phase": "removed"}
                yield says(ROUND_MS + 120_000 + each * 1_000, "orchestrator", observer, end)


def _delay_ms(random: Random) -> int:
    chance = random.random()
    if chance < 0.01:
        return random.randint(0, 300_000)
    return random.randint(0, 30_000) if chance < 0.06 else 200


def leaves(fleet: Fleet, count: int) -> Iterator[tuple[int, str, bytes]]:
    """Return the first leaves of a fleet's log: when it was received, dedupe key, bytes."""
    for at_ms, fields in islice(fleet.markers(), count):
        payload = json.dumps(fields, separators=(",", ":")).encode()
        leaf = Leaf(
            assurance=Assurance.SIGNED,
            dsse=Envelope(b64encode(payload).decode(), MARKER, []),
            ids=file_entry(MARKER, payload).ids,
            occurrence=1,
            principal="benchmark",
            received_at=format_instant(at_ms),
        )
        yield at_ms, leaf.dedupe, encode_leaf(leaf)


def entries(fleet: Fleet, count: int) -> Iterator[StoredEntry]:
    """Return the first rows of a fleet's log."""
    for index, (at_ms, dedupe, body) in enumerate(leaves(fleet, count)):
        yield StoredEntry(index, leaf_hash(body), at_ms, "", dedupe, body)


def append(store: LogStore, rows: Sequence[StoredEntry]) -> None:
    """Append rows as one batch."""
    head = store.head()
    size = head.size + len(rows)
    store.append(Batch(head.size, rows, [], Head(head.origin, size, EMPTY_ROOT, b"", "", 0)))


def new_log(path: Path) -> SqliteLogStore:
    """Return an empty log."""
    store = SqliteLogStore(path)
    store.create(Head("bench.example/fleet", 0, EMPTY_ROOT, b"", "", 0))
    return store


def written_log(path: Path, fleet: Fleet, count: int) -> SqliteLogStore:
    """Return a log that holds the beginning of a fleet's."""
    store = new_log(path)
    rows = entries(fleet, count)
    while batch := list(islice(rows, 4_096)):
        append(store, batch)
    return store
