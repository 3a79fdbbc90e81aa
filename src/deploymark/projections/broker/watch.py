"""Watchers: what is wrong because time passed and nothing came.

Level-triggered. Each look compares what should be found now with what the log says is found, and
appends the difference: findings opened and closed, and a failure for what is open and silent for
too long. Nothing is remembered that a restart could lose: what is found must be there at two looks
in a row, because a word whose clock is behind is late when it comes, and its neighbours are still
on their way. A look only counts what the views had
seen by then, so that a server that catches up does not take its own delay for silence.

It reads the views and appends through the caller; it knows no threads and no clock.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import astuple
from sqlalchemy import Connection, select

from deploymark.errors import RefusedError
from deploymark.ingest.sighting import HONEST_MS
from deploymark.model.canonical import encode
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.lengths import told_length
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.vocabulary import FINDING, MARKER, EmitterKind, FindingCode, Kind, Phase
from deploymark.projections.broker import standing
from deploymark.projections.broker.documents import IN_PLACE, UNPROVEN
from deploymark.projections.broker.findings import TEXTS, describe
from deploymark.projections.broker.outlived import replaced_by, told
from deploymark.projections.broker.standing import Standing, Trouble, standing_runs
from deploymark.projections.broker.tables import FINDING as FINDINGS
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views
from deploymark.projections.expectations import Expectations, ExpectedEnvironment

MAX_SAID: Final = 1_000
"""What one look appends at most; the next one goes on."""

_MS: Final = 1_000
_EVERYWHERE: Final = {FindingCode.INSTANCE_UNMARKED: "all clusters together"}
_OUTLIVED: Final = "instances of the one before"
_APPLIED: Final = frozenset({Phase.APPLIED, Phase.PROMOTED, Phase.CUTOVER})

Say = Callable[[str, bytes], int]
"""Appends a payload of a type and returns its index."""

Emitters = Callable[[], Sequence[dict[str, Any]]]
"""Returns the emitters with what is missing of their numbers, as `GET /v1/emitters` does."""


class Watchers:
    """Looks at the views, and says what follows from time.

    Args:
        views: The database of the views.
        expectations: What shall run, and how long silence is borne.
        size: Returns how many entries the log has.
        say: Appends what was found.
        emitters: What is known of missing numbers and of clocks.
    """

    def __init__(
        self,
        views: Views,
        expectations: Expectations,
        size: Callable[[], int],
        say: Say,
        emitters: Emitters = tuple,
    ) -> None:
        self._views = views
        self._expectations = expectations
        self._size = size
        self._say = say
        self._emitters = emitters
        self._before: tuple[int, int] | None = None
        self._after = ("", "")
        self._said = -1
        self._refused: set[tuple[str | None, ...]] = set()
        self._seen: dict[tuple[str | None, ...], Trouble] = {}

    @property
    def seconds(self) -> float:
        """How often to look, so that no deadline is missed by much."""
        shortest = min(astuple(self._expectations.deadlines))
        return float(min(30.0, max(0.25, shortest / 4)))

    def look(self, now_ms: int) -> int:
        """Look once, and return how many entries were appended.

        Raises:
            UnavailableError: The views or the log refuse now; the next look sees the same.
            BrokenError: The log does not add up.
        """
        size = self._size()
        with self._views.reading() as connection:
            seen = projected_size(connection, NAME)
            if seen >= size:
                as_of_ms = now_ms
            elif self._before is not None and seen >= self._before[0]:
                as_of_ms = self._before[1]
            else:
                as_of_ms = -1
            self._before = (size, now_ms)
            if as_of_ms < 0 or seen <= self._said:
                return 0
            runs, looked_at = self._next(connection)
            found = _open(connection)
        wanted = {each.key: each for each in self._troubles(runs, as_of_ms)}
        healed = [each for each in found.values() if each.key not in wanted and looked_at(each)]
        lasting = [each for key, each in wanted.items() if key in self._seen and key not in found]
        waiting = {key: each for key, each in self._seen.items() if not looked_at(each)}
        self._seen = {**waiting, **wanted}
        said = 0
        for trouble in lasting:
            if trouble.key not in self._refused and said < MAX_SAID:
                said += self._tell(trouble, "opened", as_of_ms)
        for trouble in healed:
            if trouble.key not in self._refused and said < MAX_SAID:
                said += self._tell(trouble, "closed", as_of_ms)
        for run in runs:
            if said < MAX_SAID and self._is_silent(run, as_of_ms):
                said += self._fail(run, as_of_ms)
        return said

    def _next(self, connection: Connection) -> tuple[list[Standing], Callable[[Trouble], bool]]:
        """Return the runs of one look, and what tells whether a finding is about any of these.

        When there are too many, each look goes on where the last one ended. What was not looked
        at is neither found nor healed.
        """
        after = self._after
        runs = list(standing_runs(connection, after))
        self._after = ("", "")
        if len(runs) >= standing.MAX_RUNS:
            # The last service may not be whole; alone it is as whole as it gets.
            last = runs[-1].scope
            whole = [run for run in runs if run.scope != last]
            runs = whole or runs
            self._after = runs[-1].scope
        until = self._after

        def looked_at(trouble: Trouble) -> bool:
            if trouble.service is None:
                return True
            scope = (trouble.service, trouble.environment or "")
            return after < scope and (until == ("", "") or scope <= until)

        return runs, looked_at

    # What should be found -----------------------------------------------------------------

    def _troubles(self, runs: Sequence[Standing], now_ms: int) -> Iterator[Trouble]:
        newest = _newest_begun(runs)
        for run in runs:
            yield from self._of_run(run, now_ms)
            # While a newer one takes its place, nobody can say how many of it should run.
            if run.key in newest and run.row.live_ms is not None:
                yield from self._of_place(run, now_ms)
        for emitter in self._emitters():
            yield from _of_emitter(emitter)

    def _of_run(self, run: Standing, now_ms: int) -> Iterator[Trouble]:
        deadlines, row, document = self._expectations.deadlines, run.row, run.document
        phases, live_ms = document["phases"], row.live_ms
        if row.environment in self._expectations.signed_environments and document["unsigned"]:
            yield run.trouble(FindingCode.MARKER_UNSIGNED)
        if row.state in ("planned", "applying") and _late(row.last_ms, deadlines.intent, now_ms):
            yield run.trouble(FindingCode.INTENT_UNCONFIRMED)
        if row.kind == Kind.FEATURE_FLAG and _late(live_ms, deadlines.flag, now_ms):
            days = f"{int(deadlines.flag) // 86_400} days"
            yield run.trouble(FindingCode.FLAG_STALE, document["key"], days)
        if row.kind != Kind.DEPLOYMENT:
            return
        running = phases.get(Phase.RUNNING)
        running_ms = None if running is None else parse_instant(running)
        if _APPLIED.isdisjoint(phases) and _late(running_ms, deadlines.marker, now_ms):
            yield run.trouble(FindingCode.MARKER_MISSING, detail="applied")
        unproven = document["binding"] == UNPROVEN and run.instances
        if unproven and _late(live_ms, deadlines.marker, now_ms):
            yield run.trouble(FindingCode.BINDING_UNPROVEN)

    def _of_place(self, run: Standing, now_ms: int) -> Iterator[Trouble]:
        deadlines, row = self._expectations.deadlines, run.row
        expected = self._expectations.environment(row.service, row.environment)
        if _late(row.live_ms, deadlines.rollout, now_ms):
            behind = _behind(run.document["places"], expected.clusters if expected else ())
            if behind:
                yield run.trouble(
                    FindingCode.ROLLOUT_PARTIAL, detail=_cut(", ".join(behind), VALUE_BYTES)
                )
            yield from self._outlived(run, now_ms)
        since_ms = max(row.live_ms, run.fewer_ms)
        if expected is not None and _late(since_ms, deadlines.marker, now_ms):
            for cluster, detail in _unknown(expected, run.instances):
                yield run.trouble(FindingCode.INSTANCE_UNMARKED, cluster, detail)

    def _outlived(self, run: Standing, now_ms: int) -> Iterator[Trouble]:
        """Yield that instances still run what it has taken the place of, and for too long."""
        rollout = self._expectations.deadlines.rollout
        left = [
            each
            for each in replaced_by(run.document, run.outlived)
            if _late(each.ended_ms, rollout, now_ms)
        ]
        if left and run.row.state in IN_PLACE:
            scope = f"{run.row.service} in {run.row.environment}"
            message = f"{run.name} of {scope} is live, and instances run on: {told(left)}."
            found = run.trouble(FindingCode.ROLLOUT_PARTIAL, _OUTLIVED)
            yield found._replace(message=_cut(message, VALUE_BYTES))

    def _is_silent(self, run: Standing, now_ms: int) -> bool:
        """Tell whether nothing was heard for so long of a run that is live nowhere."""
        row = run.row
        if ("silence", run.name) in self._refused:
            return False
        waits = row.live_ms is None and not run.instances and row.ended_ms is None
        return waits and _late(row.last_ms, self._expectations.deadlines.silence, now_ms)

    # Saying it ----------------------------------------------------------------------------

    def _tell(self, trouble: Trouble, state: str, now_ms: int) -> int:
        text = TEXTS[trouble.code]
        said = describe(
            trouble.code,
            trouble.service or "a service",
            trouble.environment or "an environment",
            trouble.deployment,
            about=trouble.about or _EVERYWHERE.get(trouble.code, ""),
            detail=trouble.detail,
            indexes=[],
        )
        if trouble.code is FindingCode.MARKER_MISSING and trouble.deployment is None:
            said["message"] = f"Of the emitter {trouble.about}, {trouble.detail or 'all arrived'}."
        elif trouble.service is None:
            said["message"] = (
                f"The clock of {trouble.about} is {trouble.detail or 'no longer'} off."
            )
        finding = {
            "code": trouble.code.value,
            "state": state,
            "severity": text.severity,
            "message": trouble.message or said["message"],
            "timestamp": format_instant(now_ms),
            "service": trouble.service,
            "environment": trouble.environment,
            "deployment_id": trouble.deployment,
            "about": trouble.about,
            "indexes": list(trouble.indexes) or None,
            "remedy": text.remedy,
        }
        stated = {name: value for name, value in finding.items() if value is not None}
        return self._append(FINDING, stated, trouble.key)

    def _fail(self, run: Standing, now_ms: int) -> int:
        row, document = run.row, run.document
        marker: dict[str, Any] = {
            "service": row.service,
            "environment": row.environment,
            "kind": row.kind,
            "phase": Phase.FAILED.value,
            "deployment_id": row.id,
            "emitter": {"kind": EmitterKind.PLATFORM.value},
            "reason": "Nothing was heard of it for too long: deploymark takes it for failed.",
            "timestamp": format_instant(now_ms),
            "key": document["key"],
            "revision": document["revision"],
            "version": document["version"],
            "commit_hash": document["commit_hash"],
        }
        if document["digest"] is not None:
            marker["artifact"] = {"digest": document["digest"]}
        stated = {name: value for name, value in marker.items() if value is not None}
        return self._append(MARKER, stated, ("silence", run.name))

    def _append(
        self, payload_type: str, payload: dict[str, Any], key: tuple[str | None, ...]
    ) -> int:
        try:
            self._said = self._say(payload_type, encode(payload))
        except RefusedError:
            # What the log does not take must not be tried again and again.
            self._refused.add(key)
            return 0
        return 1


def _open(connection: Connection) -> dict[tuple[str | None, ...], Trouble]:
    """Return the findings of watchers that are open, by what they are about."""
    rows = connection.execute(
        select(FINDINGS).where(FINDINGS.c.origin == "watcher", FINDINGS.c.closed_ms.is_(None))
    )
    found = {}
    for row in rows:
        document = json.loads(row.document)
        trouble = Trouble(
            FindingCode(row.code),
            row.service,
            row.environment,
            row.deployment_id,
            document["about"],
            message=document["message"],
        )
        found[trouble.key] = trouble
    return found


def _newest_begun(runs: Sequence[Standing]) -> set[tuple[str, ...]]:
    """Return the key of each line's deployment that opened last and is more than an intent."""
    newest: dict[tuple[str, str], Standing] = {}
    for run in runs:
        row = run.row
        if row.kind != Kind.DEPLOYMENT or row.state == "planned":
            continue
        known = newest.get((row.service, row.environment))
        if known is None or known.row.opened_ms < row.opened_ms:
            newest[row.service, row.environment] = run
    return {run.key for run in newest.values()}


