"""Finds the command, runs it, and turns every error into one sentence and an exit code.

Only the command that is asked for is imported: `deploymark mark` runs in every deploy job, and the
other commands would cost it ten times its own time.

Commands that run inside a deploy say so (`spares_deploy`) and have a flag `--require`: without it
no error of theirs, but a command line that nobody can read, ends with another code than 0.
"""

import argparse
import gc
import os
import sys
from collections.abc import Generator, Sequence
from importlib import import_module
from typing import Any

from deploymark.cli.output import Output, drop_output, shortened
from deploymark.errors import (
    ActionRefusedError,
    BrokenError,
    DeploymarkError,
    ForbiddenError,
    KeyUntrustedError,
    LogBusyError,
    ProofError,
    SignatureError,
    StaleActionError,
    UnauthenticatedError,
    UnavailableError,
    UnsignedRefusedError,
    UsageError,
)

_USUAL_WIDTH, _LEAST_WIDTH = 80, 40
_COMPARED = 40  # of a flag that is none
DONE, NO, UNDECIDED, USAGE, UNAVAILABLE, INTERNAL, NOT_ALLOWED = 0, 1, 2, 64, 69, 70, 77
INTERRUPTED, NOBODY_READS = 130, 141  # as a shell says it: 128 and the number of the signal
EXIT_CODES = """\
exit codes:
  0   done, or the answer is yes
  1   the answer is no: something does not hold
  2   undecided: something could not be checked
  64  the command line or a file it names cannot be used
  69  a disk, server or witness is not available now
  70  deploymark itself failed
  77  not allowed
  130 interrupted from the keyboard
  141 whoever read the output went away before its end
"""


COMMANDS = {
    "mark": "emit one marker",
    "run": "wrap a deploy command: markers before and after it",
    "id": "print the deployment id of this run",
    "flush": "deliver what the spool holds",
    "gate": "wait until a pipeline may go on, or say why it may not",
    "receipt": "fetch the proof that an entry was logged",
    "up": "run the server",
    "demo": "roll out a healthy and a regressing release of a real service on this machine",
    "ls": "list deployments",
    "show": "show one deployment, its markers and what is known of it",
    "instances": "list the instances that run",
    "timeline": "list what happened",
    "findings": "list what is wrong, and what to do",
    "watch": "follow markers as they are admitted",
    "canary": "list what is rolled out, show one, judge a verdict again",
    "promote": "give a canary all of the traffic",
    "approve": "let a rollout go on from its step",
    "rollback": "return the traffic to the release that ran before",
    "rollback adopt": "say that a release is good to return to",
    "freeze": "stop what happens by itself in an environment",
    "observe": "see which processes of a service run here, and what they execute",
    "tokens": "who may call the server",
    "keys": "producer keys: who may sign what",
    "log": "the tamper-evident log",
    "verify": "check a receipt, envelope, artifact or export offline",
    "schema": "the schemas of markers and entries",
    "doctor": "say what is configured, what is missing, and what is wrong",
    "doctor dialect": "show how a request of another system's client is understood",
    "gameday": "inject faults into a simulated fleet and score what a server finds",
    "openapi": "print the description of the HTTP interface",
    "completion": "print what makes a shell complete this command",
}
"""Every command, in the order of the help, each a module beside this one.

A command of two words stands beside the one of its first: `rollback ID` and `rollback adopt ID`,
which argparse cannot tell apart below one parser.
"""


class _Parser(argparse.ArgumentParser):
    """Refuses in our words and with our exit code.

    A flag must be written out: an abbreviation that works today would break with the next flag.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - argparse's own arguments
        super().__init__(**{"formatter_class": _Help, **settings, "allow_abbrev": False})

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str], namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        """Read a command line; only the parser of all commands is asked for a whole one."""
        found, rest = self.parse_known_args(_joined(args), namespace)
        if rest:
            _last_parser(self, found).error(
                f"unrecognized arguments: {' '.join(shortened(each) for each in rest)}"
            )
        return found

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Refuse a flag that the command does not have before what follows from its absence."""
        if self._subparsers is None:
            self._refuse_unknown_flags(args or ())
        return super().parse_known_args(args, namespace)

    def _refuse_unknown_flags(self, words: Sequence[str]) -> None:
        flags = self._option_string_actions
        for word in words:
            if word == "--":
                return
            name = word.partition("=")[0]
            # What has a space is a value, argparse says.
            if name.startswith("--") and " " not in word and name not in flags:
                from difflib import get_close_matches  # noqa: PLC0415 - only to refuse

                near = get_close_matches(name[:_COMPARED], sorted(flags), n=1)
                meant = f"Did you mean `{near[0]}`? " if near else ""
                self.error(f"unrecognized arguments: {shortened(name)}", meant)

    def error(self, message: str, meant: str = "") -> "None":  # type: ignore[override]
        raise UsageError(
            f"{message[:1].upper()}{message[1:]}.",
            hint=f"{meant}`{self.prog} --help` shows the usage.",
        )


