"""What was amended and taken back, laid over what is shown; decisions go by what was said first.

A correction changes no row of a run: the id and the occurrence were decided when its first words
were admitted, and what followed from them has happened. So states, findings, guards and policies
do not look here (docs/adr/0026). Whoever shows an entry or a deployment does.

Whoever may write corrections may correct any marker; every other entry only its author. A
correction of a correction changes nothing: the entry is amended again instead.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    Table,
    Text,
)

from deploymark.model.entries import Amendment, Retraction
from deploymark.model.instants import format_instant
from deploymark.model.marker import Marker
from deploymark.projections.broker.tables import METADATA
from deploymark.projections.broker.witness import Heard
from deploymark.projections.database import insert_rows, rows_with
from deploymark.projections.logged import LoggedEntry

_BIG = BigInteger().with_variant(Integer, "sqlite")

CORRECTION: Final = Table(
    "broker_correction",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("about", BigInteger, nullable=False),  # the entry that is corrected
    Column("retracts", Integer, nullable=False),  # 1: it takes it back; 0: it amends it
    Column("service", Text),
    Column("environment", Text),
    Column("deployment", Text),  # under which the entry was filed; null: its join tells
    Column("occurrence", Integer),
    Column("document", Text, nullable=False),  # JSON, as it is shown
)
Index("broker_correction_about", CORRECTION.c.about)
Index("broker_correction_by_run", CORRECTION.c.deployment, CORRECTION.c.about)

FILED: Final = Table(
    "broker_filed",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("service", Text),
    Column("environment", Text),
    Column("deployment", Text),  # of a marker that names its deployment
    Column("occurrence", Integer),
    Column("principal", Text),  # who alone may correct it; null: whoever may correct
)

_NOBODY: Final = ""  # nobody in particular is not the same person twice, either

Item = dict[str, Any]


class Filed(NamedTuple):
    """Where an entry belongs and who may correct it; the columns of `broker_filed`."""

    idx: int
    service: str | None
    environment: str | None
    deployment: str | None
    occurrence: int | None
    principal: str | None


class Correction(Struct, frozen=True, gc=False):
    """An amendment or a retraction.

    Attributes:
        index: Where it stands.
        about: The entry that it corrects, which stands before it.
        principal: Who says so.
        document: As it is shown: type, about, index, at, by, reason; changes of an amendment.
    """

    index: int
    about: int
    principal: str
    document: Item

    @property
    def retracts(self) -> bool:
        """It takes the entry back."""
        return "changes" not in self.document


def correction_of(entry: LoggedEntry) -> Correction | None:
    """Return what an entry corrects; None when it is no correction of an earlier entry."""
    said = entry.content
    if not isinstance(said, Amendment | Retraction) or said.index >= entry.index:
        return None
    document: Item = {
        "type": entry.type,
        "about": said.index,
        "index": entry.index,
        "at": format_instant(entry.received_at_ms),
        "by": entry.leaf.principal or entry.leaf.key_id,
        "reason": said.reason,
    }
    if isinstance(said, Amendment):
        document["changes"] = dict(said.changes)
    return Correction(entry.index, said.index, entry.leaf.principal, document)


def filed_of(entry: LoggedEntry, heard: Heard | None = None) -> Filed | None:
    """Return where an entry belongs; None when its join says so, or nothing needs to.

    Confirmations of instances come in their thousands, and evidence is joined: both are left out.

    Args:
        entry: Of any type.
        heard: Of a marker, as the broker heard it.
    """
    if heard is not None:
        witness = heard.witness
        if witness.is_evidence or heard.appearance is not None or witness.confirms:
            return None
        line, name = witness.sighting.line, witness.sighting.deployment_id
        return Filed(entry.index, line.service, line.environment, name, witness.occurrence, None)
    said = entry.content
    if isinstance(said, Marker):
        return None
    may = _NOBODY if isinstance(said, Amendment | Retraction) else entry.leaf.principal
    return Filed(entry.index, None, None, None, None, may)


def write_corrections(
    connection: Connection, filed: Sequence[Filed], corrections: Sequence[Correction]
) -> None:
    """Write where the entries of a batch belong, and the corrections among them that count."""
    if filed:
        insert_rows(connection, FILED, filed)
    if not corrections:
        return
    about = {(each.about,) for each in corrections}
    known = {row.idx: Filed._make(row) for row in rows_with(connection, FILED, ("idx",), about)}
    rows = []
    for each in corrections:
        of = known.get(each.about) or Filed(each.about, None, None, None, None, None)
        if of.principal is None or (of.principal and of.principal == each.principal):
            document = json.dumps(each.document, separators=(",", ":"))
            rows.append((each.index, each.about, int(each.retracts), *of[1:5], document))
    if rows:
        insert_rows(connection, CORRECTION, rows)
