"""The witness over HTTP: what it takes, how it stops, and that a crash loses nothing."""

import contextlib
import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploymark.errors import (
    DeploymarkError,
    LogBrokenError,
    StoreUnavailableError,
    UsageError,
    WitnessBehindError,
)
from deploymark.integrations.witness_http import HttpWitness
from deploymark.log.witness import format_request, trusted_logs
from deploymark.ports import Witnessed, WitnessState
from deploymark.server.witness import MAX_BODY_BYTES, serve, witness_app
from deploymark.storage.witness_state import MemoryWitnessState
from deploymark.testing.clock import ManualClock
from deploymark.testing.witness import SampleLog, sample_cosigners
from deploymark.testing.witness_server import running_witness

_LOG = SampleLog()
_VKEY = sample_cosigners()[0].vkey
_VALID = format_request(0, [], _LOG.note(5))
_PROGRAM = """
import sys
from pathlib import Path
from deploymark.log.witness import trusted_logs
from deploymark.server.witness import serve, witness_app
from deploymark.storage.witness_state import SqliteWitnessState
from deploymark.testing.clock import ManualClock
from deploymark.testing.witness import SampleLog, sample_cosigners
path = Path(sys.argv[1])
state = SqliteWitnessState(path) if path.exists() else SqliteWitnessState.create(path)
app = witness_app(trusted_logs(SampleLog().vkeys), sample_cosigners(), state, ManualClock())
serve(app, listening=lambda host, port: print(f"http://{host}:{port}", flush=True))
state.close()
print("stopped", flush=True)
"""


@contextlib.contextmanager
def _running(state: WitnessState | None = None, body_seconds: float = 10) -> Iterator[str]:
    app = witness_app(
        trusted_logs(_LOG.vkeys),
        sample_cosigners(),
        state or MemoryWitnessState(),
        ManualClock(),
        prefix="/w",
        body_seconds=body_seconds,
    )
    with running_witness(app) as url:
        yield url.removeprefix("http://")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with _running() as address:
        yield address


