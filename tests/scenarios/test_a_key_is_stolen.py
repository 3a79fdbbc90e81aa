"""A producer's key is stolen: the runbook's commands, and what verifies afterwards."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]
Markers = Callable[[str, str], str]
PAGE, PRODUCER = "runbooks/key-stolen.md", "A producer key"


@pytest.fixture
def stolen(sh: Run, log: Path, markers: Markers) -> str:
    """The id of ci's key, with which a thief signed entries 5 to 7."""
    assert log.is_dir()
    sh(f"deploymark log append {markers('evil', '6.6')} --sign ci.pem")
    rows = sh("deploymark keys ls --json").stdout.splitlines()
    return str(json.loads(rows[1])["key_id"])


def receipts(sh: Run, *indexes: int) -> dict[int, int]:
    """Verify the receipts of entries with the newest key list; gives their exit codes."""
    loop = "; ".join(
        f"rm -f r{i}; deploymark log prove {i} --out r{i} > /dev/null; "
        f"deploymark verify r{i} --policy policy --keys keys.json > /dev/null && echo 0 || echo $?"
        for i in indexes
    )
    return dict(zip(indexes, map(int, sh(loop).stdout.split()), strict=True))


def test_the_runbook_ends_the_key_and_the_trust_in_what_it_said(
    sh: Run, documented: Run, stolen: str, markers: Markers
) -> None:
    sh("deploymark keys ls --export > keys.json")
    assert receipts(sh, 5) == {5: 0}
    documented(PAGE, PRODUCER, before=f"KEY_ID={stolen}\n")
    assert receipts(sh, 4, 5, 7) == {4: 0, 5: 1, 7: 1}
    refused = sh(f"deploymark log append {markers('evil', '6.7')} --sign ci.pem", exit_code=1)
    assert refused.stderr.count("is not valid at index 10: it ended at 5") == 3
    sh(f"deploymark log append {markers('checkout', '1.1')} --sign ci2.pem")
    refused = sh(f"deploymark log append {markers('basket', '1.1')} --sign ci2.pem", exit_code=1)
    assert refused.stderr.count("line") == 3
    sh("deploymark keys ls --export > keys.json")
    assert receipts(sh, 12) == {12: 0}
    assert "everything adds up" in sh("deploymark log fsck").stdout


def test_an_export_names_the_entries_that_nobody_may_rely_on(
    sh: Run, documented: Run, stolen: str
) -> None:
    documented(PAGE, PRODUCER, before=f"KEY_ID={stolen}\n")
    verified = sh("deploymark verify site --policy policy", exit_code=1)
    named = [line.split(":")[0] for line in verified.stdout.splitlines() if "Entry" in line]
    assert named == ["     Entry 5", "     Entry 6", "     Entry 7"]
    sh("deploymark log prove 4 --out good; deploymark log prove 5 --out bad")
    sh("deploymark verify good --policy policy --export site")
    sh("deploymark verify bad --policy policy --export site", exit_code=1)


def test_a_second_administrator_ends_a_stolen_platform_key(
    sh: Run, documented: Run, log: Path
) -> None:
    assert log.is_dir()
    documented("howto/keys.md", "A second administrator", before="deploymark keys new ci2.pem\n")
    rows = [json.loads(row) for row in sh("deploymark keys ls --json").stdout.splitlines()]
    platform = rows[0]["key_id"]
    documented(PAGE, "An admin key (one that may sign key entries)", before=f"KEY_ID={platform}\n")
    sh("deploymark keys new ci3.pem; deploymark keys trust ci3.pem.pub", exit_code=77)
    sh("deploymark keys trust ci3.pem.pub --by admin.pem")
