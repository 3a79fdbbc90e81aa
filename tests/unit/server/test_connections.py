"""What clients of real sockets may not do: dawdle, overflow, crowd, or speak something else."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from door_samples import TIMEOUT_SECONDS, Door, connect, exchange, marker, rest_of, serving

from deploymark.model.vocabulary import Role
from deploymark.server.listening import LOOPBACK
from deploymark.server.protocol import BoundedProtocol, Bounds
from deploymark.server.settings import Settings

NARROW = Bounds(head_bytes=4_096, headers=20, connections=8)
IMPATIENT = replace(NARROW, head_seconds=0.3, linger_seconds=0.3)
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def door_here() -> Iterator[Door]:
    with Door(Settings()) as door:
        yield door


@pytest.fixture(scope="module")
def port(door_here: Door) -> Iterator[int]:
    with serving(door_here, NARROW) as port:
        yield port


@pytest.fixture(scope="module")
def impatient_door() -> Iterator[Door]:
    with Door(Settings(body_seconds=0.3)) as door:
        yield door


@pytest.fixture(scope="module")
def impatient(impatient_door: Door) -> Iterator[int]:
    """Where time runs out soon: only for those who dawdle, or a busy machine is one of them."""
    with serving(impatient_door, IMPATIENT) as port:
        yield port


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


def _post(door: Door, path: bytes = b"/v1/markers") -> bytes:
    token = door.tokens[Role.EMITTER].encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Authorization: Bearer %b\r\n" % (path, token)
    )


def test_a_request_is_answered(port: int) -> None:
    answer = exchange(port, GET + b"Connection: close\r\n\r\n")
    assert _status(answer) == 200
    assert answer.endswith(b"ok\n")
    assert b"server:" not in answer.lower()


_NOT_HTTP = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "no version": b"GET /\r\n\r\n",
    "a space in a header's name": b"GET / HTTP/1.1\r\nHo st: localhost\r\n\r\n",
    "a line feed in a header": b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\nC: d\r\r\n\r\n",
    "two lengths": GET + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "length and chunks": GET + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a negative length": GET + b"Content-Length: -1\r\n\r\n",
    "a bad chunk": GET + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "an address with bytes beyond ASCII": b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"GET /v1/markers HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", _NOT_HTTP.values(), ids=_NOT_HTTP)
def test_what_is_not_http_is_a_400_or_no_answer(port: int, request_bytes: bytes) -> None:
    with connect(port) as peer:
        peer.sendall(request_bytes)
        peer.shutdown(socket.SHUT_WR)
        answer = rest_of(peer)
    assert _status(answer) in {0, 400}, answer
    if answer:
        assert b"x-content-type-options: nosniff" in answer
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["code"] == "bad_request"


def test_a_web_socket_is_not_opened(port: int) -> None:
    upgrade = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    with connect(port) as peer:
        peer.sendall(GET + upgrade)
        assert _status(peer.recv(65_536)) in {200, 400}


_SLOW = {
    "nothing at all": b"",
    "the beginning of a head": b"GET / HT",
    "a head without its end": GET,
    "blank lines": b"\r\n",
}


@pytest.mark.parametrize("beginning", _SLOW.values(), ids=_SLOW)
def test_a_head_that_does_not_arrive_closes_the_connection(
    impatient: int, beginning: bytes
) -> None:
    assert exchange(impatient, beginning) == b""


def test_a_head_that_drips_closes_the_connection(impatient: int) -> None:
    with connect(impatient) as peer:
        peer.sendall(GET)
        sent = 0
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            for _ in range(1_000):
                peer.sendall(b"X")
                sent += 1
                threading.Event().wait(0.02)
        assert sent < 1_000
    assert _status(exchange(impatient, GET + b"Connection: close\r\n\r\n")) == 200


def test_a_second_head_must_arrive_too(impatient: int) -> None:
    with connect(impatient) as peer:
        peer.sendall(GET + b"\r\n")
        assert _status(peer.recv(65_536)) == 200
        peer.sendall(b"GET /healthz HT")
        assert rest_of(peer) == b""


def test_a_body_that_does_not_arrive_is_a_408(impatient_door: Door, impatient: int) -> None:
    with connect(impatient) as peer:
        peer.sendall(_post(impatient_door) + b"Content-Length: 100\r\n\r\n{")
        answer = rest_of(peer)
    assert _status(answer) == 408
    assert b'"code":"request_timeout"' in answer
    assert b'"retryable":true' in answer


_LARGE_HEADS = {
    "one long header": GET + b"X: " + b"x" * 5_000 + b"\r\n\r\n",
    "one long header without an end": GET + b"X: " + b"x" * 5_000,
    "a long address": b"GET /" + b"x" * 5_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: 1\r\n" % n for n in range(30)) + b"\r\n",
}


@pytest.mark.parametrize("head", _LARGE_HEADS.values(), ids=_LARGE_HEADS)
def test_a_large_head_is_a_431(port: int, head: bytes) -> None:
    answer = exchange(port, head)
    assert _status(answer) == 431
    assert b'"status":431' in answer
    assert b"connection: close" in answer


def test_ten_megabytes_are_refused_and_the_refusal_can_be_read(door_here: Door, port: int) -> None:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=TIMEOUT_SECONDS)
    headers = {
        "Content-Type": "application/json",
        "Authorization": f"Bearer {door_here.tokens[Role.EMITTER]}",
    }
    connection.request("POST", "/v1/markers", b" " * (10 << 20), headers)
    answer = connection.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (413, "too_large")
    connection.close()


def test_a_body_without_an_end_is_not_read_for_ever(impatient_door: Door, impatient: int) -> None:
    sent = 0
    with connect(impatient) as peer, contextlib.suppress(OSError):
        peer.sendall(_post(impatient_door) + b"Transfer-Encoding: chunked\r\n\r\n")
        while sent < 1 << 30:
            peer.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            sent += 0x10000
            threading.Event().wait(0.001)
    assert sent < 1 << 30


def test_a_refused_body_that_waits_for_a_go_ahead_is_not_waited_for(port: int) -> None:
    request = GET.replace(b"GET /healthz", b"POST /v1/markers") + (
        b"Content-Type: text/plain\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    )
    answer = exchange(port, request)
    assert _status(answer) == 415


def test_after_a_refusal_the_connection_is_of_use_once_the_body_came(
    door_here: Door, port: int
) -> None:
    with connect(port) as peer:
        peer.sendall(b"POST /nix HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nab")
        assert _status(peer.recv(65_536)) == 404
        peer.sendall(b"cd" + GET + b"Connection: close\r\n\r\n")
        assert _status(rest_of(peer)) == 200
    assert door_here.log.store.head().size == 1


def test_requests_in_one_piece_are_answered_in_their_order(port: int) -> None:
    second = GET.replace(b"/healthz", b"/readyz") + b"Connection: close\r\n\r\n"
    answer = exchange(port, GET + b"\r\n" + second)
    assert answer.count(b"HTTP/1.1 200") == 2
    assert answer.index(b"ok\n") < answer.index(b"ready\n")


def test_connections_are_bounded_and_come_free_again(port: int) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(NARROW.connections):
            peer = stack.enter_context(connect(port))
            peer.sendall(GET + b"\r\n")
            assert _status(peer.recv(65_536)) == 200
        refused = exchange(port, b"")
        assert _status(refused) == 503
        assert b"retry-after: 1" in refused
    for _ in range(100):
        if _status(exchange(port, GET + b"Connection: close\r\n\r\n")) == 200:
            return
        threading.Event().wait(0.02)
    pytest.fail("no connection came free")


def test_connections_of_one_peer_are_bounded_but_not_of_this_host(
    door_here: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds = Bounds(per_peer=1)
    with serving(door_here, bounds) as port, connect(port) as first:
        first.sendall(GET + b"\r\n")
        assert _status(first.recv(65_536)) == 200
        assert _status(exchange(port, GET + b"Connection: close\r\n\r\n")) == 200
        monkeypatch.setattr("deploymark.server.protocol._is_exempt", lambda _: False)
        with connect(port) as second:
            second.sendall(GET + b"\r\n")
            assert _status(second.recv(65_536)) == 200
            assert _status(exchange(port, b"")) == 503
    assert BoundedProtocol.peers == {}


def test_markers_of_many_connections_are_admitted(door_here: Door, port: int) -> None:
    answers: list[int] = []

    def hand_in(number: int) -> None:
        body = json.dumps(marker(1_000 + number)).encode()
        length = b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        answers.append(_status(exchange(port, _post(door_here) + length + body)))

    threads = [threading.Thread(target=hand_in, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [201] * 6
