"""How commands talk to a server that is not what they expect."""

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.main import exit_code
from deploymark.emit.settings import Settings
from deploymark.errors import (
    DeploymarkError,
    ForbiddenError,
    NotFoundError,
    RefusedError,
    ServerUnavailableError,
    UnauthenticatedError,
    UnavailableError,
    UsageError,
)


@contextmanager
def answering(answer: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """A server that says the same to everybody; yields its URL and what it was asked."""
    asked: list[bytes] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(b"".join(iter(self.rfile.readline, b"\r\n")))
            self.wfile.write(answer)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def http(status: str, body: str) -> bytes:
    """Return an HTTP answer."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()


ANSWERS: dict[str, tuple[bytes, type[DeploymarkError], int]] = {
    "nothing": (b"", ServerUnavailableError, 69),
    "no HTTP": (b"SSH-2.0\r\n\r\n", ServerUnavailableError, 69),
    "a page": (http("200 OK", "<html>"), ServerUnavailableError, 69),
    "a list": (http("200 OK", "[]"), ServerUnavailableError, 69),
    "half an answer": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{",
        ServerUnavailableError,
        69,
    ),
    "a deep answer": (http("200 OK", "[" * 100_000), ServerUnavailableError, 69),
    "a redirect": (http("302 Found", ""), ServerUnavailableError, 69),
    "a page about an error": (http("502 Bad Gateway", "<html>"), ServerUnavailableError, 69),
    "an unknown problem": (http("400 X", '{"code":"new","detail":"d"}'), RefusedError, 64),
    "an unknown failure": (http("500 X", '{"code":"new","detail":"d"}'), UnavailableError, 69),
    "no token": (
        http("401 X", '{"code":"unauthenticated","detail":"d"}'),
        UnauthenticatedError,
        77,
    ),
    "another role": (http("403 X", '{"code":"forbidden","detail":"d"}'), ForbiddenError, 77),
    "not found": (
        http("404 X", '{"code":"not_found","detail":"d","hint":null}'),
        NotFoundError,
        64,
    ),
}


@pytest.mark.parametrize(("answer", "kind", "code"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer_may_be(answer: bytes, kind: type[DeploymarkError], code: int) -> None:
    with answering(answer) as (url, _), pytest.raises(kind) as caught:
        Client(Settings(url=url)).get("/v1/session")
    assert caught.type is kind
    assert exit_code(caught.value) == code
    assert caught.value.hint


def test_the_token_is_shown_and_a_path_below_the_server_s_is_kept() -> None:
    with answering(http("200 OK", "{}")) as (url, asked):
        Client(Settings(url=f"{url}/marks/", token="dmk_x")).get(  # noqa: S106 - no token
            "/v1/x", {"a": ["1", "2 3"], "b": None}
        )
    assert asked[0].startswith(b"GET /marks/v1/x?a=1&a=2+3 HTTP/1.1\r\n")
    assert b"\r\nAuthorization: Bearer dmk_x\r\n" in asked[0]


@pytest.mark.parametrize("token", ["a\nb", "é", "a\r\nX: y"])
def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(UsageError) as caught:
        Client(Settings(token=token))
    assert token not in str(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://a", "http://192.0.2.1", "https://a:b@c", "http://["])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError):
        Client(client_settings(url))


PATHS = {
    "d-1~2": "/v1/x/d-1~2",
    "../y": "/v1/x/..%2Fy",
    "a?b#c": "/v1/x/a%3Fb%23c",
    "é": "/v1/x/%C3%A9",
}


@pytest.mark.parametrize(("part", "path"), PATHS.items())
def test_what_a_user_wrote_stays_one_part_of_a_path(part: str, path: str) -> None:
    assert path_of("x", part) == path
