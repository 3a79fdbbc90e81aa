"""Finds the command, runs it, and turns every error into one sentence and an exit code."""

import argparse
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploymark.cli import keys, log, schema, verify
from deploymark.cli.options import shortened
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


class _Version(argparse.Action):
    """Prints the version; looking it up takes longer than many a command."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Answer `--version`."""
        from importlib.metadata import version  # noqa: PLC0415 - rarely asked for

        sys.stdout.write(f"deploymark {version('deploymark')}\n")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; the reference in the docs is made from it."""
    parser = _Parser(
        prog="deploymark",
        description="Deployment markers that are true: signed, logged, verifiable.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
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
        return _report(error, output)
    return code


def _run(arguments: Sequence[str], output: Output) -> int:
    if any("\0" in argument for argument in arguments):
        raise UsageError("An argument contains a NUL character.")
    options = build_parser().parse_args(arguments)
    code: int = options.run(options, output)
    return code


def _report(error: Exception, output: Output) -> int:
    """Say what nobody foresaw: a file that is not to be used, or else our own fault.

    Developers see all of the latter with `python -X dev`.
    """
    if isinstance(error, OSError) and isinstance(error.filename, str | Path):
        name = shortened(str(error.filename))
        output.error(
            UsageError(
                f"{name} cannot be used: {error.strerror}.", hint="Check its name and permissions."
            )
        )
        return USAGE
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
    return INTERNAL


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
