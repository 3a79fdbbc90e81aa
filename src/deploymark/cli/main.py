"""Finds the command, runs it, and turns every error into one sentence and an exit code."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from deploymark.cli import keys, log, schema, verify
from deploymark.cli.output import Output, drop_output
from deploymark.errors import (
    BrokenError,
    DeploymarkError,
    KeyUntrustedError,
    LogBusyError,
    ProofError,
    SignatureError,
    UnavailableError,
    UsageError,
)

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


class _Parser(argparse.ArgumentParser):
    """Refuses in our words and with our exit code.

    A flag must be written out: an abbreviation that works today would break with the next flag.
    """

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - argparse's own arguments
        super().__init__(**{**settings, "allow_abbrev": False})

    def error(self, message: str) -> "None":  # type: ignore[override]
        raise UsageError(
            f"{message[:1].upper()}{message[1:]}.", hint=f"`{self.prog} --help` shows the usage."
        )


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the reference in the docs is made from it."""
    parser = _Parser(
        prog="deploymark",
        description="Deployment markers that are true: signed, logged, verifiable.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--version", action="version", version=f"deploymark {version('deploymark')}"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (log, keys, verify, schema):
        module.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    output = Output(json="--json" in given)
    try:
        code = _run(given, output)
        output.flush()
    except DeploymarkError as error:
        output.error(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Not 0: what was not said to the end, such as a verification, is not done.
        drop_output()
        return NOBODY_READS
    except Exception as error:  # noqa: BLE001 - a person gets a sentence, whatever happens
        _report(error, output)
        return INTERNAL
    return code


def _run(arguments: Sequence[str], output: Output) -> int:
    if any("\0" in argument for argument in arguments):
        raise UsageError("An argument contains a NUL character.")
    options = build_parser().parse_args(arguments)
    code: int = options.run(options, output)
    return code


def _report(error: Exception, output: Output) -> None:
    """Say that this is our fault; developers see all of it with `python -X dev`."""
    if sys.flags.dev_mode:
        traceback.print_exception(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    output.error(
        DeploymarkError(
            f"deploymark itself failed: {type(error).__name__}: {error} "
            f"({place.filename}, line {place.lineno}).",
            hint="Please report it; `python -X dev -m deploymark` with the same words shows more.",
        ),
        code="internal",
    )


def exit_code(error: DeploymarkError) -> int:
    """Return the exit code that says the same as an error."""
    match error:
        case KeyUntrustedError():
            return NOT_ALLOWED
        case ProofError() | SignatureError() | BrokenError():
            return NO
        case LogBusyError() | UnavailableError():
            return UNAVAILABLE
        case _:
            return USAGE
