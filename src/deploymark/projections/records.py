"""What clients of other systems were told, as they may read it back: one row for each record.

A record is one occurrence of one deployment in the words of one dialect: its markers in the order
of the log, amended and without what was retracted. A marker belongs here when the gateway
translated it, which its emitter and its label `dialect` say.

Other views decide by what the first entry says and show corrections beside it (docs/adr/0026);
here amendments count (docs/adr/0023).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    tuple_,
)

from deploymark.errors import InstantError, RefusedError
from deploymark.model.amending import lay_over
from deploymark.model.entries import Amendment, Retraction
from deploymark.model.instants import parse_instant
from deploymark.model.marker import Marker
from deploymark.model.tolerant import milliseconds_of
from deploymark.model.vocabulary import EmitterKind
from deploymark.ports import STARTED_LABEL
from deploymark.projections.database import insert_rows, replace_rows, rows_with
from deploymark.projections.logged import LoggedEntry

NAME: Final = "records"
SCHEMA_VERSION: Final = 3
DIALECT_LABEL: Final = "dialect"
TAG_LABEL: Final = "tag."

METADATA: Final = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")

RECORD: Final = Table(
    "records_record",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),  # of its first entry
    Column("dialect", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("principal", Text, nullable=False),
    Column("sort", Text, nullable=False),
    Column("within", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("release", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger, nullable=False),
    Column("retracted", Integer, nullable=False),
    Column("document", Text, nullable=False),
)
Index(
    "records_by_deployment", RECORD.c.dialect, RECORD.c.deployment, RECORD.c.occurrence, unique=True
)
Index("records_by_time", RECORD.c.dialect, RECORD.c.ended_ms, RECORD.c.idx)
Index("records_by_release", RECORD.c.dialect, RECORD.c.within, RECORD.c.release)

ENTRY: Final = Table(
    "records_entry",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("record", BigInteger, nullable=False),
)
TAG: Final = Table(
    "records_tag",
    METADATA,
    Column("tag", Text, primary_key=True),
    Column("record", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
Index("records_tag_by_record", TAG.c.record)

Key = tuple[str, str, int]


class Sentence(Struct, frozen=True):
    """What an entry says about a record: a marker of it, or a correction of one.

    Attributes:
        index: The entry.
        received_ms: When it came.
        key: Dialect, deployment and occurrence, of a marker; else None.
        principal: Who handed a marker in.
        fields: Of a marker.
        about: The entry that is amended or retracted.
        changes: Of an amendment; None of a retraction.
    """

    index: int
    received_ms: int
    key: Key | None = None
    principal: str = ""
    fields: dict[str, Any] = {}
    about: int = -1
    changes: Mapping[str, Any] | None = None


class _Row(NamedTuple):
    """A record; the columns of `records_record`."""

    idx: int
    dialect: str
    deployment: str
    occurrence: int
    principal: str
    sort: str
    within: str
    service: str
    environment: str
    version: str
    release: str
    started_ms: int
    ended_ms: int
    retracted: int
    document: str


class RecordsView:
    """See `runner.View`."""

    name = NAME
    version = SCHEMA_VERSION
    metadata = METADATA

    def fold(self, entry: LoggedEntry) -> Sentence | None:
        """See `View.fold`; None when an entry is about no record."""
        match entry.content:
            case Marker() as marker:
                labels = marker.labels or {}
                said_by = None if marker.emitter is None else marker.emitter.kind
                if said_by != EmitterKind.GATEWAY or DIALECT_LABEL not in labels:
                    return None
                leaf = entry.leaf
                return Sentence(
                    entry.index,
                    entry.received_at_ms,
                    key=(labels[DIALECT_LABEL], leaf.ids["deployment_id"], leaf.occurrence),
                    principal=leaf.principal,
                    fields=marker.fields(),
                )
            case Amendment(index=about, changes=changes):
                return Sentence(entry.index, entry.received_at_ms, about=about, changes=changes)
            case Retraction(index=about):
                return Sentence(entry.index, entry.received_at_ms, about=about)
            case _:
                return None

    def write(self, connection: Connection, rows: Sequence[Sentence | None]) -> None:
        """See `View.write`."""
        sentences = [row for row in rows if row is not None]
        if sentences:
            _Turn(connection, sentences).take()


class _Turn:
    """One batch: the records that it is about are read, folded and written back at once."""

    def __init__(self, connection: Connection, sentences: Sequence[Sentence]) -> None:
        self._connection = connection
        self._sentences = sentences
        self._documents: dict[int, dict[str, Any]] = {}  # by first index
        self._first_of: dict[Key, int] = {}
        self._record_of: dict[int, int] = {}  # by entry
        self._new_entries: list[tuple[int, int]] = []
        self._touched: set[int] = set()

    def take(self) -> None:
        """Do it."""
        self._load()
        for sentence in self._sentences:
            if sentence.key is not None:
                self._add(sentence, sentence.key)
            elif (record := self._record_of.get(sentence.about)) is not None:
                _correct(self._documents[record], sentence)
                self._touched.add(record)
        self._save()

    def _load(self) -> None:
        keys = {each.key for each in self._sentences if each.key is not None}
        names = ("dialect", "deployment", "occurrence")
        for row in rows_with(self._connection, RECORD, names, keys):
            self._know(row)
        abouts = {(each.about,) for each in self._sentences if each.key is None}
        found = list(rows_with(self._connection, ENTRY, ("idx",), abouts))
        self._record_of |= {row.idx: row.record for row in found}
        missing = {(row.record,) for row in found if row.record not in self._documents}
        for row in rows_with(self._connection, RECORD, ("idx",), missing):
            self._know(row)

    def _know(self, row: Any) -> None:  # noqa: ANN401 - a row of SQLAlchemy
        self._documents[row.idx] = json.loads(row.document)
        self._first_of[row.dialect, row.deployment, row.occurrence] = row.idx

    def _add(self, sentence: Sentence, key: Key) -> None:
        record = self._first_of.setdefault(key, sentence.index)
        document = self._documents.setdefault(
            record,
            {
                "key": key,
                "principal": sentence.principal,
                "received_ms": sentence.received_ms,
                "amended_ms": sentence.received_ms,
                "fields": {},
                "events": [],
            },
        )
        fields = sentence.fields
        event = {"index": sentence.index, "phase": fields["phase"], "retracted": False}
        event["at_ms"] = _instant(fields.get("timestamp"), sentence.received_ms)
        document["events"].append(event)
        document["amended_ms"] = sentence.received_ms
        _merge(document["fields"], fields)
        self._record_of[sentence.index] = record
        self._new_entries.append((sentence.index, record))
        self._touched.add(record)

    def _save(self) -> None:
        if not self._touched:
            return
        connection = self._connection
        touched = sorted(self._touched)
        replace_rows(connection, RECORD, [_row(each, self._documents[each]) for each in touched])
        if self._new_entries:
            insert_rows(connection, ENTRY, self._new_entries)
        for start in range(0, len(touched), 256):
            some = [(each,) for each in touched[start : start + 256]]
            connection.execute(delete(TAG).where(tuple_(TAG.c.record).in_(some)))
        tags = [
            (tag, each)
            for each in touched
            for tag in sorted(set(tags_of(self._documents[each]["fields"])))
        ]
        replace_rows(connection, TAG, tags)


def tags_of(fields: Mapping[str, Any]) -> list[str]:
    """Return the tags that labels hold, in their order."""
    labels = fields.get("labels") or {}
    found = [
        (int(number), text)
        for name, text in labels.items()
        if (number := name.removeprefix(TAG_LABEL)) != name and number.isdecimal()
    ]
    return [text for _, text in sorted(found)]


def _row(index: int, document: Mapping[str, Any]) -> _Row:
    fields, events = document["fields"], document["events"]
    dialect, deployment, occurrence = document["key"]
    labels = fields.get("labels") or {}
    standing = [event for event in events if not event["retracted"]]
    times = [event["at_ms"] for event in standing or events]
    return _Row(
        idx=index,
        dialect=dialect,
        deployment=deployment,
        occurrence=occurrence,
        principal=document["principal"],
        sort=labels.get("sort", ""),
        within=labels.get("within", ""),
        service=str(fields.get("service") or ""),
        environment=str(fields.get("environment") or ""),
        version=str(fields.get("version") or ""),
        release=str(fields.get("release_id") or ""),
        started_ms=milliseconds_of(labels.get(STARTED_LABEL)) or min(times),
        ended_ms=max(times),
        retracted=int(not standing),
        document=json.dumps(document, separators=(",", ":")),
    )


def _correct(document: dict[str, Any], sentence: Sentence) -> None:
    """Amend or retract one marker of a record."""
    event = next(each for each in document["events"] if each["index"] == sentence.about)
    document["amended_ms"] = sentence.received_ms
    if sentence.changes is None:
        event["retracted"] = True
        return
    try:
        document["fields"] = lay_over(document["fields"], sentence.changes)
    except RefusedError:
        return  # an earlier release let it in; it stands in the log and changes nothing
    for pointer, value in sentence.changes.items():
        if pointer == "/timestamp":
            event["at_ms"] = _instant(value, event["at_ms"])
        elif pointer == "/phase":
            event["phase"] = value


def _merge(into: dict[str, Any], fields: Mapping[str, Any]) -> None:
    """Complete earlier fields by later ones, part by part."""
    for name, value in fields.items():
        stands = into.get(name)
        if isinstance(stands, dict) and isinstance(value, Mapping):
            _merge(stands, value)
        elif value is not None:
            into[name] = value


def _instant(text: object, otherwise: int) -> int:
    if not isinstance(text, str):
        return otherwise
    try:
        return parse_instant(text)
    except InstantError:
        return otherwise
