"""`deploymark ls`: the deployments that a server knows, the one that opened last first."""

import argparse
from typing import Any, Final

from deploymark.cli.client import Client, client_settings
from deploymark.cli.flags import add_listing
from deploymark.cli.output import Output

_PAGE: Final = 100
_FILTERS: Final = ("service", "environment", "state", "kind")


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark ls`."""
    parser = commands.add_parser(
        "ls",
        help=sentence,
        description="Lists deployments, the one that opened last first; of each its latest "
        "occurrence. `deploymark show ID` has the others.",
    )
    parser.add_argument("--service", help="only of this service")
    parser.add_argument("--environment", help="only of this environment")
    parser.add_argument(
        "--state",
        action="append",
        help="only in this state, such as running, verified, complete or failed; may be repeated",
    )
    parser.add_argument(
        "--kind",
        action="append",
        help="only changes of this kind, such as deployment or config; may be repeated",
    )
    add_listing(parser, last=20)
    parser.set_defaults(run=_ls)


def _ls(options: argparse.Namespace, output: Output) -> int:
    found = _deployments(Client(client_settings(options.url)), options)
    if output.json:
        for each in found:
            output.say("", each)
        return 0
    if not found:
        output.remark("No deployment is known" + (" of these." if _filtered(options) else " yet."))
        return 0
    rows = [
        (
            each["opened_at"],
            each["service"],
            each["environment"],
            _what(each),
            _state(each),
            _name(each),
        )
        for each in found
    ]
    output.table(("opened", "service", "environment", "what", "state", "deployment"), rows)
    return 0


def _deployments(client: Client, options: argparse.Namespace) -> list[dict[str, Any]]:
    filters = {name: getattr(options, name) for name in _FILTERS}
    return client.listed("/v1/deployments", filters, options.last, _PAGE)


def _filtered(options: argparse.Namespace) -> bool:
    return any(getattr(options, name) is not None for name in _FILTERS)


def _what(deployment: dict[str, Any]) -> str:
    """Return what was deployed, as a person calls it: version, commit, digest, or key."""
    if deployment["key"] is not None:
        return f"{deployment['kind']} {deployment['key']}"
    commit, digest = deployment["commit_hash"] or "", deployment["digest"] or ""
    return str(deployment["version"] or commit[:12] or digest[:19] or "?")


def _state(deployment: dict[str, Any]) -> str:
    """Return how it stands; of what was taken back that comes first."""
    state = str(deployment["state"])
    return f"retracted ({state})" if deployment.get("retracted") else state


def _name(deployment: dict[str, Any]) -> str:
    name, occurrence = str(deployment["deployment_id"]), deployment["occurrence"]
    return f"{name}~{occurrence}" if occurrence > 1 else name
