"""`deploymark up`: run the server."""

import argparse
import logging
import sys
from pathlib import Path
from typing import Any

import msgspec

from deploymark.cli.options import add_data, add_passphrase, passphrase
from deploymark.cli.output import Output
from deploymark.errors import DeploymarkError, ExtraMissingError
from deploymark.runtime.config import Configuration, read_configuration, read_environment
from deploymark.runtime.observe import log_to

_FIRST_WORDS = """\
  It is shown this once. Make others with it:
    DEPLOYMARK_URL={url} DEPLOYMARK_TOKEN=… \
deploymark tokens new ci --role emitter --service '*' --environment '*'"""


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark up`."""
    parser = commands.add_parser(
        "up",
        help=sentence,
        description="Runs the server until it is told to stop. On the first start, with the data "
        "directory absent or empty, it creates the log and prints an admin token once.",
    )
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        help="where to listen (default: DEPLOYMARK_LISTEN, else 127.0.0.1:8420)",
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="configuration in TOML (default: DEPLOYMARK_CONFIG)",
    )
    add_data(parser)
    add_passphrase(parser)
    parser.set_defaults(run=_up)


def _up(options: argparse.Namespace, output: Output) -> int:
    try:
        from deploymark.runtime.serve import Started, run_server  # noqa: PLC0415 - optional extra
    except ModuleNotFoundError as error:
        raise ExtraMissingError(
            f"The server needs more packages ({error.name}).",
            hint="Install this package with its extra `server`: pip install '.[server]' in its "
            "folder.",
        ) from error
    environment = read_environment()
    configuration = effective(
        options.config or environment.config, options.listen or environment.listen
    )
    log_to(sys.stderr, as_json=output.json or not sys.stderr.isatty())

    def started(server: Started) -> None:
        lines = [f"deploymark answers at {server.url}, data in {server.data}"]
        if server.created:
            lines.append(f"  A new log was created; back up {server.data / 'keys'}.")
        if server.admin_token is not None:
            lines.append(f"  admin token: {server.admin_token}")
            lines.append(_FIRST_WORDS.format(url=server.url))
        # Whoever collects the output of a service must not find a way in with every start.
        link = server.sign_in if server.created or sys.stdout.isatty() else None
        if link is not None:
            lines.append(f"  Sign in, once and within ten minutes: {link}")
        record = {
            "url": server.url,
            "data": server.data,
            "created": server.created,
            "admin_token": server.admin_token,
            "sign_in": link,
        }
        output.say("\n".join(lines), record)
        output.flush()

    run_server(
        options.data or environment.data,
        configuration,
        passphrase=passphrase(options),
        admin_token=environment.admin_token,
        started=started,
        broken=_report_broken,
    )
    return 0


def effective(file: Path | None, listen: str | None) -> Configuration:
    """Return the configuration of a file, with the address that a flag or the environment says.

    Raises:
        UsageError: The file cannot be used.
    """
    configuration = read_configuration(file)
    if listen is None:
        return configuration
    server = msgspec.structs.replace(configuration.server, listen=listen)
    return msgspec.structs.replace(configuration, server=server)


def _report_broken(error: DeploymarkError) -> None:
    logging.getLogger("deploymark").critical(
        "the log does not add up; nothing is written any more",
        extra={"code": error.code, "why": error.message, "hint": error.hint},
    )
