"""`deploymark timeline`: what happened, the last first."""

import argparse
from typing import Any, Final

from deploymark.cli.client import Client, client_settings
from deploymark.cli.corrections import noted
from deploymark.cli.flags import add_listing
from deploymark.cli.known import unknown
from deploymark.cli.numbers import moment
from deploymark.cli.output import Output

WIDE: Final = 110
"""Columns from which an event has one line; below, it has two."""

_PAGE: Final = 200
_FILTERS: Final = (
    "service",
    "environment",
    "kind",
    "phase",
    "type",
    "cluster",
    "deployment_id",
    "since",
    "until",
)


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark timeline`."""
    parser = commands.add_parser(
        "timeline",
        help=sentence,
        description="Lists markers, verdicts, decisions, incidents and findings by the time at "
        "which they happened, the last first; instances that come and go are left out. An event "
        "is shown with the deployment that it was joined to. Findings that follow from markers "
        "alone, such as digest_mismatch, are not in it: `deploymark findings` has them.",
    )
    for name, what in (
        ("service", "only of this service"),
        ("environment", "only in this environment"),
        ("kind", "only markers of this kind, such as deployment or config"),
        ("phase", "only markers of this phase, such as applied"),
        ("type", "only this: marker, verdict, decision, incident or finding"),
        ("cluster", "only in this cluster"),
    ):
        parser.add_argument(f"--{name}", action="append", help=f"{what}; may be repeated")
    parser.add_argument(
        "--deployment-id",
        action="append",
        metavar="ID",
        help="only of this deployment, or of one occurrence as ID~2; may be repeated",
    )
    parser.add_argument(
        "--since", type=moment, metavar="TIME", help="from then on: RFC 3339, or 2h for 2 hours ago"
    )
    parser.add_argument("--until", type=moment, metavar="TIME", help="before then; as --since")
    add_listing(parser, last=50)
    parser.set_defaults(run=_timeline)


def _timeline(options: argparse.Namespace, output: Output) -> int:
    client = Client(client_settings(options.url))
    filters = {name: getattr(options, name) for name in _FILTERS}
    events = client.listed("/v1/timeline", filters, options.last, _PAGE)
    if output.json:
        for event in events:
            output.say("", event)
        return 0
    if not events:
        nobody_knows = unknown(client, filters)
        if nobody_knows:
            output.remark(nobody_knows)
            return 0
        narrowed = any(each is not None for each in filters.values())
        output.remark("Nothing has happened" + (" of these." if narrowed else " yet."))
        return 0
    if output.width is not None and output.width < WIDE:
        _say_in_two_lines(events, output)
        return 0
    rows = [
        (
            event["at"],
            event["service"] or "",
            event["environment"] or "",
            event["event"],
            noted(event["text"], event),
            event["cluster"] or event["region"] or "",
            event["source"] or event["type"],
            _name(event),
        )
        for event in events
    ]
    columns = ("at", "service", "environment", "event", "what", "where", "source", "deployment")
    output.table(columns, rows)
    return 0


def _say_in_two_lines(events: list[dict[str, Any]], output: Output) -> None:
    """Show events where there is no room for a line each: what, then of which deployment."""
    rows: list[tuple[str, str, str]] = []
    for event in events:
        scope = " in ".join(each for each in (event["service"], event["environment"]) if each)
        text = noted(event["text"], event)
        what = f"{scope}: {text}" if scope else text
        rows.append((event["at"], event["event"], what))
        where = event["cluster"] or event["region"]
        said = [_name(event), f"in {where}" if where else "", event["source"] or event["type"]]
        rows.append(("", "", " ".join(each for each in said if each)))
    output.table(("at", "event", "what"), rows)


def _name(event: dict[str, Any]) -> str:
    name, occurrence = event["deployment_id"] or "", event["occurrence"] or 1
    return f"{name}~{occurrence}" if occurrence > 1 else str(name)
