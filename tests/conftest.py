"""What holds for every test."""

import os
import sys

from hypothesis import HealthCheck, settings

# Container images often tell Python to keep no bytecode. Then each worker, and each of the
# thousands of commands and servers that tests start, compiles all of its modules again: half of
# the time of a worker's start, and of a command's.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# No test measures time: an example may be slow on a busy machine and still be right.
settings.register_profile(
    "deploymark",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("deploymark")
