"""The emitter from the outside: it keeps, delivers, never raises and never waits too long."""

import json
import logging
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from emit_samples import (
    DIGEST,
    NOBODY,
    SampleHost,
    away,
    fields,
    open_emitter,
    settings,
)

from deploymark.crypto.keyfile import save_private
from deploymark.emit.emitter import Emitter, Marked, State
from deploymark.emit.journal import Journal
from deploymark.errors import MarkerError
from deploymark.testing.receiving_server import Answer, Request, problem, receiving_server


def test_a_marker_is_kept_at_once_and_delivered_soon(tmp_path: Path) -> None:
    with receiving_server() as server, open_emitter(tmp_path, server.url) as emitter:
        marked = [emitter.mark(phase, **fields()) for phase in ("planned", "applied")]
        done = emitter.flush()
        assert (done.delivered, done.problem, emitter.counts().waiting) == (2, "", 0)
        markers = server.markers()
    assert [each.state for each in marked] == [State.SPOOLED, State.SPOOLED]
    assert [each.number for each in marked] == [0, 1]
    assert [each["emitter"]["sequence"] for each in markers] == [0, 1]
    assert {each["emitter"]["epoch"] for each in markers} == {marked[0].epoch}
    assert marked[0].deployment_id.startswith("d-")
    assert marked[0].marker_id != marked[1].marker_id


def test_what_was_marked_while_the_server_was_away_is_delivered_when_it_is_back(
    tmp_path: Path,
) -> None:
    with receiving_server() as server:
        port = int(server.url.rpartition(":")[2])
    with open_emitter(tmp_path, server.url) as emitter:
        for _ in range(3):
            emitter.mark("running", **fields(target={"instance_uid": "a"}))
        assert "did not answer" in emitter.flush().problem
        with receiving_server(port=port) as server:
            assert emitter.flush().problem == ""
            numbers = [each["emitter"]["sequence"] for each in server.markers()]
    assert numbers == [0, 1, 2]


def test_the_next_process_delivers_what_the_last_one_left_and_numbers_on(tmp_path: Path) -> None:
    url, port = away()
    with open_emitter(tmp_path, url) as emitter:
        left = emitter.mark("planned", **fields())
    with receiving_server(port=port) as server, open_emitter(tmp_path, server.url) as emitter:
        marked = emitter.mark_and_deliver("applied", **fields())
        phases = [each["phase"] for each in server.markers()]
    assert (marked.epoch, marked.number) == (left.epoch, 1)
    assert phases == ["planned", "applied"], "the order within a deployment is kept"


def test_flush_delivers_what_processes_left_that_were_somebody_else(tmp_path: Path) -> None:
    url, port = away()
    facts = {"emitter": {"kind": "ci", "id": "pipeline"}}
    with open_emitter(tmp_path, url, facts=facts) as emitter:
        emitter.mark("planned", **fields())
    with receiving_server(port=port) as server, open_emitter(tmp_path, server.url) as emitter:
        assert emitter.flush().delivered == 1
        (marker,) = server.markers()
    assert marker["emitter"]["id"] == "pipeline"
    assert marker["emitter"]["kind"] == "ci"


def test_a_command_waits_for_the_answer(tmp_path: Path) -> None:
    with receiving_server() as server, open_emitter(tmp_path, server.url) as emitter:
        marked = emitter.mark_and_deliver("applied", **fields())
    assert (marked.state, marked.reason, marked.answer["index"]) == (State.DELIVERED, "", 0)


def test_a_command_keeps_the_marker_when_nobody_is_there(tmp_path: Path) -> None:
    with open_emitter(tmp_path) as emitter:
        marked = emitter.mark_and_deliver("applied", **fields())
        assert emitter.counts().waiting == 1
    assert marked.state is State.SPOOLED
    assert "did not answer" in marked.reason


def test_a_command_that_waited_does_not_wait_again_at_its_end(tmp_path: Path) -> None:
    class Slow(SampleHost):
        def fraction(self) -> float:
            return 1e6  # it does not try again by itself meanwhile

    busy = Answer(503, problem(503, "log_busy"))
    with receiving_server(lambda _: busy) as server:
        emitter = Emitter(settings(tmp_path, server.url), host=Slow())
        emitter.mark_and_deliver("planned", **fields())
        emitter.close()
        assert len(server.requests) == 1
    port = int(server.url.rpartition(":")[2])
    with receiving_server(port=port) as server, open_emitter(tmp_path, server.url) as emitter:
        emitter.mark("applied", **fields())
        emitter.close()
        assert [each["phase"] for each in server.markers()] == ["planned", "applied"]


