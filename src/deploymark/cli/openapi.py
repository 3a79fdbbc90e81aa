"""`deploymark openapi`: the description of the HTTP interface, without a server."""

import argparse
import json
from typing import Any

from deploymark.cli.output import Output
from deploymark.errors import ExtraMissingError


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark openapi`."""
    parser = commands.add_parser("openapi", help=sentence)
    parser.add_argument("--json", action="store_true", help="it is JSON in any case")
    parser.set_defaults(run=_openapi)


def _openapi(_: argparse.Namespace, output: Output) -> int:
    try:
        from deploymark.server.openapi import document_of  # noqa: PLC0415 - optional extra
        from deploymark.server.operations import OPERATIONS  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"The HTTP interface needs more packages ({error.name}).",
            hint="Install this package with its extra `server`: pip install '.[server]' in its "
            "folder.",
        ) from error
    output.raw(json.dumps(document_of(OPERATIONS), indent=None if output.json else 2))
    return 0
