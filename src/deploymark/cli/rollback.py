"""`deploymark rollback`: return all of the traffic to the release that ran before."""

import argparse
from typing import Any

from deploymark.cli.asking import add_deployment, add_reason, add_request, ask
from deploymark.cli.output import Output


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark rollback`."""
    parser = commands.add_parser(
        "rollback",
        help=sentence,
        description="Asks that a canary, or what was just promoted, gets no traffic any more. The "
        "release to return to must be known to be good (`deploymark rollback adopt`), or the glass "
        "is broken. It is done when the traffic has left the canary and is served.",
    )
    add_deployment(parser)
    add_reason(parser)
    add_request(parser, breaks_glass=True)
    parser.set_defaults(run=_rollback)


def _rollback(options: argparse.Namespace, output: Output) -> int:
    return ask(options, output, "roll_back")
