"""Flags of all kinds of commands. Light to import: commands that ask a server start fast."""

import argparse
from typing import Final

from deploymark.cli.numbers import count
from deploymark.emit.settings import DEFAULT_URL

SERVER: Final = f"the server (default: DEPLOYMARK_URL, else {DEFAULT_URL})"


def add_json(parser: argparse.ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="answer in JSON, one object a line")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add `--url`, of the server that is asked."""
    parser.add_argument("--url", help=SERVER)


def add_listing(parser: argparse.ArgumentParser, last: int) -> None:
    """Add `--last`, `--url` and `--json`: what every command that lists has."""
    parser.add_argument(
        "--last", type=count, default=last, metavar="N", help=f"how many (default: {last})"
    )
    add_server(parser)
    add_json(parser)
