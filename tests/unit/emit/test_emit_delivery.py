"""Posting to servers that are good, slow, away, lying or hostile, and reading what they say."""

import contextlib
import datetime as dt
import json
import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from emit_samples import NOBODY, SampleHost, settings
from hypothesis import given
from hypothesis import strategies as st

from deploymark.emit.delivery import (
    MAX_ANSWER_BYTES,
    MAX_RETRY_SECONDS,
    Posted,
    Poster,
    read_answer,
)
from deploymark.testing.receiving_server import Answer, problem, receiving_server

_TOKEN = "dmk_id_secret"  # noqa: S105 - an example
_BODIES = [b'{"n":1}', b'{"n":2}']


class _Stub:
    """Answers the first request with some bytes, then drips, holds or closes."""

    def __init__(
        self, answer: bytes, *, hold: bool = False, drip: bytes = b"", tls: Path | None = None
    ) -> None:
        self._answer = answer
        self._hold = hold
        self._drip = drip
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls)
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        scheme = "http" if tls is None else "https"
        self.port = self._listener.getsockname()[1]
        self.url = f"{scheme}://localhost:{self.port}"
        self.received = b""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            with peer:
                connection = peer
                if self._tls is not None:
                    connection = self._tls.wrap_socket(peer, server_side=True)
                with contextlib.closing(connection):
                    self._talk(connection)

    def _talk(self, peer: socket.socket) -> None:
        while not self.received.endswith((b"}", b"]")):
            came = peer.recv(65_536)
            if not came:
                return
            self.received += came
        peer.sendall(self._answer)
        for byte in self._drip:
            peer.send(bytes((byte,)))
            self._released.wait(0.05)
        if self._hold:
            self._released.wait()


def _http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def _poster(url: str, tmp_path: Path, **more: object) -> Poster:
    return Poster(settings(tmp_path, url, **{"request_seconds": 5.0, **more}), SampleHost())


def _post(url: str, tmp_path: Path, **more: object) -> Posted:
    """Post one marker and close."""
    with contextlib.closing(_poster(url, tmp_path, **more)) as poster:
        return poster.post(_BODIES[:1])


def test_markers_are_posted_with_the_token_and_each_has_its_outcome(tmp_path: Path) -> None:
    with receiving_server() as server:
        poster = _poster(server.url, tmp_path, token=_TOKEN)
        first, second = poster.post(_BODIES[:1]), poster.post(_BODIES)
        poster.close()
    assert [outcome.status for outcome in first.outcomes] == [201]
    assert [outcome.status for outcome in second.outcomes] == [200, 201]
    assert [outcome.content["index"] for outcome in second.outcomes] == [0, 1]
    assert (first.problem, second.problem) == ("", "")
    assert server.requests[0].headers["authorization"] == f"Bearer {_TOKEN}"
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
        poster = _poster(server.url, tmp_path)
        for _ in range(3):
            assert poster.post(_BODIES[:1]).problem == ""
        poster.close()
    with receiving_server() as server:
        poster = _poster(server.url, tmp_path)
        poster.post(_BODIES[:1])
    port = int(server.url.rpartition(":")[2])
    with receiving_server(port=port) as server:
        assert poster.post(_BODIES[:1]).problem == ""
        poster.close()


def test_a_big_body_is_packed(tmp_path: Path) -> None:
    bodies = [json.dumps({"n": number, "text": "x" * 1_000}).encode() for number in range(20)]
    with receiving_server() as server:
        poster = _poster(server.url, tmp_path)
        assert len(poster.post(bodies).outcomes) == 20
        poster.close()
    headers = server.requests[0].headers
    assert headers["content-encoding"] == "gzip"
    assert int(headers["content-length"]) < 2_000


