"""The HTTP client of a witness: against the real server, and against bad ones."""

import contextlib
import datetime as dt
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from deploymark.errors import (
    DeploymarkError,
    NoteError,
    UsageError,
    WitnessBehindError,
    WitnessConfigurationError,
    WitnessRefusedError,
    WitnessUnavailableError,
)
from deploymark.integrations.witness_http import MAX_ANSWER_BYTES, HttpWitness
from deploymark.log.witness import format_request, trusted_logs
from deploymark.server.witness import witness_app
from deploymark.storage.witness_state import MemoryWitnessState
from deploymark.testing.clock import ManualClock
from deploymark.testing.witness import SampleLog, exercise_witness, sample_cosigners
from deploymark.testing.witness_server import running_witness

_VKEY = sample_cosigners()[0].vkey
_LOG = SampleLog()
_NOTE = _LOG.note(7)
_BODY = format_request(3, _LOG.proof(3, 7), _NOTE)
_SIZE = "Content-Type: text/x.tlog.size"


def test_the_client_and_the_server_pass_the_suite() -> None:
    with contextlib.ExitStack() as running:

        def make(vkeys: Sequence[str]) -> HttpWitness:
            signers = sample_cosigners()
            app = witness_app(trusted_logs(vkeys), signers, MemoryWitnessState(), ManualClock())
            return HttpWitness(_VKEY, running.enter_context(running_witness(app)))

        exercise_witness(make)


class _Stub:
    """Answers every request with the same bytes and remembers what came."""

    def __init__(self, answer: bytes, *, hold: bool = False, drip: bytes = b"") -> None:
        self._answer = answer
        self._hold = hold
        self._drip = drip
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        self.port = self._listener.getsockname()[1]
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
                while not self.received.endswith(_BODY):
                    self.received += peer.recv(65_536) or _BODY
                peer.sendall(self._answer)
                for byte in self._drip:
                    peer.send(bytes((byte,)))
                    self._released.wait(0.05)
                if self._hold:
                    self._released.wait()


def _http(status: str, body: bytes = b"", *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def _ask(stub: _Stub, timeout_seconds: float = 5) -> str:
    witness = HttpWitness(_VKEY, f"http://127.0.0.1:{stub.port}/w/", timeout_seconds)
    return witness.add_checkpoint(3, _LOG.proof(3, 7), _NOTE)


def test_a_request_is_what_a_witness_reads() -> None:
    with _Stub(_http("200 OK", "— some line\n".encode())) as stub:
        assert _ask(stub) == "— some line\n"
    head, _, body = stub.received.partition(b"\r\n\r\n")
    assert head.startswith(b"POST /w/add-checkpoint HTTP/1.1\r\n")
    assert body == _BODY


_ANSWERS: dict[str, tuple[bytes, type[DeploymarkError]]] = {
    "400": (_http("400 Bad Request", b"No.\n"), WitnessConfigurationError),
    "403": (_http("403 Forbidden"), WitnessConfigurationError),
    "404": (_http("404 Not Found"), WitnessConfigurationError),
    "405, not a witness": (_http("405 Method Not Allowed"), WitnessConfigurationError),
    "a redirect": (
        _http("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/add-checkpoint"),
        WitnessConfigurationError,
    ),
    "422": (_http("422 Unprocessable Content"), WitnessRefusedError),
    "409 without a size": (_http("409 Conflict", b"Other root.\n"), WitnessRefusedError),
    "409 with a size": (_http("409 Conflict", b"12\n", _SIZE), WitnessBehindError),
    "409 with a size and a charset": (
        _http("409 Conflict", b"12\n", "Content-Type: Text/X.tlog.size; charset=utf-8"),
        WitnessBehindError,
    ),
    "409 with a size that is none": (
        _http("409 Conflict", b"twelve\n", _SIZE),
        WitnessUnavailableError,
    ),
    "409 with a size cut short": (_http("409 Conflict", b"12", _SIZE), WitnessUnavailableError),
    "409 with an endless size": (
        _http("409 Conflict", b"1" * 50_000 + b"\n", _SIZE),
        WitnessUnavailableError,
    ),
    "408": (_http("408 Request Timeout"), WitnessUnavailableError),
    "429": (_http("429 Too Many Requests"), WitnessUnavailableError),
    "500": (_http("500 Internal Server Error"), WitnessUnavailableError),
    "503": (_http("503 Service Unavailable"), WitnessUnavailableError),
    "a success that is none": (_http("204 No Content"), WitnessUnavailableError),
    "an unknown status": (_http("799 Odd"), WitnessUnavailableError),
    "a body that is not UTF-8": (_http("200 OK", b"\xff\xfe"), WitnessUnavailableError),
    "a body too long": (
        _http("200 OK", b"x" * (MAX_ANSWER_BYTES + 1)),
        WitnessUnavailableError,
    ),
    "a body without end": (
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (2 * MAX_ANSWER_BYTES),
        WitnessUnavailableError,
    ),
    "a body cut short": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nline",
        WitnessUnavailableError,
    ),
    "not HTTP": (b"SSH-2.0-OpenSSH_9\r\n", WitnessUnavailableError),
    "nothing": (b"", WitnessUnavailableError),
    "endless headers": (
        b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 1000,
        WitnessUnavailableError,
    ),
}


