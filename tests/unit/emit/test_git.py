"""Lets real git describe small checkouts."""

import subprocess
from pathlib import Path

import pytest

from deploymark.emit import git
from deploymark.emit.git import describe


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "a@example.com")
    folder = tmp_path / "shop"
    folder.mkdir()
    run(folder, "init", "-q", "-b", "main")
    run(folder, "remote", "add", "origin", "https://robot:hunter2@git.example.com/acme/shop.git")
    (folder / "file").write_text("one\n")
    run(folder, "add", "file")
    run(folder, "commit", "-q", "-m", "first")
    return folder


def run(folder: Path, *words: str) -> str:
    ran = subprocess.run(
        ["git", *words],  # noqa: S607 - the installed git is what is tested
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    return ran.stdout.strip()


def test_a_clean_branch_is_its_commit(checkout: Path) -> None:
    inside = checkout / "folder"
    inside.mkdir()
    described = describe(inside)
    assert described is not None
    assert described.fields() == {
        "repository": "https://git.example.com/acme/shop",
        "commit_hash": run(checkout, "rev-parse", "HEAD"),
        "ref": "refs/heads/main",
    }


def test_a_changed_file_makes_it_not_the_commit(checkout: Path) -> None:
    (checkout / "file").write_text("two\n")
    described = describe(checkout)
    assert described is not None
    assert described.dirty
    assert described.fields() == {
        "repository": "https://git.example.com/acme/shop",
        "labels": {"git.dirty": "true", "git.base": run(checkout, "rev-parse", "HEAD")},
    }


def test_a_file_that_git_does_not_know_changes_nothing(checkout: Path) -> None:
    (checkout / "built").write_text("x")
    described = describe(checkout)
    assert described is not None
    assert not described.dirty


def test_a_detached_checkout_is_its_only_tag(checkout: Path) -> None:
    run(checkout, "tag", "v1.0")
    run(checkout, "checkout", "-q", "--detach")
    described = describe(checkout)
    assert described is not None
    assert (described.ref, described.fields()["version"]) == ("refs/tags/v1.0", "v1.0")
    run(checkout, "tag", "also")
    ambiguous = describe(checkout)
    assert ambiguous is not None
    assert ambiguous.ref == ""


def test_without_repository_commit_or_git_there_are_no_facts(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    assert describe(outside) is None
    assert describe(tmp_path / "missing") is None
    run(outside, "init", "-q")
    assert describe(outside) is None
    monkeypatch.setenv("PATH", str(outside))
    assert describe(checkout) is None


def test_a_git_that_hangs_is_given_up(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(git, "TIMEOUT_SECONDS", 0.05)
    assert describe(checkout) is None


def test_looking_starts_no_program_of_the_repository(tmp_path: Path, checkout: Path) -> None:
    trap = tmp_path / "trap"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\n")
    trap.chmod(0o755)
    run(checkout, "config", "core.fsmonitor", str(trap))
    assert describe(checkout) is not None
    assert not (tmp_path / "sprung").exists()
