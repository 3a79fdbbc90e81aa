"""`deploymark run -- COMMAND`: wrap a deploy command in markers.

The command is the deploy: it runs with our standard streams, gets our signals, and its exit code
is ours. Markers never hold it up: those before it are delivered while it runs.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from deploymark.cli.marker_flags import (
    Fields,
    add_delivery_flags,
    add_marker_flags,
    add_release,
    emitter_of,
    marker_fields,
)
from deploymark.cli.marking import DONE, NO, UNAVAILABLE, conclude, fail
from deploymark.cli.output import Output, plain
from deploymark.emit.draft import GIVEN_ID
from deploymark.emit.emitter import Emitter, Marked, State
from deploymark.emit.host import SystemHost
from deploymark.errors import DeploymarkError, IdError, MarkerError, ReleaseError, UsageError

NOT_FOUND, NOT_EXECUTABLE, BY_SIGNAL = 127, 126, 128  # as shells say it
_PASSED_ON: Final = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
_NOT_BEGUN: Final = "not begun: its first markers could not be delivered"
_NAME_IT: Final = "Give --version, --commit or --artifact, which are known before."
_FROM_KEYBOARD: Final = (signal.SIGINT, signal.SIGQUIT)


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark run`."""
    parser = commands.add_parser(
        "run",
        help=sentence,
        usage="deploymark run [FLAGS] -- COMMAND [ARGUMENT …]",
        description="Says `planned` and `applying`, runs the command, says `applied` or `failed`, "
        "and ends with the command's own exit code. The command finds the deployment's id in "
        "DEPLOYMARK_DEPLOYMENT_ID. What deploymark says goes to stderr.",
    )
    add_marker_flags(parser)
    add_delivery_flags(parser)
    parser.add_argument("words", nargs="+", metavar="COMMAND", help="the deploy command, after --")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, output: Output) -> int:
    said = Output(json=output.json, out=sys.stderr)  # stdout belongs to the command
    wrapped = _Wrapped(options, said)
    before = wrapped.begin()
    if before:
        return before
    ended = _execute(options.words, wrapped.deployment_id, said)
    return wrapped.end(ended)


class _Ended(NamedTuple):
    """How a command ended: its exit code, why it failed or "", and whether it was ever started."""

    code: int
    reason: str
    started: bool = True


