"""Progress bars: on a terminal, readable at every width, and never in a pipe."""

import fcntl
import json
import os
import pty
import re
import struct
import termios
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
ENTRIES = 1_500
COMMANDS = {
    "Appending": "deploymark log append many.ndjson --sign ci.pem",
    "Checking entries": "deploymark log fsck",
    "Exporting entries": "deploymark log export site",
    "Verifying entries": "deploymark verify site --policy policy",
}


@pytest.fixture(scope="module")
def many() -> str:
    """Markers of many services, the last of which is not in the key's scope."""
    names = [f"s{number}" for number in range(ENTRIES - 1)] + ["forbidden"]
    return "\n".join(
        json.dumps({"service": name, "environment": "prod", "phase": "applied", "version": "1"})
        for name in names
    )


def watch(place: Path, command: str, columns: int) -> str:
    """Run a command on a terminal of a width; gives every byte that it wrote there."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(place)
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "", "LINES": ""}
        os.execvpe("/bin/bash", ["bash", "-c", f"exec {command}"], environment)  # noqa: S606
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    said = b""
    try:
        while chunk := os.read(terminal, 1 << 16):
            said += chunk
    except OSError:  # how a terminal says that its last user is gone
        pass
    os.close(terminal)
    os.waitpid(process, 0)
    return said.decode()


def screen(said: str) -> list[str]:
    """Return the lines that a person sees in the end, on a terminal without an edge."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", said):
        if part == "\r":
            column = 0
        elif part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part.endswith("A") and part.startswith("\x1b"):
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif not part.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + part
            column += len(part)
    return [line.rstrip() for line in lines]


@pytest.mark.parametrize("columns", [60, 160])
def test_a_bar_appears_stays_in_its_line_and_goes_away(
    sh: Run, log: Path, place: Path, many: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log.is_dir()
    monkeypatch.setenv("PATH", sh("echo $PATH").stdout.strip())
    (place / "many.ndjson").write_text(many)
    for what, command in COMMANDS.items():
        said = watch(place, command, columns)
        bars = [part for part in re.split(r"[\r\n]", said) if what in part]
        assert len(bars) >= 2
        for bar in bars:
            assert len(re.sub(r"\x1b\[\??[\d;]*[A-Za-z]", "", bar)) <= columns
        assert any("100%" in bar for bar in bars)
        seen = screen(said)
        assert not [line for line in seen if "━" in line or "%" in line], seen
        assert seen[-1] == ""
        assert seen[0].startswith(
            {"Checking entries": "✓ 1. ", "Verifying entries": "✓ 1. "}.get(what, seen[0][:5])
        )


def test_a_pipe_gets_results_without_bars_or_colours(
    sh: Run, log: Path, place: Path, many: str
) -> None:
    assert log.is_dir()
    (place / "many.ndjson").write_text(many)
    for command in COMMANDS.values():
        piped = sh(command)
        assert "\x1b" not in piped.stdout
        assert piped.stderr == ""


def test_refusals_stand_above_the_bar(
    sh: Run, log: Path, place: Path, many: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log.is_dir()
    monkeypatch.setenv("PATH", sh("echo $PATH").stdout.strip())
    (place / "many.ndjson").write_text(many)
    sh("deploymark keys new few.pem; deploymark keys trust few.pem.pub --service 's*'")
    seen = screen(watch(place, "deploymark log append many.ndjson --sign few.pem", 100))
    assert seen[0].startswith(f"deploymark: many.ndjson, line {ENTRIES}: The key k-")
    assert seen[1].startswith("  hint: ")
    assert seen[2] == f"{ENTRIES - 1} appended, 0 known already, 1 refused; published at size 1505."
