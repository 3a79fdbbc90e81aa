"""The room that all bodies have together."""

import json

import pytest
from door_samples import Door, marker

from deploymark.errors import OverloadedError
from deploymark.ingest.callers import Caller
from deploymark.model.vocabulary import Role
from deploymark.server import application
from deploymark.server.budget import BodyBudget
from deploymark.server.request import Request


def _request(principal: str) -> Request:
    async def receive() -> dict[str, object]:
        return {}

    request = Request({"headers": []}, receive)
    request.caller = Caller(principal, frozenset())
    return request


def test_strangers_leave_room_for_those_with_a_token() -> None:
    budget = BodyBudget(all_bytes=10, stranger_bytes=4)
    stranger, known = _request(""), _request("token:ci")
    budget.take(stranger, 4)
    with pytest.raises(OverloadedError):
        budget.take(_request(""), 1)
    budget.take(known, 6)
    with pytest.raises(OverloadedError):
        budget.take(known, 1)


def test_what_was_held_is_free_again_once() -> None:
    budget = BodyBudget(all_bytes=10, stranger_bytes=4)
    for _ in range(3):
        stranger = _request("")
        budget.take(stranger, 3)
        budget.free(stranger)
        budget.free(stranger)
    assert budget.held_bytes == 0


def test_who_finds_no_room_is_told_when_to_come_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    budget = BodyBudget(all_bytes=1_000)
    monkeypatch.setattr(application, "BodyBudget", lambda: budget)
    with Door() as door:
        assert door.post(marker(1)).status == 201
        refused = door.post([marker(number) for number in range(10)])
        assert door.post(marker(2)).status == 201
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (refused.json["code"], refused.json["retryable"]) == ("overloaded", True)
    assert (budget.held_bytes, caplog.records) == (0, [])


def test_a_stranger_hands_in_less_at_once() -> None:
    batch = json.dumps([marker(number) for number in range(1_000)]).encode() + b" " * 524_288
    with Door() as door:
        assert door.post(batch, role=None).status == 413
        assert door.post(batch, role=Role.EMITTER).status == 201
