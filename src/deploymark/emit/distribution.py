"""The digest of an installed distribution: what a service that is installed as a wheel runs.

The files that RECORD lists with a hash (PEP 376, PEP 427), hashed as they are on the disk, under
the rule of a release directory. So the digest equals that of the unpacked wheel without its own
RECORD, and a file that was changed or is gone after the installation gives another. What an
installer adds (INSTALLER, REQUESTED, direct_url.json, scripts outside) and byte-code do not count.
"""

import os
from typing import Final

from deploymark.emit.release import file_line, file_sha256, is_byte_code, lines_digest
from deploymark.errors import ReleaseError

_BY_INSTALLER: Final = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"})


def distribution_digest(name: str) -> str:
    """Return the digest of an installed distribution, `sha256:…`.

    Args:
        name: As `pip` knows it.

    Raises:
        ReleaseError: It is not installed, has no RECORD, or is installed in editable mode, where
            RECORD lists none of what runs.
    """
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415 - takes 20 ms

    try:
        found = distribution(name)
    except (PackageNotFoundError, ValueError) as error:
        raise ReleaseError(f"The distribution {name} is not installed.") from error
    if '"editable": true' in (found.read_text("direct_url.json") or ""):
        raise ReleaseError(f"The distribution {name} is installed in editable mode.")
    lines = []
    for file in found.files or ():
        inside = not file.is_absolute() and ".." not in file.parts
        by_installer = file.parent.name.endswith(".dist-info") and file.name in _BY_INSTALLER
        if file.hash is None or by_installer or is_byte_code(file.name) or not inside:
            continue
        try:
            digest = file_sha256(os.fspath(file.locate()))
        except OSError:
            continue  # its line is missing, and so the digest is another one
        lines.append(file_line(digest, os.fsencode(str(file))))
    return lines_digest(sorted(lines), f"of the distribution {name}")
