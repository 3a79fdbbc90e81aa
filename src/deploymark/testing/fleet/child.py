"""One process of the fleet: started, told its first line, asked, and ended by its id."""

import json
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from deploymark.emit.host import SystemHost
from deploymark.emit.instance import name_process
from deploymark.errors import FleetUnavailableError

START_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 10.0
END_SECONDS: Final = 8.0

Said = dict[str, Any]


class Child:
    """A process that listens to lines on its standard input and ends with them.

    Whatever ends the parent closes that input, so nothing outlives the parent, even if it is
    killed. The process has a session of its own: Ctrl-C reaches the parent, which ends it in order.

    Args:
        words: What to run, behind the interpreter.
        folder: Where it works.
    """

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self._shown = words[-1]
        self._process = subprocess.Popen(  # noqa: S603 - our own programs
            [sys.executable, "-I", "-B", *words],
            cwd=folder,
            env={},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._buffer = b""
        self._asked = 0
        self._is_asked_to_end = False

    @property
    def process(self) -> int:
        """Its number."""
        return self._process.pid

    @property
    def uid(self) -> str:
        """What tells it from every other process, as an observer on this host names it."""
        return str(name_process(self._process.pid, SystemHost()))

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def begin(self, said: Mapping[str, object]) -> Said:
        """Send the first line, and return what it says when it has begun.

        Raises:
            FleetUnavailableError: It does not begin in time.
        """
        self._send(said)
        return self._line(START_SECONDS)

    def ask(self, said: Mapping[str, object]) -> Said:
        """Send a line and return the answer to it.

        Raises:
            FleetUnavailableError: None comes in time.
        """
        self._asked += 1
        self._send({**said, "id": self._asked})
        while True:
            answer = self._line(ANSWER_SECONDS)
            if answer["id"] == self._asked:
                return answer

    def _send(self, said: Mapping[str, object]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(said).encode() + b"\n")
        except OSError as error:
            raise FleetUnavailableError(f"{self._shown} has ended.") from error

    def _line(self, seconds: float) -> Said:
        assert self._process.stdout is not None
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self._process.stdout], [], [], seconds)
            piece = self._process.stdout.read(65_536) if ready else b""
            if not piece:
                raise FleetUnavailableError(f"{self._shown} does not answer.")
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        said: Said = json.loads(line)
        return said

    def ask_to_end(self) -> None:
        """Ask it to end, once, and do not wait: a second signal would meet it half closed."""
        if self.is_running() and not self._is_asked_to_end:
            self._is_asked_to_end = True
            with suppress(ProcessLookupError):
                self._process.terminate()

    def end(self) -> None:
        """End it, and return when it is gone."""
        self.ask_to_end()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
