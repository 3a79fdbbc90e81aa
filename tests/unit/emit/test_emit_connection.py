"""One connection, and when it may carry another request."""

import contextlib
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from emit_samples import SampleHost, settings

from deploymark.emit.connection import Connection, Deadline
from deploymark.emit.endpoint import parse_endpoint
from deploymark.errors import ServerUnavailableError

_REQUEST = b"POST / HTTP/1.1\r\n\r\n"
_RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture
def deadline() -> Deadline:
    deadline = Deadline(SampleHost())
    deadline.set(10.0)
    return deadline


@pytest.fixture
def pair(tmp_path: Path, deadline: Deadline) -> Iterator[tuple[Connection, socket.socket]]:
    """A connection and its peer."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        connection = Connection(parse_endpoint(settings(tmp_path, url)), deadline)
        peer, _ = listener.accept()
        with peer, contextlib.closing(connection):
            yield connection, peer


def _wait_for_bytes(connection: Connection) -> None:
    select.select([connection._socket], [], [], 10.0)


def test_a_connection_carries_one_request_after_the_other(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, peer = pair
    for _ in range(2):
        assert connection.is_quiet()
        peer.sendall(_RESPONSE)
        assert connection.ask(_REQUEST, 9).body == b"{}"
        assert peer.recv(99) == _REQUEST


def test_it_is_over_when_the_peer_ended_it(pair: tuple[Connection, socket.socket]) -> None:
    connection, peer = pair
    peer.shutdown(socket.SHUT_WR)
    _wait_for_bytes(connection)
    assert not connection.is_quiet()


def test_it_is_over_when_something_came_that_nobody_asked_for(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, peer = pair
    peer.sendall(_RESPONSE)
    _wait_for_bytes(connection)
    assert not connection.is_quiet()


def test_it_is_over_when_it_was_closed(pair: tuple[Connection, socket.socket]) -> None:
    connection, _ = pair
    connection.close()
    connection.close()
    assert not connection.is_quiet()


def test_a_peer_that_ends_within_a_response_gave_none(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, peer = pair
    peer.sendall(_RESPONSE[:-1])
    peer.shutdown(socket.SHUT_WR)
    with pytest.raises(ServerUnavailableError, match="before the end of its response"):
        connection.ask(_REQUEST, 9)


def test_nothing_is_waited_for_when_the_time_is_over(
    pair: tuple[Connection, socket.socket], deadline: Deadline
) -> None:
    connection, peer = pair
    peer.sendall(_RESPONSE)
    deadline.set(0.0)
    with pytest.raises(TimeoutError, match="no whole answer within 0 seconds"):
        connection.ask(_REQUEST, 9)


def test_a_connection_that_is_abandoned_lives_on_in_the_parent(
    pair: tuple[Connection, socket.socket],
) -> None:
    connection, peer = pair
    # What a fork leaves: two descriptors of one connection, here both in one process.
    with connection._socket.dup() as parents:
        connection.abandon()
        parents.sendall(b"still there")
        assert peer.recv(99) == b"still there"
