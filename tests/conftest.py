"""What holds for every test."""

import os
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Container images often tell Python to keep no bytecode. Then each worker, and each of the
# thousands of commands and servers that tests start, compiles all of its modules again: half of
# the time of a worker's start, and of a command's.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

_MEMORY = Path("/dev/shm")  # noqa: S108 - pytest makes a folder of its own in there
_ROOM_BYTES = 4 << 30  # four times what all tests hold at once


def _takes_tests(folder: Path) -> bool:
    """Tell whether programs can lie in a folder, and there is room for all tests."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return False
    here = os.statvfs(folder)
    return not here.f_flag & os.ST_NOEXEC and here.f_bavail * here.f_frsize >= _ROOM_BYTES


# Tests sync to disk tens of thousands of times, and no test takes the power away from a real
# disk: where one fails, the fault library keeps the books of what was synced. So all of it may
# lie in memory.
if _takes_tests(_MEMORY):
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))

# No test measures time: an example may be slow on a busy machine and still be right.
settings.register_profile(
    "deploymark",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("deploymark")

# Which tests begin -------------------------------------------------------------------------------

_LONG, _WAITING, _SHORT = range(3)
_ROOMS_THAT_WAIT = frozenset({"fault", "integration", "mutation", "scenarios", "web"})
"""Rooms whose tests start processes and wait for them."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each of several workers begin with its share of the tests that take long.

    A worker is given a part of the list as it stands, and who has finished takes from the ends of
    the others. So what takes long begins early and beside each other, and what is left for the end
    is short. The tests of a module stay together, because they share what they set up.
    """
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = dealt(items, workers)


def dealt(items: Sequence[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return all tests in the order in which so many workers do them best."""
    modules = [list(group) for _, group in groupby(items, key=lambda item: item.path)]
    modules.sort(key=_length)
    waiting = [module for module in modules if _length(module) < _SHORT]
    short = [item for module in modules[len(waiting) :] for item in module]
    found: list[pytest.Item] = []
    for number in range(workers):
        # As xdist cuts the list: each gets an equal part of what is left.
        end = len(found) + (len(items) - len(found)) // (workers - number)
        found += [item for module in waiting[number::workers] for item in module]
        some = max(0, end - len(found))
        found += short[:some]
        del short[:some]
    return found


def _length(module: Sequence[pytest.Item]) -> int:
    if any(item.get_closest_marker("long") for item in module):
        return _LONG
    room = module[0].path.relative_to(Path(__file__).parent).parts[0]
    return _WAITING if room in _ROOMS_THAT_WAIT else _SHORT
