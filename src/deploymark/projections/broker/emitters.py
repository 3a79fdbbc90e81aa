"""How late each emitter's markers arrive, and how far its clock is off.

The log vouches for when a marker was received, the emitter for when it was made. A numbered marker
may have waited in a spool: it is late, not wrong. Findings close with the emitter's next marker
that is neither.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from msgspec import Struct
from sqlalchemy import Connection

from deploymark.ingest.sighting import HONEST_MS
from deploymark.model.lengths import told_length
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.findings import TEXTS, FindingRow, describe, finding_id
from deploymark.projections.broker.tables import EMITTER
from deploymark.projections.database import replace_rows, rows_with

_NAMES: Final = tuple(column.name for column in EMITTER.columns)

_Key = tuple[str, str, str]


class Punctuality(Struct, frozen=True, gc=False):
    """When one marker was made and received.

    Attributes:
        emitter: Its id, else the caller who handed it in.
        claimed_ms: None when the marker claims no time.
        numbered: It may have waited in a spool.
    """

    emitter: str
    kind: str
    service: str
    environment: str
    marker_id: str
    index: int
    received_ms: int
    claimed_ms: int | None
    numbered: bool

    @property
    def key(self) -> _Key:
        """The emitter, as far as it speaks for one scope."""
        return self.emitter, self.service, self.environment


class Doubt(NamedTuple):
    """A finding that a marker concerns.

    Attributes:
        id: Of the finding.
        at_ms: When the marker was received.
        row: The finding; None when it is over.
    """

    id: str
    at_ms: int
    row: FindingRow | None


class Emitters:
    """Changes emitters in one write, and stores them at its end.

    Args:
        connection: Of the write.
        stale_ms: How late a marker may be received.
    """

    def __init__(self, connection: Connection, stale_ms: float) -> None:
        self._connection = connection
        self._stale_ms = stale_ms
        self._rows: dict[_Key, dict[str, Any]] = {}

    def read(self, keys: Iterable[_Key]) -> None:
        """Read what is stored of all emitters that the write is about, before it takes any."""
        for row in rows_with(self._connection, EMITTER, _NAMES[:3], keys):
            stored = dict(zip(_NAMES, row, strict=True))
            self._rows[row.emitter, row.service, row.environment] = stored

    def take(self, told: Punctuality) -> list[Doubt]:
        """Take one marker; return the findings that it concerns."""
        row = self._row(told.key, told.kind)
        row["markers"] += 1
        if told.received_ms >= row["last_ms"]:
            row["last_ms"] = told.received_ms
            row["last_index"] = max(row["last_index"], told.index)
        if told.claimed_ms is None:
            return []
        late_ms = told.received_ms - told.claimed_ms
        row["late_most_ms"] = max(row["late_most_ms"], late_ms)
        row["ahead_ms"] = max(row["ahead_ms"], -late_ms)
        # What was received last counts, in whichever order the log is read.
        order = f"{told.received_ms:020} {late_ms:+021} {told.marker_id}"
        if order < row["judged"]:
            return []
        row["judged"], row["late_ms"] = order, late_ms
        skewed = late_ms < -HONEST_MS or (late_ms > HONEST_MS and not told.numbered)
        stale = told.numbered and late_ms > self._stale_ms
        return [
            _doubt(FindingCode.CLOCK_SKEW, told, abs(late_ms), supported=skewed),
            _doubt(FindingCode.MARKER_STALE, told, late_ms, supported=stale),
        ]

    def save(self) -> None:
        """Store what changed."""
        replace_rows(
            self._connection, EMITTER, [tuple(row.values()) for row in self._rows.values()]
        )

    def _row(self, key: _Key, kind: str) -> dict[str, Any]:
        row = self._rows.get(key)
        if row is None:
            row = dict(zip(_NAMES, (*key, kind, 0, 0, 0, 0, "", 0, 0), strict=True))
            self._rows[key] = row
        return row


_REMEMBERED: Final = 16_384


@lru_cache(maxsize=_REMEMBERED)
def doubts_about(emitter: str, service: str, environment: str) -> tuple[str, str]:
    """Return the ids of the findings about an emitter: that its clock is off, that it is late."""
    return (
        finding_id(FindingCode.CLOCK_SKEW, service, environment, None, emitter),
        finding_id(FindingCode.MARKER_STALE, service, environment, None, emitter),
    )


def _doubt(code: FindingCode, told: Punctuality, off_ms: int, *, supported: bool) -> Doubt:
    scope = (told.service, told.environment)
    skewed_id, stale_id = doubts_about(*told.key)
    identity = skewed_id if code is FindingCode.CLOCK_SKEW else stale_id
    if not supported:
        return Doubt(identity, told.received_ms, None)
    detail = told_length(off_ms)
    row = FindingRow(
        id=identity,
        code=code.value,
        severity=TEXTS[code].severity,
        origin="emitter",
        service=told.service,
        environment=told.environment,
        deployment_id=None,
        opened_ms=told.received_ms,
        closed_ms=None,
        document=describe(
            code, *scope, None, about=told.emitter, detail=detail, indexes=[told.index]
        ),
    )
    return Doubt(identity, told.received_ms, row)
