"""The test's side of the fault server: ask for runs, collect promises, have them checked."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from faultfs import Action, Fault, fits

# Every run ends within a second; what takes this long hangs.
_DEADLINE_SECONDS = 30
_CHECK_SECONDS = 5
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Run:
    """How one forked process ended.

    Attributes:
        lines: What it reported, in order.
        exit: Its exit code; negative for a signal.
        hung: Whether it had to be given up.
        hit: The call that the fault hit, "" when there were fewer calls.
        calls: Every call, when asked for.
        lost: How many writes a power loss took.
        errors: What it wrote to its standard error.
    """

    lines: list[dict[str, Any]]
    exit: int
    hung: bool
    hit: str
    calls: list[str]
    lost: int
    errors: str

    @property
    def promises(self) -> list[list[object]]:
        """Every promise it made."""
        return [promise for line in self.lines for promise in line.get("promises", ())]

    def all_of(self, name: str) -> list[Any]:
        """Return the values of every line of one kind."""
        return [line[name] for line in self.lines if name in line]

    def faults(self, *, may_die: bool = False) -> list[str]:
        """Return what is wrong with the run itself, in sentences."""
        found = [str(sentence) for sentence in self.all_of("wrong")]
        if self.hung:
            found.append("It hung.")
        if self.exit > 0:
            found.append(f"It ended with {self.exit}.")
        if self.exit < 0 and not may_die and not self.hung:
            found.append(f"It was ended by signal {-self.exit}.")
        if found and self.errors:
            found.append(self.errors)
        return found


@dataclass(slots=True)
class Machine:
    """A place where logs live, processes die and power fails.

    Attributes:
        folder: Where everything lies.
        server: The fault server.
    """

    folder: Path
    server: "subprocess.Popen[str]"
    _numbers: Iterator[int] = field(default_factory=count)

    def ask(self, job: str, *, deadline: float = _DEADLINE_SECONDS, **request: Any) -> Run:  # noqa: ANN401
        """Run one job in a process of its own and wait for its end."""
        if self.server.stdin is None or self.server.stdout is None:
            raise RuntimeError("The fault server has no pipes.")
        asked = {"job": job, "deadline": deadline, **request}
        self.server.stdin.write(json.dumps(asked) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        if not answer:
            raise RuntimeError(f"The fault server ended: {self.server.wait()}.")
        return Run(**json.loads(answer))

    def empty_folder(self) -> Path:
        """Return a new folder."""
        place = self.folder / f"run-{next(self._numbers)}"
        place.mkdir()
        return place

    @contextmanager
    def copy_of_template(self) -> Iterator[Path]:
        """Lend a copy of the template log; removed when all went well."""
        place = self.empty_folder()
        template = self.folder / "template"
        shutil.copytree(template / "data", place / "data")
        shutil.copy(template / "data.guard", place)
        yield place / "data"
        shutil.rmtree(place)

    def check(self, data: Path, promises: Sequence[list[object]], **how: Any) -> list[str]:  # noqa: ANN401
        """Return every broken promise, in sentences."""
        return self.check_all([(data, promises)], **how)[0]

    def check_all(
        self,
        logs: Sequence[tuple[Path, Sequence[list[object]]]],
        **how: Any,  # noqa: ANN401 - as of `broken_promises`
    ) -> list[list[str]]:
        """Return every broken promise of each of many logs, which one process looks through."""
        asked = [[str(data), list(promises)] for data, promises in logs]
        deadline = max(_DEADLINE_SECONDS, len(logs) * _CHECK_SECONDS)
        run = self.ask("check", args={"logs": asked, **how}, deadline=deadline)
        found: list[list[str]] = [[] for _ in logs]
        for number, sentence in run.all_of("broken"):
            found[number].append(sentence)
        for number in set(range(len(logs))).difference(run.all_of("done")):
            found[number] += [*run.faults(), "The check did not end."]
        return found


@contextmanager
def machine(folder: Path, library: Path) -> Iterator[Machine]:
    """Start a fault server with the library loaded and a template log."""
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    server = subprocess.Popen(
        [sys.executable, str(_HERE / "fault_server.py"), str(library), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        (folder / "template").mkdir()
        made = Machine(folder, server)
        run = made.ask("template")
        if faults := run.faults():
            raise RuntimeError("\n".join([*faults, run.errors]))
        yield made
    finally:
        if server.stdin is not None:
            server.stdin.close()
        server.wait(_DEADLINE_SECONDS)
        if server.stdout is not None:
            server.stdout.close()


_WAYS = (
    (Action.EIO, False, False),
    (Action.EIO, True, False),
    (Action.ENOSPC, False, False),
    (Action.ENOSPC, True, False),
    (Action.SHORT_WRITE, False, False),
    (Action.TORN_WRITE, False, False),
    (Action.KILL_BEFORE, False, False),
    (Action.KILL_BEFORE, False, True),
    (Action.KILL_AFTER, False, False),
    (Action.SYNC_EIO, True, False),
    (Action.SYNC_EIO, False, True),
    (Action.SYNC_EIO, True, True),
)


def each_fault(calls: Sequence[str]) -> list[Fault]:
    """Return every fault worth trying on a workload that makes these calls."""
    return [
        Fault(nth, action, sticky, power_loss)
        for nth, call in enumerate(calls, 1)
        for action, sticky, power_loss in _WAYS
        if fits(action, call)
    ]


def sample(faults: Sequence[Fault], wanted: int) -> list[Fault]:
    """Return `wanted` of them, or all there are, evenly spread."""
    count = min(wanted, len(faults))
    return [faults[i * len(faults) // count] for i in range(count)]
