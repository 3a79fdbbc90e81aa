"""Real processes that the observer of local processes can look at."""

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from deploymark.integrations.local_processes.observer import (
    EXECUTABLE,
    LocalProcessObserver,
)
from deploymark.integrations.local_processes.selection import Selection
from deploymark.ports import Observer

# A process knows its own start by the tick: what changes sooner cannot be told from before.
_TICKS_SECONDS = 0.03

SLEEP = Path(shutil.which("sleep") or "/bin/sleep")


class LocalWorld:
    """A folder; what works in it is an instance, of a program that was written there."""

    def __init__(self, folder: Path, *, release: str = EXECUTABLE) -> None:
        self.folder = folder
        self.local = LocalProcessObserver(Selection(directory=str(folder)), release)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def observer(self) -> Observer:
        return self.local

    def program(self, artifact: bytes) -> Path:
        """Write an executable that sleeps; what stands behind its end makes it another file."""
        file = self.folder / f"program-{len(list(self.folder.iterdir()))}"
        file.write_bytes(SLEEP.read_bytes() + artifact)
        file.chmod(0o700)
        return file

    def start(self, artifact: bytes) -> str:
        return self.run([str(self.program(artifact)), "600"], self.folder)

    def run(self, words: list[str], folder: Path) -> str:
        """Start a program in a folder; Popen returns when it executes."""
        process = subprocess.Popen(words, cwd=folder, start_new_session=True)
        self.processes[str(process.pid)] = process
        return str(process.pid)

    def interpreted(self, program: str, folder: Path, *told: Path) -> str:
        """Start a Python program, and wait until it says that it has begun."""
        code = f"{program}\nprint(flush=True)\nimport time; time.sleep(600)"
        process = subprocess.Popen(
            [sys.executable, "-c", code, *told],
            cwd=folder,
            env={},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(_TICKS_SECONDS)
        self.processes[str(process.pid)] = process
        return str(process.pid)

    def stop(self, instance: str) -> None:
        process = self.processes.pop(instance)
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def close(self) -> None:
        for instance in list(self.processes):
            self.stop(instance)


def settled(folder: Path) -> None:
    """Wait until the files of a folder are so old that their hashes are remembered."""
    newest = max(each.stat().st_ctime for each in folder.rglob("*"))
    while _now() - newest < 2.1:
        time.sleep(0.05)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_REALTIME)