class _Wrapped:
    """The markers around one command; without `--require` none of them can stop it."""

    def __init__(self, options: argparse.Namespace, output: Output) -> None:
        self.deployment_id = ""
        self._options = options
        self._output = output
        self._fields: Fields = {}
        self._emitter: Emitter | None = None
        self._before: list[Marked] = []
        self._nameless = False
        # A deploy may make the release: then its digest is known only afterwards.
        self._later = options.release is not None and not os.path.isdir(options.release)  # noqa: PTH112 - pathlib costs 4 ms

    def begin(self) -> int:
        """Say that it begins; return an exit code when the command must not run."""
        try:
            self._fields = marker_fields(self._options, release=not self._later)
            self._emitter = emitter_of(self._options, self._fields)
            if self._later:
                self._say_what_is_not_there(self._emitter)
            if self._nameless:
                return DONE
            # Without the first in the log the second is not tried.
            return self._say_before("planned") or self._say_before("applying")
        except UsageError:
            raise
        except Exception as error:
            if self._options.require:
                raise
            self._complain(error)
            self._output.remark("Nothing was marked; the deploy goes on.")
            self._emitter = None  # what is wrong now is wrong at the end as well
            return DONE

    def _say_what_is_not_there(self, emitter: Emitter) -> None:
        release = self._options.release
        said = f"--release {release}: there is no such directory yet"
        self._nameless = self._names_nothing(emitter)
        if self._nameless and self._options.require:
            raise UsageError(f"{said}, and nothing else says what is deployed.", hint=_NAME_IT)
        applied = "; what the command makes there is what was applied."
        if self._nameless:
            applied += f" Before that nothing can be marked. {_NAME_IT}"
        self._output.say(plain(f"{said}{applied}"), {"release": release, "is_there": False})

    def _names_nothing(self, emitter: Emitter) -> bool:
        """Whether only what the command makes can say what is deployed."""
        try:
            emitter.draft("planned", **self._fields)
        except IdError:
            return self._options.deployment_id is None  # else it is that one which is none
        except MarkerError as error:
            return error.field == GIVEN_ID
        return False

    def _say_before(self, phase: str) -> int:
        assert self._emitter is not None  # noqa: S101 - made just before
        if self._options.require:
            marked = self._deliver(phase, self._fields, patient=True)
        else:
            marked = self._emitter.mark(phase, **self._fields)
        self.deployment_id = self.deployment_id or marked.deployment_id
        self._before.append(marked)
        if self._options.require and marked.state is not State.DELIVERED:
            return self._not_begun(phase, marked)
        if self._options.require or marked.reason:
            self._conclude(phase, self._fields, marked)
        return DONE  # else it is delivered while the command runs

    def _not_begun(self, phase: str, marked: Marked) -> int:
        """Say that the command is not started, also to whoever sees the first markers later."""
        code = fail(
            self._output, f"The command was not started: `{phase}` is not in the log", marked
        )
        if any(_has_opened(each) for each in self._before):
            self._deliver("failed", {**self._fields, "reason": _NOT_BEGUN}, patient=False)
        else:
            self._withdraw()
        return code

    def _stands_unchanged(self) -> bool:
        """Tell whether a command that could not be started leaves the log without news of it."""
        assert self._emitter is not None  # noqa: S101 - asked before
        self._emitter.flush(self._options.budget)
        if any(_has_opened(self._emitter.since(each)) for each in self._before):
            return False
        if not self._withdraw():
            self._output.remark("Nothing was begun: what the log knows of this deployment stands.")
        return True

    def _withdraw(self) -> bool:
        """Take back what waits: told later, it would speak of a deployment that never began."""
        assert self._emitter is not None  # noqa: S101 - asked before
        withdrawn = [self._emitter.withdraw(each) for each in self._before]
        if any(withdrawn):
            self._output.remark("Nothing was begun, so nothing of it is kept to be told later.")
        return any(withdrawn)

    def _deliver(self, phase: str, fields: Fields, *, patient: bool) -> Marked:
        assert self._emitter is not None  # noqa: S101 - asked before
        return self._emitter.mark_and_deliver(
            phase, budget_seconds=self._options.budget, patient=patient, **fields
        )

    def end(self, ended: _Ended) -> int:
        """Say how it ended; return our exit code, which is the command's unless it went well."""
        try:
            after = self._say_after(ended)
            self._output.flush()
        except KeyboardInterrupt:
            after = UNAVAILABLE  # we stop waiting for the server; the marker is in the spool
        except Exception as error:  # noqa: BLE001 - the command's own code must not be lost
            self._complain(error)
            after = NO
        return ended.code or (after if self._options.require else DONE)

    def _say_after(self, ended: _Ended) -> int:
        if self._emitter is None:
            return DONE
        reason = ended.reason
        if self._before and not ended.started and self._stands_unchanged():
            self._tell_of_refusals(self._emitter)
            return NO
        phase = "failed" if reason else "applied"
        fields = {**self._fields, "reason": reason} if reason else self._fields
        found = True
        if self._later and not reason:
            # The digest is what an id is derived from, and it is the same deployment as before.
            named = self.deployment_id or fields.get("deployment_id")
            fields = {**fields, "deployment_id": named}
            found = self._add_release(fields)
        if self._nameless and (reason or not found):
            self._output.remark("Nothing was marked: nothing said what is deployed.")
            return NO
        marked = self._deliver(phase, fields, patient=self._options.require)
        self._tell_of_refusals(self._emitter)
        return self._conclude(phase, fields, marked) or (DONE if found else NO)

    def _add_release(self, fields: Fields) -> bool:
        try:
            add_release(fields, self._options.release)
        except ReleaseError as error:
            # What was applied was applied: without its digest rather than applying for ever.
            self._complain(error)
            return False
        return True

    def _tell_of_refusals(self, emitter: Emitter) -> None:
        """Say which of the first markers the server refused while the command ran."""
        problems = [problem for each in self._before if (problem := emitter.refusal_of(each))]
        if problems:
            first = str(problems[0].get("detail") or problems[0].get("code"))
            count = len(problems)
            what = "1 earlier marker was" if count == 1 else f"{count} earlier markers were"
            record = {"refused": count, "reason": first, "code": problems[0].get("code")}
            self._output.say(f"{what} refused: {first}", record)

    def _conclude(self, phase: str, fields: Fields, marked: Marked) -> int:
        return conclude(self._output, phase, fields, marked, required=self._options.require)

    def _complain(self, error: Exception) -> None:
        if not isinstance(error, DeploymarkError):
            error = DeploymarkError(
                f"The marker could not be made: {type(error).__name__}: {error}.",
                hint="The command is not held up by it.",
            )
        from deploymark.cli.flagged import name_flag  # noqa: PLC0415 - as `main`, only to refuse

        name_flag(error, self._options)
        self._output.error(error)


