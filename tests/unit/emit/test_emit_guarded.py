"""Requests to addresses that a configuration names reach nothing private, and say what was sent."""

import ipaddress
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from emit_samples import SampleHost
from emit_stubs import Stub, http_answer

from deploymark.emit.guarded import (
    Exchange,
    GuardedClient,
    Network,
    is_public,
    parse_networks,
    parse_target,
)
from deploymark.errors import UsageError

LOOPBACK = parse_networks(["127.0.0.0/8", "::1"])
OK = http_answer("200 OK", b"{}")

TARGETS = {
    "https://hooks.example.com/deploys?key=1": (
        ("hooks.example.com", 443, True, "/deploys?key=1", "https://hooks.example.com")
    ),
    "http://127.0.0.1:8080": ("127.0.0.1", 8080, False, "/", "http://127.0.0.1:8080"),
    "http://localhost/a": ("localhost", 80, False, "/a", "http://localhost"),
    "https://[::1]:8443/a": ("::1", 8443, True, "/a", "https://[::1]:8443"),
}
NO_TARGETS = {
    "another scheme": "ftp://example.com/",
    "no scheme": "example.com/hook",
    "no host": "https:///hook",
    "a user": "https://user@example.com/",
    "a password": "https://user:secret-word@example.com/",
    "a fragment": "https://example.com/#top",
    "a port that is none": "https://example.com:99999/",
    "port 0": "https://example.com:0/",
    "a space": "https://example.com/a b",
    "a line break": "https://example.com/\r\nX: 1",
    "not ASCII": "https://exämple.com/",
    "half an address": "https://[::1/",
    "plain http to another host": "http://example.com/",
    "plain http to an address": "http://10.0.0.1/",
}

PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),  # noqa: S104
    *("100.64.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "198.18.0.1"),
    *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1"),
    *("64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1"),
)
PUBLIC = ("8.8.8.8", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808")


@pytest.mark.parametrize("url", TARGETS)
def test_a_url_says_where_to(url: str) -> None:
    assert tuple(parse_target(url)) == TARGETS[url]


@pytest.mark.parametrize("url", NO_TARGETS.values(), ids=NO_TARGETS)
def test_what_is_no_url_of_a_receiver_is_refused_and_no_password_is_shown(url: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_target(url)
    assert "secret-word" not in refused.value.message + refused.value.hint


def test_plain_http_goes_to_other_hosts_where_that_is_allowed() -> None:
    assert parse_target("http://example.com/", allow_plain_http=True).port == 80


@pytest.mark.parametrize("text", PRIVATE)
def test_an_address_that_not_everybody_reaches_is_private(text: str) -> None:
    assert not is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_that_everybody_reaches_is_public(text: str) -> None:
    assert is_public(ipaddress.ip_address(text))


@pytest.mark.parametrize("text", ["10.0.0.1/8", "example.com", ""])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_networks([text])


def ask(url: str, *, seconds: float = 10, allowed: Sequence[Network] = LOOPBACK) -> Exchange:
    client = GuardedClient(parse_target(url), SampleHost(), seconds, allowed)
    return client.ask("POST", {"X-One": "1"}, b'{"n":1}', query="a=1")


def test_a_request_goes_out_whole_and_the_answer_comes_back() -> None:
    with Stub(http_answer("202 Accepted", b"fine", "Retry-After: 7")) as stub:
        exchange = ask(f"{stub.url}/hook?key=k")
    assert exchange.sent
    assert exchange.response is not None
    assert (exchange.response.status, exchange.response.body) == (202, b"fine")
    assert exchange.wait_seconds(0) == 7
    assert stub.received.decode() == (
        "POST /hook?key=k&a=1 HTTP/1.1\r\n"
        f"Host: localhost:{stub.port}\r\nConnection: close\r\nAccept-Encoding: identity\r\n"
        'User-Agent: deploymark\r\nX-One: 1\r\nContent-Length: 7\r\n\r\n{"n":1}'
    )


def test_a_private_address_is_not_connected_to_unless_it_is_named() -> None:
    with Stub(OK) as stub:
        with pytest.raises(UsageError, match=r"localhost is at .*127\.0\.0\.1.*private"):
            ask(stub.url, allowed=())
        with pytest.raises(UsageError):
            ask(stub.url, allowed=parse_networks(["10.0.0.0/8"]))
        assert ask(stub.url, allowed=parse_networks(["127.0.0.1"])).response is not None


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, *answers: Sequence[str]) -> Iterator[list[str]]:
    """Let a name mean other addresses each time it is looked up."""
    asked: list[str] = []
    left = list(answers)

    def look_up(host: str, port: int, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in left.pop(0)]

    with monkeypatch.context() as patched:
        patched.setattr("deploymark.emit.guarded.socket.getaddrinfo", look_up)
        yield asked


def test_a_name_is_looked_up_once_and_connected_to_where_it_was_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    def connect(address: object, timeout: float) -> socket.socket:
        made.append((address, timeout > 0))
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr("deploymark.emit.connection.socket.create_connection", connect)
    with names(monkeypatch, ["10.0.0.1", "8.8.8.8", "9.9.9.9"]) as asked:
        exchange = ask("https://hooks.example.com/")
    assert asked == ["hooks.example.com"]
    # The private one is left out, the others are tried in turn.
    assert made == [(("8.8.8.8", 443), True), (("9.9.9.9", 443), True)]
    assert not exchange.sent
    assert exchange.problem == "https://hooks.example.com did not answer: Connection refused."


def test_a_name_that_nobody_knows_means_that_nothing_was_sent() -> None:
    exchange = ask("https://nobody.invalid/")
    assert not exchange.sent
    assert exchange.response is None


def test_where_nobody_listens_nothing_was_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    exchange = ask(f"http://127.0.0.1:{port}/")
    assert (exchange.sent, exchange.response) == (False, None)


BROKEN = {
    "nothing": b"",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half a body": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}",
    "something else": b"SSH-2.0-OpenSSH\r\n",
    "far too much": b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1_000_001,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_without_a_whole_answer_the_request_was_sent_all_the_same(answer: bytes) -> None:
    with Stub(answer) as stub:
        exchange = ask(stub.url)
    assert exchange.sent
    assert exchange.response is None
    assert exchange.problem


def test_an_answer_that_does_not_come_in_time_leaves_it_open() -> None:
    with Stub(OK[:20], hold=True) as stub:
        exchange = ask(stub.url, seconds=0.3)
    assert (exchange.sent, exchange.response) == (True, None)


def test_an_answer_may_end_with_the_connection() -> None:
    with Stub(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nfine") as stub:
        exchange = ask(stub.url)
    assert exchange.response is not None
    assert exchange.response.body == b"fine"


def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        Stub(
            http_answer("307 There", b"", f"Location: http://127.0.0.1:{_port(elsewhere)}/")
        ) as stub,
    ):
        exchange = ask(stub.url)
        elsewhere.settimeout(0)
        with pytest.raises(BlockingIOError):
            elsewhere.accept()
    assert exchange.response is not None
    assert exchange.response.status == 307


def _port(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


@pytest.mark.parametrize(
    ("asked", "seconds"),
    {
        "30": 30,
        "99999999999": 3_600,
        "": None,
        "soon": None,
        "-1": None,
        "Thu, 01 Jan 1970 00:01:40 GMT": 40,
        "Thu, 01 Jan 1970 00:00:01 GMT": 0,
    }.items(),
)
def test_retry_after_is_read_as_seconds_or_as_a_date(asked: str, seconds: float | None) -> None:
    with Stub(http_answer("503 Busy", b"", f"Retry-After: {asked}")) as stub:
        assert ask(stub.url).wait_seconds(60_000) == seconds
