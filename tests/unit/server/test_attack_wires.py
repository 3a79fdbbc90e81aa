"""Attacks on the wire: requests of two meanings, bodies without an end, floods."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from door_samples import Door, connect, exchange, marker, rest_of, serving

from deploymark.model.vocabulary import Role
from deploymark.server.protocol import Bounds

GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\nConnection: close\r\n"
MEGABYTE = 1_024 * 1_024


@pytest.fixture(scope="module")
def door_here() -> Iterator[Door]:
    with Door() as door:
        yield door


@pytest.fixture(scope="module")
def port(door_here: Door) -> Iterator[int]:
    with serving(door_here) as port:
        yield port


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def _token(door: Door) -> bytes:
    return b"Authorization: Bearer %b\r\n" % door.tokens[Role.EMITTER].encode()


# Requests of two meanings ------------------------------------------------------------------------


def test_a_trailer_is_no_header(door_here: Door, port: int) -> None:
    # What a proxy in front checks or takes away, such as Authorization, it does in the head.
    token = door_here.tokens[Role.ADMIN].encode()
    trailer = b"Authorization: Bearer %b\r\n" % token
    body = b"2\r\n{}\r\n0\r\n" + trailer + b"\r\n"
    assert _status(exchange(port, POST % (b"/v1/tokens", CHUNKED) + body)) in {400, 401}


_BODIES = {
    "length and chunks": b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
    "chunks twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "chunks, then something": b"Transfer-Encoding: chunked, gzip\r\n",
    "two lengths": b"Content-Length: 4\r\nContent-Length: 5\r\n",
    "a signed length": b"Content-Length: +4\r\n",
    "a length too large for anybody": b"Content-Length: 99999999999999999999\r\n",
    "a length in a list": b"Content-Length: 4, 4\r\n",
}


@pytest.mark.parametrize("lines", _BODIES.values(), ids=_BODIES)
def test_no_second_request_hides_in_a_body(door_here: Door, port: int, lines: bytes) -> None:
    size = door_here.log.store.head().size
    token = b"Authorization: Bearer %b\r\n" % door_here.tokens[Role.EMITTER].encode()
    said = json.dumps(marker(7_001)).encode()
    hidden = POST % (b"/v1/markers", token + b"Content-Length: %d\r\n" % len(said)) + said
    with connect(port) as peer:
        peer.sendall(POST % (b"/v1/markers", lines) + b"0\r\n\r\n" + hidden)
        peer.shutdown(socket.SHUT_WR)
        answer = rest_of(peer)
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert _status(answer) in {0, 400}
    assert door_here.log.store.head().size == size


@pytest.mark.parametrize("at_once", [True, False])
def test_an_offer_to_speak_http_2_is_declined_and_the_marker_taken(
    door_here: Door, port: int, *, at_once: bool
) -> None:
    # As `curl --http2` and Java's HttpClient send it to any http address. The offer may be
    # ignored, and the request is answered as it stands (RFC 9110, 7.8).
    said = json.dumps(marker(7_100 + at_once)).encode()
    head = POST % (
        b"/v1/markers",
        b"Authorization: Bearer %b\r\nConnection: Upgrade, HTTP2-Settings, close\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Length: %d\r\n"
        % (door_here.tokens[Role.EMITTER].encode(), len(said)),
    )
    with connect(port) as peer:
        peer.sendall(head + said if at_once else head)
        if not at_once:
            peer.sendall(said)
        answer = rest_of(peer)
    assert _status(answer) == 201, answer


def test_offers_to_speak_http_2_may_follow_each_other(door_here: Door, port: int) -> None:
    offer = _token(door_here) + b"Connection: Upgrade\r\nUpgrade: h2c\r\n"
    asked = b""
    for number in range(3):
        said = json.dumps(marker(7_200 + number)).encode()
        asked += POST % (b"/v1/markers", offer + b"Content-Length: %d\r\n" % len(said)) + said
    answer = exchange(port, asked + GET % (b"/healthz", b"Upgrade: x\r\n"))
    assert [each[:3] for each in answer.split(b"HTTP/1.1 ")[1:]] == [b"201"] * 3 + [b"200"]


def test_nobody_is_connected_to_somebody_else(port: int) -> None:
    asked = b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert _status(exchange(port, asked)) == 400


def test_a_body_that_breaks_its_form_is_a_400(door_here: Door, port: int) -> None:
    head = POST % (b"/v1/markers", _token(door_here) + CHUNKED)
    with connect(port) as peer:
        peer.sendall(head + b"2\r\n{}\r\n")
        peer.sendall(b"zz\r\n")
        assert _status(rest_of(peer)) == 400


def test_a_body_may_come_in_chunks_of_one_byte(door_here: Door, port: int) -> None:
    # More stands around these bytes than a head may have.
    said = json.dumps(marker(7_300, reason="x" * 2_000)).encode() + b" " * 8_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in said)
    head = POST % (b"/v1/markers", _token(door_here) + CHUNKED)
    assert _status(exchange(port, head + chunks + b"0\r\n\r\n")) == 201


# Floods ------------------------------------------------------------------------------------------

FLOOD_BYTES = 32 * MEGABYTE
_ENDLESS = {
    "a trailer": b"2\r\n{}\r\n0\r\nx: ",
    "many trailers": b"2\r\n{}\r\n0\r\n" + b"a: b\r\n" * 1_000,
    "a chunk's extension": b"2;x=",
    "zeros before a chunk's size": b"0" * 64,
}


@pytest.mark.parametrize("begin", _ENDLESS.values(), ids=_ENDLESS)
def test_what_is_sent_around_a_body_is_bounded(port: int, begin: bytes) -> None:
    # Nobody counts it and no flow control holds it back: one stranger fed a trailer of 115 MB in
    # twelve seconds, all of it in memory and copied again for every part.
    with connect(port) as peer:
        peer.sendall(POST % (b"/v1/markers", CHUNKED) + begin)
        assert _sent_until_closed(peer, b"0" * 65_536) < FLOOD_BYTES


def _sent_until_closed(peer: socket.socket, part: bytes) -> int:
    sent = 0
    with contextlib.suppress(OSError):
        while sent < FLOOD_BYTES:
            sent += peer.send(part)
    return sent


def test_strangers_bodies_do_not_fill_the_memory(door: Door) -> None:
    # Anyone may hand in signed markers, so anyone may have a batch held for them until it is
    # whole: 4 MB for each of 4,096 connections.
    held = b"[" + b" " * (4 * MEGABYTE - 2)
    length = b"Content-Length: %d\r\n" % (4 * MEGABYTE)
    with serving(door, Bounds(linger_seconds=0.2)) as port, contextlib.ExitStack() as peers:
        waiting = [peers.enter_context(connect(port)) for _ in range(72)]
        answered = []
        for peer in waiting:
            with contextlib.suppress(OSError):  # refused, and closed meanwhile
                peer.sendall(POST % (b"/v1/markers", length) + held)
            peer.settimeout(0.01)
            with contextlib.suppress(OSError):
                answered.append(_status(peer.recv(64)))
    assert set(answered) & {401, 403, 413, 429, 503}, "288 MB are held for nobody in particular"


def test_a_flood_of_pipelined_requests_is_answered_in_order(port: int) -> None:
    many = 500
    ask = b"".join(
        b"GET /problems/x%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % number for number in range(many)
    )
    with connect(port) as peer:
        sender = threading.Thread(target=peer.sendall, args=(ask + GET % (b"/healthz", b""),))
        sender.start()
        answer = rest_of(peer)
        sender.join()
    places = [answer.find(b"'x%d'" % number) for number in range(many)]
    assert min(places) > 0
    assert all(one < other for one, other in pairwise(places))
    assert answer.endswith(b"ok\n")


def test_strangers_do_not_fill_our_log_with_what_is_not_http(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    # A line each: one connection after the other wrote 0.8 MB a second.
    for _ in range(50):
        assert _status(exchange(port, b"x\r\n\r\n")) == 400
    assert len(caplog.records) < 10
