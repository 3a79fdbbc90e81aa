"""`deploymark approve`: let a rollout go on from the step that it is at."""

import argparse
from typing import Any

from deploymark.cli.asking import add_deployment, add_reason, add_request, ask
from deploymark.cli.numbers import none_or_more
from deploymark.cli.output import Output


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark approve`."""
    parser = commands.add_parser(
        "approve",
        help=sentence,
        description="Lets a rollout go on from the step that it is at: to the next one, or after "
        "the last one to all of the traffic. Where the plan names approvers, it must be one of "
        "them.",
    )
    add_deployment(parser)
    parser.add_argument(
        "--step",
        type=none_or_more,
        metavar="N",
        help="the step that it may go on from (default: the one that it is at)",
    )
    add_reason(parser, required=False)
    add_request(parser)
    parser.set_defaults(run=_approve)


def _approve(options: argparse.Namespace, output: Output) -> int:
    return ask(options, output, "approve", step=options.step)
