"""Attacks by repetition: what one emitter says may not make the writer slow for everybody.

The writer is one thread. What a single marker costs there must not grow with how often its
emitter, however narrow its scope, has spoken before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from door_samples import Door

from deploymark.ingest.occurrences import superseded
from deploymark.ports import ListedDeployment, Position, StoredEntry

TIMES = 600
FEW = 100
FACT_BYTES = 16_384

Maker = Callable[[int], dict[str, Any]]


def _said(**changes: object) -> dict[str, Any]:
    return {"service": "a", "environment": "b", "phase": "applied", "version": "1", **changes}


def _ups_and_downs(number: int) -> dict[str, Any]:
    return _said(phase=("applied", "failed")[number % 2], attempt=number // 2 + 1)


_SAID: dict[str, Maker] = {
    "releases that are planned and never come": lambda n: _said(phase="planned", version=f"v{n}"),
    "many names for one deployment": lambda n: _said(action="run", deployment_id=f"name-{n}"),
    "many keys under one name": lambda n: _said(
        kind="config", key=f"k{n}", revision="1", deployment_id="name"
    ),
    "many places": lambda n: _said(phase="planned", target={"cluster": f"c{n}"}),
    "many occurrences": _ups_and_downs,
    "many instances": lambda n: _said(phase="running", target={"instance_uid": f"u{n}"}),
    "many colours": lambda n: _said(phase="cutover", target={"colour": f"c{n}"}),
    "many live places": lambda n: _said(version=f"v{n}", target={"cluster": f"c{n}"}),
}


def _hand_in(door: Door, make: Maker, times: int = TIMES) -> None:
    answer = door.post([make(number) for number in range(times)])
    assert answer.status == 201, answer.json["results"][-1]


@pytest.mark.parametrize("make", _SAID.values(), ids=_SAID)
def test_no_fact_of_the_registry_grows_without_end(
    door: Door, monkeypatch: pytest.MonkeyPatch, make: Maker
) -> None:
    store, sizes = door.log.registry._store, {"": 0}
    save = store.save

    def saved(
        facts: Mapping[str, bytes], listed: Sequence[ListedDeployment], position: Position
    ) -> None:
        sizes.update({key: len(fact) for key, fact in facts.items()})
        save(facts, listed, position)

    monkeypatch.setattr(store, "save", saved)
    _hand_in(door, make)
    door.log.registry.flush()
    assert max(sizes.values()) <= FACT_BYTES


def test_a_marker_is_not_compared_with_every_earlier_one_of_its_name(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With five thousand earlier ones, a thousand more held everybody up for eighteen seconds.
    _hand_in(door, _ups_and_downs)
    read: list[int] = []
    entry = door.log.store.entry

    def reading(index: int) -> StoredEntry:
        read.append(index)
        return entry(index)

    monkeypatch.setattr(door.log.store, "entry", reading)
    assert door.post(_ups_and_downs(TIMES)).status == 201
    assert len(read) <= FEW


def test_what_goes_live_does_not_look_at_every_release_that_was_ever_planned(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With eight thousand of them, two thousand more held everybody up for over a minute.
    _hand_in(door, _SAID["releases that are planned and never come"])
    looked = 0

    def counted(*words: Any, **options: Any) -> Any:  # noqa: ANN401 - passes all on
        nonlocal looked
        looked += 1
        return superseded(*words, **options)

    monkeypatch.setattr("deploymark.ingest.registry.superseded", counted)
    assert door.post(_said(version="live", target={"cluster": "elsewhere"})).status == 201
    assert looked <= FEW
