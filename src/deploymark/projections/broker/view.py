"""The broker as the runner knows it: entries in, rows out, all of a batch in one commit.

What a scope remembers between writes is also in its tables, so a process may stop anywhere. The
memory is only trusted while the tables say that they are as it left them.
"""

import json
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from sqlalchemy import Connection, select

from deploymark.ingest.sighting import is_evidence
from deploymark.model.entries import Decision, Finding, Verdict
from deploymark.model.instants import parse_instant
from deploymark.model.marker import Marker
from deploymark.model.vocabulary import Kind
from deploymark.projections.broker.corrections import (
    Correction,
    Filed,
    correction_of,
    filed_of,
    write_corrections,
)
from deploymark.projections.broker.emitters import Doubt, Emitters, Punctuality, doubts_about
from deploymark.projections.broker.findings import FindingRow, entry_row, finding_of, join_rows
from deploymark.projections.broker.instances import Instances
from deploymark.projections.broker.keeping import KeptScope, ScopeName
from deploymark.projections.broker.rulings import RulingRow, ruling_row
from deploymark.projections.broker.tables import CLOCK, FINDING, METADATA, RULING
from deploymark.projections.broker.witness import Heard, hear
from deploymark.projections.database import replace_rows, rows_with
from deploymark.projections.expectations import Expectations
from deploymark.projections.logged import LoggedEntry

NAME: Final = "broker"
SCHEMA_VERSION: Final = 16
MAX_SCOPES: Final = 512
"""Scopes that are held in memory; the others are read when they are spoken of."""

MAX_HELD: Final = 65_536
"""Witnesses of all scopes that are held in memory together."""


class BrokerRow(Struct, frozen=True, gc=False):
    """What the broker keeps of one entry.

    Attributes:
        index: Where it stands.
        received_ms: When the log admitted it.
        heard: Of a marker.
        punctual: Of a marker.
        finding: Of a finding.
        ruling: Of a verdict or a decision.
        filed: Of what can be corrected and whose join does not say where it belongs.
        correction: Of an amendment or a retraction.
    """

    index: int
    received_ms: int
    heard: Heard | None = None
    punctual: Punctuality | None = None
    finding: FindingRow | None = None
    ruling: RulingRow | None = None
    filed: Filed | None = None
    correction: Correction | None = None