def test_a_draft_has_the_ids_of_the_marker_and_opens_no_spool(tmp_path: Path) -> None:
    with open_emitter(tmp_path, facts={"version": "2.31.0"}) as emitter:
        draft = emitter.draft("applied", **fields(timestamp="2026-11-23T00:00:00Z"))
        assert not (tmp_path / "spool").exists()
        marked = emitter.mark("applied", **fields(timestamp="2026-11-23T00:00:00Z"))
    assert (draft.deployment_id, draft.marker_id) == (marked.deployment_id, marked.marker_id)
    assert draft.fields["version"] == "2.31.0"
    assert draft.fields["emitter"] == {"kind": "human", "id": "host:host-a"}


def test_a_draft_of_a_wrong_marker_is_refused_also_where_marks_are_not(tmp_path: Path) -> None:
    with open_emitter(tmp_path) as emitter, pytest.raises(MarkerError, match="/phase"):
        emitter.draft("aplied", **fields())


def test_a_patient_command_tries_again_within_its_budget(tmp_path: Path) -> None:
    def away_twice(_: Request) -> Answer | None:
        return Answer(503, problem(503, "log_busy")) if len(server.requests) < 3 else None

    with receiving_server(away_twice) as server, open_emitter(tmp_path, server.url) as emitter:
        marked = emitter.mark_and_deliver("applied", budget_seconds=30, patient=True, **fields())
    assert (marked.state, len(server.requests)) == (State.DELIVERED, 3)


def test_nobody_waits_for_a_wait_beyond_the_budget(tmp_path: Path) -> None:
    busy = Answer(503, problem(503, "log_busy"), {"Retry-After": "120"})
    with receiving_server(lambda _: busy) as server, open_emitter(tmp_path, server.url) as emitter:
        marked = emitter.mark_and_deliver("applied", budget_seconds=60, patient=True, **fields())
        emitter.flush()
        emitter.flush()
    assert (marked.state, len(server.requests)) == (State.SPOOLED, 1), "the server is left alone"


