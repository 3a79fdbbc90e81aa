"""What holds for every test."""

import os
import sys
from pathlib import Path

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
