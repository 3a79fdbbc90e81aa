"""The local process observer: an `Observer` of what one service executes on this machine."""

from collections.abc import Collection, Sequence
from typing import Final

from deploymark.emit.host import Host, SystemHost
from deploymark.emit.instance import ProcessName, name_process, parse_uid
from deploymark.errors import ObservationError, ReleaseError
from deploymark.integrations.local_processes.hashing import (
    FileHashes,
    executable_digest,
    release_digest_of,
)
from deploymark.integrations.local_processes.processes import executable_of, runs
from deploymark.integrations.local_processes.selection import Selection
from deploymark.ports import ObservedInstance

EXECUTABLE: Final = "executable"
"""What is hashed is the file that a process executes."""

WORKING_DIRECTORY: Final = ""
"""What is hashed is the release directory that a process works in."""


class LocalProcessObserver:
    """Sees the processes of one service on this machine.

    Args:
        selection: Which processes.
        release: What is hashed: `EXECUTABLE`, `WORKING_DIRECTORY`, or the absolute path of the
            release as the processes see it.
        node: What this machine is called.
        host: The outside; tests give another.
    """

    def __init__(
        self,
        selection: Selection,
        release: str = EXECUTABLE,
        node: str = "",
        host: Host | None = None,
    ) -> None:
        self._selection = selection
        self._release = release
        self._host = host or SystemHost()
        self._node = node or self._host.name()
        self._hashes = FileHashes(self._host)

    @property
    def name(self) -> str:
        """See `Observer.name`."""
        return f"local-process:{self._node}"

    @property
    def hashed(self) -> int:
        """How many files were read in all, those that were remembered not counted."""
        return self._hashes.hashed

    def observe(self) -> Sequence[ObservedInstance]:
        """See `Observer.observe`."""
        self._hashes.begin_round()
        try:
            found = self._selection.instances()
        except OSError as error:
            raise ObservationError(f"/proc cannot be read: {error.strerror}.") from error
        seen = [self._look_at(process) for process in found]
        return [each for each in seen if each is not None]

    def ended(self, uids: Collection[str]) -> frozenset[str]:
        """See `Observer.ended`."""
        return frozenset(uid for uid in uids if self._has_ended(uid))

    def _has_ended(self, uid: str) -> bool:
        name = parse_uid(uid)
        if name is None:
            return False
        if name.boot != (self._host.boot() or self._host.name()):
            return True  # whatever ran in this place before it was started again
        return not runs(name, self._host)

    def _look_at(self, process: int) -> ObservedInstance | None:
        """Return what a process executes; None when it has ended or become another meanwhile."""
        try:
            before = name_process(process, self._host), executable_of(process)
            digest, why = self._digest(process, before[0])
            if (name_process(process, self._host), executable_of(process)) != before:
                return None
        except OSError:
            return None
        return ObservedInstance(str(before[0]), f"{self._node}:{process}", digest, why)

    def _digest(self, process: int, name: ProcessName) -> tuple[str, str]:
        try:
            if self._release == EXECUTABLE:
                return executable_digest(process, self._hashes), ""
            digest = release_digest_of(process, name, self._release, self._hashes, self._host)
        except ReleaseError as error:
            return "", error.message
        except (FileNotFoundError, NotADirectoryError):
            if not self._release:
                raise  # what it works in goes with it
            # Of a process that has ended meanwhile this is not told: the caller looks again.
            return "", f"There is no directory {self._release} where process {process} runs."
        except PermissionError as error:
            return "", f"What it executes is not ours to read: {error.strerror}."
        return digest, ""
