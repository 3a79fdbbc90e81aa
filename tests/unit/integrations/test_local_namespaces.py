"""Processes in a pid namespace of their own, as in a container, seen from outside and inside."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploymark.emit.host import SystemHost
from deploymark.emit.instance import parse_uid
from deploymark.integrations.local_processes.observer import LocalProcessObserver
from deploymark.integrations.local_processes.selection import Selection

CONTAINED = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
TELLS = """
from deploymark.emit.instance import own_uid
from deploymark.emit.host import SystemHost
print(own_uid(SystemHost()), flush=True)
import time; time.sleep(600)
"""


@pytest.fixture
def contained(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """A Python process that is number 1 of its namespace and has said its name."""
    unshare = shutil.which("unshare")
    may = unshare and subprocess.run([*CONTAINED, "true"], capture_output=True, check=False)
    if not may or may.returncode != 0:
        pytest.skip("this machine lets nobody make a pid namespace")
    process = subprocess.Popen(
        [*CONTAINED, sys.executable, "-c", TELLS],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    yield process
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_inside_and_outside_give_one_instance_the_same_name(
    contained: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert contained.stdout is not None
    said = contained.stdout.readline().strip()
    name = parse_uid(said)
    assert name is not None
    assert (name.boot, name.process) == (SystemHost().boot(), 1)
    assert name.namespace > 0
    observer = LocalProcessObserver(Selection(directory=str(tmp_path), command="own_uid"))
    seen = {each.uid for each in observer.observe()}
    assert said in seen
    assert not observer.ended((said,))
    assert observer.ended((str(name._replace(process=2)),))
    contained.kill()
    contained.wait()
    for _ in range(200):  # the kernel ends the child a moment later
        if observer.ended((said,)):
            break
        time.sleep(0.05)
    assert said not in {each.uid for each in observer.observe()}
    assert observer.ended((said,))


@pytest.mark.parametrize(
    "text",
    ["", "boot", "boot:1", "boot:1:", "boot:x:1", "boot:1.x:1", "boot:y.1:2", ":1:2", "b:1:2:3"],
)
def test_what_is_no_name_of_a_process_is_not_read_as_one(text: str) -> None:
    assert parse_uid(text) is None


def test_a_name_is_read_as_it_was_written() -> None:
    for text in ("boot:1:2", "boot:4026532000.1:99"):
        assert str(parse_uid(text)) == text
