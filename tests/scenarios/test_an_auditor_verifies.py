"""A team keeps a log; an auditor with a policy file and an export believes nobody."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture
def auditor(sh: Run, place: Path, log: Path, tmp_path: Path) -> Path:
    """Another place, with the policy and the export in it and nothing else."""
    sh(
        """
        deploymark log export site
        deploymark log prove 4 --out receipt
        deploymark keys ls --export > keys.json
        """
    )
    there = tmp_path / "auditor"
    there.mkdir()
    for name in ("policy", "receipt", "keys.json"):
        shutil.copy(place / name, there / name)
    shutil.copytree(place / "site", there / "site")
    shutil.rmtree(log)
    return there


def test_an_auditor_needs_the_policy_and_the_export_only(sh: Run, auditor: Path) -> None:
    verified = sh("env -i $(command -v deploymark) verify site --policy policy", at=auditor)
    assert "3 markers" in verified.stdout
    assert verified.stdout.endswith("Verified: the export site holds.\n")
    assert {each.name for each in auditor.iterdir()} == {
        *("policy", "site", "receipt", "keys.json", "home"),
    }
    assert list((auditor / "home").iterdir()) == []


def test_one_entry_is_verified_from_one_file(sh: Run, auditor: Path) -> None:
    verified = sh("deploymark verify receipt --policy policy --keys keys.json", at=auditor)
    said = "entry 4: checkout applied in prod, 1.0, claimed time 2026-11-23T00:00:00Z"
    assert said in verified.stdout
    undecided = sh("deploymark verify receipt --policy policy", at=auditor, exit_code=2)
    assert "NOT" not in undecided.stdout


def test_a_changed_byte_is_noticed_wherever_it_is(sh: Run, auditor: Path) -> None:
    files = sorted(each for each in (auditor / "site").rglob("*") if each.is_file())
    assert len(files) == 3
    for file in files:
        content = file.read_bytes()
        file.write_bytes(content[:60] + bytes([content[60] ^ 1]) + content[61:])
        sh("deploymark verify site --policy policy", at=auditor, exit_code=1)
        file.write_bytes(content)


def test_a_policy_for_another_log_accepts_nothing(sh: Run, auditor: Path) -> None:
    sh("deploymark log init --data mine && deploymark log policy --data mine > own", at=auditor)
    refused = sh("deploymark verify site --policy own", at=auditor, exit_code=1)
    assert "The policy lists no log 'log.example/team'." in refused.stdout


def test_the_release_history_page_works_as_it_stands(documented: Run, place: Path) -> None:
    page = "howto/mark-a-release-history.md"
    marker = {"service": "checkout", "environment": "prod", "phase": "applied", "version": "1"}
    (place / "releases.ndjson").write_text(json.dumps(marker))
    for heading in ("1. Write the markers", "2. Make a log and a key", "3. Append"):
        documented(page, heading)
    done = documented(page, "4. Hand it on")
    assert "release.tlog-proof proves entry 2" in done.stdout
    assert (place / "policy").read_text().startswith("log log.example/releases+")


def test_the_verification_page_works_as_it_stands(
    documented: Run, sh: Run, place: Path, log: Path
) -> None:
    assert log.is_dir()
    (place / "app.tar").write_text("release 2")
    digest = sh("sha256sum app.tar").stdout.split()[0]
    marker = {"service": "checkout", "environment": "prod", "phase": "applied"}
    marker |= {"artifact_digest": f"sha256:{digest}"}
    (place / "two.json").write_text(json.dumps(marker))
    sh(
        """
        deploymark log append two.json --sign ci.pem
        deploymark log prove 5 --out release.tlog-proof
        deploymark log export site
        deploymark keys ls --export > keys.json
        """
    )
    extra = (place / "release.tlog-proof").read_text().splitlines()[1].removeprefix("extra ")
    sh(
        f"echo {extra} | base64 -d | python -c "
        "'import json, sys; print(json.dumps(json.load(sys.stdin)[\"dsse\"]))' > envelope.json"
    )
    documented("howto/verify-a-receipt.md", "Other evidence")
    sh("deploymark verify release.tlog-proof --policy policy --export site")
