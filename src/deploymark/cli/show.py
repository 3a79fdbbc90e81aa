"""`deploymark show`: one deployment, with every marker of it."""

import argparse
from typing import Any, Final

from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.corrections import noted, taken_back
from deploymark.cli.flags import add_server
from deploymark.cli.output import Output, plain

_PAGE: Final = 200
_STATUSES: Final = ("confirmed", "unproven", "mismatched")
_STANDS: Final = frozenset({"running", "verified", "complete"})
_PLACE: Final = ("cluster", "region", "namespace", "workload")


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark show`."""
    parser = commands.add_parser(
        "show",
        help=sentence,
        description="Shows one deployment: what it is, every occurrence with its places, and every "
        "marker of it, oldest first.",
    )
    parser.add_argument("deployment", metavar="ID", help="its id, or one occurrence as ID~2")
    add_server(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON, one object")
    parser.set_defaults(run=_show)


def _show(options: argparse.Namespace, output: Output) -> int:
    client = Client(client_settings(options.url))
    found = client.get(path_of("deployments", options.deployment))
    ids = [found["deployment_id"], *found["aliases"]]
    asked, occurrence = options.deployment.partition("~")[::2]
    names = [f"{each}~{occurrence}" for each in ids] if occurrence else ids
    markers = _markers(client, names, found["last_index"])
    if output.json:
        output.say("", {**found, "markers": markers})
        return 0
    _say_head(found, asked, output)
    _say_corrections(found, output)
    _say_occurrences(found, output)
    _say_findings(found, output)
    output.remark("")
    rows = [
        (
            each["index"],
            each["received_at"],
            each["marker"]["phase"] + (f" ~{each['occurrence']}" if each["occurrence"] > 1 else ""),
            (each["marker"].get("emitter") or {}).get("kind") or "?",
            each["assurance"],
            each["principal"] or each["key_id"],
            noted(each["marker"].get("reason") or "", each),
        )
        for each in markers
    ]
    columns = ("entry", "received_at", "phase", "source", "assurance", "by", "reason")
    output.table(columns, rows)
    return 0


def _markers(client: Client, names: list[str], after: int) -> list[dict[str, Any]]:
    """Return every marker of a deployment, oldest first."""
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = client.get(
            "/v1/markers",
            {
                "deployment_id": names,
                "order": "oldest",
                "limit": _PAGE,
                "cursor": cursor,
                "after": after,
            },
        )
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def _say_head(found: dict[str, Any], asked: str, output: Output) -> None:
    said = {
        "deployment": found["deployment_id"],
        "also known as": ", ".join(found["aliases"]),
        "service": found["service"],
        "environment": found["environment"],
        "kind": "" if found["kind"] == "deployment" else f"{found['kind']} {found['key']}",
        "version": found["version"],
        "commit": found["commit_hash"],
        "digest": found["digest"],
        "action": found["action"],
        "state": found["state"],
        "heard from": ", ".join(found["sources"]),
        "silent": ", ".join(found["missing_sources"]),
        "runs": _runs(found),
    }
    if asked != found["deployment_id"]:
        output.remark(f"{asked} is another name of it.")
    for name, value in said.items():
        if value:
            output.remark(plain(f"{name:13}  {value}"))


def _say_corrections(found: dict[str, Any], output: Output) -> None:
    for name, before in found.get("amended", {}).items():
        was = "nothing" if before is None else before
        output.remark(plain(f"{'amended':13}  {name.replace('_', ' ')}: it was {was}"))
    if found.get("retracted"):
        output.remark(plain(f"{'retracted':13}  {taken_back(found['retracted'])}"))


def _runs(found: dict[str, Any]) -> str:
    """Return how many instances run it, and how well that is known."""
    covered = found["coverage"]
    counts = [f"{covered[name]} {name}" for name in _STATUSES]
    expected = covered["expected"]
    if not any(covered[name] for name in _STATUSES):
        # It stands until another takes its place, whether or not an instance of it is left.
        stands = found["kind"] == "deployment" and found["state"] in _STANDS
        counts = ["no instance is known to run"] if stands or expected is not None else [""]
    return ", ".join(counts) + ("" if expected is None else f" of {expected} expected")


def _say_occurrences(found: dict[str, Any], output: Output) -> None:
    for each in found["occurrences"]:
        opened, ended = each["opened_at"], each["ended_at"]
        when = f"since {opened}" if ended is None else f"{opened} to {ended}"
        output.remark(f"{'occurrence':13}  {each['occurrence']}: {when}, {each['state']}")
        if each["occurrence"] != found["occurrence"]:
            continue
        for place in found["places"]:
            where = "/".join(place[name] for name in _PLACE if place[name]) or "everywhere"
            output.remark(plain(f"{'':13}    {where}: {place['state']} since {place['at']}"))


def _say_findings(found: dict[str, Any], output: Output) -> None:
    for each in found["findings"]:
        if each["state"] == "open":
            output.remark(plain(f"{each['severity']:13}  {each['code']}: {each['message']}"))
            output.remark(plain(f"{'':13}  {each['remedy']}"))
