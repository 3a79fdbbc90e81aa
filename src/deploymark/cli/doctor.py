"""`deploymark doctor`: what is configured, what is missing for production, what is wrong.

Looks and changes nothing. Each line is one check: ✓ fine, ! worth a look, ✗ wrong, with what to do.
The checks stand in `checkup_emitter`, `checkup_server` and `checkup_data`, each with its table.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from deploymark.cli.checkup import Finding, Remark, wrong
from deploymark.cli.client import Client, client_settings
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.output import Output, plain
from deploymark.emit.host import SystemHost
from deploymark.errors import DeploymarkError

Found = Iterator[tuple[str, Remark]]
Subject = TypeVar("Subject")

_SECONDS: Final = 5.0
_MARKS: Final = {Finding.FINE: "✓", Finding.ADVICE: "!", Finding.WRONG: "✗"}


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark doctor`."""
    parser = commands.add_parser(
        "doctor",
        help=sentence,
        description="Checks the emitter of this machine and the server that it talks to: settings, "
        "CI, key, spool, token, clock, certificate, noise; the more the token may read, the more. "
        "With --data it checks a server's own files and explains its effective configuration. "
        "Exit code 1 when something is wrong. `deploymark doctor dialect` shows how a request of "
        "another system's client is understood.",
    )
    add_server(parser)
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the data directory of a server on this machine"
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="with --data: the server's configuration (default: DEPLOYMARK_CONFIG)",
    )
    add_json(parser)
    parser.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace, output: Output) -> int:
    found = _of_emitter(options) if options.data is None else _of_data(options)
    counts = dict.fromkeys(Finding, 0)
    for name, remark in found:
        counts[remark.finding] += 1
        hint = remark.hint if remark.finding is not Finding.FINE else ""
        below = f"\n    {plain(hint)}" if hint else ""
        record = {"check": name, "finding": remark.finding, "says": remark.says, "hint": hint}
        output.say(f"{_MARKS[remark.finding]} {name}: {plain(remark.says)}{below}", record)
        output.flush()
    output.remark(f"{counts[Finding.WRONG]} wrong, {counts[Finding.ADVICE]} worth a look.")
    return 1 if counts[Finding.WRONG] else 0


def _of_emitter(options: argparse.Namespace) -> Found:
    from deploymark.cli import checkup_emitter, checkup_server  # noqa: PLC0415 - only these

    host = SystemHost()
    settings = client_settings(options.url)
    machine = checkup_emitter.Machine(settings, host.environment(), host.user())
    yield from _checked(checkup_emitter.CHECKS, machine)
    try:
        server = checkup_server.Server(Client(settings, _SECONDS), host)
    except DeploymarkError as error:
        yield "server", wrong(error.message, error.hint)
        return
    yield from _checked(checkup_server.CHECKS, server)


def _of_data(options: argparse.Namespace) -> Found:
    from deploymark.cli import checkup_data  # noqa: PLC0415 - only this
    from deploymark.cli.up import effective  # noqa: PLC0415
    from deploymark.runtime.config import read_environment  # noqa: PLC0415
    from deploymark.runtime.data_directory import DataDirectory  # noqa: PLC0415

    environment = read_environment()
    file = options.config or environment.config
    said = effective(file, environment.listen)
    origins = checkup_data.origins_of(file, "DEPLOYMARK_LISTEN" if environment.listen else "")
    home = checkup_data.Home(DataDirectory(options.data), said, origins)
    yield from _checked(checkup_data.CHECKS, home)


def _checked(
    checks: Iterable[tuple[str, Callable[[Subject], Iterator[Remark]]]], subject: Subject
) -> Found:
    """Run checks in order; what keeps one from looking is what it finds."""
    for name, check in checks:
        try:
            for remark in check(subject):
                yield name, remark
        except DeploymarkError as error:
            yield name, wrong(error.message, error.hint)
