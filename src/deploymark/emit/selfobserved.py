"""What a process can hash of itself: release directory, installed distribution or executable.

Only what was named as the artifact is hashed. A digest of anything else (the interpreter, say)
would contradict every deployment that is known by its image, and so be a false alarm.
"""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from deploymark.emit.told import RELEASE_FILE, Told

_MAX_FILE_BYTES: Final = 65_536


class SelfObserved(NamedTuple):
    """What a process found out about itself.

    Attributes:
        digest: `sha256:…`.
        observer: What was hashed, as `evidence.observer` names it.
    """

    digest: str
    observer: str


def observe_self(told: Told) -> SelfObserved | None:
    """Hash what this process was told to be; None when nothing was named.

    Takes as long as reading all of it, so not for the main thread.

    Raises:
        ReleaseError: What was named has no digest.
        OSError: The executable cannot be read.
    """
    if told.release:
        from deploymark.emit.release import (  # noqa: PLC0415 - only with a release
            MOST_FILES,
            release_digest,
        )

        return SelfObserved(release_digest(told.release, MOST_FILES), "startup:release")
    if told.distribution:
        from deploymark.emit.distribution import (  # noqa: PLC0415 - only with a distribution
            distribution_digest,
        )

        return SelfObserved(distribution_digest(told.distribution), "startup:distribution")
    if told.executable or getattr(sys, "frozen", False):
        from deploymark.emit.release import file_sha256  # noqa: PLC0415 - only with an executable

        return SelfObserved(f"sha256:{file_sha256('/proc/self/exe')}", "startup:executable")
    return None


def release_directory(given: str) -> str:
    """Return the directory that is the release: the one that was named, or where we run.

    Args:
        given: What was named, or "".

    Returns:
        An absolute path, so that a later change of directory makes no difference; "" when none was
        named and no release file lies in the working directory.
    """
    try:
        here = os.getcwd()  # noqa: PTH109 - pathlib costs 4 ms
        if given:
            return os.path.realpath(os.path.join(here, given))  # noqa: PTH118 - as above
        return here if os.path.isfile(os.path.join(here, RELEASE_FILE)) else ""  # noqa: PTH113, PTH118 - as above
    except OSError:  # the working directory is gone
        return given


def read_release_file(directory: str) -> Mapping[str, Any]:
    """Return what the release file of a directory says; empty when there is none that can be read.

    Args:
        directory: The release, or "".
    """
    if not directory:
        return {}
    try:
        with open(os.path.join(directory, RELEASE_FILE), "rb") as file:  # noqa: PTH118, PTH123 - as above
            value = json.loads(file.read(_MAX_FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
