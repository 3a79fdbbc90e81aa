"""Reads corrections (`corrections`) and lays them over what is shown: entries and deployments.

For queries, inside their transactions. What is over an entry is `Corrections`; a deployment shows
the newest value of each field that was amended, with what was said first beside it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct
from sqlalchemy import ColumnElement, Connection, and_, or_, select

from deploymark.model.amending import why_not
from deploymark.projections.broker.corrections import CORRECTION
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.shown_state import version_of
from deploymark.projections.broker.tables import ALIAS, RUN
from deploymark.projections.database import rows_with

MAX_LISTED: Final = 64
"""Corrections that are listed with a deployment or an entry, the newest; all of them count."""

NOT_TAKEN_OVER: Final = "not_taken_over"
"""Where an amendment that changes nothing says why."""

_FIELDS: Final = {
    "/owner": "owner",
    "/author": "author",
    "/reason": "reason",
    "/version": "version",
    "/commit_hash": "commit_hash",
    "/repository": "repository",
    "/ref": "ref",
    "/build_url": "build_url",
    "/artifact/tag": "tag",
    "/artifact/name": "artifact",
    "/rollout/strategy": "strategy",
}
"""What of a deployment is shown as amended, by its pointer into the flat marker.

Where it runs, of which artifact it is and what proves it are not among them.
"""

_BESIDE: Final = "/details_digest"

Item = dict[str, Any]


class Corrections(Struct, frozen=True):
    """What was corrected of one entry.

    Attributes:
        retracted: The first retraction; None when it stands.
        amendments: In the order of the log.
    """

    retracted: Item | None = None
    amendments: tuple[Item, ...] = ()

    @property
    def listed(self) -> list[Item]:
        """The newest amendments, in the order of the log."""
        return list(self.amendments[-MAX_LISTED:])

    @property
    def changes(self) -> Item:
        """The newest value of each field, by its pointer; None where it was taken away."""
        return {
            pointer: value
            for each in self.amendments
            if NOT_TAKEN_OVER not in each
            for pointer, value in each["changes"].items()
        }


NONE: Final = Corrections()


def corrections_about(connection: Connection, indexes: Iterable[int]) -> dict[int, Corrections]:
    """Return what was corrected of these entries, by their indexes; the others are left out."""
    found: dict[int, list[Item]] = {}
    keys = ((each,) for each in indexes)
    for row in sorted(rows_with(connection, CORRECTION, ("about",), keys), key=lambda row: row.idx):
        found.setdefault(row.about, []).append(_read(row))
    return {index: _told(items) for index, items in found.items()}


def lay_over(connection: Connection, rows: Sequence[Any], items: Sequence[Item]) -> None:
    """Show deployments as they were corrected; their documents are changed in place.

    Each gets `amended` (what was said first, by field), `corrections` (of its markers, the newest
    first), and `retracted`: the last retraction when all of its markers were taken back, else null.

    Args:
        connection: Of the question.
        rows: Of the runs.
        items: Their documents, in the same order.
    """
    known = _of_runs(connection, items)
    for row, item in zip(rows, items, strict=True):
        joined = {join["index"] for join in item["joins"]}
        names = {item["deployment_id"], *item["aliases"]}
        scope = (row.service, row.environment)
        mine = [
            each
            for each in known
            if each.about in joined
            or (
                each.deployment in names
                and each.occurrence == row.number
                and (each.service, each.environment) == scope
            )
        ]
        _lay(item, [_read(each) for each in mine])


def marks_as_amended(connection: Connection, marks: Iterable[MarkRow]) -> dict[MarkRow, MarkRow]:
    """Return marks with the newest version, owner and author; those that were not amended left out.

    Amended evidence is not looked for here: its deployment is known by its joins alone.
    """
    by_id: dict[str, list[MarkRow]] = {}
    for mark in marks:
        by_id.setdefault(mark.id, []).append(mark)
    names = {name: name for name in by_id}
    scoped = {(mark.service, mark.environment, mark.id) for each in by_id.values() for mark in each}
    for row in rows_with(connection, ALIAS, ("service", "environment", "id"), sorted(scoped)):
        names[row.alias] = row.id
    told = select(CORRECTION.c.deployment).where(
        CORRECTION.c.deployment.in_(sorted(names)), CORRECTION.c.retracts == 0
    )
    ids = {names[name] for name in connection.scalars(told.distinct())}
    keys = {mark[:5]: mark for each in sorted(ids) for mark in by_id[each]}
    rows = list(rows_with(connection, RUN, MarkRow._fields[:5], keys))
    items: list[Item] = [json.loads(row.document) for row in rows]
    lay_over(connection, rows, items)
    found = {}
    for row, item in zip(rows, items, strict=True):
        mark = keys[row.service, row.environment, row.id, row.kind_key, row.number]
        newest = {"version": version_of(item), "owner": item["owner"], "author": item["author"]}
        found[mark] = mark._replace(**newest)
    return found


def first_said(item: Mapping[str, Any], name: str) -> Any:  # noqa: ANN401 - any JSON value
    """Return a field of a deployment as it was said first."""
    return item["amended"].get(name, item[name])


def _of_runs(connection: Connection, items: Sequence[Item]) -> Sequence[Any]:
    """Return the corrections that may be of these runs, in the order of the log."""
    names = {name for item in items for name in (item["deployment_id"], *item["aliases"])}
    joined = [join["index"] for item in items for join in item["joins"]]
    if not names:
        return ()
    wanted: ColumnElement[bool] = CORRECTION.c.deployment.in_(sorted(names))
    if joined:
        # Seldom: most corrections are of what somebody said, and that names its deployment.
        between = CORRECTION.c.about.between(min(joined), max(joined))
        wanted = or_(wanted, and_(CORRECTION.c.deployment.is_(None), between))
    return connection.execute(select(CORRECTION).where(wanted).order_by(CORRECTION.c.idx)).all()


def _lay(item: Item, documents: Sequence[Item]) -> None:
    amended: Item = {}
    retracted: dict[int, Item] = {}
    for each in documents:
        if "changes" not in each:
            retracted[each["about"]] = each
            continue
        if NOT_TAKEN_OVER in each:
            continue
        for pointer, value in each["changes"].items():
            name = _FIELDS.get(pointer)
            if name is not None:
                amended.setdefault(name, item[name])
                item[name] = value
    said = sum(source["markers"] for source in item["sources"].values())
    item["amended"] = amended
    item["corrections"] = list(reversed(documents))[:MAX_LISTED]
    whole = bool(retracted) and len(retracted) >= said
    item["retracted"] = max(retracted.values(), key=_index_of) if whole else None


def _read(row: Any) -> Item:  # noqa: ANN401 - a row of SQLAlchemy
    """Return a correction as it is shown; an earlier release let in changes that no marker has."""
    document: Item = json.loads(row.document)
    if why := why_not(document.get("changes") or {}):
        document[NOT_TAKEN_OVER] = why
    return document


def _index_of(document: Mapping[str, Any]) -> int:
    return int(document["index"])


def _told(items: Sequence[Item]) -> Corrections:
    retracted = next((each for each in items if "changes" not in each), None)
    return Corrections(retracted, tuple(each for each in items if "changes" in each))


def remark_of(corrections: Corrections) -> str:
    """Return in a few words what was corrected of an entry, "" for nothing."""
    said = [_changed(pointer, value) for pointer, value in corrections.changes.items()]
    words = [f"amended: {', '.join(said)}"] if said else []
    if (taken := corrections.retracted) is not None:
        words.append(f"retracted {said_of(taken)}")
    return "; ".join(words)


def said_of(retraction: Mapping[str, Any]) -> str:
    """Return who took something back, where that stands, and why."""
    return f"by {retraction['by']} in entry {retraction['index']}: {retraction['reason']}"


def _changed(pointer: str, value: object) -> str:
    if pointer == _BESIDE:
        return "the text that is kept beside it"
    name = pointer.removeprefix("/")
    return f"{name} was taken away" if value is None else f"{name} is {value}"
