"""Reads how late each emitter's markers arrive, and how far its clock was off.

Above the tables, below the server. The ledger counts the numbers of an emitter's epochs; here its
markers are told apart by service and environment, also those that carry no number.
"""

from typing import Any, Final

from sqlalchemy import func, select

from deploymark.model.instants import format_instant
from deploymark.projections.broker.tables import EMITTER
from deploymark.projections.broker.view import NAME
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views

MAX_SHOWN: Final = 1_000
"""Emitters that are shown, those that spoke last; how many there are is told beside them."""


def punctuality(views: Views) -> dict[str, Any]:
    """Return what is known of emitters by service and environment, the last to speak first.

    Raises:
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    order = (EMITTER.c.last_index.desc(), EMITTER.c.emitter, EMITTER.c.service)
    with views.reading() as connection:
        rows = connection.execute(select(EMITTER).order_by(*order).limit(MAX_SHOWN)).all()
        known = connection.scalar(select(func.count()).select_from(EMITTER)) or 0
        as_of = projected_size(connection, NAME)
    return {"items": [_shown(row) for row in rows], "known": known, "as_of": as_of}


def _shown(row: Any) -> dict[str, Any]:  # noqa: ANN401 - a row of EMITTER
    return {
        "id": row.emitter,
        "kind": row.kind,
        "service": row.service,
        "environment": row.environment,
        "markers": row.markers,
        "last_seen": format_instant(row.last_ms),
        "last_index": row.last_index,
        # A clock that is ahead claims times that have not come yet.
        "lateness_ms": {"last": max(0, row.late_ms), "worst": row.late_most_ms},
        "skew_ms": {"last": max(0, -row.late_ms), "worst": row.ahead_ms},
    }
