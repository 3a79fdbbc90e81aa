"""Posting to servers that are good, slow, away, lying or hostile, and reading what they say."""

import datetime as dt
import json
import time
from pathlib import Path

import pytest
from emit_samples import NOBODY, SampleHost
from emit_stubs import BODIES, DRIP, TOKEN, Stub, http_answer, post_one, poster_of
from hypothesis import given
from hypothesis import strategies as st

from deploymark.emit.delivery import MAX_ANSWER_BYTES, MAX_RETRY_SECONDS, read_answer
from deploymark.testing.receiving_server import Answer, problem, receiving_server


def test_markers_are_posted_with_the_token_and_each_has_its_outcome(tmp_path: Path) -> None:
    with receiving_server() as server:
        poster = poster_of(server.url, tmp_path, token=TOKEN)
        first, second = poster.post(BODIES[:1]), poster.post(BODIES)
        poster.close()
    assert [outcome.status for outcome in first.outcomes] == [201]
    assert [outcome.status for outcome in second.outcomes] == [200, 201]
    assert [outcome.content["index"] for outcome in second.outcomes] == [0, 1]
    assert (first.problem, second.problem) == ("", "")
    assert server.requests[0].headers["authorization"] == f"Bearer {TOKEN}"
    assert server.requests[0].headers["date"].endswith(" GMT")
    assert [list(request.items) for request in server.requests] == [
        [{"n": 1}],
        [{"n": 1}, {"n": 2}],
    ]


def test_one_connection_serves_many_posts_and_is_made_again_when_it_ended(tmp_path: Path) -> None:
    def close_first(_: object) -> Answer:
        # The answer does not announce that the connection ends; the server just ends it.
        return Answer(
            201, {"index": 1}, {"Connection": "close"} if len(server.requests) < 2 else {}
        )

    with receiving_server(close_first) as server:
        poster = poster_of(server.url, tmp_path)
        for _ in range(3):
            assert poster.post(BODIES[:1]).problem == ""
        poster.close()
    with receiving_server() as server:
        poster = poster_of(server.url, tmp_path)
        poster.post(BODIES[:1])
    port = int(server.url.rpartition(":")[2])
    with receiving_server(port=port) as server:
        assert poster.post(BODIES[:1]).problem == ""
        poster.close()


def test_a_big_body_is_packed(tmp_path: Path) -> None:
    bodies = [json.dumps({"n": number, "text": "x" * 1_000}).encode() for number in range(20)]
    with receiving_server() as server:
        poster = poster_of(server.url, tmp_path)
        assert len(poster.post(bodies).outcomes) == 20
        poster.close()
    headers = server.requests[0].headers
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) < 2_000


