"""What a checkout says about itself, where no CI system says it (`ci` goes first).

Asks the installed git, briefly; subprocess is imported only then. A git checkout knows no run, so
it gives no deploy action. Nothing here raises: without git, without a repository or after the time
limit there are simply no facts.

Never use this beside a detected CI run: in the build of a pull request the checkout stands on a
merge commit, which `ci` leaves out on purpose.
"""

from os import PathLike
from typing import Any, Final, NamedTuple

from deploymark.emit.vcs import commit_of, ref_of, repository_url, version_of

TIMEOUT_SECONDS: Final = 2.0
"""The most that one question to git may take; a network file system can hang."""


class Checkout(NamedTuple):
    """A git checkout. "" means: not known.

    Attributes:
        repository: URL of the remote `origin`, without credentials.
        commit_hash: The commit that is checked out, in lower case.
        ref: The branch, or, detached, the only tag that stands on the commit.
        dirty: Whether tracked files differ from the commit. Untracked files do not count, as in
            `git describe --dirty`.
    """

    repository: str = ""
    commit_hash: str = ""
    ref: str = ""
    dirty: bool = False

    def fields(self) -> dict[str, Any]:
        """Return what is known under the names of the flat marker (spec: marker).

        A dirty checkout is not its commit: commit, ref and version are left out, and the labels
        say on what it is based. Such a marker needs a version or a digest of its own.
        """
        if self.dirty:
            stated: dict[str, Any] = {
                "repository": self.repository,
                "labels": {"git.dirty": "true", "git.base": self.commit_hash},
            }
        else:
            stated = {
                "repository": self.repository,
                "commit_hash": self.commit_hash,
                "ref": self.ref,
                "version": version_of(self.ref),
            }
        return {name: value for name, value in stated.items() if value}


def describe(directory: str | PathLike[str]) -> Checkout | None:
    """Return what git says about the checkout that holds a directory, or None.

    Args:
        directory: Any directory inside the checkout.
    """
    status = _ask(directory, "status", "--porcelain=v2", "--branch", "--untracked-files=no")
    if status is None:
        return None
    lines = status.splitlines()
    headers = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
    commit = commit_of(headers.get("branch.oid", ""))
    if not commit:
        return None  # a repository without its first commit describes nothing
    branch = headers.get("branch.head", "(detached)")
    return Checkout(
        repository=repository_url(_ask(directory, "remote", "get-url", "origin") or ""),
        commit_hash=commit,
        ref=_only_tag(directory) if branch == "(detached)" else ref_of("heads", branch),
        dirty=any(not line.startswith("#") for line in lines),
    )


def _only_tag(directory: str | PathLike[str]) -> str:
    tags = (_ask(directory, "tag", "--points-at", "HEAD") or "").split()
    return ref_of("tags", tags[0]) if len(tags) == 1 else ""


def _ask(directory: str | PathLike[str], *question: str) -> str | None:
    import subprocess  # noqa: PLC0415 - costs milliseconds that most emitters never need

    # No lock, and no hook of the repository: looking must neither change nor start anything.
    command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", *question]
    try:
        ran = subprocess.run(  # noqa: S603 - the words are ours
            command,
            cwd=directory,
            capture_output=True,
            check=True,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return ran.stdout.decode("utf-8", "replace")
