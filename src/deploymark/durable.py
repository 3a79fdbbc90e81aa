"""Files that are whole on the disk, or not there at all.

Standard library only, at the bottom of the house, because keys, stores, exports and policies all
need the same care: a name in a directory is durable only once that directory is synced too.
"""

import os
from pathlib import Path

DRAFT_SUFFIX = ".new"
"""Ends the name of a file that is not whole yet; nothing ever reads one."""


def sync(path: Path) -> None:
    """Push a file's content, or the names in a directory, to the disk; OSError when it cannot."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create_parents(directory: Path, mode: int = 0o777) -> None:
    """Create a directory and those above it, each name synced; OSError when it cannot."""
    if directory.is_dir():
        return
    create_parents(directory.parent, mode)
    directory.mkdir(mode=mode, exist_ok=True)
    sync(directory.parent)


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place, replacing what was there.

    If we stop before the rename, the old file stands and a draft beside it is overwritten next
    time; after it, the new one is there whole.

    Raises:
        OSError: The file system refuses; the old file stands.
    """
    create_parents(path.absolute().parent)
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    draft.unlink(missing_ok=True)  # whatever it is, a link above all, it is not followed
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    sync(path.absolute().parent)
