"""Real witness processes: they cosign what continues, refuse forks, and hold nothing up."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
Serve = Callable[..., AbstractContextManager[str]]
Markers = Callable[[str, str], str]
pytestmark = pytest.mark.usefixtures("log")


@pytest.fixture
def witness(sh: Run) -> Callable[[str], str]:
    """Create a witness and return its Ed25519 verifier key."""

    def create(name: str) -> str:
        made = sh(f"deploymark log witness init {name} --name witness.example/{name} --json")
        return str(json.loads(made.stdout)["vkeys"][0])

    return create


@pytest.fixture
def witnessed(sh: Run, witness: Callable[[str], str], serve: Serve) -> str:
    """Have the log witnessed by w1, whose address does not change; gives HOST:PORT."""
    vkey = witness("w1")
    with serve("w1") as url:
        added = sh(f"deploymark log witness add w1 {vkey} {url}")
        sh("deploymark log checkpoint --publish")
    assert "it demands 1 of 1 witness" in added.stdout
    sh("deploymark log policy > witnessed-policy")
    return url.removeprefix("http://")


def verified(sh: Run, policy: str, exit_code: int = 0) -> str:
    """Export the log and verify the export under a policy."""
    return sh(
        f"deploymark log export site > /dev/null; deploymark verify site --policy {policy}",
        exit_code=exit_code,
    ).stdout


def test_a_witness_cosigns_what_continues(
    sh: Run, serve: Serve, witnessed: str, markers: Markers
) -> None:
    with serve("w1", listen=witnessed):
        appended = sh(f"deploymark log append {markers('basket', '1.0')} --sign ci.pem")
    assert appended.stdout.endswith("published at size 8, cosigned by 1 of 1 witness.\n")
    assert "cosigned by w1 at 20" in verified(sh, "witnessed-policy")
    sh("deploymark log prove 7 --out receipt; deploymark keys ls --export > keys.json")
    sh("deploymark verify receipt --policy witnessed-policy --keys keys.json")
    assert "everything adds up" in sh("deploymark log fsck").stdout


def test_a_witness_that_is_away_is_asked_again_later(
    sh: Run, serve: Serve, witnessed: str, markers: Markers
) -> None:
    appended = sh(f"deploymark log append {markers('basket', '1.0')} --sign ci.pem")
    assert appended.stdout.endswith("published at size 8, cosigned by 0 of 1 witness.\n")
    assert "The quorum 'witnesses' is not reached" in verified(sh, "witnessed-policy", 1)
    verified(sh, "policy")
    with serve("w1", listen=witnessed):
        sh("deploymark log checkpoint --publish")
    assert "cosigned by w1" in verified(sh, "witnessed-policy")


def test_any_and_all_are_what_they_say(
    sh: Run, serve: Serve, witnessed: str, witness: Callable[[str], str], markers: Markers
) -> None:
    vkey = witness("w2")
    with serve("w1", listen=witnessed), serve("w2") as url:
        sh(
            f"""
            deploymark log witness add w2 {vkey} {url} --quorum any
            deploymark log policy > any
            deploymark log witness add w2 {vkey} {url} --quorum all
            deploymark log policy > all
            deploymark log checkpoint --publish
            """
        )
        assert "cosigned by w1 at" in (both := verified(sh, "all"))
        assert ", w2 at" in both
    with serve("w1", listen=witnessed):
        appended = sh(f"deploymark log append {markers('basket', '1.0')} --sign ci.pem")
    assert "cosigned by 1 of 2 witnesses" in appended.stdout
    verified(sh, "any")
    assert "cosigned by w1." in verified(sh, "all", 1)


def test_a_fork_is_refused_also_by_a_witness_that_was_restarted(
    sh: Run, serve: Serve, witnessed: str, place: Path, markers: Markers
) -> None:
    shutil.copytree(place / "deploymark-data", place / "fork")
    shutil.copy(place / "deploymark-data.guard", place / "fork.guard")
    with serve("w1", listen=witnessed):
        sh(f"deploymark log append {markers('basket', '1.0')} --sign ci.pem")
    with serve("w1", listen=witnessed):
        forked = sh(
            f"deploymark log append {markers('search', '1.0')} --sign ci.pem --data fork --json",
            exit_code=1,
        )
        # What was appended is said, and that it was not published; then why.
        assert json.loads(forked.stdout)["appended"] == 3
        assert json.loads(forked.stderr)["error"] == "witness_refused"
        sh("deploymark log export forksite --data fork")
        refused = sh("deploymark verify forksite --policy witnessed-policy", exit_code=1)
        assert "is not reached" in refused.stdout
        # The true log goes on.
        sh(f"deploymark log append {markers('search', '1.0')} --sign ci.pem")
    verified(sh, "witnessed-policy")


def test_a_witness_knows_more_than_a_log_that_was_cut_and_its_guard(
    sh: Run, serve: Serve, witnessed: str, place: Path, markers: Markers
) -> None:
    shutil.copytree(place / "deploymark-data", place / "short")
    shutil.copy(place / "deploymark-data.guard", place / "short.guard")
    with serve("w1", listen=witnessed):
        sh(f"deploymark log append {markers('basket', '1.0')} --sign ci.pem")
        (place / "one.json").write_text((place / markers("x", "1")).read_text().splitlines()[0])
        refused = sh(
            "deploymark log append one.json --sign ci.pem --data short --json", exit_code=1
        )
    error = json.loads(refused.stderr)
    assert error["error"] == "log_rolled_back"
    assert "has cosigned 8 entries of this log; here are only 6" in error["message"]