def _has_opened(marked: Marked) -> bool:
    """Whether the log has news by it; one that it knew already is of a deployment that may run."""
    return marked.state is State.DELIVERED and not marked.answer.get("duplicate")


def _execute(words: list[str], deployment_id: str, output: Output) -> _Ended:
    """Run the command, and return how it ended."""
    environment = dict(SystemHost().environment())
    if deployment_id:
        environment["DEPLOYMARK_DEPLOYMENT_ID"] = deployment_id
    if sys.stdout is not None:
        sys.stdout.flush()
    with _passing_on_signals() as signals:
        try:
            child = subprocess.Popen(words, env=environment)  # noqa: S603 - the user's own command
        except FileNotFoundError as error:
            # The folder of a script, or its interpreter, can be what is missing.
            reason = _said(output, f"{error.filename or words[0]} was not found")
            return _Ended(NOT_FOUND, reason, started=False)
        except OSError as error:
            reason = _said(output, f"{words[0]} cannot be run: {error.strerror}")
            return _Ended(NOT_EXECUTABLE, reason, started=False)
        signals.go_to(child)
        status = child.wait()
    if status < 0:
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return _Ended(BY_SIGNAL - status, f"ended by {name}")
    return _Ended(status, f"exit code {status}" if status else "")


def _said(output: Output, reason: str) -> str:
    """Say why the command was not started, as a shell would, and return it."""
    hint = "Name the deploy command after --, with its path when it is not in PATH."
    output.error(UsageError(f"{reason}.", hint=hint))
    return reason


class _Signals:
    """Our signals, on their way to the command; those that come before it starts wait for it."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []

    def pass_on(self, number: int, _: object = None) -> None:
        """Handle a signal."""
        # What comes from the keyboard the terminal has told the command itself: at a second
        # interrupt many a tool gives up its cleaning up.
        if number in _FROM_KEYBOARD and _has_keyboard():
            return
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)

    def go_to(self, child: "subprocess.Popen[bytes]") -> None:
        """Say who gets them."""
        self._child = child
        for number in self._early:
            child.send_signal(number)


@contextmanager
def _passing_on_signals() -> Iterator[_Signals]:
    signals = _Signals()
    # What is ignored, as by nohup, stays ignored for the command as well.
    caught = [each for each in _PASSED_ON if signal.getsignal(each) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signals.pass_on) for number in caught}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _has_keyboard() -> bool:
    """Whether the terminal, if there is one, tells this process and the command of its keys."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