def _ask(
    address: str, method: str, path: str, body: bytes | None = None
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request(method, path, body)
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return response.status, response.read().decode(), headers
    finally:
        connection.close()


def test_the_front_page_says_what_this_is(address: str) -> None:
    status, text, _ = _ask(address, "GET", "/")
    assert status == 200
    assert "witness" in text
    assert _VKEY in text.splitlines()
    assert _LOG.origin in text.splitlines()


def test_a_probe_is_told_that_all_is_well(address: str) -> None:
    assert _ask(address, "GET", "/w/healthz")[:2] == (200, "ok\n")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_another_method_is_not_allowed(address: str, method: str) -> None:
    status, _, headers = _ask(address, method, "/w/add-checkpoint")
    assert status == 405
    assert headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/add-checkpoint", "/w/", "/w/add-checkpoint/", "/nothing"])
def test_another_address_has_nothing(address: str, path: str) -> None:
    status, text, headers = _ask(address, "POST", path, _VALID)
    assert (status, text.count("\n")) == (404, 1)
    assert headers["content-type"].startswith("text/plain")


def test_the_longest_body_is_read_and_a_longer_one_is_not(address: str) -> None:
    path = "/w/add-checkpoint"
    assert _ask(address, "POST", path, b"x" * MAX_BODY_BYTES)[0] == 400
    assert _ask(address, "POST", path, b"x" * (MAX_BODY_BYTES + 1))[0] == 413


def _raw(address: str, sent: bytes) -> bytes:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(sent)
        with connection.makefile("rb") as answer:
            return answer.read()


_HEAD = b"POST /w/add-checkpoint HTTP/1.1\r\nHost: w\r\n"


def test_a_body_announced_too_long_is_not_waited_for(address: str) -> None:
    answer = _raw(address, _HEAD + b"Content-Length: 65537\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_without_announcement_is_counted(address: str) -> None:
    chunk = b"8000\r\n" + b"x" * 0x8000 + b"\r\n"
    answer = _raw(address, _HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * chunk + b"1\r\nx")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_does_not_come_is_given_up() -> None:
    with _running(body_seconds=0.05) as address:
        answer = _raw(address, _HEAD + b"Content-Length: 100\r\n\r\nold 0\n")
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_client_that_leaves_disturbs_nobody(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(_HEAD + b"Content-Length: 100\r\n\r\nold 0\n")
    assert _ask(address, "GET", "/w/healthz")[0] == 200
    assert caplog.records == []


def test_several_requests_use_one_connection(address: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=30)
    for _ in range(3):
        connection.request("POST", "/w/add-checkpoint", b"nonsense")
        response = connection.getresponse()
        response.read()
        assert response.status == 400
        first = connection.sock
        assert first is not None, "the witness keeps the connection"
    connection.close()


@settings(max_examples=100, deadline=None)
@given(body=st.binary(max_size=200) | st.binary(max_size=9).map(lambda b: _VALID.replace(b"5", b)))
def test_no_body_breaks_the_witness(address: str, body: bytes) -> None:
    status, _, _ = _ask(address, "POST", "/w/add-checkpoint", body)
    assert status in {200, 400, 403, 404, 409, 422}


class _BadState:
    """A state whose medium refuses."""

    def __init__(self, error: DeploymarkError) -> None:
        self._error = error

    def read(self, _: str) -> Witnessed | None:
        raise self._error

    def compare_and_swap(self, _: str, __: Witnessed | None, ___: Witnessed) -> bool:
        raise self._error


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (StoreUnavailableError("The file /secret/place is away."), 503, "store_unavailable"),
        (LogBrokenError("The file /secret/place is damaged."), 500, "log_broken"),
    ],
)
def test_a_state_that_fails_is_said_without_telling_names_of_files(
    error: DeploymarkError, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    with _running(_BadState(error)) as address:
        for method, path in (("POST", "/w/add-checkpoint"), ("GET", "/w/healthz")):
            seen, text, headers = _ask(address, method, path, _VALID if method == "POST" else None)
            assert seen == status
            assert code in text
            assert "secret" not in text
            assert ("retry-after" in headers) == (status == 503)
    assert [vars(record)["code"] for record in caplog.records] == [code, code]


def test_concurrent_extensions_over_http_have_one_winner() -> None:
    state = MemoryWitnessState()
    assert state.compare_and_swap(_LOG.origin, None, Witnessed(4, _LOG.root(4)))
    forks = [SampleLog(_LOG.origin, fork_at=4 + number) for number in range(6)]
    bodies = [format_request(4, log.proof(4, 9), log.note(9)) for log in forks]
    statuses: list[int] = []
    with _running(state) as address:

        def race(body: bytes) -> None:
            statuses.append(_ask(address, "POST", "/w/add-checkpoint", body)[0])

        threads = [threading.Thread(target=race, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(statuses) == [200, 409, 409, 409, 409, 409]


@contextlib.contextmanager
def _process(path: Path) -> Iterator[tuple["subprocess.Popen[str]", HttpWitness]]:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, path], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, HttpWitness(_VKEY, process.stdout.readline().strip())
        finally:
            process.kill()


def test_a_killed_witness_remembers_and_a_stopped_one_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "witness.db"
    with _process(path) as (process, witness):
        assert witness.add_checkpoint(0, [], _LOG.note(5))
        process.kill()
    with _process(path) as (process, witness):
        with pytest.raises(WitnessBehindError) as raised:
            witness.add_checkpoint(0, [], SampleLog(_LOG.origin, fork_at=2).note(6))
        assert raised.value.size == 5
        assert witness.add_checkpoint(5, _LOG.proof(5, 8), _LOG.note(8))
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.read() == "stopped\n"
        assert process.wait() == 0


def test_an_address_that_is_taken_is_refused_with_a_hint() -> None:
    app = witness_app(
        trusted_logs(_LOG.vkeys), sample_cosigners(), MemoryWitnessState(), ManualClock()
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(UsageError) as raised:
            serve(app, port=taken.getsockname()[1])
        assert raised.value.hint
    with pytest.raises(UsageError):
        serve(app, port=65_536)


@pytest.mark.parametrize("prefix", ["w", "/", "/w/", "/{w}"])
def test_a_prefix_that_is_no_path_is_refused(prefix: str) -> None:
    with pytest.raises(UsageError):
        witness_app(
            trusted_logs(_LOG.vkeys),
            sample_cosigners(),
            MemoryWitnessState(),
            ManualClock(),
            prefix=prefix,
        )
