"""The file from which Envoy reads a route configuration, and the weights in it.

It is a DiscoveryResponse of one RouteConfiguration in JSON (envoy.service.discovery.v3; what Envoy
calls YAML includes JSON). Envoy reads it again when another file is moved onto it. Its
`version_info` carries the fence of the order that wrote it last, so that whoever writes next can
tell, and nothing else has to remember.
"""

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from deploymark.decoding import decode_json
from deploymark.durable import DRAFT_SUFFIX, sync
from deploymark.errors import ActuatorRefusedError

WHOLE: Final = 10_000
"""The sum of the weights that are written: hundredths of a percent."""

_VERSION: Final = re.compile(r"deploymark-([0-9]{1,18})-[0-9]{1,18}")
_MOST_BYTES: Final = 8 << 20
_TOLERANCE: Final = 0.5 / WHOLE * 100

Json = Any


class Pair(NamedTuple):
    """The two clusters between which traffic is shifted."""

    canary: str
    stable: str


class RoutesFile:
    """The file, while nobody else of us writes it; made by `opened`."""

    def __init__(self, path: Path, content: bytes, mode: int) -> None:
        self._path = path
        self._mode = mode
        self.content = content
        self.read: Json = _parsed(path, content)

    @property
    def fence(self) -> int:
        """The fence of the order that wrote it last, 0 when nobody of us did."""
        found = _VERSION.fullmatch(str(self.read.get("version_info", "")))
        return int(found[1]) if found else 0

    def replace(self, content: bytes) -> None:
        """Move other content onto it; OSError when that fails, and then it is as it was.

        If we stop before the rename, a draft is left that the next one overwrites.
        """
        draft = self._path.with_name(self._path.name + DRAFT_SUFFIX)
        with suppress(FileNotFoundError):
            draft.unlink()  # whatever it is, a link above all, it is not followed
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, self._mode)  # Envoy may be another user
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        draft.rename(self._path)
        with suppress(OSError):  # it is in place, whether or not it would outlive the machine
            sync(self._path.parent)


@contextmanager
def opened(path: Path) -> Iterator[RoutesFile]:
    """Read the file and keep other servers from writing it until the block ends.

    Raises:
        ActuatorRefusedError: It is no JSON of routes.
        OSError: It cannot be read, or somebody else of us writes it (BlockingIOError).
    """
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with path.open("rb") as file:
            content, mode = file.read(_MOST_BYTES), os.fstat(file.fileno()).st_mode & 0o777
        yield RoutesFile(path, content, mode)
    finally:
        os.close(folder)


def version_of(fence: int, decision_index: int) -> str:
    """Return the `version_info` of what an order wrote."""
    return f"deploymark-{fence}-{decision_index}"


def weighted(response: Json, route_config: str, pair: Pair, percent: float, version: str) -> bytes:
    """Return a DiscoveryResponse with other weights, as JSON.

    Args:
        response: As it was read; not changed.
        route_config: Name of the RouteConfiguration.
        pair: The clusters.
        percent: What the canary gets, 0 to 100.
        version: The new `version_info`.

    Raises:
        ActuatorRefusedError: No route splits traffic between exactly these two.
    """
    copy = decode_json(msgspec.json.encode(response))
    copy["version_info"] = version
    configs = [each for each in _list(copy, "resources") if each.get("name") == route_config]
    splits = [split for config in configs for split in splits_of(config, pair)]
    if not splits:
        raise ActuatorRefusedError(
            f"No route of {route_config} splits traffic between {pair.canary} and {pair.stable} "
            "alone.",
            hint="Name both in weighted_clusters of the file, also where one gets nothing.",
        )
    for split in splits:
        for cluster in split:
            canary = round(percent * WHOLE / 100)
            cluster["weight"] = canary if cluster["name"] == pair.canary else WHOLE - canary
    return msgspec.json.format(msgspec.json.encode(copy), indent=1) + b"\n"


def splits_of(config: Json, pair: Pair) -> list[list[Json]]:
    """Return the clusters of each route that splits traffic between exactly these two."""
    found = []
    for host in _list(config, "virtual_hosts"):
        for route in _list(host, "routes"):
            action = route.get("route") if isinstance(route, dict) else None
            split = action.get("weighted_clusters") if isinstance(action, dict) else None
            clusters = _list(split, "clusters")
            names = sorted(str(each.get("name")) for each in clusters)
            if names == sorted(pair):
                found.append(clusters)
    return found


def is_weighted(config: Json, pair: Pair, percent: float) -> bool:
    """Tell whether each route between two clusters gives the canary so many percent."""
    splits = splits_of(config, pair)
    return bool(splits) and all(
        abs(_percent(split, pair.canary) - percent) <= _TOLERANCE for split in splits
    )


def _percent(split: Sequence[Json], canary: str) -> float:
    weights = {each["name"]: float(each.get("weight") or 0) for each in split}
    whole = sum(weights.values())
    return 100 * weights[canary] / whole if whole else -1.0


def _list(value: Json, name: str) -> list[Json]:
    """Return the objects in a list that may not be there, or not be a list."""
    found = value.get(name) if isinstance(value, dict) else None
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _parsed(path: Path, content: bytes) -> Json:
    try:
        read = decode_json(content)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ActuatorRefusedError(
            f"{path} is not JSON: {error}.", hint="Write it as JSON, which Envoy reads as YAML too."
        ) from None
    if not isinstance(read, dict):
        raise ActuatorRefusedError(f"{path} is no DiscoveryResponse.")
    return read
