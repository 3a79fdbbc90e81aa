r"""The digest of a release directory: what a service without an image is deployed as.

SHA-256 over the sorted lines `<sha256 of file>  <path>\n` (spec: trust, "Basis of evidence"), so
`sha256sum` and `sort` give the same: see docs/reference/release-digest. Byte-code caches are left
out, because running the release makes them. A symbolic link counts by where it points, not by what
is there: a release that points elsewhere is another release.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from itertools import islice
from typing import Final

from deploymark.errors import ReleaseError

_CHUNK: Final = 1 << 20
_CACHE: Final = "__pycache__"
_BYTE_CODE: Final = (".pyc", ".pyo")


MOST_FILES: Final = 100_000
"""What a running process hashes of itself, and an observer of it: nobody's release has more."""

Hashes = Callable[[str, bool], str]
"""Gives the SHA-256 in hexadecimal of what lies at a path; True: of a link, by where it points."""


def release_digest(directory: str, most_files: int | None = None) -> str:
    """Return the digest of a release, `sha256:…`.

    Args:
        directory: The release; a link to it is followed.
        most_files: As of `tree_digest`.

    Raises:
        ReleaseError: It is no directory, holds no file, holds something that is neither file nor
            link, or cannot be read.
    """
    return tree_digest(os.path.realpath(directory), directory, most_files=most_files)


def tree_digest(
    root: str, shown: str, hashes: Hashes | None = None, most_files: int | None = None
) -> str:
    """Return the digest of the release below a directory that is opened exactly as it is named.

    Args:
        root: The directory, such as `/proc/self/fd/7`: no link in it is resolved into text, which
            could mean another directory by the time it is read.
        shown: How messages call it.
        hashes: Gives the SHA-256 of a file or link, for whoever remembers it.
        most_files: Refuse a directory of more, before anything is read.

    Raises:
        ReleaseError: As `release_digest`, or it holds more files.
    """
    hash_of = hashes or entry_sha256
    try:
        found = list(islice(_entries(root, b""), most_files and most_files + 1))
        if most_files is not None and len(found) > most_files:
            raise ReleaseError(f"The release {shown} holds more than {most_files} files.")
        lines = sorted(file_line(hash_of(path, link), name) for path, name, link in found)
    except OSError as error:
        raise ReleaseError(
            f"The release {shown} cannot be read: {error.strerror} ({error.filename})."
        ) from error
    except RecursionError:
        raise ReleaseError(f"The release {shown} has directories too deep within others.") from None
    return lines_digest(lines, shown)


def lines_digest(lines: Sequence[bytes], shown: str) -> str:
    """Return the digest of sorted lines (see `file_line`); raises ReleaseError for none."""
    if not lines:
        raise ReleaseError(f"The release {shown} holds no file.")
    return f"sha256:{sha256(b''.join(lines)).hexdigest()}"


def is_byte_code(name: str) -> bool:
    """Whether running a release makes files of this name."""
    return name.endswith(_BYTE_CODE)


def _entries(directory: str, prefix: bytes) -> Iterator[tuple[str, bytes, bool]]:
    """Yield path, name in the release and whether it is a link, of all that counts."""
    with os.scandir(directory) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if b"\n" in name or b"\\" in name:
                raise ReleaseError(
                    f"A file in the release has a line break or backslash in its name: {name!r}."
                )
            if entry.is_symlink():
                yield entry.path, prefix + name, True
            elif entry.is_dir(follow_symlinks=False):
                if entry.name != _CACHE:
                    yield from _entries(entry.path, prefix + name + b"/")
            elif not entry.is_file(follow_symlinks=False):
                raise ReleaseError(f"{entry.path} in the release is neither a file nor a link.")
            elif not is_byte_code(entry.name):
                yield entry.path, prefix + name, False


def entry_sha256(path: str, link: bool) -> str:  # noqa: FBT001 - called by its place, for each file
    """Return the SHA-256 of a file, or of where a link points, in hexadecimal; raises OSError."""
    return link_sha256(path) if link else file_sha256(path)


def link_sha256(path: str) -> str:
    """Return the SHA-256 of the text that a link points to, in hexadecimal; raises OSError."""
    return sha256(os.fsencode(os.readlink(path))).hexdigest()  # noqa: PTH115 - as below


def file_line(digest: str, path: bytes) -> bytes:
    """Return the line of a file: its SHA-256 in hexadecimal, and its path in the release."""
    return digest.encode() + b"  " + path + b"\n"


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file in hexadecimal; raises OSError."""
    digest = sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib costs 4 ms to import
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
