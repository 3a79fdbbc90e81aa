"""Which instance runs, where, and which groups of confirmations speak of it.

An instance belongs to the run of its earliest confirmation, or of one that names its deployment; a
later word of another witness does not move it. It is gone when a marker says so, or when a newer
instance runs under its name.
"""

import json
from typing import Any, Final

from sqlalchemy import Connection, and_, select, update

from deploymark.model.vocabulary import Basis
from deploymark.projections.broker.tables import INSTANCE
from deploymark.projections.broker.witness import Appearance, Witness
from deploymark.projections.database import replace_rows

_COLUMNS: Final = tuple(column.name for column in INSTANCE.columns)
_STRENGTH: Final = {Basis.DECLARED: 0, Basis.SELF_OBSERVED: 1, Basis.OBSERVED: 2}
_WHERE: Final = ("cluster", "region", "namespace", "workload")

_Key = tuple[str, str, str]


class Instances:
    """Changes instances in one write, and stores them at its end.

    Args:
        connection: Of the write.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[_Key, dict[str, Any]] = {}

    def take(self, witness: Witness, seen: Appearance, group: int | None) -> None:
        """Take what a marker says of an instance.

        Args:
            witness: The marker itself, not its group.
            seen: The instance.
            group: The index of what stands for the marker in its scope; None when it is gone.
        """
        line = witness.sighting.line
        row = self._row((line.service, line.environment, seen.uid))
        at_ms, order = witness.at_ms, [witness.at_ms, witness.sighting.marker_id]
        row["last_ms"] = max(row["last_ms"], at_ms)
        _name(row, "idx", witness.index, order)
        for name, value in _located(witness, seen).items():
            _name(row, name, value, order)
        if seen.gone:
            row["gone_ms"] = max(row["gone_ms"] or at_ms, at_ms)
            return
        row["first_ms"] = min(row["first_ms"] or at_ms, at_ms, seen.first_ms)
        basis = Basis(witness.basis)
        _name(row, basis.value, group, order)
        _name(row, "basis", basis.value, [_STRENGTH[basis], *order])
        _name(row, "digest", witness.seen, [_STRENGTH[basis], *order])
        # Who names its deployment counts most, then who spoke first.
        _name(row, "main", group, [int(witness.explicit), -at_ms, witness.sighting.marker_id])

    def save(self) -> None:
        """Store what changed, and mark those that were replaced under their names."""
        rows = [_stored(row) for row in self._rows.values()]
        replace_rows(self._connection, INSTANCE, rows)
        names = {
            (key[0], key[1], row["instance"], row["cluster"], row["namespace"])
            for key, row in self._rows.items()
            if row["instance"] is not None and row["instance"] != key[2]
        }
        for name in sorted(names, key=lambda parts: [part or "" for part in parts]):
            self._replace_older(name)

    def _replace_older(self, name: tuple[str, str, str, str | None, str | None]) -> None:
        """Leave one instance of a name: the one that was seen first last."""
        service, environment, instance, cluster, namespace = name
        same = and_(
            INSTANCE.c.service == service,
            INSTANCE.c.environment == environment,
            INSTANCE.c.instance == instance,
            INSTANCE.c.cluster.is_(cluster) if cluster is None else INSTANCE.c.cluster == cluster,
            INSTANCE.c.namespace.is_(namespace)
            if namespace is None
            else INSTANCE.c.namespace == namespace,
        )
        found = self._connection.execute(
            select(INSTANCE.c.uid, INSTANCE.c.first_ms).where(same)
        ).all()
        if len(found) <= 1:
            return
        newest = max(found, key=lambda row: (row.first_ms or 0, row.uid)).uid
        for replaced, which in ((0, INSTANCE.c.uid == newest), (1, INSTANCE.c.uid != newest)):
            self._connection.execute(update(INSTANCE).where(same, which).values(replaced=replaced))

    def _row(self, key: _Key) -> dict[str, Any]:
        row = self._rows.get(key)
        if row is None:
            service, environment, uid = key
            stored = self._connection.execute(
                select(INSTANCE).where(
                    INSTANCE.c.service == service,
                    INSTANCE.c.environment == environment,
                    INSTANCE.c.uid == uid,
                )
            ).first()
            row = _empty(key)
            if stored is not None:
                row = dict(zip(_COLUMNS, stored, strict=True))
                row["named"] = json.loads(row["named"])
            self._rows[key] = row
        return row


def _empty(key: _Key) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_COLUMNS)
    row["service"], row["environment"], row["uid"] = key
    return row | {"last_ms": 0, "idx": -1, "replaced": 0, "named": {}}


def _stored(row: dict[str, Any]) -> tuple[Any, ...]:
    named = json.dumps(row["named"], separators=(",", ":"), sort_keys=True)
    return tuple([named if name == "named" else row[name] for name in _COLUMNS])


def _name(row: dict[str, Any], name: str, value: object, order: list[Any]) -> None:
    """Let a value stand if it is stated and comes after the one that stands."""
    if value is None:
        return
    known = row["named"].get(name)
    if known is None or order >= known:
        row[name], row["named"][name] = value, order


def _located(witness: Witness, seen: Appearance) -> dict[str, str | None]:
    place = witness.sighting.place
    said = {name: getattr(place, name) for name in _WHERE}
    said |= {"instance": seen.instance, "zone": seen.zone, "node": seen.node}
    return said | {"track": witness.facts.get("track")}
