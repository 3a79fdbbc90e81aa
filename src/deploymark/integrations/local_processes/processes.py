"""What the kernel says of the processes of this machine (proc(5)).

Every function may meet a process that has just ended or that we may not see; both are OSErrors, and
whoever calls decides what that means.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from deploymark.emit.host import Host
from deploymark.emit.instance import ProcessName, name_process, namespace_of, start_of

_PROC: Final = Path("/proc")
_LISTENING: Final = "0A"


def process_ids() -> list[int]:
    """Return the numbers of all processes that we see."""
    return sorted(int(name) for name in os.listdir(_PROC) if name.isdecimal())  # noqa: PTH208 - text


def executable_of(process: int) -> tuple[int, int]:
    """Return device and inode of the file that a process executes, replaced or not."""
    status = (_PROC / str(process) / "exe").stat()
    return status.st_dev, status.st_ino


def directory_of(process: int) -> str:
    """Return the directory that a process works in, without links in it."""
    return str((_PROC / str(process) / "cwd").readlink())


def is_used(process: int, directory: os.stat_result) -> bool:
    """Tell whether a process works in a directory, executes a file in it, or was told one.

    What a process was told is its command line, which it can change: whoever names a directory
    says that it runs from there, and this only keeps a wrong name from being taken for right.
    """
    wanted = (directory.st_dev, directory.st_ino)
    home = _PROC / str(process)
    told = (home / "cmdline").read_bytes().split(b"\0")
    named = [Path(os.fsdecode(each)) for each in told if each.startswith(b"/")]
    for place in ((home / "cwd").readlink(), (home / "exe").readlink(), *named):
        for path in (place, *place.parents):
            try:
                status = os.stat(f"{home}/root{path}")  # noqa: PTH116 - as the process sees it
            except (OSError, ValueError):
                continue  # a file that was replaced since has no path
            if (status.st_dev, status.st_ino) == wanted:
                return True
    return False


def mounts_of(process: int) -> str:
    """Return what tells the mount namespace of a process from others."""
    return str((_PROC / str(process) / "ns" / "mnt").readlink())


def command_of(process: int) -> str:
    """Return the command line; a process may have changed it."""
    content = (_PROC / str(process) / "cmdline").read_bytes()
    return content.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")


def units_of(process: int) -> set[str]:
    """Return the names on the way to a process's control groups: slices, units, containers."""
    text = (_PROC / str(process) / "cgroup").read_text(encoding="utf-8", errors="replace")
    paths = (line.split(":", 2)[2] for line in text.splitlines() if line.count(":") > 1)
    return {part for path in paths for part in path.split("/") if part}


def is_zombie(process: int) -> bool:
    """Whether a process has ended and only waits for its parent to notice."""
    content = (_PROC / str(process) / "stat").read_bytes()
    return content.rpartition(b")")[2].split()[0] in (b"Z", b"X")


def listening_sockets(port: int) -> set[str]:
    """Return the sockets that listen on a TCP port, as the links in `/proc/PID/fd` name them."""
    found = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(f"socket:[{fields[9]}]")
    return found


def holds(process: int, links: set[str]) -> bool:
    """Whether one of the open files of a process is among these."""
    folder = _PROC / str(process) / "fd"
    for name in os.listdir(folder):  # noqa: PTH208 - only the names
        try:
            if str((folder / name).readlink()) in links:
                return True
        except FileNotFoundError:
            continue  # closed meanwhile
    return False


def runs(wanted: ProcessName, host: Host) -> bool:
    """Whether a process runs that has this name; True when that cannot be told.

    Args:
        wanted: Its name, of this boot.
        host: Tells the boot.
    """
    own = namespace_of("self")
    if wanted.namespace == own:
        return _is(wanted.process, wanted, host)
    if own:
        return True  # it is in a namespace beside ours, where we see nothing
    return any(_is(process, wanted, host) for process in process_ids())


def _is(process: int, wanted: ProcessName, host: Host) -> bool:
    try:
        if start_of(process) != wanted.start or is_zombie(process):
            return False  # anybody may know so much of a process, and more only of one's own
        return name_process(process, host) == wanted
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True  # there is one that we may not look at


@contextmanager
def opened(process: int, path: str, flags: int = 0) -> Iterator[int]:
    """Open what a path means to a process, wherever the path leads others by now.

    Args:
        process: Whose.
        path: Below `/proc/PID`, such as `exe`, `cwd` or `root/srv/shop`.
        flags: For `open` beside reading.
    """
    descriptor = os.open(f"/proc/{process}/{path}", os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
