"""The README's main job: a real release history, appended, exported, verified by a stranger."""

import csv
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = ROOT / "examples" / "release-history" / "run"
_SECONDS = 120


def git(repository: Path, *words: str) -> bytes:
    command = ["git", "-C", str(repository), *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


@pytest.fixture
def tagged_repository(tmp_path: Path) -> Path:
    """A repository with three tagged releases, light and annotated."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    repository = tmp_path / "project"
    repository.mkdir()
    identity = ["-c", "user.name=Someone", "-c", "user.email=someone@example.org"]
    git(repository, "init", "--quiet")
    for number, tag in enumerate(("v1.0", "v1.1", "v2.0")):
        (repository / "file").write_text(f"content {number}")
        git(repository, "add", "file")
        git(repository, *identity, "commit", "--quiet", "-m", f"release {tag}")
        annotation = ["-m", "annotated"] if number == 1 else []
        git(repository, *identity, "tag", *annotation, tag)
    return repository


def run(repository: Path, work: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RUN, work],
        env={**os.environ, "REPOSITORY": str(repository)},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def releases(work: Path) -> list[dict[str, str]]:
    with (work / "releases.tsv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def test_the_whole_history_of_this_repository_is_logged_and_verified(tmp_path: Path) -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is not a git checkout; the tagged repository below stands in")
    done = run(ROOT, tmp_path / "work")
    assert done.returncode == 0, done.stdout + done.stderr
    count = len(releases(tmp_path / "work"))
    assert count >= 1
    assert f"{count} appended, 0 known already, 0 refused" in done.stdout
    assert f"0 appended, {count} known already, 0 refused" in done.stdout
    assert "All of it held." in done.stdout


def test_every_tag_becomes_one_marker_with_the_digest_of_its_archive(
    tagged_repository: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    done = run(tagged_repository, work)
    assert done.returncode == 0, done.stdout + done.stderr
    listed = releases(work)
    assert [row["tag"] for row in listed] == ["v1.0", "v1.1", "v2.0"]
    for row in listed:
        archive = git(tagged_repository, "archive", "--format=tar", row["tag"])
        assert row["digest"] == f"sha256:{hashlib.sha256(archive).hexdigest()}"
        commit = git(tagged_repository, "rev-parse", f"{row['tag']}^{{commit}}").decode().strip()
        assert row["commit"] == commit
    assert "Verified: release.tar holds." in done.stdout
    assert "NOT verified: the export changed does not hold." in done.stdout


def test_without_a_checkout_it_says_what_it_needs(tmp_path: Path) -> None:
    done = run(tmp_path, tmp_path / "work")
    assert done.returncode == 64
    assert "is no git checkout" in done.stderr
