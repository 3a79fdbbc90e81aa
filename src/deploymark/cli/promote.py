"""`deploymark promote`: give a canary all of the traffic."""

import argparse
from typing import Any

from deploymark.cli.asking import add_deployment, add_reason, add_request, ask
from deploymark.cli.output import Output


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark promote`."""
    parser = commands.add_parser(
        "promote",
        help=sentence,
        description="Asks that a canary gets all of the traffic now, whatever the verdict is. The "
        "request stands in the log; a guard that also binds a person may refuse it.",
    )
    add_deployment(parser)
    add_reason(parser)
    add_request(parser, breaks_glass=True)
    parser.set_defaults(run=_promote)


def _promote(options: argparse.Namespace, output: Output) -> int:
    return ask(options, output, "promote")