def test_a_server_that_hangs_costs_the_budget_and_no_more(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with open_emitter(tmp_path, url, request_seconds=600.0) as emitter:
            started = time.monotonic()
            marked = emitter.mark_and_deliver("applied", budget_seconds=0.2, **fields())
            assert time.monotonic() - started < 60
    assert marked.state is State.SPOOLED
    assert marked.reason == "No answer within 0.2 seconds."


def test_what_the_server_refuses_is_kept_for_people_and_not_sent_again(tmp_path: Path) -> None:
    refusal = problem(422, "bad_marker", "No such environment.")
    with (
        receiving_server(lambda _: Answer(422, refusal)) as server,
        open_emitter(tmp_path, server.url) as emitter,
    ):
        marked = emitter.mark_and_deliver("applied", **fields())
        assert emitter.flush().refused == 1
        assert len(server.requests) == 1
    assert (marked.state, marked.reason) == (State.REFUSED, "No such environment.")
    (line,) = (tmp_path / "spool" / "refused.ndjson").read_text().splitlines()
    kept = json.loads(line)
    assert (kept["status"], kept["problem"]) == (422, refusal)
    assert json.loads(kept["marker"])["service"] == "checkout"


@pytest.mark.parametrize("code", ["secret_refused", "personal_data_refused"])
@pytest.mark.parametrize("by", ["the command that made it", "flush"])
def test_what_was_refused_for_what_it_says_does_not_stay_on_the_disk(
    tmp_path: Path, code: str, by: str
) -> None:
    def on_disk() -> list[str]:
        files = (tmp_path / "spool").iterdir()
        return [each.name for each in files if b"hunter2" in each.read_bytes()]

    def refuse(request: Request) -> Answer:
        results = [
            problem(422, code, "It says too much.") if "reason" in item else server.take(item)
            for item in request.items
        ]
        return Answer(422, results[0]) if len(results) == 1 else Answer(207, {"results": results})

    url, port = away()
    with open_emitter(tmp_path, url) as emitter:
        emitter.mark_and_deliver("planned", **fields())
        emitter.mark("applying", **fields(reason="password hunter2"))
        assert on_disk()
    with (
        receiving_server(refuse, port=port) as server,
        open_emitter(tmp_path, url, facts={} if by == "flush" else None) as emitter,
    ):
        if by != "flush":
            emitter.mark_and_deliver("applied", **fields(reason="it was hunter2"))
        assert emitter.flush().refused == (1 if by == "flush" else 2)
        assert on_disk() == []
        assert emitter.counts().waiting == 0
    refused = (tmp_path / "spool" / "refused.ndjson").read_text()
    kept = [json.loads(line) for line in refused.splitlines()]
    assert {each["problem"]["code"] for each in kept} == {code}
    assert all(len(each["marker_sha256"]) == 64 and "marker" not in each for each in kept)


def test_what_waits_for_another_server_is_not_sent_to_this_one(tmp_path: Path) -> None:
    url, port = away()
    with open_emitter(tmp_path, url) as emitter:
        emitter.mark("planned", **fields())
    with receiving_server() as server, open_emitter(tmp_path, server.url) as emitter:
        emitter.mark_and_deliver("applied", **fields())
        assert emitter.flush().delivered == 1
        assert [each["phase"] for each in server.markers()] == ["applied"]
    with receiving_server(port=port) as server, open_emitter(tmp_path, f"{url}/") as emitter:
        assert emitter.flush().delivered == 1


def test_what_is_left_at_the_end_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = problem(422, "bad_marker", "No such environment.")
    with caplog.at_level(logging.WARNING):
        with open_emitter(tmp_path / "command", strict=True) as emitter:
            emitter.mark("planned", **fields())
        assert caplog.messages == [], "a command says it itself"
        with open_emitter(tmp_path) as emitter:
            emitter.mark("planned", **fields())
            emitter.mark("applying", **fields())
            emitter.flush()
            emitter.close()
        with (
            receiving_server(lambda _: Answer(422, refusal)) as server,
            open_emitter(tmp_path, server.url) as emitter,
        ):
            marked = emitter.mark("applied", **fields())
            emitter.close()
            assert emitter.refusal_of(marked) == refusal
    waiting, refused = caplog.messages
    spool = tmp_path / "spool"
    assert waiting.startswith(f"deploymark: 2 markers wait in {spool}: {NOBODY} did not answer")
    assert refused == (
        f"deploymark: 1 marker was refused, see {spool}/refused.ndjson; the last: "
        "No such environment."
    )


def test_a_batch_refused_as_a_whole_is_divided_until_the_culprit_stands_alone(
    tmp_path: Path,
) -> None:
    def one_is_bad(request: Request) -> Answer | None:
        bad = any(item["service"] == "bad" for item in request.items)
        return Answer(400, problem(400, "bad_marker")) if bad else None

    url, port = away()
    with open_emitter(tmp_path, url) as emitter:
        for number in range(9):
            emitter.mark("planned", **fields(service="bad" if number == 4 else f"s{number}"))
    with receiving_server(one_is_bad, port=port), open_emitter(tmp_path, url) as emitter:
        done = emitter.flush()
    assert (done.delivered, done.refused, done.problem) == (8, 1, "")


def test_one_marker_that_must_wait_holds_up_no_other(tmp_path: Path) -> None:
    def one_waits(request: Request) -> Answer | None:
        results = [
            problem(403, "key_untrusted", "No such key.")
            if item["service"] == "s0"
            else server.take(item)
            for item in request.items
        ]
        return Answer(207, {"results": results})

    url, port = away()
    with open_emitter(tmp_path, url) as emitter:
        for number in range(600):
            emitter.mark("planned", **fields(service=f"s{number}"))
    with (
        receiving_server(one_waits, port=port) as server,
        open_emitter(tmp_path, url) as emitter,
    ):
        emitter.mark("planned", **fields(service="last"))
        done = emitter.flush()
        assert emitter.counts().waiting == 1
    assert (done.delivered, done.refused) == (600, 0)
    assert "No such key." in done.problem


def test_markers_are_signed_when_there_is_a_key(tmp_path: Path) -> None:
    key = tmp_path / "ci.pem"
    save_private(key, Ed25519PrivateKey.from_private_bytes(b"7" * 32))
    with receiving_server() as server, open_emitter(tmp_path, server.url, key=str(key)) as emitter:
        emitter.mark_and_deliver("applied", **fields())
        (envelope,) = server.requests[0].items
        (marker,) = server.markers()
    assert envelope["signatures"][0]["keyid"].startswith("k-")
    assert marker["emitter"]["sequence"] == 0


# It never harms its host -------------------------------------------------------------------------


def test_a_wrong_marker_is_returned_as_refused_and_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_emitter(tmp_path) as emitter, caplog.at_level(logging.WARNING):
        marked = emitter.mark("aplied", **fields())
        emitter.mark("aplied", **fields())
        waited = emitter.mark_and_deliver("aplied", **fields())
        assert len(caplog.records) == 1
        assert emitter.mark("applied", **fields()).number == 0, "no number was used"
    assert (marked.state, waited.state) == (State.REFUSED, State.REFUSED)
    assert "`applied`" in marked.reason


def test_a_strict_emitter_raises_what_is_wrong(tmp_path: Path) -> None:
    with open_emitter(tmp_path, strict=True) as emitter:
        for mark in (emitter.mark, emitter.mark_and_deliver):
            with pytest.raises(MarkerError):
                mark("aplied", **fields())


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError


_ODD: dict[str, Any] = {
    "no json": object(),
    "itself": [],
    "half a character": "\ud800",
    "no number": float("nan"),
    "cannot be shown": _Odd(),
    "bytes": b"x",
    "a function": print,
}
_ODD["itself"].append(_ODD["itself"])


@pytest.mark.parametrize("name", _ODD)
@pytest.mark.parametrize("field", ["service", "labels", "artifact", "timestamp", "phase", "odd"])
def test_no_value_whatever_raises_into_the_host(tmp_path: Path, name: str, field: str) -> None:
    with open_emitter(tmp_path) as emitter:
        given = fields(**{field: _ODD[name]})
        phase = given.pop("phase", "applied")
        assert isinstance(emitter.mark(phase, **given), Marked)


_BROKEN: dict[str, dict[str, Any]] = {
    "a URL that is none": {"url": "nowhere"},
    "plain http to elsewhere": {"url": "http://server.example"},
    "a spool that cannot be": {"spool": "/proc/none"},
    "a key that is not there": {"key": "/none.pem"},
    "no room": {"spool_max_bytes": 0},
}


@pytest.mark.parametrize("name", _BROKEN)
def test_no_setting_whatever_raises_into_the_host(tmp_path: Path, name: str) -> None:
    given = _BROKEN[name]
    with open_emitter(tmp_path, given.pop("url", NOBODY), **given) as emitter:
        for mark in (emitter.mark, emitter.mark_and_deliver):
            assert mark("applied", **fields()).state is not State.DELIVERED
        assert emitter.flush() is not None


def test_without_a_disk_markers_are_delivered_from_memory_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "spool").write_text("in the way")
    with (
        caplog.at_level(logging.WARNING),
        receiving_server() as server,
        open_emitter(tmp_path, server.url) as emitter,
    ):
        kept = emitter.mark("planned", **fields())
        marked = emitter.mark_and_deliver("applied", **fields())
        assert len(server.markers()) == 2
    assert kept.state is State.SPOOLED
    assert "refuses" in kept.reason
    assert marked.state is State.DELIVERED
    assert caplog.records


