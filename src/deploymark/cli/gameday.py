"""`deploymark gameday`: inject faults into a simulated fleet and score what a server finds.

The server must be one that is there to be tested, started with the configuration that
`--print-config` prints: what to expect, and deadlines that fit into minutes.
"""

import argparse
import json
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from deploymark.cli.client import client_settings
from deploymark.cli.flags import SERVER, add_json
from deploymark.cli.numbers import count, none_or_more
from deploymark.cli.options import write_text
from deploymark.cli.output import Output
from deploymark.emit.endpoint import parse_endpoint
from deploymark.errors import UsageError
from deploymark.log.steps import counted

_DEPLOYMENTS: Final = 200
_FAULTS: Final = 40
_SERVICES: Final = 40
_COMPRESSION: Final = 100


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark gameday`."""
    parser = commands.add_parser(
        "gameday",
        help=sentence,
        description="Plays the deploys of a simulated fleet against a test server, with faults on "
        "purpose, and scores what the server finds: exit code 0 when every fault was found in "
        "time, nothing was made up and every record is true. The token must be an admin's.",
    )
    parser.add_argument("--server", metavar="URL", help=SERVER)
    parser.add_argument(
        "--deployments",
        type=count,
        default=_DEPLOYMENTS,
        metavar="N",
        help=f"how many deploys (default: {_DEPLOYMENTS})",
    )
    parser.add_argument(
        "--faults",
        type=none_or_more,
        default=_FAULTS,
        metavar="N",
        help=f"how many of them get a fault (default: {_FAULTS}); 0 must find nothing",
    )
    parser.add_argument(
        "--services",
        type=count,
        default=_SERVICES,
        metavar="N",
        help=f"how many services (default: {_SERVICES}), each in two environments",
    )
    parser.add_argument(
        "--seed", type=none_or_more, default=1, metavar="S", help="the day to play (default: 1)"
    )
    parser.add_argument(
        "--compression",
        type=count,
        default=_COMPRESSION,
        metavar="N",
        help=f"how much faster than life; deadlines are divided by it (default: {_COMPRESSION})",
    )
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write everything to a new file, as JSON"
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print the configuration that the server needs, and do nothing else",
    )
    parser.add_argument(
        "--not-a-test-server",
        action="store_true",
        help="run although the server knows other environments than those of game days",
    )
    add_json(parser)
    parser.set_defaults(run=_gameday)


def _gameday(options: argparse.Namespace, output: Output) -> int:
    # The simulator stands above the server's rooms; only this command pays for it.
    from deploymark.testing.gameday.configuration import configuration  # noqa: PLC0415
    from deploymark.testing.gameday.plan import Size, plan_day  # noqa: PLC0415
    from deploymark.testing.gameday.timing import Timing  # noqa: PLC0415

    timing = Timing(compression=options.compression)
    if options.print_config:
        output.raw(configuration(options.seed, options.services, timing))
        return 0
    if options.report is not None and options.report.exists():
        raise UsageError(
            f"{options.report} exists already.", hint="Choose another name; nothing is overwritten."
        )
    if options.deployments < 2 * options.services:
        raise UsageError(
            f"{options.services} services need at least {2 * options.services} deployments.",
            hint="Each has one in both of its environments first; say fewer --services.",
        )
    from deploymark.runtime.system import SystemClock  # noqa: PLC0415

    clock = SystemClock()
    size = Size(options.deployments, options.faults, options.services)
    name = f"{clock.now_ms():x}"  # no two days have the same digests
    return _play(options, output, plan_day(size, seed=options.seed, name=name, timing=timing))


def _play(options: argparse.Namespace, output: Output, day: Any) -> int:  # noqa: ANN401 - imported where it is needed
    from deploymark.runtime.system import SystemClock  # noqa: PLC0415
    from deploymark.testing.gameday.door import Door  # noqa: PLC0415
    from deploymark.testing.gameday.game import refuse_production, run_day  # noqa: PLC0415
    from deploymark.testing.gameday.report import COLUMNS, as_json, complaints, rows  # noqa: PLC0415

    settings = client_settings(options.server)
    parse_endpoint(settings)  # an admin's token goes nowhere that other commands would refuse
    with (
        closing(Door(settings.url, settings.token)) as door,
        output.progress("Playing", len(day.messages)) as progress,
    ):
        if not options.not_a_test_server:
            refuse_production(door)
        result = run_day(day, door, SystemClock(), progress=progress)
    record = as_json(result)
    if options.report is not None:
        write_text(options.report, json.dumps(record, indent=1) + "\n")
    if result.verdicts:
        output.table(COLUMNS, rows(result.verdicts))
    for line in complaints(result):
        output.say(line, {"wrong": line})
    found = sum(verdict.found for verdict in result.verdicts)
    said = (
        f"{found} of {len(result.verdicts)} faults were found in time, "
        f"{_said(len(result.false_findings), 'finding')} false, "
        f"{_said(len(result.untrue), 'statement')} of records untrue."
    )
    keys = ("day", "seed", "compression", "deployments", "messages", "slipped_seconds", "won")
    output.say(said, {name: record[name] for name in keys})
    return 0 if result.is_won else 1


def _said(number: int, what: str) -> str:
    return f"{counted(number, what)} {'was' if number == 1 else 'were'}"
