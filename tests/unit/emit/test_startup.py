"""`deploymark.startup()`, each time in a process of its own, because a process starts once."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from emit_samples import NOBODY

from deploymark.emit.emitter import Emitter
from deploymark.emit.release import file_sha256, release_digest
from deploymark.emit.settings import Settings
from deploymark.testing.receiving_server import receiving_server

TOLD = {"DEPLOYMARK_SERVICE": "shop", "DEPLOYMARK_ENVIRONMENT": "prod"}
Json = dict[str, Any]


def run(
    program: str, folder: Path, url: str = NOBODY, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a program that has called `startup()`; a warning is an error in it."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        cwd=folder,
        env={
            "DEPLOYMARK_URL": url,
            "DEPLOYMARK_SPOOL": f"{folder}-spool",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **variables,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def said(program: str, folder: Path, **variables: str) -> tuple[list[Json], str]:
    """Return the markers that a program sent, and what it wrote."""
    with receiving_server() as server:
        done = run(program, folder, server.url, **variables)
        assert (done.stderr, done.returncode) == ("", 0)
        # What many processes could not deliver in the time they have is in their spool.
        settings = Settings(server.url, spool=f"{folder}-spool")
        Emitter(settings, facts={}).flush(30)
        return server.markers(), done.stdout


STARTS = "import deploymark; started = deploymark.startup(); assert started.wait(30)\n"


def test_what_a_process_confirms_and_shows(tmp_path: Path) -> None:
    program = f"""{STARTS}
import json
print(json.dumps([
    started.instance_uid, started.marker_id, started.digest,
    dict(started.log_fields), started.resource_attributes, started.otel_resource_attributes,
]))
assert deploymark.startup(service="another") is started
"""
    (tmp_path / "deploymark.json").write_text('{"version": "1.2", "commit_hash": "abcdef1"}')
    variables = {
        **TOLD,
        "DEPLOYMARK_DEPLOYMENT_ID": "d-1",
        "OTEL_RESOURCE_ATTRIBUTES": "team=a%20b,cloud.region=r,k8s.pod.name=shop-7c",
    }
    (running, removed), out = said(program, tmp_path, **variables)
    uid, marker_id, digest, log_fields, attributes, text = json.loads(out)
    assert digest == release_digest(str(tmp_path))
    assert running["phase"] == "running"
    assert running["deployment_id"] == "d-1"
    assert (running["version"], running["commit_hash"]) == ("1.2", "abcdef1")
    assert running["artifact"] == {"digest": digest}
    assert running["target"]["instance_uid"] == uid
    assert running["target"]["region"] == "r"
    assert running["target"]["instance"] == f"shop-7c:{uid.split(':')[1]}"
    assert running["evidence"]["basis"] == "self_observed"
    assert running["evidence"]["observer"] == "startup:release"
    assert marker_id.startswith("m-")
    assert (removed["phase"], removed["target"]) == ("removed", running["target"])
    assert removed["emitter"]["kind"] == "runtime"
    assert log_fields == {
        "deployment_id": "d-1",
        "service": "shop",
        "environment": "prod",
        "version": "1.2",
        "instance_uid": uid,
    }
    assert attributes == {
        "team": "a b",
        "cloud.region": "r",
        "k8s.pod.name": "shop-7c",
        "service.name": "shop",
        "service.version": "1.2",
        "service.instance.id": uid,
        "deploymark.confirms_itself": "true",
        "deployment.environment.name": "prod",
        "deployment.id": "d-1",
        "vcs.ref.head.revision": "abcdef1",
        "deploymark.artifact.digest": digest,
    }
    assert "team=a%20b" in text


def test_a_deployment_id_alone_is_enough(tmp_path: Path) -> None:
    markers, _ = said(STARTS, tmp_path, **TOLD, DEPLOYMARK_DEPLOYMENT_ID="d-1")
    assert [each["phase"] for each in markers] == ["running", "removed"]
    assert markers[0]["evidence"] == {"basis": "declared"}


def test_a_confirmation_is_a_line_of_the_log(tmp_path: Path) -> None:
    program = f"""
import json, logging, sys
class Lines(logging.Handler):
    def emit(self, record):
        print(record.getMessage(), record.service, record.deployment_id, record.instance_uid)
