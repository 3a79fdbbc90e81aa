"""How late each emitter's markers arrive, and how far its clock is off.

The log vouches for when a marker was received, the emitter for when it was made. A numbered marker
may have waited in a spool: it is late, not wrong. Findings close with the emitter's next marker
that is neither.
"""

from typing import Any, Final

from msgspec import Struct
from sqlalchemy import Connection, select

from deploymark.ingest.sighting import HONEST_MS
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.findings import TEXTS, FindingRow, describe, finding_id
from deploymark.projections.broker.tables import EMITTER
from deploymark.projections.database import replace_rows

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

    def take(self, told: Punctuality) -> list[tuple[FindingRow, bool]]:
        """Take one marker.

        Returns:
            Findings that it concerns, and whether each is supported (True) or over.
        """
        row = self._row((told.emitter, told.service, told.environment), told.kind)
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
            (_finding(FindingCode.CLOCK_SKEW, told, abs(late_ms)), skewed),
            (_finding(FindingCode.MARKER_STALE, told, late_ms), stale),
        ]

    def save(self) -> None:
        """Store what changed."""
        replace_rows(
            self._connection, EMITTER, [tuple(row.values()) for row in self._rows.values()]
        )

    def _row(self, key: _Key, kind: str) -> dict[str, Any]:
        row = self._rows.get(key)
        if row is None:
            emitter, service, environment = key
            stored = self._connection.execute(
                select(EMITTER).where(
                    EMITTER.c.emitter == emitter,
                    EMITTER.c.service == service,
                    EMITTER.c.environment == environment,
                )
            ).first()
            fresh = (*key, kind, 0, 0, 0, 0, "", 0, 0)
            names = [column.name for column in EMITTER.columns]
            row = dict(zip(names, fresh if stored is None else stored, strict=True))
            self._rows[key] = row
        return row


_SECOND_MS: Final = 1_000


def _finding(code: FindingCode, told: Punctuality, off_ms: int) -> FindingRow:
    scope = (told.service, told.environment)
    detail = f"{off_ms // _SECOND_MS} s"
    return FindingRow(
        id=finding_id(code, *scope, None, told.emitter),
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
