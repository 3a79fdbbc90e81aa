"""`deploymark canary`: what is rolled out, how it stands, and what a person can do with it.

`canary_show` words one rollout, `canary_replay` judges a verdict again.
"""

import argparse
from pathlib import Path
from typing import Any, Final

from deploymark.cli import canary_show
from deploymark.cli.asking import add_asking, add_deployment, add_reason, add_request, ask, order
from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.numbers import entry_index
from deploymark.cli.output import Output, plain
from deploymark.errors import UsageError

WIDE: Final = 160
"""Columns from which a rollout has one line; below, what it waits for has a line of its own."""


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark canary` and its subcommands."""
    parser = commands.add_parser(
        "canary",
        help=sentence,
        description="Lists what is rolled out by a plan: where it stands, what is known, and what "
        "it waits for.",
    )
    parser.add_argument("--service", help="only of this service")
    parser.add_argument("--environment", help="only in this environment")
    add_server(parser)
    add_json(parser)
    parser.set_defaults(run=_list)
    actions = parser.add_subparsers(dest="what", metavar="ACTION")
    _add_show(actions)
    _add_replay(actions)
    _add_requests(actions)
    _add_orders(actions)


def _add_show(actions: Any) -> None:  # noqa: ANN401 - argparse has no name
    show = actions.add_parser(
        "show",
        help="one rollout: where it stands, why, and what to do",
        description="Shows one rollout: where it stands and why, the newest looks, what each "
        "metric says, the guards that keep it back, who decided what, and what to do next.",
    )
    add_deployment(show)
    add_server(show, inherits=True)
    add_json(show, inherits=True)
    show.set_defaults(run=_show)


def _add_replay(actions: Any) -> None:  # noqa: ANN401 - argparse has no name
    replay = actions.add_parser(
        "replay",
        help="judge a verdict again from what was kept",
        description="Fetches what a verdict rests on, checks every digest and the log's own "
        "entries, judges again on this machine, and says line by line whether the same comes out: "
        "0 yes, 1 no, 2 where something could not be checked.",
    )
    replay.add_argument(
        "index", type=entry_index, metavar="INDEX", help="the verdict's entry, from `canary show`"
    )
    replay.add_argument(
        "--file", type=Path, metavar="FILE", help="what --save wrote, instead of asking a server"
    )
    replay.add_argument(
        "--save", type=Path, metavar="FILE", help="keep what was fetched in a new file"
    )
    replay.add_argument(
        "--receipt",
        type=Path,
        metavar="FILE",
        help="the verdict's receipt, which `deploymark verify` has checked: then what the server "
        "says of that entry need not be believed",
    )
    add_server(replay, inherits=True)
    add_json(replay, inherits=True)
    replay.set_defaults(run=_replay)


def _add_requests(actions: Any) -> None:  # noqa: ANN401 - argparse has no name
    for name, run, sentence, description in (
        (
            "pause",
            _pause,
            "let nothing happen to it until it is resumed",
            (
                "Asks that nothing is changed by itself until the rollout is resumed, except "
                "that a proven failure still goes back."
            ),
        ),
        (
            "resume",
            _resume,
            "let a paused rollout go on",
            (
                "Lets a paused rollout go on, and overrules the verdict that stood: only more than "
                "that stops it again."
            ),
        ),
    ):
        parser = actions.add_parser(name, help=sentence, description=description)
        add_deployment(parser)
        add_reason(parser)
        add_request(parser, inherits=True)
        parser.set_defaults(run=run)


def _add_orders(actions: Any) -> None:  # noqa: ANN401 - argparse has no name
    for name, run, sentence, description in (
        (
            "quarantine",
            _quarantine,
            "put away what a deployment consists of",
            (
                "What this deployment consists of is not rolled out any more, under whatever id it "
                "comes, until it is released. What runs is not touched."
            ),
        ),
        (
            "release",
            _release,
            "let what was put away be rolled out again",
            "Ends a quarantine, also one that followed from a failed rollout.",
        ),
    ):
        parser = actions.add_parser(name, help=sentence, description=description)
        add_deployment(parser)
        add_reason(parser)
        add_asking(parser, inherits=True)
        parser.set_defaults(run=run)


def _list(options: argparse.Namespace, output: Output) -> int:
    filters = {"service": options.service, "environment": options.environment}
    found = Client(client_settings(options.url)).get("/v1/rollouts", filters)["items"]
    if output.json:
        for each in found:
            output.say("", each)
        return 0
    if not found:
        narrowed = any(value is not None for value in filters.values())
        output.remark(
            "Nothing of these is rolled out by a plan."
            if narrowed
            else "Nothing is rolled out by a plan. [rollouts.SERVICE.ENVIRONMENT] in the server's "
            "configuration makes one."
        )
        return 0
    rows = [canary_show.row_of(each) for each in found]
    if output.width is None or output.width >= WIDE:
        output.table(canary_show.COLUMNS, rows)
        return 0
    output.table(canary_show.COLUMNS[:-1], [row[:-1] for row in rows])
    for each in found:
        said = f"{each['service']} in {each['environment']}: {canary_show.standing(each)}"
        output.remark(plain(said))
    return 0


def _show(options: argparse.Namespace, output: Output) -> int:
    _refuse_filters(options)
    shown = Client(client_settings(options.url)).get(path_of("rollouts", options.deployment))
    if output.json:
        output.say("", shown)
    else:
        canary_show.say(shown, output)
    return 0


def _replay(options: argparse.Namespace, output: Output) -> int:
    from deploymark.cli.canary_replay import replay_verdict  # noqa: PLC0415 - loads much

    _refuse_filters(options)
    return replay_verdict(options, output)


def _pause(options: argparse.Namespace, output: Output) -> int:
    _refuse_filters(options)
    return ask(options, output, "pause")


def _resume(options: argparse.Namespace, output: Output) -> int:
    _refuse_filters(options)
    return ask(options, output, "resume")


def _quarantine(options: argparse.Namespace, output: Output) -> int:
    _refuse_filters(options)
    said = f"What {options.deployment} consists of is put away."
    return order(options, output, said, action="quarantine", deployment_id=options.deployment)


def _release(options: argparse.Namespace, output: Output) -> int:
    _refuse_filters(options)
    said = f"What {options.deployment} consists of may be rolled out again."
    return order(options, output, said, action="release", deployment_id=options.deployment)


def _refuse_filters(options: argparse.Namespace) -> None:
    """Refuse what would be left unused: a person would take it for heeded."""
    for name in ("service", "environment"):
        if getattr(options, name) is not None:
            raise UsageError(
                f"--{name} narrows the list, and has no use with `{options.what}`.",
                hint=f"Leave --{name} out: the id says which rollout is meant.",
            )
