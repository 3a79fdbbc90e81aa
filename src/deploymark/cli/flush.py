"""`deploymark flush`: deliver what the spool holds."""

import argparse
from typing import Any, Final

from deploymark.cli.flags import add_server
from deploymark.cli.marking import say_why
from deploymark.cli.numbers import seconds
from deploymark.cli.output import Output, plain
from deploymark.emit.emitter import Emitter
from deploymark.emit.host import SystemHost
from deploymark.emit.inspection import elsewhere_said, inspect_spool, waiting_said
from deploymark.emit.settings import read_settings
from deploymark.errors import ServerUnavailableError
from deploymark.log.steps import counted

SECONDS: Final = 30.0
_HELD: Final = "A process that still runs has them, and delivers them itself."


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark flush`."""
    parser = commands.add_parser(
        "flush",
        help=sentence,
        description="Delivers every marker that waits in the spool for this server, also those of "
        "other processes that have ended. Markers for another server are counted and left alone.",
    )
    add_server(parser)
    parser.add_argument(
        "--budget",
        type=seconds,
        default=SECONDS,
        metavar="SECONDS",
        help=f"how long to try (default: {SECONDS:g})",
    )
    parser.add_argument(
        "--require",
        action="store_true",
        help="exit 69 when some are left, 77 when the server says that this is not allowed",
    )
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.set_defaults(run=_flush, spares_deploy=True)


def _flush(options: argparse.Namespace, output: Output) -> int:
    host = SystemHost()
    settings = read_settings(host.environment(), host.user())
    if options.url is not None:
        settings = settings._replace(url=options.url)
    done = Emitter(settings, facts={}).flush(options.budget, every=True)
    found = inspect_spool(settings.spool, host.user())
    elsewhere = found.elsewhere(settings.url)
    left = found.waiting - sum(elsewhere.values())
    sentence = f"{done.delivered} delivered, {done.refused} refused, {left} left in the spool"
    waiting = found.here(settings.url)
    problem = done.problem or (_HELD if left else "")
    if left:
        sentence += f": {problem}"
    record = {
        "delivered": done.delivered,
        "refused": done.refused,
        "left": left,
        "waiting": [
            {"service": each.service, "environment": each.environment, "count": each.markers}
            for each in waiting
        ],
        "problem": problem,
        "elsewhere": elsewhere,
    }
    output.say(sentence, record)
    if waiting:
        output.remark(plain(f"Left: {waiting_said(waiting)}."))
    if elsewhere:
        output.remark(f"{elsewhere_said(elsewhere)}; `--url` delivers them.")
    if left and options.require:
        said = f"{counted(left, 'marker')} left in {settings.spool}: {problem}"
        return say_why(output, said, done.refusal, ServerUnavailableError.default_hint)
    return 0
