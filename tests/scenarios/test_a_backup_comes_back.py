"""Old copies, lost guards, broken databases: the docs' commands bring the log back."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
Markers = Callable[[str, str], str]
ROLLED_BACK, BROKEN = "runbooks/rolled-back.md", "runbooks/log-broken.md"
BACKUP = "howto/backup-and-restore.md"


@pytest.fixture
def backed_up(sh: Run, documented: Run, log: Path, markers: Markers) -> Path:
    """A log of 8 entries; backup/ has the directory as of 5 and an export of all 8."""
    documented(BACKUP, "Back up")
    sh(f"deploymark log append {markers('basket', '1.0')} --sign ci.pem")
    sh("deploymark log export backup/site")
    return log


def size(sh: Run) -> int:
    return int(json.loads(sh("deploymark log checkpoint --json").stdout)["size"])


def test_an_old_backup_is_noticed_and_the_runbook_repairs_it(
    sh: Run, documented: Run, backed_up: Path, place: Path, markers: Markers
) -> None:
    shutil.rmtree(backed_up)
    shutil.copytree(place / "backup" / "deploymark-data", backed_up)
    (place / "backup" / "site").rename(place / "newest-export")
    more = markers("search", "1.0")
    refused = sh(f"deploymark log append {more} --sign ci.pem --json", exit_code=1)
    assert json.loads(refused.stderr)["error"] == "log_rolled_back"
    seen = [
        documented(ROLLED_BACK, heading).stdout
        for heading in (
            "1. Keep the evidence",
            "2. See what is there",
            "3. Find newer data",
            "4. Bring it back",
            "5. Go on",
        )
    ]
    assert "5 entries: 1 fault." in seen[1]
    assert "3 acknowledged entries are missing." in seen[1]
    assert "log.example/team\n8\n" in seen[1]
    assert "Brought back 3 entries; the log has 8 again." in seen[3]
    sh(f"deploymark log append {more} --sign ci.pem")
    assert size(sh) == 11


def test_the_backup_page_restores_a_lost_directory(
    sh: Run, documented: Run, backed_up: Path, markers: Markers
) -> None:
    (backed_up / "log.db").unlink()
    restored = documented(BACKUP, "Restore")
    assert "Brought back 3 entries" in restored.stdout
    sh(f"deploymark log append {markers('search', '1.0')} --sign ci.pem")
    assert size(sh) == 11


def test_a_lost_machine_comes_back_from_the_backup_alone(
    sh: Run, documented: Run, backed_up: Path, place: Path
) -> None:
    for lost in (backed_up, place / "home"):
        shutil.rmtree(lost)
    (place / f"{backed_up.name}.guard").unlink()
    sh("cp -a backup/deploymark-data . && deploymark log recover --from backup/site")
    sh("deploymark log checkpoint --publish", exit_code=64)
    documented(BACKUP, "If the guard is lost as well")
    sh("deploymark log checkpoint --publish")
    assert size(sh) == 8


def test_a_lost_guard_is_written_anew_only_when_told(
    sh: Run, documented: Run, log: Path, place: Path
) -> None:
    (place / f"{log.name}.guard").unlink()
    refused = sh("deploymark log checkpoint --publish", exit_code=64)
    assert "log recover --accept" in refused.stderr
    documented(ROLLED_BACK, "If only the guard's file is lost")
    sh("deploymark log checkpoint --publish")


def test_a_broken_database_is_named_and_the_runbook_replaces_it(
    sh: Run, documented: Run, backed_up: Path, markers: Markers
) -> None:
    damaged = sqlite3.connect(backed_up / "log.db")
    damaged.execute("DROP TRIGGER entry_is_fixed")
    damaged.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE idx = 3")
    damaged.commit()
    damaged.close()
    documented(BROKEN, "1. Stop, and keep the evidence")
    found = sh("deploymark log fsck --data deploymark-data.evidence", exit_code=1)
    assert "Entry 3 does not hash to its stored leaf hash." in found.stdout
    replaced = documented(BROKEN, "3. Put a sound copy in its place")
    assert "Brought back 3 entries" in replaced.stdout
    documented(BROKEN, "4. Go on")
    sh(f"deploymark log append {markers('search', '1.0')} --sign ci.pem")
    assert size(sh) == 11