_KEEP: dict[str, bytes] = {
    "401": _http("401 Unauthorized"),
    "403": _http("403 Forbidden", b'{"code": "forbidden"}'),
    "404": _http("404 Not Found", b'{"code": "not_found"}'),
    "408": _http("408 Request Timeout"),
    "425": _http("425 Too Early"),
    "429": _http("429 Too Many Requests"),
    "500": _http("500 Internal Server Error"),
    "503": _http("503 Service Unavailable", b"{}", "Retry-After: 7"),
    "204, which acknowledges nothing": b"HTTP/1.1 204 No Content\r\n\r\n",
    "200 of something else": _http("200 OK", b"<html>"),
    "200 without an index": _http("200 OK", b'{"ok": true}'),
    "200 with an index that is none": _http("200 OK", b'{"index": "7"}'),
    "200 with a list": _http("200 OK", b"[]"),
    "400 of something on the way": _http("400 Bad Request", b"<html>"),
    "an unknown status": _http("799 Odd"),
    "nesting without end": _http("200 OK", b"[" * 100_000),
    "not UTF-8": _http("200 OK", b"\xff\xfe\xfd"),
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
    with _Stub(_KEEP[name]) as stub:
        posted = _post(stub.url, tmp_path)
    assert not any(outcome.final for outcome in posted.outcomes)
    assert posted.outcomes or posted.problem
    assert len(posted.problem) < 900
    assert posted.retry_seconds == (7 if name == "503" else None)


@pytest.mark.parametrize("status", [400, 409, 410, 413, 422])
def test_a_refusal_of_deploymark_is_final(status: int, tmp_path: Path) -> None:
    answer = Answer(status, problem(status, "bad_marker", "No such phase."))
    with receiving_server(lambda _: answer) as server:
        (outcome,) = _post(server.url, tmp_path).outcomes
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
            posted = _post(server.url, tmp_path, token=_TOKEN)
    assert "redirects are not followed" in posted.problem
    assert other.requests == []


_WAITS = {"0": 0, "7": 7, "86400": MAX_RETRY_SECONDS, "9" * 4_000: MAX_RETRY_SECONDS}


@pytest.mark.parametrize("asked", _WAITS)
def test_a_wait_that_the_server_asks_for_is_read_and_bounded(asked: str, tmp_path: Path) -> None:
    with _Stub(_http("503 Unavailable", b"", f"Retry-After: {asked}")) as stub:
        assert _post(stub.url, tmp_path).retry_seconds == _WAITS[asked]


def test_a_wait_may_be_asked_for_as_a_date(tmp_path: Path) -> None:
    host = SampleHost()
    in_a_minute = dt.datetime.fromtimestamp(host.now_ms() / 1000 + 60, dt.UTC)
    for text, expected in [
        (in_a_minute.strftime("%a, %d %b %Y %H:%M:%S GMT"), 60.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ]:
        with _Stub(_http("503 Unavailable", b"", f"Retry-After: {text}")) as stub:
            seconds = _post(stub.url, tmp_path).retry_seconds
        assert seconds is not None
        assert abs(seconds - expected) < 5
    with _Stub(_http("503 Unavailable", b"", "Retry-After: soon")) as stub:
        assert _post(stub.url, tmp_path).retry_seconds is None


def test_a_server_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert "did not answer" in _post(NOBODY, tmp_path).problem


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 201 Created\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"]
)
def test_a_server_that_never_finishes_is_left_in_time(answer: bytes, tmp_path: Path) -> None:
    with _Stub(answer, hold=True) as stub:
        assert "no" in _post(stub.url, tmp_path, request_seconds=0.2).problem


@pytest.mark.parametrize("tls", [False, True])
def test_a_server_that_drips_is_left_in_time(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, tls: bool
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    started = time.monotonic()
    drip = b"HTTP/1.1 201 Created\r\nX-Slow: " + b"x" * 10_000
    with _Stub(b"", drip=drip, tls=certificate if tls else None) as stub:
        posted = _post(stub.url, tmp_path, request_seconds=0.4)
    assert posted.problem
    assert time.monotonic() - started < 60, "ten thousand drips would take eight minutes"


# TLS and proxies ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(dt.datetime(2020, 1, 1, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2120, 1, 1, tzinfo=dt.UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def test_a_server_of_an_untrusted_certificate_gets_nothing(
    certificate: Path, tmp_path: Path
) -> None:
    with _Stub(_http("201 Created", b'{"index": 1}'), tls=certificate) as stub:
        posted = _post(stub.url, tmp_path, token=_TOKEN)
    assert "certificate verify failed" in posted.problem
    assert stub.received == b""


def test_a_private_authority_is_trusted_when_the_environment_names_it(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with _Stub(_http("201 Created", b'{"index": 1}'), tls=certificate) as stub:
        posted = _post(stub.url, tmp_path)
    assert [outcome.status for outcome in posted.outcomes] == [201]
    assert f"Host: localhost:{stub.port}\r\n".encode() in stub.received


class _Proxy(_Stub):
    """A proxy that leads every CONNECT to one stub."""

    def __init__(self, behind: _Stub, greeting: bytes) -> None:
        super().__init__(greeting)
        self._behind = behind

    def _talk(self, peer: socket.socket) -> None:
        while not self.received.endswith(b"\r\n\r\n"):
            self.received += peer.recv(65_536)
        peer.sendall(self._answer)
        if not self._answer.startswith(b"HTTP/1.1 200"):
            return
        with socket.create_connection(("127.0.0.1", self._behind.port)) as onward:
            back = threading.Thread(target=_pump, args=(onward, peer))
            back.start()
            _pump(peer, onward)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while content := source.recv(65_536):
            sink.sendall(content)
        sink.shutdown(socket.SHUT_WR)


def _through_proxy(stub: _Stub, proxy: _Proxy, tmp_path: Path) -> Posted:
    # The server's name is not this host's own, which would be reached without a proxy.
    url = f"https://server.example:{stub.port}/prefix/"
    way = f"http://user:pass%40word@127.0.0.1:{proxy.port}"
    return _post(url, tmp_path, proxy=way)


def test_https_goes_through_a_proxy_and_ends_at_the_server(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    established = b"HTTP/1.1 200 Connection established\r\n\r\n"
    with _Stub(b"", tls=certificate) as stub, _Proxy(stub, established) as proxy:
        posted = _through_proxy(stub, proxy, tmp_path)
    # The tunnel stands; the certificate is of another name, and that is seen through it.
    assert "Hostname mismatch" in posted.problem
    assert proxy.received.startswith(f"CONNECT server.example:{stub.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic dXNlcjpwYXNzQHdvcmQ=\r\n" in proxy.received
    assert b"Bearer" not in proxy.received


def test_a_proxy_that_refuses_is_a_problem(certificate: Path, tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with _Stub(b"", tls=certificate) as stub, _Proxy(stub, refusal) as proxy:
        posted = _through_proxy(stub, proxy, tmp_path)
    assert "the proxy refuses the way to it (407)" in posted.problem