def _last_parser(parser: argparse.ArgumentParser, found: argparse.Namespace) -> _Parser:
    """Return the parser of the innermost command of a command line."""
    while True:
        below = parser._subparsers and parser._subparsers._group_actions  # noqa: SLF001 - argparse offers no public way to walk a parser
        choices: Any = below[0].choices if below else {}
        word = getattr(found, below[0].dest, None) if below else None
        if word not in (choices or {}):
            assert isinstance(parser, _Parser)  # noqa: S101 - made here, and its own kind below
            return parser
        parser = choices[word]


class _Help(argparse.HelpFormatter):
    """Wraps help at the terminal's width, asked for without `shutil`.

    argparse makes a formatter whenever it makes a parser, and `shutil` costs a command 3 ms.
    """

    def __init__(self, prog: str) -> None:
        try:
            width = os.get_terminal_size().columns
        except OSError:
            width = _USUAL_WIDTH
        super().__init__(prog, width=max(width - 2, _LEAST_WIDTH))


class _LaidOutHelp(_Help, argparse.RawDescriptionHelpFormatter):
    """Leaves the lines of an epilog as they are, and commands of two words to the first's help."""

    def _iter_indented_subactions(
        self, action: argparse.Action
    ) -> Generator[argparse.Action, None, None]:
        for each in super()._iter_indented_subactions(action):
            if " " not in each.dest:
                yield each


class _Version(argparse.Action):
    """Prints the version; looking it up takes longer than many a command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Answer `--version`."""
        from importlib.metadata import version  # noqa: PLC0415 - rarely asked for

        sys.stdout.write(f"deploymark {version('deploymark')}\n")
        parser.exit()


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or of one of them.

    Args:
        only: The one that will run; the others are not imported. The reference in the docs is
            made from all.
    """
    parser = _Parser(
        prog="deploymark",
        description="Deployment markers that are true: signed, logged, verifiable.",
        epilog=EXIT_CODES,
        formatter_class=_LaidOutHelp,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, sentence in COMMANDS.items():
        if only in (None, name):
            module = import_module(f"deploymark.cli.{name.replace(' ', '_')}")
            module.add_parser(commands, sentence)
    return parser


def _joined(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which a command of two words is one."""
    name = " ".join(arguments[:2])
    two = len(arguments) > 1 and name in COMMANDS
    return [name, *arguments[2:]] if two else list(arguments)


def _command_of(arguments: Sequence[str]) -> str | None:
    """Return the command of a command line; None when its help or a refusal needs all of them."""
    first = next(iter(arguments), "")
    return first if first in COMMANDS else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    # What follows -- is the business of another command.
    own = given[: given.index("--")] if "--" in given else given
    output = Output(json="--json" in own)
    spares_deploy = False
    options = None
    try:
        options = _parse(given)
        spares_deploy = "spares_deploy" in options and not options.require
        if "spares_deploy" not in options:
            gc.enable()
        code: int = options.run(options, output)
        output.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, whatever happens
        code = _report(error, output, options)
        # A deploy never fails for a marker, unless it is told to or nobody can read the command.
        return DONE if spares_deploy and not isinstance(error, UsageError) else code
    return code


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    if any("\0" in argument for argument in arguments):
        raise UsageError("An argument contains a NUL character.")
    return build_parser(_command_of(_joined(arguments))).parse_args(arguments)


def _report(error: Exception, output: Output, options: argparse.Namespace | None) -> int:
    """Say what went wrong, and return the exit code that says the same."""
    match error:
        case DeploymarkError():
            if options is not None:
                from deploymark.cli.flagged import name_flag  # noqa: PLC0415 - only to refuse

                name_flag(error, options)
            output.error(error)
            return exit_code(error)
        case BrokenPipeError():
            # Not 0: what was not said to the end, such as a verification, is not done.
            drop_output()
            return NOBODY_READS
        case OSError(filename=str() | os.PathLike() as name):
            said = f"{shortened(str(name))} cannot be used: {error.strerror}."
            output.error(UsageError(said, hint="Check its name and permissions."))
            return USAGE
        case UnicodeEncodeError(encoding="utf-8"):
            # Python reads such bytes of a command line as half characters, which are no text.
            said = "Something on the command line or in the environment is not UTF-8."
            output.error(UsageError(said, hint="Write it in UTF-8."))
            return USAGE
        case _:
            _report_own_fault(error, output)
            return INTERNAL


def _report_own_fault(error: Exception, output: Output) -> None:
    """Say what nobody foresaw; developers see all of it with `python -X dev`."""
    import traceback  # noqa: PLC0415 - rarely needed

    if sys.flags.dev_mode:
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    output.error(
        DeploymarkError(
            f"deploymark itself failed: {type(error).__name__}: {shortened(str(error))} "
            f"({place.filename}, line {place.lineno}).",
            hint="Please report it; `python -X dev -m deploymark` with the same words shows more.",
        ),
        code="internal",
    )


def exit_code(error: DeploymarkError) -> int:
    """Return the exit code that says the same as an error."""
    match error:
        case ActionRefusedError() | StaleActionError():
            return NO
        case KeyUntrustedError() | UnauthenticatedError() | ForbiddenError():
            return NOT_ALLOWED
        case UnsignedRefusedError():
            return NOT_ALLOWED
        case ProofError() | SignatureError() | BrokenError():
            return NO
        case LogBusyError() | UnavailableError():
            return UNAVAILABLE
        case _:
            return USAGE
