r"""The digest of a release directory: what a service without an image is deployed as.

SHA-256 over the sorted lines `<sha256 of file>  <path>\n` (spec: trust, "Basis of evidence"), so
`sha256sum` and `sort` give the same: see docs/reference/release-digest. Byte-code caches are left
out, because running the release makes them. A symbolic link counts by where it points, not by what
is there: a release that points elsewhere is another release.
"""

import os
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from deploymark.errors import ReleaseError

_CHUNK: Final = 1 << 20
_CACHE: Final = "__pycache__"
_BYTE_CODE: Final = (".pyc", ".pyo")


def release_digest(directory: str) -> str:
    """Return the digest of a release, `sha256:…`.

    Args:
        directory: The release; a link to it is followed.

    Raises:
        ReleaseError: It is no directory, holds no file, holds something that is neither file nor
            link, or cannot be read.
    """
    root = os.path.realpath(directory)
    try:
        lines = sorted(_lines(root, b""))
    except OSError as error:
        raise ReleaseError(
            f"The release {directory} cannot be read: {error.strerror} ({error.filename})."
        ) from error
    if not lines:
        raise ReleaseError(f"The release {directory} holds no file.")
    return f"sha256:{sha256(b''.join(lines)).hexdigest()}"


def _lines(directory: str, prefix: bytes) -> Iterator[bytes]:
    with os.scandir(directory) as entries:
        for entry in entries:
            name = os.fsencode(entry.name)
            if b"\n" in name or b"\\" in name:
                raise ReleaseError(
                    f"A file in the release has a line break or backslash in its name: {name!r}."
                )
            if entry.is_symlink():
                target = os.fsencode(os.readlink(entry.path))  # noqa: PTH115 - as below
                yield _line(sha256(target).hexdigest(), prefix + name)
            elif entry.is_dir(follow_symlinks=False):
                if entry.name != _CACHE:
                    yield from _lines(entry.path, prefix + name + b"/")
            elif not entry.is_file(follow_symlinks=False):
                raise ReleaseError(f"{entry.path} in the release is neither a file nor a link.")
            elif not entry.name.endswith(_BYTE_CODE):
                yield _line(_file_digest(entry.path), prefix + name)


def _line(digest: str, path: bytes) -> bytes:
    return digest.encode() + b"  " + path + b"\n"


def _file_digest(path: str) -> str:
    digest = sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - pathlib costs 4 ms to import
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