def test_without_disk_and_server_a_command_says_that_the_marker_is_lost(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("in the way")
    with open_emitter(tmp_path) as emitter:
        marked = emitter.mark_and_deliver("applied", **fields())
    assert marked.state is State.LOST
    assert "refuses" in marked.reason
    assert "did not answer" in marked.reason


def test_a_disk_that_cannot_sync_keeps_the_marker_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Journal) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Journal, "sync", fail)
    with open_emitter(tmp_path) as emitter:
        marked = emitter.mark_and_deliver("applied", **fields())
        assert emitter.counts().waiting == 1
    assert marked.state is State.SPOOLED
    assert "not on the disk yet" in marked.reason


def test_threads_share_an_emitter_and_no_number(tmp_path: Path) -> None:
    with receiving_server() as server, open_emitter(tmp_path, server.url) as emitter:
        places: list[Marked] = []

        def work() -> None:
            places.extend(emitter.mark("applied", **fields()) for _ in range(50))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert emitter.flush().delivered == 400
        sent = [each["emitter"]["sequence"] for each in server.markers()]
    assert sorted(each.number for each in places) == list(range(400))
    assert sent == list(range(400))


def test_who_speaks_is_ci_where_it_is_ci_else_process_or_person(tmp_path: Path) -> None:
    ci = {"emitter": {"kind": "ci", "id": "w"}}
    with receiving_server() as server:
        for facts, phase in [(ci, "running"), ({}, "running"), ({}, "applied")]:
            with open_emitter(tmp_path, server.url, facts=facts) as emitter:
                emitter.mark_and_deliver(
                    phase, **fields(artifact=DIGEST, target={"instance_uid": "a"})
                )
        kinds = [each["emitter"]["kind"] for each in server.markers()]
    assert kinds == ["ci", "runtime", "human"]
