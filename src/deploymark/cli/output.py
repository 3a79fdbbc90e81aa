"""How commands talk: lines and tables for people, JSON lines for programs, progress on terminals.

Results go to stdout, progress and errors to stderr, so that a pipe carries results only.
"""

import json as json_module
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from deploymark.errors import DeploymarkError
from deploymark.log.steps import Result, Step

Progress = Callable[[int], None]
_MARKS = {Result.HOLDS: "✓", Result.FAILS: "✗", Result.UNCHECKED: "?"}
_COLOURS = {Result.HOLDS: "32", Result.FAILS: "31", Result.UNCHECKED: "33"}


class Output:
    """Where a command says what happened.

    Args:
        json: Say it as JSON lines.
        out: Results; the process's stdout when left out.
        err: Errors and progress; the process's stderr when left out.
    """

    def __init__(self, *, json: bool, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self.json = json
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def say(self, text: str, record: Mapping[str, Any]) -> None:
        """Say one thing: a line to people, or its record to programs."""
        if self.json:
            self._line(json_module.dumps(record, ensure_ascii=False, default=str))
        else:
            self._line(text)

    def raw(self, text: str) -> None:
        """Write a document as it is: a receipt, a policy, a schema."""
        self._out.write(text if text.endswith("\n") else f"{text}\n")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Show rows, aligned for people, as objects for programs."""
        content = [[str(cell) for cell in row] for row in rows]
        if self.json:
            for row in content:
                self._line(json_module.dumps(dict(zip(columns, row, strict=True))))
            return
        titles = [name.upper().replace("_", " ") for name in columns]
        widths = [max(map(len, column)) for column in zip(titles, *content, strict=True)]
        for row in (titles, *content):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._line("  ".join(cells).rstrip())

    def step(self, step: Step) -> None:
        """Show one step of a check as soon as it is done."""
        if self.json:
            self._line(
                json_module.dumps(
                    {
                        "step": step.number,
                        "name": step.name,
                        "result": step.result,
                        "detail": step.detail,
                        "faults": step.faults,
                        "unchecked": step.unchecked,
                    },
                    ensure_ascii=False,
                )
            )
            return
        mark = self._colour(_MARKS[step.result], _COLOURS[step.result])
        detail = f": {step.detail}" if step.detail else ""
        self._line(f"{mark} {step.number}. {step.name}{detail}")
        for fault in step.faults:
            self._line(f"     {fault}")
        if step.unchecked:
            self._line(f"     Not checked: {step.unchecked}")

    def error(self, error: DeploymarkError) -> None:
        """Say what went wrong in one sentence, and what to do now."""
        if self.json:
            record = {
                "error": error.code,
                "message": error.message,
                "field": error.field,
                "hint": error.hint,
                "retryable": error.retryable,
            }
            self._err.write(json_module.dumps(record, ensure_ascii=False) + "\n")
            return
        place = f" ({error.field})" if error.field else ""
        self._err.write(f"deploymark: {error.message}{place}\n")
        if error.hint:
            self._err.write(f"  hint: {error.hint}\n")

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
            yield lambda done: bar.update(task, completed=done)

    def flush(self) -> None:
        """Show what was said so far, for commands that go on running."""
        self._out.flush()

    def _line(self, text: str) -> None:
        self._out.write(f"{text}\n")

    def _colour(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._out.isatty() else text


def _ignore(_: int) -> None:
    """Show no progress."""


def stop_reading() -> None:
    """Keep Python quiet about a reader that went away (`deploymark … | head`)."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
