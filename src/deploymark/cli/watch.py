"""`deploymark watch`: follow what is admitted, as it happens."""

import argparse
import json
import time
from collections.abc import Iterator
from typing import IO, Any, Final

from deploymark.cli.client import Client, client_settings
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.numbers import count, entry_index
from deploymark.cli.output import Output, plain
from deploymark.errors import ServerUnavailableError, UnavailableError

SILENCE_SECONDS: Final = 35.0  # three heartbeats and a little
_PAUSE_SECONDS: Final = 2.0
_MAX_EVENT_BYTES: Final = 1 << 20
_CORRECTIONS: Final = ("amendment", "retraction")


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark watch`."""
    parser = commands.add_parser(
        "watch",
        help=sentence,
        description="Follows the live stream until interrupted. After a broken connection it goes "
        "on where it stopped, so nothing is missed and nothing shown twice.",
    )
    parser.add_argument("--service", help="only of this service")
    parser.add_argument("--environment", help="only of this environment")
    parser.add_argument("--type", help="only entries of this type, such as marker or finding")
    parser.add_argument(
        "--after",
        type=entry_index,
        metavar="INDEX",
        help="begin behind this entry instead of now",
    )
    parser.add_argument(
        "--count", type=count, metavar="N", help="stop after so many entries (default: never)"
    )
    add_server(parser)
    add_json(parser)
    parser.set_defaults(run=_watch)


def _watch(options: argparse.Namespace, output: Output) -> int:
    client = Client(client_settings(options.url), SILENCE_SECONDS)
    shown = 0
    for name, data in _followed(client, options, output):
        if name == "reset":
            why = plain(str(data.get("reason")))
            output.remark(f"(the server says: {why}; some entries may be missing)")
            if output.json:
                output.say("", {"event": "reset", **data})
            continue
        output.say(plain(_line(data)), data)
        output.flush()
        shown += 1
        if options.count is not None and shown >= options.count:
            break
    return 0


def _followed(
    client: Client, options: argparse.Namespace, output: Output
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield events for ever; the first connection must succeed, later ones are made again."""
    parameters = {
        "service": options.service,
        "environment": options.environment,
        "type": options.type,
        "after": options.after,
    }
    last: str | None = None
    while True:
        headers: dict[str, str] = {}
        if last is not None:
            headers["Last-Event-ID"] = last
            parameters["after"] = None
        try:
            opened = client.opened(
                "GET", "/v1/stream", parameters, accept="text/event-stream", headers=headers
            )
            with opened as answer:
                for identity, name, data in events(answer):
                    last = identity if identity is not None else last
                    if data:
                        yield name, _object(client, data)
        except UnavailableError as error:
            if last is None:
                raise
            output.remark(f"({error.message} Trying again.)")
        time.sleep(_PAUSE_SECONDS)


def _object(client: Client, data: str) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ServerUnavailableError(f"The server {client.shown} sent an event that is none.")
    return value


def events(stream: IO[bytes]) -> Iterator[tuple[str | None, str, str]]:
    """Yield (id, name, data) of each block of an event stream (WHATWG HTML, section 9.2).

    Args:
        stream: Bytes as they come; read line by line.
    """
    identity: str | None = None
    name = "message"
    data: list[str] = []
    while line := stream.readline(_MAX_EVENT_BYTES):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        if not text:
            yield identity, name, "\n".join(data)
            identity, name, data = None, "message", []
            continue
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if field == "id":
            identity = value
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)


def _line(entry: dict[str, Any]) -> str:
    marker = entry.get("marker")
    if marker is None:
        said = entry.get("entry") or {}
        words = [said.get(name) for name in ("action", "state", "code", "severity", "message")]
        if entry["type"] in _CORRECTIONS:
            words = [f"of entry {said.get('index')}:", said.get("reason")]
        what = " ".join(str(word) for word in words if word)
        return f"{entry['index']:>7}  {entry.get('received_at', '')}  {entry['type']} {what}"
    occurrence = entry["occurrence"]
    again = f" ~{occurrence}" if occurrence > 1 else ""
    subject = marker.get("version") or (marker.get("commit_hash") or "")[:12]
    return (
        f"{entry['index']:>7}  {entry['received_at']}  {marker['phase']:12} "
        f"{marker['service']} in {marker['environment']} {subject}"
        f"  {entry['ids'].get('deployment_id', '')}{again}  {entry['assurance']}"
    )
