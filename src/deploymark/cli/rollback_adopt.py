"""`deploymark rollback adopt`: say that a release is good to return to."""

import argparse
from typing import Any

from deploymark.cli.asking import add_asking, add_deployment, add_reason, order
from deploymark.cli.output import Output


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark rollback adopt`."""
    parser = commands.add_parser(
        "rollback adopt",
        help=sentence,
        description="Says that a release is good to return to although it never passed here: once "
        "per service, for what ran before deploymark came.",
    )
    add_deployment(parser)
    add_reason(parser)
    add_asking(parser)
    parser.set_defaults(run=_adopt)


def _adopt(options: argparse.Namespace, output: Output) -> int:
    said = f"{options.deployment} is good to return to from now on."
    return order(options, output, said, action="adopt", deployment_id=options.deployment)
