"""Reads the records of one dialect back (see `records`), as far as a caller may see them."""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, func, select

from deploymark.crypto.scope import matches_any
from deploymark.errors import NotFoundError
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Kind
from deploymark.ports import Event, LogReader, Record, RecordQuery
from deploymark.projections.database import Views
from deploymark.projections.records import ENTRY, RECORD, TAG, tags_of

MAX_LIMIT: Final = 1_000


class Records:
    """The records of all dialects; safe on any thread.

    Args:
        views: Their database.
        reader: The log, where longer texts are kept.
    """

    def __init__(self, views: Views, reader: LogReader) -> None:
        self._views = views
        self._reader = reader

    def of(
        self, dialect: str, principal: str | None = None, scope: Scope | None = None
    ) -> "SeenRecords":
        """Return those of one dialect.

        Args:
            dialect: Its name.
            principal: Only what this caller said; None for everything.
            scope: Only what is about services, environments and kinds in it; None for all. A name
                that was given again has the records of whoever had it before.
        """
        return SeenRecords(self._views, self._reader, dialect, principal, scope)


class SeenRecords:
    """See `ports.DialectRecords`."""

    def __init__(
        self,
        views: Views,
        reader: LogReader,
        dialect: str,
        principal: str | None,
        scope: Scope | None,
    ) -> None:
        self._views = views
        self._reader = reader
        self._scope = scope
        self._seen = [RECORD.c.dialect == dialect, RECORD.c.retracted == 0]
        if principal is not None:
            self._seen.append(RECORD.c.principal == principal)

    def find(self, index: int) -> Record | None:
        """See `DialectRecords.find`."""
        if not 0 <= index < 2**63:
            return None
        same = RECORD.c.idx == ENTRY.c.record
        statement = select(RECORD).join(ENTRY, same).where(ENTRY.c.idx == index, *self._seen)
        with self._views.reading() as connection:
            row = connection.execute(statement).first()
        return self._record(row) if row is not None and self._allows(row) else None

    def search(self, query: RecordQuery) -> list[Record]:
        """See `DialectRecords.search`."""
        statement = (
            select(RECORD)
            .where(*self._seen, *_conditions(query))
            .order_by(RECORD.c.ended_ms.desc(), RECORD.c.idx.desc())
        )
        limit, offset = max(0, min(query.limit, MAX_LIMIT)), max(0, min(query.offset, 2**31))
        with self._views.reading() as connection:
            if self._scope is None:
                rows = list(connection.execute(statement.limit(limit).offset(offset)))
            else:  # no SQL matches globs as scopes do; nearly all of its own lies within
                allowed = filter(self._allows, connection.execute(statement))
                rows = list(islice(allowed, offset, offset + limit))
        return [self._record(row) for row in rows]

    def _allows(self, row: Row[Any]) -> bool:
        """Tell whether the scope has a record; its phases are of each marker, not of it."""
        scope = self._scope
        if scope is None:
            return True
        if not matches_any(scope.services, row.service):
            return False
        if not matches_any(scope.environments, row.environment):
            return False
        kind = json.loads(row.document)["fields"].get("kind") or Kind.DEPLOYMENT
        return matches_any(scope.kinds, kind)

    def _record(self, row: Row[Any]) -> Record:
        document = json.loads(row.document)
        fields = document["fields"]
        text, tags = kept_text(self._reader, fields)
        return Record(
            index=row.idx,
            dialect=row.dialect,
            deployment_id=row.deployment,
            occurrence=row.occurrence,
            principal=row.principal,
            received_ms=document["received_ms"],
            fields=fields,
            events=tuple(
                Event(each["index"], each["phase"], each["at_ms"])
                for each in document["events"]
                if not each["retracted"]
            ),
            text=text,
            tags=tags,
            sort=row.sort,
            within=row.within,
            amended_ms=document["amended_ms"],
        )


def kept_text(reader: LogReader, fields: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return free text and tags of a marker, from itself or from where they are kept.

    Args:
        reader: The log.
        fields: The flat marker.

    Returns:
        Text and tags; what was erased is empty.
    """
    text, tags = str(fields.get("reason") or ""), tuple(tags_of(fields))
    digest = fields.get("details_digest")
    if not isinstance(digest, str):
        return text, tags
    try:
        content = reader.blob(bytes.fromhex(digest.removeprefix("sha256:"))).content
        kept = json.loads(content) if content is not None else {}
    except (NotFoundError, ValueError):
        return text, tags
    if not isinstance(kept, dict):  # of another hand than the gateway's
        return text, tags
    return str(kept.get("text", text)), tuple(kept.get("tags", tags))


def _conditions(query: RecordQuery) -> list[ColumnElement[bool]]:
    equal = ("sort", "within", "service", "environment", "version", "release")
    found: list[ColumnElement[bool]] = [
        RECORD.c[name] == value for name in equal if (value := getattr(query, name)) is not None
    ]
    if query.since_ms is not None:
        found.append(RECORD.c.ended_ms >= query.since_ms)
    if query.until_ms is not None:
        found.append(RECORD.c.started_ms <= query.until_ms)
    if tags := sorted(set(query.tags)):
        tagged = select(TAG.c.record).where(TAG.c.tag.in_(tags))
        if not query.any_tag:
            tagged = tagged.group_by(TAG.c.record).having(func.count() == len(tags))
        found.append(RECORD.c.idx.in_(tagged))
    return found
