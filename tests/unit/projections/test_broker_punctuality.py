"""How late each emitter is, and how far off its clock: as it is now, and at its worst."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
from broker_markers import ci
from projected_log import Projected, append, leaf_of

from deploymark.model.instants import format_instant
from deploymark.model.leaf import encode_leaf
from deploymark.projections.broker import punctuality as module
from deploymark.projections.broker.punctuality import punctuality
from deploymark.projections.broker.view import BrokerView
from deploymark.testing.clock import START_MS


@pytest.fixture
def log(tmp_path: pathlib.Path) -> Iterator[Projected]:
    projected = Projected(tmp_path, views=[BrokerView()])
    projected.runner.catch_up()
    yield projected
    projected.close()


def say(log: Projected, at: int, off: int, **more: Any) -> None:  # noqa: ANN401 - any field
    """Let a marker come at a second that claims to be made `off` seconds after that."""
    claimed = format_instant(START_MS + 1_000 * (at + off))
    fields = ci("applied", version=str(at), timestamp=claimed, **more)
    came = START_MS + 1_000 * at
    append(log.store, [encode_leaf(leaf_of(fields, received_at_ms=came))], [came])
    log.runner.catch_up()


def test_the_last_and_the_worst_are_told_by_service_and_environment(log: Projected) -> None:
    say(log, 0, -40)
    say(log, 10, 90)
    say(log, 20, -5)
    say(log, 30, 7, environment="test")
    test, prod = punctuality(log.views)["items"]
    assert (prod["id"], prod["kind"], prod["service"]) == ("deploy.yml", "ci", "checkout")
    assert (prod["environment"], prod["markers"], prod["last_index"]) == ("prod", 3, 2)
    assert prod["last_seen"] == format_instant(START_MS + 20_000)
    assert prod["lateness_ms"] == {"last": 5_000, "worst": 40_000}
    assert prod["skew_ms"] == {"last": 0, "worst": 90_000}
    assert test["environment"] == "test"
    assert (test["lateness_ms"]["last"], test["skew_ms"]["last"]) == (0, 7_000)


def test_of_many_emitters_the_last_to_speak_are_shown_and_all_are_counted(
    log: Projected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_SHOWN", 2)
    for number in range(3):
        say(log, number, 0, emitter={"kind": "ci", "id": f"ci-{number}"})
    told = punctuality(log.views)
    assert [each["id"] for each in told["items"]] == ["ci-2", "ci-1"]
    assert (told["known"], told["as_of"]) == (3, 3)


def test_nobody_has_spoken_yet(log: Projected) -> None:
    assert punctuality(log.views) == {"items": [], "known": 0, "as_of": 0}