_KEEP: dict[str, bytes] = {
    "401": http_answer("401 Unauthorized"),
    "403": http_answer("403 Forbidden", b'{"code": "forbidden"}'),
    "404": http_answer("404 Not Found", b'{"code": "not_found"}'),
    "408": http_answer("408 Request Timeout"),
    "425": http_answer("425 Too Early"),
    "429": http_answer("429 Too Many Requests"),
    "500": http_answer("500 Internal Server Error"),
    "503": http_answer("503 Service Unavailable", b"{}", "Retry-After: 7"),
    "204, which acknowledges nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "200 of something else": http_answer("200 OK", b"<html>"),
    "200 without an index": http_answer("200 OK", b'{"ok": true}'),
    "200 with an index that is none": http_answer("200 OK", b'{"index": "7"}'),
    "200 with a list": http_answer("200 OK", b"[]"),
    "400 of something on the way": http_answer("400 Bad Request", b"<html>"),
    "an unknown status": http_answer("799 Odd"),
    "nesting without end": http_answer("200 OK", b"[" * 100_000),
    "not UTF-8": http_answer("200 OK", b"\xff\xfe\xfd"),
    "not HTTP": b"SSH-2.0-OpenSSH_9\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 201 Created\r\nContent-Le",
    "half a body": b'HTTP/1.1 201 Created\r\nContent-Length: 99\r\n\r\n{"index": 7}',
    "half a chunk": b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n{",
    "headers without end": b"HTTP/1.1 201 Created\r\n" + b"X-A: b\r\n" * 1_000,
    "a body beyond the bound": b"HTTP/1.1 201 Created\r\n\r\n" + b" " * (MAX_ANSWER_BYTES + 2),
}


@pytest.mark.parametrize("name", _KEEP)
def test_what_is_no_answer_about_the_marker_keeps_it(name: str, tmp_path: Path) -> None:
    with Stub(_KEEP[name]) as stub:
        posted = post_one(stub.url, tmp_path)
    assert not any(outcome.final for outcome in posted.outcomes)
    assert posted.outcomes or posted.problem
    assert len(posted.problem) < 900
    assert posted.retry_seconds == (7 if name == "503" else None)


@pytest.mark.parametrize("status", [400, 409, 410, 413, 422])
def test_a_refusal_of_deploymark_is_final(status: int, tmp_path: Path) -> None:
    answer = Answer(status, problem(status, "bad_marker", "No such phase."))
    with receiving_server(lambda _: answer) as server:
        (outcome,) = post_one(server.url, tmp_path).outcomes
    assert (outcome.final, outcome.accepted, outcome.status) == (True, False, status)
    assert outcome.content["detail"] == "No such phase."


def test_each_marker_of_a_batch_has_its_own_outcome() -> None:
    results = [
        {"status": 201, "index": 1},
        {"status": 200, "index": 0},
        problem(409, "marker_conflict"),
        problem(403, "key_untrusted"),
        problem(503, "unavailable"),
    ]
    posted = read_answer(207, json.dumps({"results": results}).encode(), 5, "it")
    assert [(each.accepted, each.final) for each in posted.outcomes] == [
        (True, True),
        (True, True),
        (False, True),
        (False, False),
        (False, False),
    ]


def test_a_batch_refused_as_a_whole_may_be_divided() -> None:
    refused = json.dumps(problem(413, "too_large")).encode()
    assert read_answer(413, refused, 2, "it").divisible
    assert not read_answer(503, refused, 2, "it").divisible


_LIES = {
    "fewer results": {"results": [{"status": 201, "index": 1}]},
    "more results": {"results": [{"status": 201, "index": 1}] * 3},
    "a status that is none": {"results": [{"status": 201, "index": 1}, {"status": "201"}]},
    "true as a status": {"results": [{"status": 201, "index": 1}, {"status": True, "index": 1}]},
    "accepted without a place": {"results": [{"status": 201, "index": 1}, {"status": 201}]},
    "results that are none": {"results": 7},
}


@pytest.mark.parametrize("name", _LIES)
def test_an_answer_that_does_not_fit_acknowledges_nothing(name: str) -> None:
    posted = read_answer(207, json.dumps(_LIES[name]).encode(), 2, "it")
    assert (posted.outcomes, bool(posted.problem)) == ((), True)


@given(st.integers(100, 999), st.binary(max_size=60), st.integers(1, 3))
def test_no_answer_of_any_kind_does_harm(status: int, content: bytes, count: int) -> None:
    posted = read_answer(status, content, count, "it")
    assert len(posted.outcomes) in {0, count}


def test_a_redirect_is_not_followed_with_the_token(tmp_path: Path) -> None:
    with receiving_server() as other:
        location = {"Location": f"{other.url}/v1/markers"}
        with receiving_server(lambda _: Answer(307, b"", location)) as server:
            posted = post_one(server.url, tmp_path, token=TOKEN)
    assert "redirects are not followed" in posted.problem
    assert other.requests == []


_WAITS = {"0": 0, "7": 7, "86400": MAX_RETRY_SECONDS, "9" * 4_000: MAX_RETRY_SECONDS}


@pytest.mark.parametrize("asked", _WAITS)
def test_a_wait_that_the_server_asks_for_is_read_and_bounded(asked: str, tmp_path: Path) -> None:
    with Stub(http_answer("503 Unavailable", b"", f"Retry-After: {asked}")) as stub:
        assert post_one(stub.url, tmp_path).retry_seconds == _WAITS[asked]


def test_a_wait_may_be_asked_for_as_a_date(tmp_path: Path) -> None:
    host = SampleHost()
    in_a_minute = dt.datetime.fromtimestamp(host.now_ms() / 1000 + 60, dt.UTC)
    for text, expected in [
        (in_a_minute.strftime("%a, %d %b %Y %H:%M:%S GMT"), 60.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ]:
        with Stub(http_answer("503 Unavailable", b"", f"Retry-After: {text}")) as stub:
            seconds = post_one(stub.url, tmp_path).retry_seconds
        assert seconds is not None
        assert abs(seconds - expected) < 5
    with Stub(http_answer("503 Unavailable", b"", "Retry-After: soon")) as stub:
        assert post_one(stub.url, tmp_path).retry_seconds is None


def test_a_token_that_no_header_can_hold_is_not_sent_and_not_shown(tmp_path: Path) -> None:
    with receiving_server() as server:
        posted = post_one(server.url, tmp_path, token=f"{TOKEN}\r\nX: y")
    assert (server.requests, posted.outcomes) == ([], ())
    assert "Authorization" in posted.problem
    assert TOKEN not in posted.problem


def test_a_server_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert "did not answer" in post_one(NOBODY, tmp_path).problem


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"]
)
def test_a_server_that_never_finishes_is_left_in_time(answer: bytes, tmp_path: Path) -> None:
    with Stub(answer, hold=True) as stub:
        assert "no" in post_one(stub.url, tmp_path, request_seconds=0.2).problem


def test_a_server_that_drips_is_left_in_time(tmp_path: Path) -> None:
    started = time.monotonic()
    with Stub(b"", drip=DRIP) as stub:
        assert post_one(stub.url, tmp_path, request_seconds=0.4).problem
    assert time.monotonic() - started < 60, "ten thousand drips would take eight minutes"
