"""What a process under test does: writes to a log, and reports each promise the moment it is made.

Everything that the log may not do is reported as `wrong`, in a sentence.
"""

import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count, islice
from pathlib import Path

from promises import Emit, Erased, Kept, Promise, acknowledged, line_of, published
from script import Script, Step

from deploymark.errors import BrokenError, DeploymarkError, UnavailableError
from deploymark.log.sequencer import Acknowledgement
from deploymark.runtime.compose import OpenLog, open_log

_ATTEMPTS = 3


class Workload:
    """Runs the script against one log.

    Args:
        script: The script.
        emit: Tells the parent process.
        disarm: Ends the fault.
    """

    def __init__(self, script: Script, emit: Emit, disarm: Callable[[], None]) -> None:
        self._script = script
        self._emit = emit
        self._disarm = disarm
        self._extra = iter(script.extra)

    def run(self, path: Path, *, beside: bool = False, die_recovered: bool = False) -> None:
        """Go through the script; try again what is unavailable, and end the fault if it stays.

        Args:
            path: The data directory.
            beside: Keep a snapshot open until something is erased, as an audit or export does.
            die_recovered: Die as soon as the step that met the fault is acknowledged after
                all, or stays unavailable.
        """
        with ExitStack() as stack:
            log = self._open(path, stack)
            snapshot = log.store.snapshot() if beside else None
            for number, step in enumerate(self._script.steps):
                self._emit({"step": number})
                if snapshot is not None and step.erases:
                    snapshot.close()
                self._insist(log, step, die_recovered=die_recovered)
        self._emit({"done": True})

    def once(self, path: Path, step: int) -> None:
        """Open the log again, hand one step in again, and die when it is acknowledged."""
        with open_log(path) as log:
            self._attempt(log, self._script.steps[step])
            die()

    def _open(self, path: Path, stack: ExitStack) -> OpenLog:
        for attempt in count(1):
            try:
                return stack.enter_context(open_log(path))
            except DeploymarkError as error:
                if isinstance(error, BrokenError) or not error.hint:
                    self._wrong("open", f"{error!r}, hint {error.hint!r}")
                if attempt == _ATTEMPTS:
                    self._disarm()
                elif attempt > _ATTEMPTS:
                    raise
        raise AssertionError

    def _insist(self, log: OpenLog, step: Step, *, die_recovered: bool) -> None:
        for attempt in range(_ATTEMPTS):
            if self._attempt(log, step):
                if attempt and die_recovered:
                    die()
                return
            if attempt == 0 and not die_recovered:
                self._while_it_lasts(log, step)
        if die_recovered:
            die()
        self._disarm()
        if not self._attempt(log, step):
            self._wrong(step.name, "unavailable although nothing fails any more")

    def _while_it_lasts(self, log: OpenLog, failed: Step) -> None:
        """Whatever is tried beside: it may be unavailable, it may not be a lie."""
        earlier = self._script.steps[0]
        if failed is not earlier:
            self._attempt(log, earlier)
        self._attempt(log, Step("one more", list(islice(self._extra, 1))))
        self._attempt(log, Step("publish meanwhile"))

    def _attempt(self, log: OpenLog, step: Step) -> bool:
        """Do one step; report what was promised; tell whether it was available."""
        try:
            promises = self._publish(log) if not step.envelopes else self._submit(log, step)
        except UnavailableError as error:
            self._emit({"unavailable": f"{step.name}: {error.message}"})
            return False
        except Exception as error:  # noqa: BLE001 - whatever else comes out is a finding
            self._wrong(step.name, repr(error))
            return True
        self._emit(line_of(*promises))
        return True

    def _publish(self, log: OpenLog) -> list[Promise]:
        return [published(log.publisher.publish())]

    def _submit(self, log: OpenLog, step: Step) -> list[Promise]:
        if step.blob is None:
            outcomes = log.receiver.receive(step.envelopes)
        else:
            outcomes = [log.receiver.keep(step.envelopes[0], step.blob)]
        promises: list[Promise] = []
        for number, (envelope, outcome) in enumerate(zip(step.envelopes, outcomes, strict=True)):
            if isinstance(outcome, UnavailableError):
                raise outcome
            if isinstance(outcome, Acknowledgement) == (number in step.refused):
                self._wrong(step.name, f"candidate {number} got {outcome!r}")
            elif isinstance(outcome, Acknowledgement):
                promises.append(acknowledged(log.view.reader, envelope, outcome))
        if step.blob is not None:
            promises.append(Kept(step.blob.digest.hex()))
        if step.erases:
            promises.append(Erased(step.erases))
        return promises

    def _wrong(self, where: str, what: str) -> None:
        self._emit({"wrong": f"{where}: {what}"})


def die() -> None:
    """End this process as a crash does."""
    os.kill(os.getpid(), signal.SIGKILL)
