"""Instances that run on though another deployment has taken the place of theirs.

Only what an observer sees counts: whoever speaks of itself alone says that it began, and is often
ended without a word. Watchers ask here; what is late is theirs to say.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, and_, func, literal_column, or_, select

from deploymark.model.ids import format_occurrence
from deploymark.model.vocabulary import Basis, Phase, Strategy, Track
from deploymark.projections.broker.running import RUNNING
from deploymark.projections.broker.tables import GROUP, INSTANCE, RUN

MAX_NAMED: Final = 4
"""Deployments that a message names; the others are counted."""

_SIDE_BY_SIDE: Final = frozenset({Strategy.BLUE_GREEN, Strategy.CANARY, Strategy.SHADOW})
_STABLE: Final = (Track.STABLE.value,)
_SUPERSEDED: Final = "superseded"
# With the plus SQLite uses no index for it: it would begin with all that is superseded, of which
# there is ever more, and look for instances of each.
_STATE: Final = literal_column("+broker_run.state", RUN.c.state.type)


class Outlived(NamedTuple):
    """Instances of one deployment that is superseded in every place, in one cluster.

    Attributes:
        id: The deployment.
        number: Its occurrence.
        document: Its document.
        ended_ms: When it was superseded in its last place.
        cluster: Where they run, None when that is not known.
        digest: What they run, None when that is not known.
        instances: How many.
    """

    id: str
    number: int
    document: dict[str, Any]
    ended_ms: int
    cluster: str | None
    digest: str | None
    instances: int


def outlived(connection: Connection) -> dict[tuple[str, str], list[Outlived]]:
    """Return what outlived its deployment, by service and environment."""
    same = [GROUP.c[name] == RUN.c[name] for name in ("service", "environment", "id", "number")]
    what = (
        RUN.c.service,
        RUN.c.environment,
        RUN.c.id,
        RUN.c.number,
        INSTANCE.c.cluster,
        INSTANCE.c.digest,
    )
    rows = connection.execute(
        select(*what, RUN.c.document, RUN.c.ended_ms, func.count().label("instances"))
        .select_from(
            # From what runs now to whose it is.
            INSTANCE.join(GROUP, INSTANCE.c.main == GROUP.c.idx).join(RUN, and_(*same))
        )
        .where(
            RUNNING,
            INSTANCE.c.basis == Basis.OBSERVED.value,
            or_(INSTANCE.c.track.is_(None), INSTANCE.c.track.in_(_STABLE)),
            RUN.c.kind_key == "",
            _STATE == _SUPERSEDED,
            RUN.c.ended_ms.is_not(None),
        )
        .group_by(*what)
        .order_by(*what)
    )
    found: dict[tuple[str, str], list[Outlived]] = {}
    for row in rows:
        found.setdefault((row.service, row.environment), []).append(
            Outlived(
                row.id,
                row.number,
                json.loads(row.document),
                row.ended_ms,
                row.cluster,
                row.digest,
                row.instances,
            )
        )
    return found


def replaced_by(document: dict[str, Any], among: Sequence[Outlived]) -> list[Outlived]:
    """Return those in whose stead instances of a deployment should run.

    None when it is meant to stand beside the one before: blue and green, a canary, a shadow. Only
    of the one that it took the place of: where a cluster was cut off while that one came, nobody
    said that what ran before it ended, and nobody ever will.

    Args:
        document: Of the deployment that is live.
        among: Of its service and environment.
    """
    if _stands_beside(document):
        return []
    before = document["previous_deployment_id"]
    own = {document["digest"], *document["platforms"].values()} - {None}
    return [
        each
        for each in among
        if before in (each.id, format_occurrence(each.id, each.number))
        and not _stands_beside(each.document)
        and each.id not in (document["deployment_id"], *document["aliases"])
        # The same artifact under another name need not be started again.
        and own.isdisjoint({each.digest, each.document["digest"]})
    ]


def told(left: Sequence[Outlived]) -> str:
    """Return how many instances still run what, and where."""
    names: dict[str, list[Outlived]] = {}
    for each in left:
        names.setdefault(format_occurrence(each.id, each.number), []).append(each)
    said = [
        f"{sum(part.instances for part in parts)} of {name}{_where(parts)}"
        for name, parts in list(names.items())[:MAX_NAMED]
    ]
    others = len(names) - MAX_NAMED
    return ", ".join(said) + (f" and of {others} more" if others > 0 else "")


def _where(parts: Sequence[Outlived]) -> str:
    clusters = sorted({each.cluster for each in parts if each.cluster is not None})
    return f" in {', '.join(clusters)}" if clusters else ""


def _stands_beside(document: dict[str, Any]) -> bool:
    return (
        document["strategy"] in _SIDE_BY_SIDE
        or Phase.CUTOVER in document["phases"]
        or bool(document["colours"])
    )
