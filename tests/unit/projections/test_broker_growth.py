"""What the broker asks of its tables does not grow with what a service has behind it.

SQLite counts the instructions of its own machine, so nothing here depends on a clock.
"""

import pathlib
import sqlite3
from collections.abc import Iterator

import pytest
from projected_log import Projected, digest, leaf_of
from sqlalchemy import Engine, event

from deploymark.model.leaf import Leaf
from deploymark.projections.broker.view import BrokerView

_STEP = 50
"""Instructions between two calls of the counter."""

_INSTANCES = 8
_MANY = 400
_FEW = 10


@pytest.fixture
def steps() -> Iterator[list[int]]:
    """Count the instructions of all connections, in units of `_STEP`."""
    counted = [0]

    def count() -> int:
        counted[0] += 1
        return 0

    def prepare(connection: sqlite3.Connection, _: object) -> None:
        connection.set_progress_handler(count, _STEP)

    event.listen(Engine, "connect", prepare)
    yield counted
    event.remove(Engine, "connect", prepare)


def release(number: int) -> list[Leaf]:
    """Return what is said of a release: announced, run by new instances, then ended."""
    artifact = {"artifact": {"digest": digest(str(number))}}
    scope = {"service": "checkout", "environment": "prod", **artifact}
    at_ms = 1_795_000_000_000 + number * 3_600_000
    said: list[dict[str, object]] = [{**scope, "phase": "applied", "version": f"1.{number}"}]
    for phase in ("running", "removed"):
        for each in range(_INSTANCES):
            uid = f"{number}-{each}"
            target = {"instance": f"checkout-{uid}", "instance_uid": f"uid-{uid}"}
            evidence = {"evidence": {"basis": "observed", "digest": digest(str(number))}}
            emitter = {"emitter": {"kind": "orchestrator", "id": "observer"}}
            said.append({**scope, "phase": phase, "target": target, **evidence, **emitter})
    return [leaf_of(fields, received_at_ms=at_ms + n) for n, fields in enumerate(said)]


def test_a_release_after_many_costs_the_database_about_as_much_as_one_after_few(
    tmp_path: pathlib.Path, steps: list[int]
) -> None:
    projected = Projected(tmp_path, views=[BrokerView()])
    costs = []
    for number in range(_MANY):
        before = steps[0]
        projected.add(*release(number))
        costs.append(steps[0] - before)
    projected.views.close()
    few, many = sum(costs[_FEW : 2 * _FEW]), sum(costs[-_FEW:])
    assert 2 * many < 3 * few, f"{few} became {many}, in units of {_STEP} instructions"
