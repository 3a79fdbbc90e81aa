"""Which instance runs, where, and which groups of confirmations speak of it.

An instance belongs to the run of its earliest confirmation, or of one that names its deployment; a
later word of another witness does not move it. It is gone when a marker says so, or when a newer
instance runs under its name.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, bindparam, update

from deploymark.model.vocabulary import Basis
from deploymark.projections.broker.tables import INSTANCE
from deploymark.projections.broker.witness import Appearance, Witness
from deploymark.projections.database import replace_rows, rows_with

_COLUMNS: Final = tuple(column.name for column in INSTANCE.columns)
_STRENGTH: Final = {Basis.DECLARED: 0, Basis.SELF_OBSERVED: 1, Basis.OBSERVED: 2}
_WHERE: Final = ("cluster", "region", "namespace", "workload")

_KEY, _NAME = ("service", "environment", "uid"), ("service", "environment", "instance")
_SET_REPLACED = (
    update(INSTANCE)
    .where(
        INSTANCE.c.service == bindparam("s"),
        INSTANCE.c.environment == bindparam("e"),
        INSTANCE.c.uid == bindparam("u"),
    )
    .values(replaced=bindparam("r"))
)

_Key = tuple[str, str, str]


class Instances:
    """Changes instances in one write, and stores them at its end.

    Args:
        connection: Of the write.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[_Key, dict[str, Any]] = {}
        self._ended: set[tuple[str, str]] = set()

    def read(self, keys: Iterable[_Key]) -> None:
        """Read what is stored of all instances that the write is about, before it takes any."""
        for row in rows_with(self._connection, INSTANCE, _KEY, keys):
            stored = dict(zip(_COLUMNS, row, strict=True))
            stored["named"] = json.loads(row.named)
            self._rows[row.service, row.environment, row.uid] = stored

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
            self._ended.add((line.service, line.environment))
            return
        row["first_ms"] = min(row["first_ms"] or at_ms, at_ms, seen.first_ms)
        basis = Basis(witness.basis)
        _name(row, basis.value, group, order)
        _name(row, "basis", basis.value, [_STRENGTH[basis], *order])
        _name(row, "digest", witness.seen, [_STRENGTH[basis], *order])
        # Who names its deployment counts most, then who spoke first.
        _name(row, "main", group, [int(witness.explicit), -at_ms, witness.sighting.marker_id])

    def save(self) -> set[tuple[str, str]]:
        """Store what changed, and mark those that were replaced under their names.

        Returns:
            Services and environments in which an instance ended, was replaced or is so no more.
        """
        rows = [_stored(row) for row in self._rows.values()]
        replace_rows(self._connection, INSTANCE, rows)
        names = {
            (key[0], key[1], row["instance"])
            for key, row in self._rows.items()
            if row["instance"] is not None and row["instance"] != key[2]
        }
        self._replace_older(names)
        return self._ended

    def _replace_older(self, names: set[tuple[str, str, str]]) -> None:
        """Leave one instance of a name in its place: the one that was seen first last."""
        places: dict[tuple[Any, ...], list[Any]] = {}
        for row in rows_with(self._connection, INSTANCE, _NAME, sorted(names)):
            name = (row.service, row.environment, row.instance, row.cluster, row.namespace)
            places.setdefault(name, []).append(row)
        for found in places.values():
            if len(found) <= 1:
                continue
            newest = max(found, key=lambda row: (row.first_ms or 0, row.uid)).uid
            for row in found:
                if row.replaced != (row.uid != newest):
                    self._ended.add((row.service, row.environment))
                    key = {"s": row.service, "e": row.environment, "u": row.uid}
                    self._connection.execute(_SET_REPLACED, {**key, "r": int(row.uid != newest)})

    def _row(self, key: _Key) -> dict[str, Any]:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = _empty(key)
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
