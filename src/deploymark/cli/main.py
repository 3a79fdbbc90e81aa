"""Finds the command, runs it, and turns every error into one sentence and an exit code."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from deploymark.cli import keys, log, schema, verify
from deploymark.cli.output import Output, stop_reading
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
INTERRUPTED = 130
EXIT_CODES = """\
exit codes:
  0   done, or the answer is yes
  1   the answer is no: something does not hold
  2   undecided: something could not be checked
  64  the command line or a file it names cannot be used
  69  a disk, server or witness is not available now
  70  deploymark itself failed
  77  not allowed
"""


class _Parser(argparse.ArgumentParser):
    """Refuses in our words and with our exit code."""

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
    output = Output(json=False)
    try:
        options = build_parser().parse_args(arguments)
        output = Output(json=getattr(options, "json", False))
        code: int = options.run(options, output)
        sys.stdout.flush()
    except DeploymarkError as error:
        output.error(error)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        stop_reading()
        return DONE
    return code


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