class BrokerView:
    """See `runner.View`.

    Args:
        expectations: What is expected to run; other expectations make another view.
    """

    name = NAME
    metadata = METADATA

    def __init__(self, expectations: Expectations | None = None) -> None:
        self._expectations = expectations or Expectations()
        self.version = (SCHEMA_VERSION << 31) | self._expectations.fingerprint
        self._scopes: OrderedDict[ScopeName, KeptScope] = OrderedDict()
        self._last: int | None = None

    def fold(self, entry: LoggedEntry) -> BrokerRow:
        """See `View.fold`."""
        content = entry.content
        if not isinstance(content, Marker):
            return _other(entry)
        service = content.service
        fields = {
            "kind": content.kind,
            "deployment_id": content.deployment_id,
            "action": content.action,
            "emitter": {"kind": content.emitter and content.emitter.kind},
        }
        if content.kind == Kind.DEPLOYMENT and is_evidence(fields):
            workload = content.target.workload if content.target else None
            service = self._expectations.service_of(service, workload)
        heard = hear(entry, content, service)
        emitter, said = content.emitter, heard.witness
        told = Punctuality(
            emitter=(emitter and emitter.id) or entry.leaf.principal or "unknown",
            kind=said.source,
            service=service,
            environment=content.environment,
            marker_id=said.sighting.marker_id,
            index=entry.index,
            received_ms=entry.received_at_ms,
            claimed_ms=None if content.timestamp is None else parse_instant(content.timestamp),
            numbered=said.sighting.emission is not None,
        )
        filed = filed_of(entry, heard)
        return BrokerRow(entry.index, entry.received_at_ms, heard, told, filed=filed)

    def write(self, connection: Connection, rows: Sequence[BrokerRow]) -> None:
        """See `View.write`."""
        stored = connection.execute(select(CLOCK)).first()
        last, now_ms = (-1, 0) if stored is None else (stored.last_index, stored.now_ms)
        if last != self._last:
            self._scopes.clear()
        self._last = None  # until this write has been done, nothing here can be trusted
        instances = Instances(connection)
        emitters = Emitters(connection, self._expectations.deadlines.stale * 1_000)
        findings = _Findings(connection)
        instances.read({row.heard.instance for row in rows if row.heard and row.heard.instance})
        told = {row.punctual.key for row in rows if row.punctual is not None}
        emitters.read(told)
        findings.read({row.finding.id for row in rows if row.finding is not None})
        findings.read({each for key in told for each in doubts_about(*key)})
        touched: dict[ScopeName, KeptScope] = {}
        for row in rows:
            if row.finding is not None:
                findings.take(row.finding)
            if row.punctual is not None:
                for doubt in emitters.take(row.punctual):
                    findings.note(doubt)
            if row.heard is not None:
                self._take(connection, row.heard, instances, touched)
        ended = instances.save()
        for name, scope in touched.items():
            scope.save(connection, ended=name in ended)
        emitters.save()
        findings.save()
        replace_rows(connection, RULING, [row.ruling for row in rows if row.ruling is not None])
        write_corrections(
            connection,
            [row.filed for row in rows if row.filed is not None],
            [row.correction for row in rows if row.correction is not None],
        )
        now_ms = max(now_ms, *[row.received_ms for row in rows])
        replace_rows(connection, CLOCK, [(1, rows[-1].index, now_ms)])
        held = sum(len(scope.scope) for scope in self._scopes.values())
        while len(self._scopes) > MAX_SCOPES or (held > MAX_HELD and len(self._scopes) > 1):
            held -= len(self._scopes.popitem(last=False)[1].scope)
        self._last = rows[-1].index

    def _take(
        self,
        connection: Connection,
        heard: Heard,
        instances: Instances,
        touched: dict[ScopeName, KeptScope],
    ) -> None:
        witness = heard.witness
        line = witness.sighting.line
        name = (line.service, line.environment)
        scope = touched.get(name)
        if scope is None:
            scope = self._scopes.get(name) or KeptScope(connection, name)
            self._scopes[name] = touched[name] = scope
            self._scopes.move_to_end(name)
        seen, group = heard.appearance, None
        if seen is not None:
            if not seen.gone:
                group = scope.take(connection, witness)
            instances.take(witness, seen, group)
        elif not witness.sighting.ends_instance:
            scope.take(connection, witness)


def _other(entry: LoggedEntry) -> BrokerRow:
    """Return what is kept of an entry that is no marker."""
    content, finding, ruling = entry.content, None, None
    if isinstance(content, Finding):
        finding = entry_row(content, entry.index, entry.received_at_ms)
    elif isinstance(content, Verdict | Decision):
        ruling = ruling_row(entry, content)
    return BrokerRow(
        entry.index,
        entry.received_at_ms,
        finding=finding,
        ruling=ruling,
        filed=filed_of(entry),
        correction=correction_of(entry),
    )


class _Findings:
    """Changes findings that are not of runs in one write, and stores them at its end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._stored: dict[str, FindingRow] = {}
        self._rows: dict[str, FindingRow] = {}

    def read(self, ids: Iterable[str]) -> None:
        """Read findings that the write may be about, before it takes any."""
        for row in rows_with(self._connection, FINDING, ("id",), ((each,) for each in ids)):
            self._stored[row.id] = finding_of(row)
        self._rows.update(self._stored)

    def take(self, row: FindingRow) -> None:
        """Take a finding that stands in the log."""
        before = self._rows.get(row.id)
        self._rows[row.id] = row if before is None else join_rows(before, row)

    def note(self, doubt: Doubt) -> None:
        """Open a finding, or close the one that is open."""
        before, row = self._rows.get(doubt.id), doubt.row
        stands = before is not None and before.closed_ms is None
        if row is not None:
            opened_ms = before.opened_ms if before is not None and stands else row.opened_ms
            self._rows[row.id] = row._replace(opened_ms=opened_ms)
        elif before is not None and stands:
            self._rows[doubt.id] = before._replace(closed_ms=doubt.at_ms)

    def save(self) -> None:
        """Store what changed."""
        rows = [
            (*row[:-1], json.dumps(row.document, separators=(",", ":")))
            for row in self._rows.values()
            if row is not self._stored.get(row.id)
        ]
        replace_rows(self._connection, FINDING, rows)
