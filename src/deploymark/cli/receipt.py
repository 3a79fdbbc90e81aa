"""`deploymark receipt`: the proof that an entry was logged, from a server.

For producers and auditors, who have no data directory; `log prove` is for those who have.
"""

import argparse
from pathlib import Path
from typing import Any

from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.flags import add_server
from deploymark.cli.numbers import entry_index
from deploymark.cli.options import write_text
from deploymark.cli.output import Output
from deploymark.errors import DeploymarkError, ServerUnavailableError
from deploymark.log.receipt import parse_receipt


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark receipt`."""
    parser = commands.add_parser(
        "receipt",
        help=sentence,
        description="Fetches the receipt of an entry, which `deploymark verify` checks offline. "
        "Emitters may fetch those of what they handed in.",
    )
    parser.add_argument(
        "index", type=entry_index, metavar="INDEX", help="the entry, as `mark` and `show` say it"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write it to a new file")
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.set_defaults(run=_receipt)


def _receipt(options: argparse.Namespace, output: Output) -> int:
    client = Client(client_settings(options.url))
    text = client.text(path_of("markers", options.index, "receipt"))
    _check(client, options.index, text)
    if options.out is not None:
        write_text(options.out, text)
        output.say(
            f"{options.out} proves entry {options.index}; check it with "
            f"`deploymark verify {options.out} --policy POLICY`.",
            {"index": options.index, "file": options.out},
        )
    elif output.json:
        output.say("", {"index": options.index, "receipt": text})
    else:
        output.raw(text)
    return 0


def _check(client: Client, index: int, text: str) -> None:
    """Refuse what is no receipt of this entry; whether it proves anything `verify` says."""
    try:
        said = parse_receipt(text).index
    except DeploymarkError as error:
        raise ServerUnavailableError(
            f"The server {client.shown} answered with what is no receipt: {error.message}"
        ) from error
    if said != index:
        raise ServerUnavailableError(
            f"The server {client.shown} answered with the receipt of entry {said}, not {index}."
        )
