"""`completion`: the script is loaded by a real shell and asked for words."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deploymark.cli.main import COMMANDS

Run = Callable[..., CompletedProcess[str]]


def completed(place: Path, script: str, *words: str) -> list[str]:
    """Return what bash offers for the last of these words."""
    (place / "completion").write_text(script)
    quoted = " ".join(f"'{word}'" for word in words)
    asked = (
        f"source ./completion; COMP_WORDS=(deploymark {quoted}); COMP_CWORD={len(words)}; "
        '_deploymark; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["/bin/bash", "-c", asked], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


ASKED = {
    "a command": ([""], {name for name in COMMANDS if " " not in name}),
    "the second word of a command": (["rollback", "ad"], {"adopt"}),
    "a flag of a command of two words": (["rollback", "adopt", "--rea"], {"--reason"}),
    "the beginning of a command": (["to"], {"tokens"}),
    "an action": (["log", "che"], {"checkpoint"}),
    "an action of an action": (["log", "witness", "s"], {"serve"}),
    "a flag": (["mark", "--artif"], {"--artifact"}),
    "a flag behind a value": (["ls", "--service", "log", "--la"], {"--last"}),
    "a file": (["verify", "mark"], {"markers.ndjson"}),
}


@pytest.mark.parametrize(("words", "offered"), ASKED.values(), ids=ASKED)
def test_bash_completes(run: Run, place: Path, words: list[str], offered: set[str]) -> None:
    (place / "markers.ndjson").touch()
    script = run("completion bash").stdout
    assert offered <= set(completed(place, script, *words))


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_theirs(run: Run, place: Path, shell: str) -> None:
    script = run(f"completion {shell}").stdout
    assert "tokens" in script
    if (program := shutil.which(shell)) is not None:
        (place / "script").write_text(script)
        subprocess.run([program, "-n", str(place / "script")], check=True)


def test_another_shell_is_refused(run: Run) -> None:
    assert run("completion powershell").returncode == 64
