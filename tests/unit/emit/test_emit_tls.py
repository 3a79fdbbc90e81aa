"""Posting by TLS and through proxies: who is trusted with a marker and with the token."""

import contextlib
import datetime as dt
import socket
import threading
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from emit_samples import SampleHost
from emit_stubs import BODIES, DRIP, TOKEN, Stub, http_answer, post_one, poster_of

from deploymark.emit.delivery import Posted
from deploymark.emit.guarded import GuardedClient, parse_networks, parse_target

# No host of this name is there, so only the proxy can lead to it.
_BEHIND_PROXY = "deploymark.invalid"


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
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.DNSName(_BEHIND_PROXY)]),
            critical=False,
        )
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
    with Stub(http_answer("201 Created", b'{"index": 1}'), tls=certificate) as stub:
        posted = post_one(stub.url, tmp_path, token=TOKEN)
    assert "certificate verify failed" in posted.problem
    assert stub.received == b""


def test_a_private_authority_is_trusted_when_the_environment_names_it(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Stub(http_answer("201 Created", b'{"index": 1}'), tls=certificate) as stub:
        posted = post_one(stub.url, tmp_path)
    assert [outcome.status for outcome in posted.outcomes] == [201]
    assert f"Host: localhost:{stub.port}\r\n".encode() in stub.received


def test_a_server_that_drips_through_tls_is_left_in_time(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    started = time.monotonic()
    with Stub(b"", drip=DRIP, tls=certificate) as stub:
        assert post_one(stub.url, tmp_path, request_seconds=0.4).problem
    assert time.monotonic() - started < 60, "ten thousand drips would take eight minutes"


class _Patient(Stub):
    """Answers request after request on its only connection."""

    def talk(self, peer: socket.socket) -> None:
        while came := peer.recv(65_536):
            self.received += came
            if came.endswith((b"}", b"]")):
                peer.sendall(self.answer)


def test_one_connection_of_tls_serves_many_posts(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with (
        _Patient(http_answer("201 Created", b'{"index": 1}'), tls=certificate) as stub,
        contextlib.closing(poster_of(stub.url, tmp_path)) as poster,
    ):
        assert [poster.post(BODIES[:1]).problem for _ in range(3)] == ["", "", ""]
    assert stub.received.count(b"POST ") == 3


class _Proxy(Stub):
    """A proxy that leads every CONNECT to one stub."""

    def __init__(self, behind: Stub, greeting: bytes) -> None:
        super().__init__(greeting)
        self._behind = behind

    def talk(self, peer: socket.socket) -> None:
        while not self.received.endswith(b"\r\n\r\n"):
            self.received += peer.recv(65_536)
        peer.sendall(self.answer)
        if not self.answer.startswith(b"HTTP/1.1 200"):
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


_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def _through_proxy(stub: Stub, proxy: _Proxy, tmp_path: Path, name: str = _BEHIND_PROXY) -> Posted:
    url = f"https://{name}:{stub.port}/prefix/"
    way = f"http://user:pass%40word@127.0.0.1:{proxy.port}"
    return post_one(url, tmp_path, proxy=way, token=TOKEN)


def test_a_marker_is_delivered_through_a_proxy_that_sees_neither_it_nor_the_token(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    created = http_answer("201 Created", b'{"index": 1}')
    with Stub(created, tls=certificate) as stub, _Proxy(stub, _ESTABLISHED) as proxy:
        posted = _through_proxy(stub, proxy, tmp_path)
    assert [outcome.status for outcome in posted.outcomes] == [201]
    authority = f"{_BEHIND_PROXY}:{stub.port}".encode()
    assert stub.received.startswith(b"POST /prefix/v1/markers HTTP/1.1\r\nHost: " + authority)
    assert f"Authorization: Bearer {TOKEN}\r\n".encode() in stub.received
    assert stub.received.endswith(BODIES[0])
    assert b"Proxy-Authorization" not in stub.received
    assert proxy.received.split(b"\r\n")[:3] == [
        b"CONNECT " + authority + b" HTTP/1.1",
        b"Host: " + authority,
        b"Proxy-Authorization: Basic dXNlcjpwYXNzQHdvcmQ=",
    ]
    assert b"Bearer" not in proxy.received


def test_a_proxy_that_leads_elsewhere_is_seen_through_it(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Stub(b"", tls=certificate) as stub, _Proxy(stub, _ESTABLISHED) as proxy:
        posted = _through_proxy(stub, proxy, tmp_path, "server.example")
    assert "Hostname mismatch" in posted.problem
    assert stub.received == b""


def test_a_proxy_that_speaks_in_the_place_of_the_server_is_left(
    certificate: Path, tmp_path: Path
) -> None:
    with Stub(b"", tls=certificate) as stub, _Proxy(stub, _ESTABLISHED + b"\x16") as proxy:
        assert "more than its response" in _through_proxy(stub, proxy, tmp_path).problem


def test_a_proxy_that_refuses_is_a_problem(certificate: Path, tmp_path: Path) -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    with Stub(b"", tls=certificate) as stub, _Proxy(stub, refusal) as proxy:
        posted = _through_proxy(stub, proxy, tmp_path)
    assert "the proxy refuses the way to it (407)" in posted.problem


def test_a_guarded_request_trusts_the_authority_that_is_named_and_no_other(
    certificate: Path,
) -> None:
    answer = http_answer("200 OK", b"{}")
    loopback = parse_networks(["127.0.0.0/8", "::1"])
    for authorities, trusted in ((str(certificate), True), ("", False)):
        with Stub(answer, tls=certificate) as stub:
            target = parse_target(stub.url)
            client = GuardedClient(target, SampleHost(), 10, loopback, authorities)
            exchange = client.ask("POST", {}, b"{}")
        assert exchange.sent == trusted == (exchange.response is not None)
        assert (stub.received != b"") == trusted
        assert ("certificate verify failed" in exchange.problem) != trusted
