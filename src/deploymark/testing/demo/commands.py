"""A command of deploymark as a process of its own: started, heard, and ended by its id.

It has a session of its own, so that Ctrl-C reaches the demonstration, which ends it in order.
What it says stays in files beside it.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from deploymark.errors import ServerUnavailableError

END_SECONDS: Final = 10.0
_POLLS: Final = 600


class Command:
    """One command.

    Args:
        words: Behind `deploymark`.
        place: Where it works, and where what it says is kept.
        environment: All that it is told beside PATH.
    """

    def __init__(self, words: Sequence[str], place: Path, environment: Mapping[str, str]) -> None:
        self._name = words[0]
        self._out, self._err = place / f"{self._name}.out", place / f"{self._name}.err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-I", "-m", "deploymark", *words],
                cwd=place,
                env={"PATH": os.defpath, **environment},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    @property
    def process(self) -> int:
        """Its number."""
        return self._process.pid

    def first_line(self, pause: Callable[[float], None]) -> dict[str, Any]:
        """Return the first line that it says, as JSON.

        Args:
            pause: Waits so many seconds, or ends the waiting by raising.

        Raises:
            ServerUnavailableError: It ends before, or says nothing for half a minute.
        """
        for _ in range(_POLLS):
            line, whole, _ = self._out.read_bytes().partition(b"\n")
            if whole:
                said: dict[str, Any] = json.loads(line)
                return said
            self.check()
            pause(0.05)
        raise ServerUnavailableError(f"`deploymark {self._name}` does not begin. {self._last()}")

    def check(self) -> None:
        """Raise `ServerUnavailableError` when it has ended by itself."""
        code = self._process.poll()
        if code is not None and code < 0:  # whoever ended it; what it said before is not why
            name = signal.strsignal(-code) or f"signal {-code}"
            raise ServerUnavailableError(
                f"`deploymark {self._name}` was ended from outside ({name})."
            )
        if code is not None:
            raise ServerUnavailableError(
                f"`deploymark {self._name}` has ended with {code}. {self._last()}"
            )

    def end(self) -> None:
        """End it, and return when it is gone; idempotent."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last(self) -> str:
        """Return what it said last, which says why it has ended."""
        lines = self._err.read_text(errors="replace").strip().splitlines() or ["It said nothing."]
        try:
            return str(json.loads(lines[-1])["message"])
        except (ValueError, KeyError, TypeError):
            return lines[-1]
