"""`deploymark freeze`: stop everything that happens by itself in an environment."""

import argparse
from typing import Any

from deploymark.cli.asking import add_asking, add_reason, order
from deploymark.cli.output import Output


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark freeze`."""
    parser = commands.add_parser(
        "freeze",
        help=sentence,
        description="From now on nothing is done by itself there: no step, no promotion, no "
        "rollback; people still can. It holds until it is lifted. Freezing twice is freezing once.",
    )
    parser.add_argument(
        "--environment", required=True, metavar="NAME", help="the environment; '*' for every one"
    )
    parser.add_argument(
        "--service", metavar="NAME", help="only this service (default: all of the environment)"
    )
    parser.add_argument(
        "--lift",
        action="store_true",
        help="lift it; of a whole environment, also what was frozen of single services",
    )
    add_reason(parser)
    add_asking(parser)
    parser.set_defaults(run=_freeze)


def _freeze(options: argparse.Namespace, output: Output) -> int:
    where = f"{options.service or 'Everything'} in {options.environment}"
    if options.environment == "*":
        where = f"{options.service or 'Everything'} everywhere"
    said = f"{where} is {'no longer frozen' if options.lift else 'frozen'}."
    return order(
        options,
        output,
        said,
        undoes=options.lift,
        action="unfreeze" if options.lift else "freeze",
        service=options.service,
        environment=options.environment,
    )
