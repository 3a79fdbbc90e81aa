"""What tells one process from every other, and can be told from outside as well as from inside.

`<boot id>:<pid>:<start>`: the boot of the host, the process's number in its own pid namespace, and
its time of start in clock ticks since the boot (proc(5), field 22 of `stat`). In another namespace
than the host's first one the number reads `<namespace>.<pid>`, because two containers of a host may
each start a process 1 in the same tick. All of it comes from the kernel; a process cannot choose
it, so an observer on the host finds the same text as the process itself (spec: identity,
"marker_id"). Reads `/proc` and nothing else.
"""

import os
from typing import Final, NamedTuple

from deploymark.emit.host import Host

_FIRST_NAMESPACE: Final = 4_026_531_836
"""Inode of the pid namespace that a host boots with (`PROC_PID_INIT_INO` of Linux)."""

_PARENT, _START = 1, 19
"""Places of the parent and of the time of start behind the command in `stat`."""


class ProcessName(NamedTuple):
    """What an instance uid says.

    Attributes:
        boot: Boot id of the host, or its name where it does not say one.
        namespace: Inode of the pid namespace; 0 for the host's first one.
        process: Number in that namespace.
        start: Clock ticks since the boot.
    """

    boot: str
    namespace: int
    process: int
    start: int

    def __str__(self) -> str:
        """Return the instance uid."""
        number = f"{self.namespace}.{self.process}" if self.namespace else str(self.process)
        return f"{self.boot}:{number}:{self.start}"


def own_uid(host: Host) -> str:
    """Return the instance uid of this process; where there is no /proc, one made by chance."""
    try:
        return str(name_process("self", host))
    except (OSError, ValueError, IndexError):
        return f"{host.name()}:{host.process()}:{host.new_epoch()}"


def name_process(process: int | str, host: Host) -> ProcessName:
    """Return what tells a process from all others.

    Args:
        process: Its number as we see it, or "self".
        host: Tells the boot.

    Raises:
        OSError: It has ended, or is not ours to look at.
    """
    namespace = namespace_of(process)
    number = host.process() if process == "self" else int(process)
    if namespace:
        number = _own_number(process) or number
    return ProcessName(host.boot() or host.name(), namespace, number, start_of(process))


def namespace_of(process: int | str) -> int:
    """Return the pid namespace of a process, 0 for the host's first one; raises OSError."""
    text = os.readlink(f"/proc/{process}/ns/pid")  # noqa: PTH115 - pathlib costs 4 ms
    inode = int(text.removeprefix("pid:[").removesuffix("]"))
    return 0 if inode == _FIRST_NAMESPACE else inode


def parent_of(process: int) -> int:
    """Return the number of the parent of a process; raises OSError."""
    return int(_fields(process)[_PARENT])


def start_of(process: int | str) -> int:
    """Return when a process started, in clock ticks since the boot; raises OSError."""
    return int(_fields(process)[_START])


def _fields(process: int | str) -> list[bytes]:
    """Return the fields of `stat` behind the command, which may hold spaces and parentheses."""
    with open(f"/proc/{process}/stat", "rb") as file:  # noqa: PTH123 - pathlib costs 4 ms
        return file.read().rpartition(b")")[2].split()


def _own_number(process: int | str) -> int:
    """Return the number of a process in its innermost namespace, 0 when it is not said."""
    with open(f"/proc/{process}/status", "rb") as file:  # noqa: PTH123 - pathlib costs 4 ms
        for line in file:
            if line.startswith(b"NSpid:"):
                return int(line.split()[-1])
    return 0


def parse_uid(text: str) -> ProcessName | None:
    """Read an instance uid; None when it is not of this form."""
    boot, _, rest = text.partition(":")
    number, _, start = rest.partition(":")
    namespace, dot, process = number.rpartition(".")
    if not (boot and process.isdecimal() and start.isdecimal()):
        return None
    if dot and not namespace.isdecimal():
        return None
    return ProcessName(boot, int(namespace or 0), int(process), int(start))