def _of_emitter(emitter: dict[str, Any]) -> Iterator[Trouble]:
    """Yield what is wrong with an emitter: numbers that never came, a clock that is off."""
    name = emitter["id"] or emitter["principal"]
    lost = emitter["missing"]["count"]
    if lost:
        detail = f"{lost} of its markers never arrived"
        about = _cut(f"{name} {emitter['epoch']}", VALUE_BYTES)
        yield Trouble(FindingCode.MARKER_MISSING, None, None, None, about, detail)
    skew = emitter["skew_ms"]
    if skew and abs(skew["last"]) > HONEST_MS:
        detail = told_length(skew["last"])
        yield Trouble(FindingCode.CLOCK_SKEW, None, None, None, _cut(name, VALUE_BYTES), detail)


def _cut(text: str, most_bytes: int) -> str:
    """Return the beginning of a text that fits, in whole characters."""
    return text.encode()[:most_bytes].decode(errors="ignore")


def _behind(places: Sequence[dict[str, Any]], expected: Sequence[str]) -> list[str]:
    """Return the clusters where a deployment should be live and is not."""
    live = {each["cluster"] for each in places if each["state"] == "live"}
    if None in live:
        return []
    waiting = {each["cluster"] for each in places if each["state"] == "open"}
    return sorted({*expected, *waiting} - live - {None})


def _unknown(
    expected: ExpectedEnvironment, known: Mapping[str | None, int]
) -> Iterator[tuple[str | None, str]]:
    """Yield where fewer instances are known than expected, and how many."""
    if expected.instances is None:
        return
    if isinstance(expected.instances, dict):
        # Who did not say in which cluster it runs may run in any of them.
        anywhere = known.get(None, 0)
        for cluster, count in sorted(expected.instances.items()):
            lacking = count - known.get(cluster, 0)
            if lacking > anywhere:
                yield cluster, f"{count} expected, {known.get(cluster, 0)} known"
            anywhere -= max(0, min(lacking, anywhere))
        return
    total = sum(known.values())
    if total >= expected.instances:
        return
    silent = [each for each in expected.clusters if not known.get(each) and not known.get(None)]
    for cluster in silent:
        yield cluster, "instances expected, none known"
    if not silent:
        yield None, f"{expected.instances} expected, {total} known"


def _late(since_ms: int | None, deadline_s: float, now_ms: int) -> bool:
    return since_ms is not None and now_ms - since_ms > deadline_s * _MS
