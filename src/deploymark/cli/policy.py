"""`deploymark log policy`: whom verifiers trust, as the log's operator states it."""

import argparse
from typing import Any

from deploymark.cli.client import Client, client_settings
from deploymark.cli.options import add_data, data_directory, own_log
from deploymark.cli.output import Output
from deploymark.emit.host import SystemHost
from deploymark.errors import PolicyError, ServerUnavailableError
from deploymark.log.policy import format_policy, parse_policy
from deploymark.runtime.compose import read_policy
from deploymark.runtime.data_directory import DataDirectory


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse does not name this type
    """Add `deploymark log policy`."""
    parser = commands.add_parser(
        "policy",
        help="print the trust policy for verifiers",
        description="Prints the trust policy for verifiers: of the log in --data, or of a server. "
        "Whoever verifies trusts what it says: compare one that came over the network with the "
        "operator's, once.",
    )
    add_data(parser)
    parser.add_argument(
        "--url",
        help="ask this server instead (default: DEPLOYMARK_URL, where there is no data directory)",
    )
    parser.set_defaults(run=_policy)


def _policy(options: argparse.Namespace, output: Output) -> int:
    url = options.url
    if url is None and options.data is None and not data_directory(options).exists():
        url = SystemHost().environment().get("DEPLOYMARK_URL") or None
    text = _served(url) if url is not None else _own(options)
    if output.json:
        output.say("", {"policy": text})
    else:
        output.raw(text)
    return 0


def _own(options: argparse.Namespace) -> str:
    data = DataDirectory(own_log(options))
    data.check_exists()
    return format_policy(read_policy(data))


def _served(url: str) -> str:
    client = Client(client_settings(url))
    text = client.text("/log/policy")
    try:
        parse_policy(text)
    except PolicyError as error:
        raise ServerUnavailableError(
            f"The server {client.shown} answered with what is no policy: {error.message}"
        ) from error
    return text
