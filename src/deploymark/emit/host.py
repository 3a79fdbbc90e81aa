"""What the emitter asks of the host it runs on: environment, clock, process, name, chance.

The only module of the room that does. Tests hand in another `Host`.
"""

import os
import time
from collections.abc import Mapping
from typing import Final, Protocol

_BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_EPOCH_BYTES: Final = 12
_FRACTION_BYTES: Final = 4


class Host(Protocol):
    """The outside, as the emitter sees it."""

    def environment(self) -> Mapping[str, str]:
        """Return the environment variables of this process."""
        ...

    def now_ms(self) -> int:
        """Return milliseconds since the Unix epoch, UTC."""
        ...

    def elapsed_seconds(self) -> float:
        """Return seconds since some moment; never goes back."""
        ...

    def since_boot_ns(self) -> int:
        """Return nanoseconds since the host was started, time asleep included."""
        ...

    def process(self) -> int:
        """Return the id of this process; another one after a fork."""
        ...

    def name(self) -> str:
        """Return the name of this host."""
        ...

    def boot(self) -> str:
        """Return what changes when the host starts again, or "" when it does not say."""
        ...

    def user(self) -> int:
        """Return the number of the user whose rights this process has."""
        ...

    def new_epoch(self) -> str:
        """Return a name that nobody has used before."""
        ...

    def fraction(self) -> float:
        """Return a random number from 0 up to 1, to spread retries."""
        ...


class SystemHost:
    """The real one."""

    def environment(self) -> Mapping[str, str]:
        """See `Host.environment`."""
        return os.environ

    def now_ms(self) -> int:
        """See `Host.now_ms`."""
        return time.time_ns() // 1_000_000

    def elapsed_seconds(self) -> float:
        """See `Host.elapsed_seconds`."""
        return time.monotonic()

    def since_boot_ns(self) -> int:
        """See `Host.since_boot_ns`."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def process(self) -> int:
        """See `Host.process`."""
        return os.getpid()

    def name(self) -> str:
        """See `Host.name`."""
        return os.uname().nodename

    def boot(self) -> str:
        """See `Host.boot`."""
        try:
            with open(_BOOT_ID, encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 4 ms
                return file.read().strip()
        except (OSError, ValueError):
            return ""

    def user(self) -> int:
        """See `Host.user`."""
        return os.geteuid()

    def new_epoch(self) -> str:
        """See `Host.new_epoch`."""
        return os.urandom(_EPOCH_BYTES).hex()

    def fraction(self) -> float:
        """See `Host.fraction`."""
        # Not `random`: a forked child would repeat its parent's numbers.
        return int.from_bytes(os.urandom(_FRACTION_BYTES), "big") / (1 << 8 * _FRACTION_BYTES)