@pytest.mark.parametrize("name", _ANSWERS)
def test_an_answer_becomes_the_error_it_means(name: str) -> None:
    answer, error = _ANSWERS[name]
    with _Stub(answer) as stub, pytest.raises(error) as raised:
        _ask(stub)
    assert raised.type is error
    assert len(raised.value.message) < 400
    if isinstance(raised.value, WitnessBehindError):
        assert raised.value.size == 12


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"],
)
def test_a_witness_that_never_finishes_is_unavailable(answer: bytes) -> None:
    with _Stub(answer, hold=True) as stub, pytest.raises(WitnessUnavailableError):
        _ask(stub, timeout_seconds=0.2)


def test_a_witness_that_answers_byte_by_byte_is_unavailable() -> None:
    slow = _http("200 OK", b"x" * 100)  # each byte comes long before a socket would time out
    with _Stub(slow[:-100], drip=slow[-100:]) as stub, pytest.raises(WitnessUnavailableError):
        _ask(stub, timeout_seconds=0.5)


def test_a_witness_that_is_not_there_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    witness = HttpWitness(_VKEY, f"http://127.0.0.1:{port}")
    with pytest.raises(WitnessUnavailableError):
        witness.add_checkpoint(0, [], _NOTE)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "witness.example",
        "ftp://witness.example",
        "https://",
        "https://witness.example/?a=b",
        "https://witness.example/#a",
        "https://user:password@witness.example/",
        "https://witness.example:port/",
        "https://witness.example:99999/",
        "https://witness.example/a b",
        "https://witness.example/\r\nX: y",
        "https://[::1/",
        "http://witness.example",
        "http://127.0.0.1.witness.example",
        "http://192.0.2.1",
    ],
)
def test_a_url_that_is_none_of_a_witness_is_refused_with_a_hint(url: str) -> None:
    with pytest.raises(UsageError) as raised:
        HttpWitness(_VKEY, url)
    assert raised.value.message


@pytest.mark.parametrize(
    "url", ["http://localhost:8080", "http://127.0.0.9/w", "http://[::1]/", "https://w.example/w/"]
)
def test_http_to_this_host_and_https_to_any_are_taken(url: str) -> None:
    assert HttpWitness(_VKEY, url).vkey == _VKEY


def test_plain_http_to_other_hosts_can_be_allowed() -> None:
    assert HttpWitness(_VKEY, "http://w.example", allow_plain_http=True).vkey == _VKEY
    with pytest.raises(UsageError) as raised:
        HttpWitness(_VKEY, "http://w.example")
    assert "https" in raised.value.hint


def test_a_malformed_verifier_key_is_refused() -> None:
    with pytest.raises(NoteError):
        HttpWitness("not+a+key", "https://w.example")


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


@contextlib.contextmanager
def _tls_stub(certificate: Path, answer: bytes) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def run() -> None:
            peer, _ = listener.accept()
            with contextlib.suppress(OSError), context.wrap_socket(peer, server_side=True) as tls:
                received = b""
                while not received.endswith(_BODY):
                    received += tls.recv(65_536) or _BODY
                tls.sendall(answer)

        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def _ask_tls(port: int, tls: ssl.SSLContext | None) -> str:
    witness = HttpWitness(_VKEY, f"https://localhost:{port}/w", tls=tls)
    return witness.add_checkpoint(3, _LOG.proof(3, 7), _NOTE)


def test_https_is_spoken_to_a_host_that_is_trusted(certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=certificate)
    with _tls_stub(certificate, _http("200 OK", b"line\n")) as port:
        assert _ask_tls(port, trusting) == "line\n"


def test_https_is_not_spoken_to_a_host_that_is_not_trusted(certificate: Path) -> None:
    with (
        _tls_stub(certificate, b"") as port,
        pytest.raises(WitnessUnavailableError, match="certificate verify failed"),
    ):
        _ask_tls(port, None)
