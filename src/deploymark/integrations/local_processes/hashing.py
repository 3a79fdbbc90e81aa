"""Hashes what a process executes: its executable, or the release directory that it runs in.

Everything is opened through `/proc/PID`, so what is hashed is what the *process* has: the inode it
executes although its path leads to a newer file by now, the directory it works in although that was
renamed, the file system it sees although it is in a container. A file is hashed again only when
device, inode, size, mtime or ctime differ from what is remembered.

A release directory is read by an interpreter once, when the process starts. What was changed in it
since says nothing about the process, so then its digest is not known, rather
than wrong. The change time of an inode (ctime) decides, because nobody can set it.
"""

import os
from hashlib import sha256
from stat import S_ISREG
from typing import Final, NamedTuple

from deploymark.emit.host import Host
from deploymark.emit.instance import ProcessName
from deploymark.emit.release import MOST_FILES, link_sha256, tree_digest
from deploymark.errors import ReleaseError
from deploymark.integrations.local_processes.processes import is_used, mounts_of, opened

_CHUNK: Final = 1 << 20
_SECOND_NS: Final = 1_000_000_000
_MS_NS: Final = 1_000_000
_SETTLED_NS: Final = 2 * _SECOND_NS
"""A file that changed so recently may change again within the same tick of its clock."""

Key = tuple[int, int, int, int, int]
Place = tuple[int, int, str]


class Tree(NamedTuple):
    """What is known of a release directory.

    Attributes:
        digest: `sha256:…`.
        changed_ns: When the newest change of a file in it was, nanoseconds since the Unix epoch.
    """

    digest: str
    changed_ns: int


class FileHashes:
    """SHA-256 of files, remembered as long as they do not change; forgets what was not asked for.

    Args:
        host: Tells the time.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._known: dict[Key, str] = {}
        self._used: dict[Key, str] = {}
        self._trees: dict[Place, Tree] = {}
        self._newest_change_ns = 0
        self.hashed = 0

    def begin_round(self) -> None:
        """Forget the files that were not asked for since the last round began."""
        self._known, self._used = self._used, {}
        self._trees = {}

    def of_tree(self, descriptor: int, view: str, shown: str) -> Tree:
        """Return what is known of the release in an open directory; read once a round.

        Args:
            descriptor: The directory.
            view: The mount namespace it is seen in: elsewhere other files may lie in it.
            shown: How messages call it.

        Raises:
            ReleaseError: It has no digest.
        """
        status = os.fstat(descriptor)
        place = (status.st_dev, status.st_ino, view)
        known = self._trees.get(place)
        if known is None:
            self._newest_change_ns = 0
            root = f"/proc/self/fd/{descriptor}"
            digest = tree_digest(root, shown, self.of_path, MOST_FILES)
            known = self._trees[place] = Tree(digest, self._newest_change_ns)
        return known

    def of_path(self, path: str, link: bool) -> str:  # noqa: FBT001 - see `release.Hashes`
        """Return the SHA-256 of a file, or of where a link points; raises as `of_descriptor`."""
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - thousands of them
        if link:
            self._newest_change_ns = max(self._newest_change_ns, status.st_ctime_ns)
            return link_sha256(path)
        key = _key(status)
        known = self._used.get(key) or self._known.get(key)
        if known is not None:
            self._newest_change_ns = max(self._newest_change_ns, status.st_ctime_ns)
            self._used[key] = known
            return known
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return self.of_descriptor(descriptor)
        finally:
            os.close(descriptor)

    def of_descriptor(self, descriptor: int) -> str:
        """Return the SHA-256 of an open file in hexadecimal.

        Raises:
            ReleaseError: It was written while it was read, or is no file.
            OSError: It cannot be read.
        """
        before = os.fstat(descriptor)
        if not S_ISREG(before.st_mode):
            raise ReleaseError("What should be hashed is no file.")
        key = _key(before)
        self._newest_change_ns = max(self._newest_change_ns, before.st_ctime_ns)
        known = self._used.get(key) or self._known.get(key)
        if known is None:
            known = self._read(descriptor)
            if _key(os.fstat(descriptor)) != key:
                raise ReleaseError("A file was written while it was read.")
            if self._host.now_ms() * _MS_NS - before.st_ctime_ns < _SETTLED_NS:
                return known
        self._used[key] = known
        return known

    def _read(self, descriptor: int) -> str:
        self.hashed += 1
        digest = sha256()
        place = 0
        while chunk := os.pread(descriptor, _CHUNK, place):
            digest.update(chunk)
            place += len(chunk)
        return digest.hexdigest()


def executable_digest(process: int, hashes: FileHashes) -> str:
    """Return the digest of the file that a process executes, `sha256:…`; raises OSError."""
    with opened(process, "exe") as descriptor:
        return f"sha256:{hashes.of_descriptor(descriptor)}"


def release_digest_of(
    process: int, name: ProcessName, release: str, hashes: FileHashes, host: Host
) -> str:
    """Return the digest of the release that a process runs, `sha256:…`.

    Args:
        process: Its number.
        name: Its name, which says when it started.
        release: An absolute path as the process sees it, or "" for the directory it works in.
        hashes: What is remembered of files.
        host: Tells the time.

    Raises:
        ReleaseError: It has no digest, was changed since the process started, or is another one
            than the process works in.
        OSError: The process has ended, or is not ours to see.
    """
    path = f"root{release}" if release else "cwd"
    shown = release or f"that process {process} works in"
    view = mounts_of(process)
    with opened(process, path, os.O_DIRECTORY) as descriptor:
        if release and not is_used(process, os.fstat(descriptor)):
            raise ReleaseError(
                f"Process {process} does not work in the release {shown}, executes no file of it, "
                "and was told none."
            )
        tree = hashes.of_tree(descriptor, view, shown)
    if tree.changed_ns > started_ns(name, host):
        raise ReleaseError(
            f"The release {shown} was changed since the process started, which may run the older."
        )
    return tree.digest


def started_ns(name: ProcessName, host: Host) -> int:
    """Return when a process started, nanoseconds since the Unix epoch, 1 to 12 ms too late.

    Args:
        name: Its name.
        host: Tells the time.
    """
    ticks_ns = _SECOND_NS // os.sysconf("SC_CLK_TCK")
    # The start is rounded down to a tick, and our clock to a millisecond. So early in its life a
    # process has read nothing yet of what may change.
    age_ns = host.since_boot_ns() - (name.start + 1) * ticks_ns - 2 * _MS_NS
    return host.now_ms() * _MS_NS - age_ns


def _key(status: os.stat_result) -> Key:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
