"""A Prometheus is asked safely: who, within bounds, and nothing else than it is believed."""

import base64
import contextlib
import datetime as dt
import socket
import ssl
import threading
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploymark.errors import CountsUnavailableError, QueryError, UsageError
from deploymark.integrations.prometheus import client as client_module
from deploymark.integrations.prometheus.client import PrometheusClient, PrometheusSettings
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.ports import Cohort, MetricQuery

EMPTY = b'{"status":"success","data":{"resultType":"matrix","result":[]}}'
ERRORS = MetricQuery("errors", "events", "requests_total", "errors_total")
COHORT = Cohort("shop", "prod", ("d-one",))
SECONDS = 20


def http(status: str, body: bytes = b"", *headers: str, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {size}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


class Stub:
    """Answers every connection with the same bytes, then drips or closes.

    Attributes:
        heard: The requests.
    """

    def __init__(self, answer: bytes, *, drip: bytes = b"", tls: Path | None = None) -> None:
        self._answer, self._drip = answer, drip
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls)
        self.heard: list[bytes] = []
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join(SECONDS)

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                peer, _ = self._listening.accept()
                with peer:
                    peer.settimeout(SECONDS)
                    self._talk(self._tls.wrap_socket(peer, server_side=True) if self._tls else peer)

    def _talk(self, peer: socket.socket) -> None:
        with peer:
            heard = b""
            while b"\r\n\r\n" not in heard or not heard.split(b"\r\n\r\n", 1)[1]:
                heard += peer.recv(65_536)
            self.heard.append(heard)
            peer.sendall(self._answer)
            for place in range(len(self._drip)):
                if self._ended.wait(0.02):
                    return
                peer.sendall(self._drip[place : place + 1])

    def headers(self) -> list[str]:
        """Return the lines of the last request's head."""
        return self.heard[-1].split(b"\r\n\r\n", 1)[0].decode().split("\r\n")


def client(port: int, **more: object) -> PrometheusClient:
    said = {"url": f"http://127.0.0.1:{port}", "timeout_seconds": SECONDS, **more}
    return PrometheusClient("prom-1", msgspec.convert(said, PrometheusSettings))


def ask(stub: Stub, **more: object) -> None:
    assert client(stub.port, **more).ask("up", 1_500, 4_500, 1_000) == []


def test_a_question_is_what_the_api_reads() -> None:
    with Stub(http("200 OK", EMPTY)) as stub:
        ask(stub, url=f"http://127.0.0.1:{stub.port}/prometheus/", timeout_seconds=20)
        head, _, body = stub.heard[0].partition(b"\r\n\r\n")
        assert head.startswith(b"POST /prometheus/api/v1/query_range HTTP/1.1\r\n")
        assert b"authorization" not in head.lower()
        assert parse_qs(body.decode()) == {
            "query": ["up"],
            "start": ["1.500"],
            "end": ["4.500"],
            "step": ["1.000"],
            "timeout": ["20.000"],
        }


UNAVAILABLE = {
    "a login page of a proxy": http("200 OK", b"<html>Please log in</html>"),
    "an error in HTML": http("502 Bad Gateway", b"<html>"),
    "a redirect": http("302 Found", b"", "Location: https://elsewhere.example/"),
    "no permission": http("403 Forbidden", b"no"),
    "a time-out of the query": http(
        "503 Service Unavailable", b'{"status":"error","errorType":"timeout","error":"slow"}'
    ),
    "a query that failed": http(
        "422 Unprocessable Entity", b'{"status":"error","errorType":"execution","error":"many"}'
    ),
    "an error that says success": http("200 OK", b'{"status":"error","data":null}'),
    "a partial answer": http("200 OK", EMPTY[:-1] + b',"warnings":["a store is away"]}'),
    "an answer that is cut": http("200 OK", EMPTY, length=len(EMPTY) + 9),
    "no HTTP": b"SSH-2.0-OpenSSH\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("name", UNAVAILABLE)
def test_what_is_no_whole_answer_says_nothing(name: str) -> None:
    with (
        Stub(UNAVAILABLE[name]) as stub,
        pytest.raises(CountsUnavailableError) as caught,
    ):
        ask(stub)
    assert caught.value.retryable


def test_a_question_that_it_cannot_read_is_refused_for_good() -> None:
    told = b'{"status":"error","errorType":"bad_data","error":"parse error"}'
    with (
        Stub(http("400 Bad Request", told)) as stub,
        pytest.raises(QueryError, match="parse error"),
    ):
        ask(stub)


def test_an_answer_that_is_too_long_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "MAX_ANSWER_BYTES", len(EMPTY) - 1)
    with (
        Stub(http("200 OK", EMPTY)) as stub,
        pytest.raises(CountsUnavailableError, match="without its end"),
    ):
        ask(stub)


