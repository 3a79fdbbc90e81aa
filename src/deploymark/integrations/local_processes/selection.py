"""Which processes of this machine are the instances of a service.

Four ways to tell, and all that are given must hold. Three are the kernel's word: the systemd unit
(or any control group) that a process belongs to, the TCP port it listens on, the directory it works
in. The command line is the process's own word and may only *find* it; what it executes is hashed
all the same, so a process that lies about its name is found out or not found, and never believed.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from deploymark.emit.instance import parent_of
from deploymark.errors import UsageError
from deploymark.integrations.local_processes.processes import (
    command_of,
    directory_of,
    executable_of,
    holds,
    is_zombie,
    listening_sockets,
    process_ids,
    units_of,
)


@dataclass(frozen=True, slots=True)
class Selection:
    """What tells the processes of a service from all others.

    Attributes:
        unit: A systemd unit or another part of a control group's path; `.service` may be left out.
        port: A TCP port that they listen on, or have inherited from who does.
        directory: They work in it, or below.
        command: A regular expression, found anywhere in the command line.
        forking: Processes that fork others of the same program are instances as well.
    """

    unit: str = ""
    port: int = 0
    directory: str = ""
    command: str = ""
    forking: bool = False

    def __post_init__(self) -> None:
        if not (self.unit or self.port or self.directory or self.command):
            raise UsageError(
                "Nothing says which processes belong to the service.",
                hint="Name a unit, a port, a directory or a command.",
            )
        try:
            re.compile(self.command)
        except re.error as error:
            raise UsageError(
                f"--command {self.command!r} is no regular expression: {error}.",
                hint="Write \\ before a sign that stands for itself, such as `\\(`.",
            ) from error

    def instances(self) -> list[int]:
        """Return the processes that are instances now; the own one never is."""
        sockets = listening_sockets(self.port) if self.port else set()
        found = [
            process
            for process in process_ids()
            if process != os.getpid() and self._holds_for(process, sockets)
        ]
        return found if self.forking else _without_forking(found)

    def _holds_for(self, process: int, sockets: set[str]) -> bool:
        try:
            executable_of(process)  # threads of the kernel execute no file
            return (
                not is_zombie(process)
                and (not self.unit or not units_of(process).isdisjoint(self._units()))
                and (not self.directory or _is_below(directory_of(process), self.directory))
                and (not self.command or re.search(self.command, command_of(process)) is not None)
                and (not self.port or holds(process, sockets))
            )
        except OSError:
            return False  # it has ended, or is not ours to see

    def _units(self) -> tuple[str, str]:
        return self.unit, f"{self.unit}.service"


def _is_below(place: str, directory: str) -> bool:
    whole = os.path.realpath(directory)
    # The kernel marks a directory that is gone; the process works in it all the same.
    return place.removesuffix(" (deleted)") == whole or place.startswith(whole.rstrip("/") + "/")


def _without_forking(processes: Sequence[int]) -> list[int]:
    """Leave out who only forks: a parent of another that executes the same file."""
    programs: dict[int, tuple[int, int]] = {}
    for process in processes:
        with suppress(OSError):
            programs[process] = executable_of(process)
    forking = _parents(programs)
    return [process for process in programs if process not in forking]


def _parents(programs: Mapping[int, tuple[int, int]]) -> set[int]:
    found = set()
    for process, program in programs.items():
        with suppress(OSError):
            parent = parent_of(process)
            if programs.get(parent) == program:
                found.add(parent)
    return found
