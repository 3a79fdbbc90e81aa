"""Drives the preloaded library `faultfs.c`; what each action does stands there."""

import ctypes
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any


class Action(IntEnum):
    """What becomes of the chosen call, in the order of `enum action` in faultfs.c."""

    EIO = 0
    ENOSPC = 1
    SHORT_WRITE = 2
    TORN_WRITE = 3
    KILL_BEFORE = 4
    KILL_AFTER = 5
    SYNC_EIO = 6


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault to come.

    Attributes:
        nth: The call that is hit, from 1.
        action: What becomes of it.
        sticky: Whether every later call is hit as well.
        power_loss: Whether what was not synced is lost once the process is dead.
    """

    nth: int
    action: Action
    sticky: bool = False
    power_loss: bool = False

    def fields(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self)

    @property
    def kills(self) -> bool:
        """Whether the process ends with the call."""
        return self.action in {Action.TORN_WRITE, Action.KILL_BEFORE, Action.KILL_AFTER}

    def __str__(self) -> str:
        """Say it as a person would."""
        how = f"{self.action.name}{' from' if self.sticky else ' at'} call {self.nth}"
        return f"{how}, then power loss" if self.power_loss else how


def fits(action: Action, call: str) -> bool:
    """Tell whether an action does something of its own at a call, given as `name path`."""
    name = call.partition(" ")[0]
    match action:
        case Action.SYNC_EIO:
            return name in {"fsync", "fdatasync"}
        case Action.SHORT_WRITE | Action.TORN_WRITE:
            return "write" in name
        case Action.ENOSPC:
            return "write" in name or name in {"open", "mkdir", "fallocate"}
        case _:
            return True


class FaultFs:
    """The library in this process, which was started with it preloaded.

    Args:
        library: Where it was built.
    """

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        self._arm = loaded.faultfs_arm
        self._arm.argtypes = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int, ctypes.c_int)
        self._call = loaded.faultfs_call
        self._call.argtypes, self._call.restype = (ctypes.c_long,), ctypes.c_char_p
        self._hit = loaded.faultfs_hit
        self._hit.restype = ctypes.c_char_p
        self._count = loaded.faultfs_count
        self._count.restype = ctypes.c_long
        self._loaded = loaded
        self._remember = loaded.faultfs_remember

    def watch(self, prefix: Path) -> None:
        """Count the calls below a directory from here on, and let all of them happen."""
        self._arm(bytes(prefix), 0, 0, 0)

    def arm(self, prefix: Path, fault: Fault) -> None:
        """Count the calls below a directory from here on, and hit the chosen one."""
        self._arm(bytes(prefix), fault.nth, fault.action, fault.sticky)

    def remember(self, *, on: bool) -> None:
        """Begin to keep what a power loss would put back; what is there now is durable."""
        self._remember(int(on))

    def calls(self) -> list[str]:
        """Return every call counted, as `name path`."""
        return [self._call(n).decode() for n in range(1, self._count() + 1)]

    def hit(self) -> str:
        """Return the first call that was hit, "" for none."""
        text: bytes = self._hit()
        return text.decode()

    def disarm(self) -> None:
        """Let everything happen from here on."""
        self._loaded.faultfs_disarm()

    def unlock(self) -> None:
        """Take the lock from a child that may have died with it in its hand."""
        self._loaded.faultfs_unlock()

    def power_loss(self) -> int:
        """Put back everything that was not synced; return how many writes that took."""
        return int(self._loaded.faultfs_power_loss())
