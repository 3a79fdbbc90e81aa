"""Key files that do not open: open to others, locked, or locked by another passphrase."""

import shlex
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize("file", ["ci.pem", "it's mine.pem"])
def test_a_key_open_to_others_is_refused_with_the_very_command(
    run: Run, team: Path, file: str
) -> None:
    key = (team / "ci.pem").rename(team / file)
    key.chmod(0o644)
    refused = run("log append markers.ndjson --data data --sign", file)
    assert refused.returncode == 64
    assert "is open to others (mode 0644)" in refused.stderr
    assert f"`chmod 600 {shlex.quote(str(key))}`" in refused.stderr


@pytest.fixture
def locked(run: Run, place: Path) -> Path:
    """A log all of whose keys are locked with the passphrase in the file `right`."""
    (place / "right").write_text("correct horse\nand a second line that does not count\n")
    run("log init --data data --passphrase-file right")
    run("keys new ci.pem --passphrase-file right")
    return place


WRONG = {
    "no passphrase at all": ("", "none was given"),
    "another passphrase": ("battery staple\n", "is not a PKCS #8 PEM key that this passphrase"),
    "an empty file": (None, "is empty"),
    "a file whose first line is empty": ("\ncorrect horse\n", "is empty"),
    "a file that is not UTF-8": ("\udcff\n", "is not UTF-8"),
}


@pytest.mark.parametrize(("content", "complaint"), WRONG.values(), ids=WRONG)
def test_locked_keys_do_not_open_with(
    run: Run, locked: Path, content: str | None, complaint: str
) -> None:
    flag = "" if content == "" else "--passphrase-file wrong"
    (locked / "wrong").write_text(content or "", encoding="utf-8", errors="surrogateescape")
    refused = run(f"keys trust ci.pem.pub --data data {flag}")
    assert refused.returncode == 64
    assert complaint in refused.stderr
    assert "horse" not in refused.stderr


def test_locked_keys_open_with_the_passphrase_from_file_or_environment(
    run: Run, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("keys trust ci.pem.pub --data data --passphrase-file right").returncode == 0
    monkeypatch.setenv("DEPLOYMARK_KEY_PASSPHRASE", "correct horse")
    assert run("log checkpoint --publish --data data").returncode == 0
    assert run("keys new next.pem").returncode == 0
    assert "ENCRYPTED" in (locked / "next.pem").read_text()


@pytest.mark.usefixtures("locked")
def test_a_passphrase_file_that_cannot_be_read_is_named(run: Run) -> None:
    for name in ("nowhere", "data"):
        refused = run("log checkpoint --publish --data data --passphrase-file", name)
        assert refused.returncode == 64
        assert f"{name} cannot be read" in refused.stderr


@pytest.mark.usefixtures("team")
@pytest.mark.parametrize(
    "line", ["keys trust missing.pub --data data", "log append markers.ndjson --sign missing.pem"]
)
def test_a_key_that_is_not_there_is_not_said_to_be_open_to_others(run: Run, line: str) -> None:
    refused = run(line)
    assert refused.returncode == 64
    assert "There is no key file missing.p" in refused.stderr
    assert "`deploymark keys new FILE`" in refused.stderr
    assert "chmod" not in refused.stderr
