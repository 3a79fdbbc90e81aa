"""`deploymark mark`: emit one marker."""

import argparse
from typing import Any

from deploymark.cli.marker_flags import (
    add_delivery_flags,
    add_marker_flags,
    emitter_of,
    marker_fields,
)
from deploymark.cli.marking import conclude
from deploymark.cli.output import Output
from deploymark.emit.draft import GIVEN_ID
from deploymark.errors import DeploymarkError, MarkerError, UsageError
from deploymark.model.vocabulary import Phase


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark mark`."""
    parser = commands.add_parser(
        "mark",
        help=sentence,
        description="Emits one marker. What CI knows is filled in. When the server is away the "
        "marker stays in the spool, the next call delivers it, and the exit code is 0. So it is "
        "when a commit, digest, file or key is wrong: that is said, and nothing is marked. Without "
        "`--require` only a command line that could never work ends with 64: an unknown flag, or a "
        "value that is no number, pair, time or word of those that a flag takes.",
    )
    parser.add_argument(
        "phase",
        choices=[phase.value for phase in Phase],
        metavar="PHASE",
        help=f"one of {', '.join(Phase)}",
    )
    add_marker_flags(parser)
    add_delivery_flags(parser)
    parser.set_defaults(run=_mark)


def _mark(options: argparse.Namespace, output: Output) -> int:
    try:
        return _marked(options, output)
    except DeploymarkError as error:
        error.message += " Nothing was marked."
        raise


def _marked(options: argparse.Namespace, output: Output) -> int:
    fields = marker_fields(options)
    emitter = emitter_of(options, fields)
    try:
        marked = emitter.mark_and_deliver(
            options.phase, budget_seconds=options.budget, patient=options.require, **fields
        )
    except MarkerError as error:
        if error.field != GIVEN_ID:
            raise
        # Whoever names a deployment takes it for a subject; this line can never work.
        raise UsageError(
            "--deployment-id does not say what is deployed.",
            hint="Add its --artifact, --version or --commit, as `deploymark show` has it.",
        ) from error
    return conclude(output, options.phase, fields, marked, required=options.require)
