"""The statement parts that say which instances run, of which run they are, and what is known.

Shared by everything that reads instances: `query` for people, `census` for metrics, `standing`
for watchers.
"""

from typing import Final

from sqlalchemy import and_, case, literal_column, or_

from deploymark.projections.broker.tables import GROUP, INSTANCE

MAIN, _DECLARED, _SELF, _OBSERVED = (
    GROUP.alias(name) for name in ("main", "declared", "self_observed", "observed")
)
"""The group that says which run an instance is of."""

STATUS: Final = case(
    (or_(_DECLARED.c.equal == 0, _SELF.c.equal == 0, _OBSERVED.c.equal == 0), "mismatched"),
    (_OBSERVED.c.equal == 1, "confirmed"),
    else_="unproven",
)
"""One of `questions.STATUSES`; needs `JOINED`."""

RUNNING: Final = and_(INSTANCE.c.gone_ms.is_(None), INSTANCE.c.replaced == literal_column("0"))
"""It has not ended, and none newer runs under its name.

Written out, not bound: SQLite uses a partial index only for what it can read in the statement.
"""

JOINED: Final = (
    INSTANCE.outerjoin(MAIN, INSTANCE.c.main == MAIN.c.idx)
    .outerjoin(_DECLARED, INSTANCE.c.declared == _DECLARED.c.idx)
    .outerjoin(_SELF, INSTANCE.c.self_observed == _SELF.c.idx)
    .outerjoin(_OBSERVED, INSTANCE.c.observed == _OBSERVED.c.idx)
)
"""Instances with all that speaks of them."""
