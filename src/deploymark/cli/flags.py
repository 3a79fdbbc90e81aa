"""Flags of all kinds of commands. Light to import: commands that ask a server start fast."""

import argparse
from typing import Final

from deploymark.cli.numbers import count
from deploymark.emit.settings import DEFAULT_URL

SERVER: Final = f"the server (default: DEPLOYMARK_URL, else {DEFAULT_URL})"


def add_json(parser: argparse.ArgumentParser, *, inherits: bool = False) -> None:
    """Add `--json`; what `inherits` has what the command above it was given."""
    parser.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS if inherits else False,
        help="answer in JSON, one object a line",
    )


def add_server(parser: argparse.ArgumentParser, *, inherits: bool = False) -> None:
    """Add `--url`, of the server that is asked; `inherits` as for `--json`."""
    parser.add_argument("--url", default=argparse.SUPPRESS if inherits else None, help=SERVER)


def add_listing(parser: argparse.ArgumentParser, last: int) -> None:
    """Add `--last`, `--url` and `--json`: what every command that lists has."""
    parser.add_argument(
        "--last", type=count, default=last, metavar="N", help=f"how many (default: {last})"
    )
    add_server(parser)
    add_json(parser)
