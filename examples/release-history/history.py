"""The release history of a git repository: first as a file of releases, then as markers.

    python history.py releases [REPOSITORY] > releases.tsv
    python history.py markers releases.tsv > markers.ndjson

A release is a tag. Where a repository has no tags, every commit on the main line stands for one.
The artifact of a release is what `git archive` makes of its commit, so anyone with the repository
can compute the same digest.
"""

import argparse
import csv
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, TextIO


class Release(NamedTuple):
    """One line of the file of releases."""

    tag: str
    date: str
    commit: str
    digest: str


def git(repository: Path, *words: str) -> bytes:
    """Return what a git command prints."""
    command = ["git", "-C", str(repository), *words]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def releases(repository: Path) -> Iterator[Release]:
    """Yield the releases of a repository, oldest first."""
    for tag, commit in tagged(repository) or untagged(repository):
        seconds = int(git(repository, "show", "-s", "--format=%ct", commit))
        date = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        archive = git(repository, "archive", "--format=tar", commit)
        yield Release(tag, date, commit, f"sha256:{hashlib.sha256(archive).hexdigest()}")


def tagged(repository: Path) -> list[tuple[str, str]]:
    """Return (tag, commit) of every tag, by date."""
    form = "%(refname:short)%09%(objectname)%09%(*objectname)"
    listing = git(repository, "for-each-ref", "--sort=creatordate", f"--format={form}", "refs/tags")
    rows = [line.split("\t") for line in listing.decode().splitlines()]
    return [(tag, peeled or plain) for tag, plain, peeled in rows]


def untagged(repository: Path) -> list[tuple[str, str]]:
    """Return (name, commit) of every commit on the main line, oldest first."""
    listing = git(repository, "rev-list", "--first-parent", "--reverse", "HEAD").decode().split()
    return [(f"commit-{number}", commit) for number, commit in enumerate(listing, 1)]


def marker(release: Release, number: int, service: str) -> dict[str, object]:
    """Return the flat marker that says: this release came to be at that time."""
    return {
        "service": service,
        "environment": "release",
        "phase": "applied",
        "version": release.tag,
        "artifact": {"name": f"{service}.tar", "digest": release.digest, "tag": release.tag},
        "commit_hash": release.commit,
        "timestamp": release.date,
        "emitter": {
            "kind": "human",
            "id": "release-history",
            "epoch": "history",
            "sequence": number,
        },
    }


def write_releases(repository: Path, out: TextIO) -> None:
    """Write the file of releases."""
    table = csv.writer(out, delimiter="\t", lineterminator="\n")
    table.writerow(Release._fields)
    table.writerows(releases(repository))


def write_markers(file: Path, service: str, out: TextIO) -> None:
    """Write one marker a line."""
    with file.open(encoding="utf-8", newline="") as lines:
        table = csv.DictReader(lines, delimiter="\t")
        out.writelines(
            json.dumps(marker(Release(**row), number, service)) + "\n"
            for number, row in enumerate(table, 1)
        )


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    actions = parser.add_subparsers(dest="action", required=True)
    first = actions.add_parser("releases", help="list the releases of a git repository")
    first.add_argument("repository", type=Path, nargs="?", default=Path())
    second = actions.add_parser("markers", help="turn a file of releases into markers")
    second.add_argument("file", type=Path)
    second.add_argument("--service", default="deploymark", help="whose releases they are")
    chosen = parser.parse_args()
    if chosen.action == "releases":
        write_releases(chosen.repository, sys.stdout)
    else:
        write_markers(chosen.file, chosen.service, sys.stdout)


if __name__ == "__main__":
    main()
