"""`deploymark instances`: which instances run, as far as the log knows."""

import argparse
from typing import Any, Final

from deploymark.cli.client import Client, client_settings
from deploymark.cli.flags import add_listing
from deploymark.cli.known import unknown
from deploymark.cli.output import Output
from deploymark.log.steps import counted

_PAGE: Final = 200
_FILTERS: Final = ("service", "environment", "deployment_id", "cluster", "status")
_PLACE: Final = ("cluster", "region", "zone", "namespace", "workload", "node")


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark instances`."""
    parser = commands.add_parser(
        "instances",
        help=sentence,
        description="Lists the instances that run as far as the log knows, by service, environment "
        "and unique id, each with the deployment that it is of.",
    )
    for name, what in (
        ("service", "only of this service"),
        ("environment", "only in this environment"),
        ("cluster", "only in this cluster"),
        ("status", "only as certain as this: confirmed, unproven or mismatched"),
    ):
        parser.add_argument(f"--{name}", action="append", help=f"{what}; may be repeated")
    parser.add_argument(
        "--deployment-id",
        action="append",
        metavar="ID",
        help="only of this deployment, or one occurrence as ID~2; may be repeated",
    )
    add_listing(parser, last=50)
    parser.set_defaults(run=_instances)


def _instances(options: argparse.Namespace, output: Output) -> int:
    client = Client(client_settings(options.url))
    filters = {name: getattr(options, name) for name in _FILTERS}
    # One more than is shown tells whether there are more.
    found = client.listed("/v1/instances", filters, options.last + 1, _PAGE)
    shown = found[: options.last]
    if output.json:
        for each in shown:
            output.say("", each)
        return 0
    if not shown:
        narrowed = any(each is not None for each in filters.values())
        said = unknown(client, filters)
        output.remark(said or f"No instance is known to run{' of these' if narrowed else ''}.")
        return 0
    columns = ("since", "service", "environment", "instance", "where", "status", "deployment")
    output.table(columns, map(_row, shown))
    if len(found) > len(shown):
        output.remark(f"There are more than {counted(len(shown), 'instance')}; --last shows more.")
    return 0


def _row(instance: dict[str, Any]) -> tuple[object, ...]:
    name, occurrence = instance["deployment_id"] or "?", instance["occurrence"] or 1
    return (
        instance["first_at"] or "?",
        instance["service"],
        instance["environment"],
        instance["instance"] or instance["instance_uid"],
        "/".join(instance[name] for name in _PLACE if instance[name]),
        instance["status"],
        f"{name}~{occurrence}" if occurrence > 1 else name,
    )
