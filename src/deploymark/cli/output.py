"""How commands talk: lines and tables for people, JSON lines for programs, progress on terminals.

Results go to stdout, progress and errors to stderr, so that a pipe carries results only. What
people read may quote strangers, so characters that steer a terminal are spelled out in it.
"""

import io
import json as json_module
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from deploymark.emit.host import SystemHost
from deploymark.errors import DeploymarkError, StoreUnavailableError

if TYPE_CHECKING:
    from deploymark.log.steps import Step

Progress = Callable[[int], None]
_MAX_QUOTED = 60
# By `log.steps.Result`, which most commands have no need to load.
_MARKS = {"holds": "✓", "fails": "✗", "unchecked": "?"}
_COLOURS = {"holds": "32", "fails": "31", "unchecked": "33"}


class _Bar(Protocol):
    """A progress bar that can leave the terminal and come back."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Output:
    """Where a command says what happened.

    Args:
        json: Say it as JSON lines.
        out: Results; the process's stdout when left out.
        err: Errors and progress; the process's stderr when left out.
    """

    def __init__(self, *, json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.json = json
        self._out = out or _stream(sys.stdout)
        self._err = err or _stream(sys.stderr)
        self._bar: _Bar | None = None

    def say(self, text: str, record: Mapping[str, Any]) -> None:
        """Say one thing: a line to people, or its record to programs."""
        if self.json:
            self._write(_record(record))
        else:
            self._line(text)

    def remark(self, text: str) -> None:
        """Add a line for people that says nothing new to programs."""
        if not self.json:
            self._line(text)

    def raw(self, text: str) -> None:
        """Write a document as it is, in UTF-8: a receipt, a policy, a schema."""
        whole = text if text.endswith("\n") else f"{text}\n"
        if not isinstance(self._out, io.TextIOWrapper):
            self._write(whole)
            return
        # Past the text layer: signed bytes must not depend on the locale of a terminal.
        with self._beside_the_bar(), _writing():
            self._out.flush()
            self._out.buffer.write(whole.encode("utf-8", "surrogateescape"))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show rows, aligned for people, as objects for programs.

        On a terminal times are shown to the second, and cells are cut when it is too narrow; what
        a person copies, and a time, never is.
        """
        if self.json:
            for row in rows:
                self._write(_record(dict(zip(columns, map(str, row), strict=True))))
            return
        from deploymark.cli.table import (  # noqa: PLC0415 - most commands show none
            TIMES,
            laid_out,
            short_time,
        )

        width = self.width
        watched = width is not None
        content = [
            [
                short_time(plain(str(cell))) if watched and name in TIMES else plain(str(cell))
                for name, cell in zip(columns, row, strict=True)
            ]
            for row in rows
        ]
        for line in laid_out(columns, content, width):
            self._write(f"{line}\n")

    def step(self, step: "Step") -> None:
        """Show one step of a check as soon as it is done."""
        if self.json:
            self._write(
                _record(
                    {
                        "step": step.number,
                        "name": step.name,
                        "result": step.result,
                        "detail": step.detail,
                        "faults": step.faults,
                        "unchecked": step.unchecked,
                    }
                )
            )
            return
        mark = self._colour(_MARKS[step.result], _COLOURS[step.result])
        detail = f": {step.detail}" if step.detail else ""
        self._write(f"{mark} {plain(f'{step.number}. {step.name}{detail}')}\n")
        for fault in step.faults:
            self._write(f"     {plain(fault)}\n")
        if step.unchecked:
            self._line(f"     Not checked: {step.unchecked}")

    def error(self, error: DeploymarkError, code: str = "") -> None:
        """Say what went wrong in one sentence, and what to do now."""
        if self.json:
            text = _record(
                {
                    "error": code or error.code,
                    "message": error.message,
                    "field": error.field,
                    "hint": error.hint,
                    "retryable": error.retryable,
                }
            )
        else:
            told = not error.field or error.field in error.message
            place = "" if told else f" ({error.field})"
            # The code is what runbooks and alerts go by.
            hint = f"  hint: {plain(error.hint)} [{code or error.code}]\n" if error.hint else ""
            text = f"deploymark: {plain(error.message + place)}\n{hint}"
        with self._beside_the_bar(), suppress(OSError):  # nobody is left to tell
            self._err.write(text)
            self._err.flush()

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Progress]:
        """Show a progress bar while long work runs; nothing unless a person watches."""
        if self.json or not self._err.isatty():
            yield _ignore
            return
        from rich.console import Console  # noqa: PLC0415 - only when a person watches
        from rich.progress import Progress as Bar  # noqa: PLC0415

        with Bar(console=Console(file=self._err), transient=True) as bar:
            task = bar.add_task(what, total=total)
            self._bar = bar
            try:
                yield lambda done: bar.update(task, completed=done)
            finally:
                self._bar = None

    @contextmanager
    def _beside_the_bar(self) -> Iterator[None]:
        """Take the progress bar away while something is said on the same terminal."""
        if self._bar is None:
            yield
            return
        self._bar.stop()
        try:
            yield
            self._out.flush()
        finally:
            self._bar.start()

    def flush(self) -> None:
        """Show what was said so far, for commands that go on running."""
        with _writing():
            self._out.flush()

    def _line(self, text: str) -> None:
        self._write("".join(f"{plain(line)}\n" for line in text.split("\n")))

    def _write(self, text: str) -> None:
        with self._beside_the_bar(), _writing():
            self._out.write(text)

    @property
    def width(self) -> int | None:
        """How many columns the terminal has, None when nobody watches or it does not say."""
        try:
            # A terminal that nobody told its size, as under many a CI, says 0.
            return os.get_terminal_size(self._out.fileno()).columns or None
        except (OSError, ValueError):  # no terminal, or not even a file
            return None

    def _colour(self, text: str, code: str) -> str:
        plain = not self._out.isatty() or SystemHost().environment().get("NO_COLOR")
        return text if plain else f"\x1b[{code}m{text}\x1b[0m"


def shortened(text: str) -> str:
    """Return a text that was given, cut to what a sentence can quote."""
    return text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"


def _ignore(_: int) -> None:
    """Show no progress."""


def _stream(stream: TextIO | None) -> TextIO:
    """Return a stream that refuses no character; the null device when there is none (`>&-`)."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 - pathlib costs 4 ms
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors="backslashreplace")
    return stream


@contextmanager
def _writing() -> Iterator[None]:
    """Turn a full disk behind `deploymark … >FILE` into our error; a closed pipe stays one."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise StoreUnavailableError(
            f"The output cannot be written: {error.strerror}.",
            hint="What it says is not complete. Make room and run the command again.",
        ) from error


def _record(record: Mapping[str, Any]) -> str:
    return json_module.dumps(record, default=str) + "\n"


def plain(text: str) -> str:
    """Spell out what is no visible character: evidence must not steer the reader's terminal.

    A line break too: what is quoted must not look like a line of ours.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def drop_output() -> None:
    """Forget what was not written yet, so that Python does not complain about it at its end."""
    _drop(sys.stdout)


def let_go_of_streams() -> None:
    """Write out what is left, or forget it: at its end Python would make it an exit code, 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            _drop(stream)


def _drop(stream: TextIO | None) -> None:
    if stream is not None:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
