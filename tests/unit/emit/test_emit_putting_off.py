"""Markers that their caller may not say: kept, tried less and less often, in nobody's way."""

import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from emit_samples import SampleHost, fields, settings

from deploymark.emit.emitter import Emitter, State
from deploymark.emit.putting_off import FILE, FIRST_MS, LONGEST_MS
from deploymark.testing.receiving_server import (
    Answer,
    ReceivingServer,
    Request,
    problem,
    receiving_server,
)

MINUTE_MS = 60_000


class Clock(SampleHost):
    """A host whose time is set by the test."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 1_795_000_000_000

    def now_ms(self) -> int:
        return self.ms


class Gate:
    """A server that refuses what is said of some services; each test opens it when it wants."""

    def __init__(self, *services: str) -> None:
        self.closed = set(services)
        self.server: ReceivingServer

    def __call__(self, request: Request) -> Answer | None:
        results: list[dict[str, Any]] = [
            problem(403, "forbidden", "Not in your scope.")
            if item["service"] in self.closed
            else self.server.take(item)
            for item in request.items
        ]
        statuses = {each.get("status", 201) for each in results}
        if len(results) == 1:
            return Answer(statuses.pop(), results[0])
        return Answer(statuses.pop() if len(statuses) == 1 else 207, {"results": results})

    def sent(self) -> list[list[str]]:
        """Return the services of each request since the last question."""
        said = [[item["service"] for item in each.items] for each in self.server.requests]
        self.server.requests.clear()
        return said


def say(host: Clock, url: str, folder: Path, service: str, **more: object) -> State:
    """Mark as one command does."""
    emitter = Emitter(settings(folder, url, **more), facts={}, strict=True, host=host)
    marked = emitter.mark_and_deliver("applied", **fields(service=service))
    emitter.close(0, told=True)
    return marked.state


def test_later_commands_do_not_send_it_again_before_its_time(tmp_path: Path) -> None:
    host, gate = Clock(), Gate("shut")
    with receiving_server(gate) as gate.server:
        url = gate.server.url
        assert say(host, url, tmp_path, "shut") is State.SPOOLED
        assert gate.sent() == [["shut"]]
        assert say(host, url, tmp_path, "a") is State.DELIVERED
        assert gate.sent() == [["a"]], "it is put off"
        host.ms += FIRST_MS
        assert say(host, url, tmp_path, "b") is State.DELIVERED
        assert gate.sent() == [["b", "shut"]], "its time has come"
        host.ms += FIRST_MS
        say(host, url, tmp_path, "c")
        assert gate.sent() == [["c"]], "now it waits twice as long"
        gate.closed.clear()
        host.ms += FIRST_MS
        say(host, url, tmp_path, "d")
        assert gate.sent() == [["d", "shut"]]
        say(host, url, tmp_path, "e")
        assert gate.sent() == [["e"]]
    assert json.loads((tmp_path / "spool" / FILE).read_bytes())["markers"] == {}


def test_the_pause_grows_to_an_hour_and_a_clock_that_was_set_back_adds_none(tmp_path: Path) -> None:
    host, gate = Clock(), Gate("shut")
    with receiving_server(gate) as gate.server:
        url = gate.server.url
        say(host, url, tmp_path, "shut")
        for _ in range(9):
            host.ms += LONGEST_MS
            say(host, url, tmp_path, "a")
        gate.sent()
        host.ms += LONGEST_MS - 1
        say(host, url, tmp_path, "b")
        assert gate.sent() == [["b"]]
        host.ms -= 365 * 24 * 60 * MINUTE_MS
        say(host, url, tmp_path, "c")
        assert gate.sent() == [["c", "shut"]]


def test_flush_tries_everything_and_so_does_another_token(tmp_path: Path) -> None:
    host, gate = Clock(), Gate("shut")
    with receiving_server(gate) as gate.server:
        url = gate.server.url
        say(host, url, tmp_path, "shut")
        gate.sent()
        emitter = Emitter(settings(tmp_path, url), facts={}, host=host)
        assert "Not in your scope." in emitter.flush(every=True).problem
        emitter.close(0, told=True)
        assert gate.sent() == [["shut"]]
        say(host, url, tmp_path, "a", token="dmk_other")  # noqa: S106 - an example
        assert gate.sent() == [["a", "shut"]]
    assert "dmk_other" not in (tmp_path / "spool" / FILE).read_text()


def test_who_waits_for_its_deployment_sends_it_along(tmp_path: Path) -> None:
    host, gate = Clock(), Gate("shut")
    with receiving_server(gate) as gate.server:
        url = gate.server.url
        say(host, url, tmp_path, "shut")
        say(host, url, tmp_path, "shut")
        assert gate.sent() == [["shut"], ["shut", "shut"]]


@pytest.mark.parametrize("allowed", ["one", "two", "three"])
def test_a_journal_of_which_nothing_may_be_said_holds_up_no_other(
    allowed: str, tmp_path: Path
) -> None:
    host, gate = Clock(), Gate("one", "two", "three")
    with receiving_server(gate) as gate.server:
        url = gate.server.url
        for name in sorted(gate.closed):
            facts = {"emitter": {"kind": "ci", "id": name}}
            emitter = Emitter(settings(tmp_path, url), facts=facts, strict=True, host=host)
            emitter.mark_and_deliver("applied", **fields(service=name))
            emitter.close(0, told=True)
        gate.closed.discard(allowed)
        emitter = Emitter(settings(tmp_path, url), facts={}, host=host)
        done = emitter.flush(every=True)
        emitter.close(0, told=True)
    assert done.delivered == 1
    assert "Not in your scope." in done.problem


def test_a_process_does_not_wait_with_the_next_because_one_is_not_allowed(tmp_path: Path) -> None:
    class Slow(Clock):
        def fraction(self) -> float:
            return 1e6  # any pause would be as good as for ever

    host, gate = Slow(), Gate("shut")
    came = {"shut": threading.Event(), "a": threading.Event()}

    def script(request: Request) -> Answer | None:
        answer = gate(request)
        came[request.items[-1]["service"]].set()
        return answer

    with receiving_server(script) as gate.server:
        emitter = Emitter(settings(tmp_path, gate.server.url), facts={}, host=host)
        for service, event in came.items():
            emitter.mark("applied", **fields(service=service))
            assert event.wait(30), service
        emitter.close(0, told=True)


def test_only_the_process_that_was_refused_warns_of_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    host, gate = Clock(), Gate("shut")
    with receiving_server(gate) as gate.server, caplog.at_level(logging.WARNING):
        for service, warnings in (("shut", 1), ("a", 1)):
            emitter = Emitter(settings(tmp_path, gate.server.url), facts={}, host=host)
            emitter.mark("applied", **fields(service=service))
            emitter.close()
            assert len(caplog.records) == warnings
    assert "Not in your scope." in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"[", b"[]", b'{"v":2}', b'{"v":1,"markers":{"a":[1]}}', b"\xff" * 2_000_000]
)
def test_times_that_cannot_be_read_cost_a_try_and_nothing_else(
    content: bytes, tmp_path: Path
) -> None:
    host, gate = Clock(), Gate("shut")
    with receiving_server(gate) as gate.server:
        url = gate.server.url
        say(host, url, tmp_path, "shut")
        (tmp_path / "spool" / FILE).write_bytes(content)
        say(host, url, tmp_path, "a")
        say(host, url, tmp_path, "b")
        assert gate.sent() == [["shut"], ["a", "shut"], ["b"]]
