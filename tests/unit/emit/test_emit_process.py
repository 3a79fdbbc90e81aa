"""The emitter over processes: forks, the end of a process, and what starting one costs."""

import gc
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from emit_samples import NOBODY, fields, open_emitter

import deploymark
from deploymark.crypto.keyfile import save_private
from deploymark.emit.emitter import State
from deploymark.testing.receiving_server import receiving_server


def test_a_forked_child_marks_on_its_own_and_its_parent_goes_on(tmp_path: Path) -> None:
    with receiving_server() as server, open_emitter(tmp_path, server.url) as emitter:
        before = emitter.mark_and_deliver("planned", **fields())
        child = os.fork()
        if child == 0:
            marked = emitter.mark_and_deliver("applying", **fields())
            os._exit(0 if marked.state is State.DELIVERED and marked.number == 0 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        after = emitter.mark_and_deliver("applied", **fields())
        epochs = [each["emitter"]["epoch"] for each in server.markers()]
    assert (after.epoch, after.number) == (before.epoch, 1)
    assert epochs == [before.epoch, epochs[1], before.epoch]
    assert epochs[1] != before.epoch


def test_a_fork_in_the_middle_of_a_request_hangs_nobody(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with open_emitter(tmp_path, url) as emitter:
            emitter.mark("planned", **fields())
            peer, _ = listener.accept()
            peer.recv(10)  # from here on the sender waits for an answer
            child = os.fork()
            if child == 0:
                marked = emitter.mark("applying", **fields())
                gc.collect()
                os._exit(0 if marked.number == 0 else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            body = b'{"index": 0}'
            head = b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            peer.sendall(head % len(body) + body)
            listener.close()  # the child's own marker, an orphan now, finds nobody
            assert emitter.flush().delivered == 1, "the parent's connection was left alone"
            peer.close()


def _run(program: str, folder: Path, url: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={
            "DEPLOYMARK_URL": url,
            "DEPLOYMARK_SPOOL": str(folder / "spool"),
            "PYTHONPATH": os.pathsep.join(sys.path),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


_MARKS = """
import deploymark
deploymark.mark("planned", service="a", environment="prod", version="1")
deploymark.mark("applied", service="a", environment="prod", version="1")
"""


def test_a_process_delivers_what_it_marked_before_it_ends(tmp_path: Path) -> None:
    with receiving_server() as server:
        ran = _run(_MARKS, tmp_path, server.url)
        assert [each["phase"] for each in server.markers()] == ["planned", "applied"]
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_a_process_ends_in_time_and_says_once_what_waits_when_nobody_listens(
    tmp_path: Path,
) -> None:
    ran = _run(_MARKS, tmp_path, NOBODY)
    assert (ran.returncode, ran.stdout) == (0, "")
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"deploymark: 2 markers wait in {tmp_path}/spool: {NOBODY} did not")
    with socket.create_server(("127.0.0.1", 0)) as listener:  # takes calls and says nothing
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert _run(_MARKS, tmp_path, url).returncode == 0


# Each costs a command milliseconds, and every deploy job starts one anew.
_HEAVY = {
    "argparse",
    "cryptography",
    "dataclasses",
    "email",
    "http.client",
    "inspect",
    "logging",
    "msgspec",
    "pathlib",
    "ssl",
    "subprocess",
    "urllib.parse",
}


def test_importing_the_emitter_loads_little() -> None:
    program = """
    import sys
    import deploymark
    assert not any(name.startswith("deploymark.") for name in sys.modules)
    deploymark.mark
    print(*sys.modules)
    """
    ran = _run(program, Path("/none"), NOBODY)
    assert ran.stderr == ""
    assert set(ran.stdout.split()).isdisjoint(_HEAVY)


def test_delivering_loads_little_and_signing_only_what_signs(tmp_path: Path) -> None:
    program = """
    import sys
    from deploymark.emit.process import default_emitter
    said = {"service": "a", "environment": "b", "version": "1"}
    print(default_emitter().mark_and_deliver("applied", **said).state, *sys.modules)
    """
    save_private(tmp_path / "ci.pem", Ed25519PrivateKey.generate())
    with receiving_server() as server:
        unsigned = _run(program, tmp_path, server.url).stdout.split()
        signed = _run(program, tmp_path, server.url, DEPLOYMARK_KEY=f"{tmp_path}/ci.pem")
    assert unsigned[0] == "delivered"
    assert set(unsigned).isdisjoint([*_HEAVY, "deploymark.emit.signing"])
    assert "payload" in server.requests[1].items[0]
    assert "cryptography.hazmat.primitives.serialization" not in signed.stdout.split()


def test_a_name_that_does_not_exist_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'markk'"):
        _ = deploymark.markk
