"""A process that has imported everything and forks for each run, with the fault library loaded.

It reads one JSON request a line and answers each with one line. Once the template is made it goes
through everything, so that no child imports, compiles or learns that again; then all is closed and
no thread is left, so that a child is as clean as a new process, at a hundredth of the price.
"""

import faulthandler
import gc
import json
import os
import random
import select
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sabotage
from checker import broken_promises
from faultfs import Action, Fault, FaultFs
from load import Load
from promises import Emit, read_line
from script import ORIGIN, Script, make_template, write_script
from workload import Workload

import deploymark.integrations.witness_http  # noqa: F401 - imported late otherwise
from deploymark.errors import DeploymarkError, UnavailableError
from deploymark.log.export import Export, write_export
from deploymark.projections import runner as runner_module
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.database import open_views
from deploymark.projections.runner import Runner, View
from deploymark.projections.search import SearchView
from deploymark.runtime.compose import init_log, open_log, open_reader
from deploymark.storage.guard_file import FileRollbackGuard
from deploymark.storage.sqlite import SqliteLogReader
from deploymark.testing.meter import ListMeter

# A child that neither ends nor is killed shows its stacks a little before it is given up.
_STACKS_BEFORE_SECONDS = 2
_ATTEMPTS = 3


class FaultServer:
    """Runs jobs in forked children.

    Args:
        fs: The fault library of this process.
        folder: Where the template and the children's error output lie.
    """

    def __init__(self, fs: FaultFs, folder: Path) -> None:
        self._fs = fs
        self._errors = folder / "errors"
        self._template = folder / "template" / "data"
        self._script: Script | None = None

    def serve(self) -> None:
        """Answer until there are no more requests."""
        # A child's collector would write to every object that was imported here, and so copy
        # the whole memory of this process: a third of what a run costs.
        gc.collect()
        gc.freeze()
        for line in sys.stdin:
            sys.stdout.write(json.dumps(self.answer(json.loads(line))) + "\n")
            sys.stdout.flush()

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Run one job as a request says and tell how it ended."""
        fault = request.get("fault")
        below = Path(request["below"]) if request.get("below") else None
        if request.get("fresh"):
            self._fs.remember(on=bool(request.get("power_loss")))
        if below and fault:
            self._fs.arm(below, Fault(**{**fault, "action": Action(fault["action"])}))
        elif below:
            self._fs.watch(below)
        answer = self._run(request)
        answer["hit"] = self._fs.hit() if fault else ""
        answer["calls"] = self._fs.calls() if request.get("trace") else []
        self._fs.disarm()
        self._fs.unlock()  # the child may have died with the lock in its hand
        answer["lost"] = self._fs.power_loss() if request.get("power_loss") else 0
        if request["job"] == "template":
            self._script = write_script(self._template)
            self._warm_up()
        return answer

    def _warm_up(self) -> None:
        """Do what children do, undisturbed and with nothing left behind."""
        place = self._template.parent.with_name("warm")
        shutil.copytree(self._template.parent, place)
        lines: list[dict[str, Any]] = []
        self._workload(lines.append).run(place / "data")
        promises = [each for line in lines for each in line.get("promises", ())]
        for sentence in broken_promises(place / "data", read_line(promises)):
            raise RuntimeError(sentence)
        shutil.rmtree(place)
        if threading.active_count() > 1:
            raise RuntimeError("A thread was left, which no child would have.")
        gc.collect()
        gc.freeze()

    def _run(self, request: Mapping[str, Any]) -> dict[str, Any]:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            self._be_child(request, writing)
        os.close(writing)
        deadline = time.monotonic() + request["deadline"]
        kill_at = time.monotonic() + request.get("kill_after", 1e9)
        received, hung, killed = bytearray(), False, False
        while True:
            now = time.monotonic()
            if not killed and now >= min(kill_at, deadline):
                hung, killed = now >= deadline, True
                os.kill(child, signal.SIGKILL)
            wait = 1.0 if killed else min(kill_at, deadline) - now
            if select.select([reading], [], [], max(0.0, wait))[0]:
                block = os.read(reading, 1 << 16)
                if not block:
                    break
                received += block
        os.close(reading)
        _, status = os.waitpid(child, 0)
        # What follows the last newline was being written when the process died.
        lines = [json.loads(line) for line in received.split(b"\n")[:-1]]
        return {
            "lines": lines,
            "exit": os.waitstatus_to_exitcode(status),
            "hung": hung,
            "errors": self._errors.read_text(encoding="utf-8", errors="replace"),
        }

    def _be_child(self, request: Mapping[str, Any], writing: int) -> None:
        code = 1
        try:
            errors = os.open(self._errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(errors, 2)
            seconds = request["deadline"] - _STACKS_BEFORE_SECONDS
            faulthandler.dump_traceback_later(max(1, seconds), file=errors)
            lock = threading.Lock()

            def emit(line: dict[str, object]) -> None:
                block = json.dumps(line).encode() + b"\n"
                with lock:
                    while block:
                        block = block[os.write(writing, block) :]

            job: Callable[..., None] = getattr(self, f"job_{request['job']}")
            job(emit, **request.get("args", {}))
            code = 0
        except BaseException:  # noqa: BLE001 - reported, and the child ends here in any case
            traceback.print_exc()
        finally:
            os._exit(code)

    # Jobs: each runs in a child ------------------------------------------------------------------

    def job_template(self, _: Emit) -> None:
        """Create the log that every run starts from."""
        make_template(self._template)

    def job_forget(self, _: Emit) -> None:
        """Do nothing: what is stored now counts as durable."""

    def job_power_loss(self, _: Emit) -> None:
        """Do nothing: the power loss follows."""

    def job_workload(self, emit: Emit, path: str, **how: Any) -> None:  # noqa: ANN401
        """Run the script."""
        self._workload(emit).run(Path(path), **how)

    def job_once(self, emit: Emit, path: str, step: int) -> None:
        """Do one step of the script again and die."""
        self._workload(emit).once(Path(path), step)

    def _workload(self, emit: Emit) -> Workload:
        return Workload(self._ready(), emit, self._fs.disarm)

    def _ready(self) -> Script:
        if self._script is None:
            raise RuntimeError("The template comes first.")
        return self._script

    def job_load(self, emit: Emit, path: str, seed: int, sabotaged: str = "") -> None:
        """Write until killed."""
        random.seed(seed)
        opener = sabotage.PLANTED[sabotaged]
        Load(self._ready().signer, emit, seed, opener).run(Path(path))

    def job_check(
        self,
        emit: Emit,
        logs: list[tuple[str, list[list[object]]]],
        **how: Any,  # noqa: ANN401
    ) -> None:
        """Report every promise that is broken, of each log by its number."""
        for number, (path, promises) in enumerate(logs):
            for sentence in broken_promises(Path(path), read_line(promises), **how):
                emit({"broken": [number, sentence]})
            emit({"done": number})

    def job_init(self, emit: Emit, path: str) -> None:
        """Create a log; an error of ours is an answer."""
        try:
            init_log(Path(path), ORIGIN)
        except DeploymarkError as error:
            emit({"refused": f"{error.code}: {error.message}", "hint": error.hint})
        emit({"done": True})

    def job_export(self, emit: Emit, path: str, target: str) -> None:
        """Export a log; an error of ours is an answer."""
        with open_reader(Path(path)) as (_, reader):
            try:
                write_export(reader, Path(target))
            except DeploymarkError as error:
                emit({"refused": f"{error.code}: {error.message}", "hint": error.hint})
        emit({"done": True})

    def job_check_export(self, emit: Emit, target: str, *, interrupted: bool) -> None:
        """Report what an export lacks.

        One that was interrupted may lack everything, or hold more than its checkpoint needs:
        drafts, and tiles for the next one. Whatever the checkpoint needs must be there.
        """
        try:
            export = Export(Path(target))
        except DeploymarkError as error:
            if not interrupted:
                emit({"wrong": error.message})
        else:
            for sentence in export.faults():
                if not (interrupted and sentence.endswith("does not belong to this log.")):
                    emit({"wrong": sentence})
            emit({"size": export.checkpoint.size})
        emit({"done": True})

    def job_grow(self, emit: Emit, path: str, by: int) -> None:
        """Make a log larger and publish it."""
        with open_log(Path(path)) as log:
            log.receiver.receive(list(self._ready().extra[:by]))
            log.publisher.publish()
        emit({"done": True})

    def job_follow(self, emit: Emit, log: str, views: str, batch: int) -> None:
        """Feed views from a log to its end; go on after an error as the runner's thread does."""
        runner_module.BATCH_ENTRIES = batch
        opened = open_views(Path(views))
        projected: list[View[Any]] = [SearchView(), BrokerView()]
        runner = Runner(SqliteLogReader(Path(log)), opened, projected, ListMeter())
        for _ in range(_ATTEMPTS):
            try:
                runner.catch_up()
            except UnavailableError as error:
                emit({"unavailable": error.message})
            else:
                break
        opened.close()
        emit({"size": runner.position()})

    def job_guard(self, emit: Emit, path: str, size: int) -> None:
        """Write a guard file; an error of ours is an answer."""
        try:
            FileRollbackGuard(Path(path)).write(ORIGIN, size, bytes(32))
        except DeploymarkError as error:
            emit({"refused": error.message})
        emit({"done": True})

    def job_read_guard(self, emit: Emit, path: str) -> None:
        """Read a guard file."""
        remembered = FileRollbackGuard(Path(path)).read()
        emit({"size": 0 if remembered is None else remembered[1]})


if __name__ == "__main__":
    FaultServer(FaultFs(Path(sys.argv[1])), Path(sys.argv[2])).serve()