logging.basicConfig(level="INFO", handlers=[Lines()])
{STARTS}
assert started.marker_id
"""
    (running, _), out = said(program, tmp_path, **TOLD, DEPLOYMARK_DEPLOYMENT_ID="d-1")
    uid = running["target"]["instance_uid"]
    assert out == f"deploymark startup: instance confirmed shop d-1 {uid}\n"


def test_an_id_that_nobody_told_is_not_guessed(tmp_path: Path) -> None:
    (running, _), out = said(
        f"{STARTS}print(repr(started.deployment_id))", tmp_path, **TOLD, DEPLOYMARK_VERSION="1"
    )
    assert "deployment_id" not in running
    assert out == "''\n"


def test_a_digest_that_was_told_is_declared_and_nothing_is_hashed_instead(tmp_path: Path) -> None:
    (tmp_path / "deploymark.json").write_text('{"version": "1"}')
    digest = "sha256:" + "c" * 64
    (running, _), _ = said(STARTS, tmp_path, **TOLD, DEPLOYMARK_ARTIFACT=f"shop@{digest}")
    assert running["evidence"] == {"basis": "declared", "digest": digest}
    assert running["artifact"] == {"name": "shop", "digest": digest}


def test_the_executable_is_hashed_when_it_is_what_was_deployed(tmp_path: Path) -> None:
    (running, _), _ = said(STARTS, tmp_path, **TOLD, DEPLOYMARK_EXECUTABLE="1")
    assert running["evidence"]["observer"] == "startup:executable"
    assert running["artifact"]["digest"] == f"sha256:{file_sha256(sys.executable)}"


def test_a_release_that_cannot_be_hashed_is_a_warning(tmp_path: Path) -> None:
    with receiving_server() as server:
        variables = {**TOLD, "DEPLOYMARK_VERSION": "1", "DEPLOYMARK_RELEASE": "not-there"}
        done = run(STARTS, tmp_path, server.url, **variables)
        (running, _) = server.markers()
    assert (done.returncode, done.stdout) == (0, "")
    assert "the release cannot be hashed" in done.stderr
    assert running["evidence"] == {"basis": "declared"}


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({}, "service and environment are not known. Set DEPLOYMARK_SERVICE and"),
        ({"DEPLOYMARK_SERVICE": "a"}, "environment is not known. Set DEPLOYMARK_ENVIRONMENT."),
        (TOLD, "neither deployment, release, version nor commit is known."),
        ({**TOLD, "DEPLOYMARK_DEPLOYMENT_ID": "no id", "DEPLOYMARK_VERSION": "1"}, "is no id"),
    ],
)
def test_what_is_missing_is_one_line_in_the_log(
    tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    with receiving_server() as server:
        done = run(STARTS, tmp_path, server.url, **variables)
    assert (done.returncode, done.stdout) == (0, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("deploymark startup: ")
    assert sentence in line


def test_a_full_disk_and_a_server_that_is_away_hurt_nobody(tmp_path: Path) -> None:
    variables = {**TOLD, "DEPLOYMARK_VERSION": "1", "DEPLOYMARK_SPOOL": "/dev/full/spool"}
    done = run(f"{STARTS}print('served')", tmp_path, **variables)
    assert (done.returncode, done.stdout) == (0, "served\n")
    assert "Traceback" not in done.stderr


def test_hashing_is_not_waited_for(tmp_path: Path) -> None:
    program = """
    import threading
    held = threading.Event()
    import deploymark.emit.confirmation as confirmation
    confirmation.observe_self = lambda told: held.wait() and None
    import deploymark
    started = deploymark.startup()
    assert not started.wait(0.1)
    assert started.deployment_id == "d-1"
    assert deploymark.WsgiMiddleware(lambda *_: [])
    held.set()
    assert started.wait(30)
    """
    variables = {**TOLD, "DEPLOYMARK_DEPLOYMENT_ID": "d-1"}
    markers, _ = said(program, tmp_path, **variables)
    assert [each["phase"] for each in markers] == ["running", "removed"]


def test_a_process_that_only_forks_confirms_nothing_and_its_children_do(tmp_path: Path) -> None:
    program = """
    import os
    import deploymark
    started = deploymark.startup(prefork=True)
    uids = {started.instance_uid}
    for _ in range(2):
        child = os.fork()
        if child == 0:
            assert started.wait(30)
            assert started.instance_uid not in uids
            assert started.marker_id
            started.end()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not started.marker_id
    """
    markers, _ = said(program, tmp_path, **TOLD, DEPLOYMARK_VERSION="1")
    assert [each["phase"] for each in markers] == ["running", "removed"] * 2
    assert len({each["target"]["instance_uid"] for each in markers}) == 2


FORKS = """
import os
import deploymark
started = deploymark.startup({arguments})
assert started.wait(30)
for _ in range({forks}):
    child = os.fork()
    if child == 0:
        assert started.wait(30)
        assert not started.marker_id or {forks} > 100
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_children_that_only_help_are_no_instances(tmp_path: Path) -> None:
    program = FORKS.format(arguments="children=False", forks=2)
    markers, _ = said(program, tmp_path, **TOLD, DEPLOYMARK_VERSION="1")
    assert [each["phase"] for each in markers] == ["running", "removed"]


def test_who_forks_for_each_piece_of_work_does_not_flood_the_log(tmp_path: Path) -> None:
    settle = "import deploymark.emit.startup as s; s.SETTLE_SECONDS = 0; s.MOST_FORKS = 5\n"
    settle += "s._forks = s.deque(maxlen=5)\n"
    program = settle + FORKS.format(arguments="", forks=101)
    markers, _ = said(program, tmp_path, **TOLD, DEPLOYMARK_VERSION="1")
    assert [each["phase"] for each in markers].count("running") == 5  # it and its first four


def test_forks_while_it_hashes_and_speaks_hang_nobody(tmp_path: Path) -> None:
    program = """
    import os
    import deploymark
    started = deploymark.startup()
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            code = 0 if started.wait(30) and started.marker_id else 1
            started.end()
            os._exit(code)
        children.append(child)
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    assert started.wait(30)
    """
    for number in range(50):
        (tmp_path / f"file-{number}").write_bytes(os.urandom(100_000))
    markers, _ = said(program, tmp_path, **TOLD, DEPLOYMARK_RELEASE=".", DEPLOYMARK_VERSION="1")
    running = [each for each in markers if each["phase"] == "running"]
    assert len({each["target"]["instance_uid"] for each in running}) == len(running) == 21
    assert {each["artifact"]["digest"] for each in running} == {release_digest(str(tmp_path))}


def test_what_is_not_asked_for_is_not_loaded(tmp_path: Path) -> None:
    program = f"{STARTS}import sys; print(*sys.modules)"
    _, out = said(program, tmp_path, **TOLD, DEPLOYMARK_VERSION="1")
    loaded = set(out.split())
    heavy = {"asyncio", "http.client", "importlib.metadata", "msgspec", "urllib.parse"}
    assert loaded.isdisjoint({*heavy, "cryptography", "opentelemetry", "ssl", "subprocess"})
