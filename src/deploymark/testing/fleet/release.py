"""Releases of the fleet's service: directories on the disk that differ in what they hold."""

import shutil
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from deploymark.emit.release import release_digest
from deploymark.testing.fleet import service

PROGRAM: Final = "service.py"
SETTINGS: Final = "release.json"


class Behaviour(Struct, frozen=True):
    """How a release behaves; it is part of the release, as a bug is.

    Attributes:
        version: For people.
        error_rate: Share of the requests that are answered with 500.
        slow_share: Share of the requests that take `slow_seconds` longer.
        typical_seconds: How long half of the requests take at least.
        seed: The same seed gives each instance the same chances again.
    """

    version: str
    error_rate: float = 0.0
    slow_share: float = 0.0
    slow_seconds: float = 1.0
    typical_seconds: float = 0.008
    seed: int = 1


class ReleaseDirectory(Struct, frozen=True):
    """A release on the disk.

    Attributes:
        path: The directory; absolute.
        version: As its behaviour says.
        digest: Of all that it holds, `sha256:…`, as observers find it.
    """

    path: Path
    version: str
    digest: str


def write_release(path: Path, behaviour: Behaviour) -> ReleaseDirectory:
    """Write a release into a directory that does not exist yet.

    Raises:
        OSError: It exists, or cannot be written.
    """
    path.mkdir(parents=True)
    shutil.copyfile(service.__file__, path / PROGRAM)
    settings = msgspec.json.format(msgspec.json.encode(behaviour), indent=2)
    (path / SETTINGS).write_bytes(settings + b"\n")
    return ReleaseDirectory(path.resolve(), behaviour.version, release_digest(str(path)))