def test_an_answer_that_comes_byte_by_byte_is_waited_for_only_so_long() -> None:
    with (
        Stub(b"HTTP/1.1 200 OK\r\nX-Slow: ", drip=b"x" * 10_000) as stub,
        pytest.raises(CountsUnavailableError, match=r"within 0\.3 seconds"),
    ):
        ask(stub, timeout_seconds=0.3)


def test_one_that_is_not_there_is_unavailable_for_the_source_as_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    settings = PrometheusSettings(url=f"http://127.0.0.1:{port}", scrape_seconds=5)
    source = PrometheusCounts("prom-1", settings)
    assert (source.name, source.lag_ms) == ("prom-1", 10_000)
    with pytest.raises(CountsUnavailableError, match="prom-1 did not answer"):
        source.count(COHORT, [ERRORS], 0, 10_000, 10_000)


# Who asks ----------------------------------------------------------------------------------------


def test_a_token_is_read_anew_for_each_question(tmp_path: Path) -> None:
    file = tmp_path / "token"
    with Stub(http("200 OK", EMPTY)) as stub:
        for token in ("one", "two"):
            file.write_text(f"{token}\n")
            ask(stub, token_file=str(file))
            assert f"Authorization: Bearer {token}" in stub.headers()


def test_a_password_goes_with_its_user(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret")
    with Stub(http("200 OK", EMPTY)) as stub:
        ask(stub, user="judge", password_file=str(file))
        said = base64.b64encode(b"judge:s3cret").decode()
        assert f"Authorization: Basic {said}" in stub.headers()


@pytest.mark.parametrize("content", [None, b"", b"two\nlines", b"\xff\xfe", b"x" * 20_000])
def test_a_secret_that_is_none_is_never_sent_or_shown(
    tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with (
        Stub(http("200 OK", EMPTY)) as stub,
        pytest.raises(CountsUnavailableError) as caught,
    ):
        ask(stub, token_file=str(file))
    assert stub.heard == []
    assert "lines" not in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {"url": "ftp://prometheus.example"},
        {"url": "http://prometheus.example"},
        {"url": "https://user:pass@prometheus.example"},
        {"url": "https://prometheus.example?x=1"},
        {"url": "https://prometheus.example:port"},
        {"url": "https:// prometheus.example"},
        {"url": ""},
        {"user": "judge"},
        {"password_file": "password"},
        {"user": "judge", "password_file": "password", "token_file": "token"},
        {"url": "https://prometheus.example", "ca_file": "missing.pem"},
    ],
)
def test_settings_that_make_no_sense_are_refused_at_once(said: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        client(1, **said)
    assert "pass@" not in str(caught.value)


def test_a_look_back_that_fits_no_question_is_refused() -> None:
    settings = PrometheusSettings(url="http://127.0.0.1:9090", scrape_seconds=1)
    PrometheusCounts("prom-1", settings)
    too_long = msgspec.structs.replace(settings, look_back_seconds=2_000)
    with pytest.raises(UsageError, match="2000 scrapes"):
        PrometheusCounts("prom-1", too_long)


def test_plain_http_in_a_network_that_is_trusted_can_be_allowed() -> None:
    client(1, url="http://prometheus.example", allow_plain_http=True)
    client(1, url="http://[::1]:9090")


@pytest.mark.parametrize(
    "said", [{"join": []}, {"join": ["a-b"]}, {"info": "a{}"}, {"scrape_seconds": 0}, {"step": 1}]
)
def test_settings_are_checked_where_they_are_read(said: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        client(1, **said)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its own certificate for localhost."""
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
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_a_private_authority_is_trusted_when_it_is_named_and_only_then(certificate: Path) -> None:
    with Stub(http("200 OK", EMPTY), tls=certificate) as stub:
        url = f"https://localhost:{stub.port}"
        ask(stub, url=url, ca_file=str(certificate))
        with pytest.raises(CountsUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
            ask(stub, url=url)
        assert len(stub.heard) == 1
