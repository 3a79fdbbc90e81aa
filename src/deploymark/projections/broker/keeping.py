"""Keeps scopes in the tables: what they go on from, and their runs for everybody to read.

A scope in memory may be ahead of the tables only inside one write; the view drops all of them when
a commit did not happen. Rows that did not change are not written again.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Select,
    and_,
    bindparam,
    delete,
    select,
    text,
)

from deploymark.decoding import msgpack_decoder
from deploymark.ingest.registry_facts import kind_of
from deploymark.model.environment import is_production
from deploymark.model.ids import format_occurrence
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.cures import cures, mismatched
from deploymark.projections.broker.documents import equal, run_document, state_of
from deploymark.projections.broker.findings import TEXTS, describe, finding_id
from deploymark.projections.broker.marks import MarkRow, marks_of, write_marks
from deploymark.projections.broker.run import Group, Run
from deploymark.projections.broker.scope import (
    KEPT_RUNS,
    Scope,
    Settled,
    decode_run,
    decode_witness,
    encode_run,
    encode_witness,
)
from deploymark.projections.broker.settling import settling_of
from deploymark.projections.broker.sweep import name_runs
from deploymark.projections.broker.tables import (
    ALIAS,
    FINDING,
    FORGOTTEN,
    GROUP,
    RUN,
    SCOPE,
    WITNESS,
)
from deploymark.projections.broker.witness import Witness
from deploymark.projections.database import replace_rows, rows_with

MAX_RECALLED: Final = 64
"""Forgotten runs that one witness brings back at most."""

_settled_encoder = msgspec.msgpack.Encoder()
_settled_decoder = msgpack_decoder(Settled)

_CONTENT: Final = RUN.columns.keys().index("content")
_FINDING_OF: Final = FINDING.columns.keys().index("deployment_id")

ScopeName = tuple[str, str]
_RunName = tuple[str, str, int]
_Row = tuple[Any, ...]


def _forgotten(wanted: ColumnElement[bool]) -> Select[Any]:
    """Return the statement that reads runs which are remembered no longer, the newest."""
    return (
        select(RUN.c.content)
        .where(
            RUN.c.service == bindparam("service"),
            RUN.c.environment == bindparam("environment"),
            RUN.c.kind_key == bindparam("kind_key"),
            RUN.c.content.is_not(None),
            wanted,
        )
        .order_by(RUN.c.opened_ms.desc(), RUN.c.id, RUN.c.number)
        .limit(MAX_RECALLED)
    )


# One after the other, so that each finds its index: what was forgotten only ever grows.
_FORGOTTEN: Final[tuple[Executable, ...]] = (
    _forgotten(RUN.c.id == bindparam("name")),
    _forgotten(
        RUN.c.id.in_(
            select(ALIAS.c.id).where(
                ALIAS.c.alias == bindparam("name"),
                ALIAS.c.service == bindparam("service"),
                ALIAS.c.environment == bindparam("environment"),
            )
        )
    ),
    # Left to itself SQLite would go through all runs of the service, the ended ones too.
    text(
        f"SELECT content FROM broker_run INDEXED BY {FORGOTTEN}"  # noqa: S608 - a constant
        " WHERE service = :service AND environment = :environment AND kind_key = :kind_key"
        " AND content IS NOT NULL AND ended_ms IS NULL"
        f" ORDER BY opened_ms DESC, id, number LIMIT {MAX_RECALLED}"
    ),
)
"""By its id, by an alias, and because it stands."""


class _Shown(NamedTuple):
    """A run as it is shown: its rows, kept beside what they were made of.

    Attributes:
        run: What they were made of; while it is the same object, they hold (`sweep.State`).
        fingerprint: Of the run; while it is the same, the rows are.
        row: Of the run itself.
        groups, findings: By their keys.
        aliases: With what they stand for.
        marks: Of the run where it is drawn.
    """

    run: Run
    fingerprint: bytes
    row: _Row
    groups: dict[int, _Row]
    findings: dict[str, _Row]
    aliases: tuple[tuple[str, str], ...]
    marks: tuple[MarkRow, ...]


class KeptScope:
    """A scope and the rows that it has.

    Args:
        connection: Reads what was stored.
        name: Service and environment.
    """

    def __init__(self, connection: Connection, name: ScopeName) -> None:
        self.name = name
        here = and_(WITNESS.c.service == name[0], WITNESS.c.environment == name[1])
        stored = connection.scalar(
            select(SCOPE.c.settled).where(
                SCOPE.c.service == name[0], SCOPE.c.environment == name[1]
            )
        )
        witnesses = connection.scalars(
            select(WITNESS.c.content).where(here).order_by(WITNESS.c.idx)
        )
        settled = None if stored is None else _settled_decoder.decode(stored)
        self.scope = Scope(settled, [decode_witness(raw) for raw in witnesses])
        mine = and_(RUN.c.service == name[0], RUN.c.environment == name[1])
        rows = connection.execute(select(RUN).where(mine, RUN.c.content.is_(None)))
        self._runs: dict[_RunName, _Row] = {_name_of(tuple(row)): tuple(row) for row in rows}
        names = {_shown(name) for name in self._runs}
        of_runs = and_(
            FINDING.c.service == name[0],
            FINDING.c.environment == name[1],
            FINDING.c.origin == "run",
        )
        self._findings: dict[str, _Row] = {
            row.id: tuple(row)
            for row in connection.execute(select(FINDING).where(of_runs))
            if row.deployment_id in names
        }
        kept = select(RUN.c.id).where(mine, RUN.c.content.is_not(None)).limit(1)
        self._has_final = connection.scalar(kept) is not None
        self._rows: dict[_RunName, _Shown] = {}
        self._ended = False
        self._groups: dict[int, _Row] = {}
        ids = {(*name, run_id) for run_id, _, _ in self._runs}
        self._aliases: set[tuple[str, str]] = {
            (row.alias, row.id)
            for row in rows_with(connection, ALIAS, ("service", "environment", "id"), ids)
        }

    # Taking in ----------------------------------------------------------------------------

    def take(self, connection: Connection, witness: Witness) -> int:
        """Let the scope take a witness; return the index of what stands for it."""
        if not self.scope.knows(witness.sighting.deployment_id):
            self._recall(connection, witness)
        return self.scope.take(witness)

    def _recall(self, connection: Connection, witness: Witness) -> None:
        """Bring back what was forgotten and a witness speaks of: its deployment, its line."""
        name, line = witness.sighting.deployment_id, witness.sighting.line
        kind_key = kind_of(line)
        # A service whose runs never end would bring back more with each deployment, without end.
        open_too = self.scope.open_runs < KEPT_RUNS
        found: dict[_RunName, Run] = {}
        if self._has_final:
            mine = {"service": self.name[0], "environment": self.name[1]}
            asked = {**mine, "kind_key": kind_key, "name": name}
            for statement in _FORGOTTEN if open_too else _FORGOTTEN[:-1]:
                for content in connection.scalars(statement, asked):
                    run = decode_run(content)
                    found[_key_of(run)] = run
        for run in self.scope.forgotten:
            meant = name in (run.id, *run.aliases) or (open_too and not run.over)
            if run.kind_key == kind_key and meant:
                found[_key_of(run)] = run
        # As many whether they were written in between or not.
        chosen = sorted(found.values(), key=lambda run: (-run.opened_ms, run.id, run.number))
        recalled = chosen[:MAX_RECALLED]
        if recalled:
            names = {_key_of(run) for run in recalled}
            self.scope.forgotten = [
                run for run in self.scope.forgotten if _key_of(run) not in names
            ]
            self.scope.recall(sorted(recalled, key=lambda run: (run.opened_ms, run.id)))

    # Writing ------------------------------------------------------------------------------

    def save(self, connection: Connection, *, ended: bool) -> None:
        """Write what changed since the last time, instances first.

        Args:
            connection: Of the write.
            ended: An instance of the scope ended, or was replaced, or is so no more.
        """
        self._save_scope(connection)
        self._ended = ended
        forgotten, self.scope.forgotten = self.scope.forgotten, []
        shed, self.scope.shed = self.scope.shed, []
        state = self.scope.state
        numbers = name_runs(state)
        standing = [
            self._show(connection, run, numbers[position])
            for position, run in enumerate(state.runs)
        ]
        state.share()
        rows = {_name_of(each.row): each for each in standing}
        final = [self._show(connection, run, run.number, final=True) for run in forgotten]
        # A run that was forgotten and stands again is shown as it stands.
        final = [each for each in final if _name_of(each.row) not in rows]
        changed = [each for name, each in rows.items() if self._rows.get(name) is not each]
        before = [each for name, each in self._rows.items() if rows.get(name) is not each]
        shown = [*final, *changed]
        self._save_groups(connection, shed, shown, before)
        finals = {_name_of(each.row): each.row for each in final}
        self._has_final = self._has_final or bool(finals)
        runs = {name: each.row for name, each in rows.items()}
        dropped = set(self._runs) - set(runs) - set(finals)
        self._drop(connection, dropped)
        replace_rows(connection, RUN, [*finals.values(), *_changed(runs, self._runs)])
        write_marks(connection, self.name, {_name_of(x.row): x.marks for x in shown}, dropped)
        self._runs = runs
        self._save_findings(connection, shown, before, {_shown(name) for name in finals})
        aliases = {alias for each in (*final, *standing) for alias in each.aliases}
        named = [(alias, *self.name, name) for alias, name in sorted(aliases - self._aliases)]
        replace_rows(connection, ALIAS, named)
        for alias, name in sorted(self._aliases - aliases):
            self._drop_alias(connection, alias, name)
        self._aliases = {alias for each in standing for alias in each.aliases}
        self._rows = rows

    def _show(
        self, connection: Connection, run: Run, number: int, *, final: bool = False
    ) -> _Shown:
        """Return the rows of a run: the ones there are when it has not changed."""
        known = None if final else self._rows.get((run.id, run.kind_key, number))
        wrong = mismatched(run)
        if known is not None and known.run is run and not (wrong and self._ended):
            return known
        content = encode_run(run)
        fingerprint = blake2b(content, digest_size=16).digest()
        if known is not None and known.fingerprint == fingerprint and not wrong:
            return known._replace(run=run)
        groups: dict[int, _Row] = {}
        findings: dict[str, _Row] = {}
        self._put_groups(groups, run, number)
        cured = cures(connection, run, self.scope.state.runs) if wrong else {}
        self._put_findings(findings, run, number, cured)
        document = run_document(run, number, state_of(run))
        row = self._run_row(run, number, document, content if final else None)
        aliases = tuple((alias, run.id) for alias in run.aliases)
        marks = marks_of(document, run.kind_key)
        return _Shown(run, fingerprint, row, groups, findings, aliases, marks)

    def _save_scope(self, connection: Connection) -> None:
        scope = self.scope
        here = and_(WITNESS.c.service == self.name[0], WITNESS.c.environment == self.name[1])
        if scope.removed:
            connection.execute(delete(WITNESS).where(here, WITNESS.c.idx.in_(scope.removed)))
        rows = [(*self.name, index, encode_witness(w)) for index, w in scope.changed.items()]
        replace_rows(connection, WITNESS, rows)
        if scope.resettled:
            replace_rows(connection, SCOPE, [(*self.name, _settled_encoder.encode(scope.settled))])
        forgotten, shed = scope.forgotten, scope.shed
        scope.saved()
        scope.forgotten, scope.shed = forgotten, shed

    def _put_groups(self, groups: dict[int, _Row], run: Run, number: int) -> None:
        for index, group in run.groups.items():
            groups[index] = self._group_row(run, number, group)

    def _group_row(self, run: Run, number: int, group: Group) -> _Row:
        same = equal(run, group)
        verdict = None if same is None else int(same)
        return (group.index, *self.name, run.id, number, group.rule, verdict)

    def _put_findings(
        self, findings: dict[str, _Row], run: Run, number: int, cured: Mapping[str, int]
    ) -> None:
        name = format_occurrence(run.id, number)
        for trace in run.findings.values():
            closed_ms = trace.closed_ms
            if closed_ms is None and trace.code == FindingCode.DIGEST_MISMATCH:
                closed_ms = cured.get(trace.about)
            text = TEXTS[FindingCode(trace.code)]
            document = describe(
                trace.code,
                *self.name,
                name,
                about=trace.about,
                detail=trace.detail,
                indexes=trace.indexes,
            )
            identity = finding_id(trace.code, *self.name, name, trace.about or None)
            findings[identity] = (
                identity,
                str(trace.code),
                text.severity,
                "run",
                *self.name,
                name,
                trace.opened_ms,
                closed_ms,
                msgspec.json.encode(document).decode(),
            )

    def _run_row(
        self, run: Run, number: int, document: dict[str, Any], content: bytes | None
    ) -> _Row:
        return (
            *self.name,
            run.id,
            run.kind_key,
            number,
            run.line.kind,
            document["state"],
            run.record.action or None,
            run.opened_ms,
            run.went_live_ms,
            run.ended_ms,
            run.last_ms,
            run.last_index,
            int(is_production(self.name[1])),
            *settling_of(run),
            0 if run.over else 1,
            msgspec.json.encode(document).decode(),
            content,
        )

    def _drop(self, connection: Connection, names: set[_RunName]) -> None:
        for identity, kind_key, number in sorted(names):
            connection.execute(
                delete(RUN).where(
                    RUN.c.service == self.name[0],
                    RUN.c.environment == self.name[1],
                    RUN.c.id == identity,
                    RUN.c.kind_key == kind_key,
                    RUN.c.number == number,
                )
            )

    def _drop_alias(self, connection: Connection, alias: str, name: str) -> None:
        """Remove an alias that no run has any more; late news can undo one."""
        mine = and_(RUN.c.service == self.name[0], RUN.c.environment == self.name[1])
        forgotten = connection.scalars(
            select(RUN.c.content).where(mine, RUN.c.id == name, RUN.c.content.is_not(None))
        )
        if any(alias in decode_run(raw).aliases for raw in forgotten):
            return
        connection.execute(
            delete(ALIAS).where(
                ALIAS.c.alias == alias,
                ALIAS.c.service == self.name[0],
                ALIAS.c.environment == self.name[1],
                ALIAS.c.id == name,
            )
        )

    def _save_groups(
        self,
        connection: Connection,
        shed: Sequence[tuple[Run, int, Group]],
        shown: Sequence[_Shown],
        before: Sequence[_Shown],
    ) -> None:
        groups = {group.index: self._group_row(run, number, group) for run, number, group in shed}
        for each in shown:
            groups |= each.groups
        replace_rows(connection, GROUP, _changed(groups, self._groups))
        for each in before:
            for index in each.groups:
                self._groups.pop(index, None)
        for each in shown:
            if each.row[_CONTENT] is None:  # it stands
                self._groups |= each.groups

    def _save_findings(
        self,
        connection: Connection,
        shown: Sequence[_Shown],
        before: Sequence[_Shown],
        final: set[str],
    ) -> None:
        findings = {name: row for each in shown for name, row in each.findings.items()}
        # What was read with the scope is not shown yet: everything that stands is shown now.
        old = {name for each in before for name in each.findings} if self._rows else self._findings
        gone = set(old) - set(findings)
        if gone:
            connection.execute(delete(FINDING).where(FINDING.c.id.in_(gone)))
        replace_rows(connection, FINDING, _changed(findings, self._findings))
        for name in gone:
            self._findings.pop(name, None)
        self._findings |= findings
        if final:
            self._findings = {
                name: row for name, row in self._findings.items() if row[_FINDING_OF] not in final
            }


_Name = TypeVar("_Name")


def _changed(rows: Mapping[_Name, _Row], stored: Mapping[_Name, _Row]) -> list[_Row]:
    """Return the rows that are not as they are stored."""
    known = ((row, stored.get(name)) for name, row in rows.items())
    return [row for row, before in known if row is not before and row != before]


def _name_of(row: _Row) -> _RunName:
    return row[2], row[3], row[4]


def _key_of(run: Run) -> _RunName:
    return run.id, run.kind_key, run.number


def _shown(name: _RunName) -> str:
    return format_occurrence(name[0], name[2])
