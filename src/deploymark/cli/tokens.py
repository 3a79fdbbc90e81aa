"""`deploymark tokens`: who may call the server.

With `--data` it works on the files of a server on this machine, also while that runs and when
nobody holds an admin token any more; else it asks the server.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from deploymark.cli.client import Client, client_settings, path_of
from deploymark.cli.flags import add_json, add_server
from deploymark.cli.numbers import decimal
from deploymark.cli.output import Output
from deploymark.errors import UsageError

_LIFETIMES = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark tokens` and its subcommands."""
    parser = commands.add_parser("tokens", help=sentence)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    new = actions.add_parser("new", help="make a token; it is shown once")
    new.add_argument("name", help="who will hold it; markers will say token:NAME")
    new.add_argument(
        "--role",
        action="append",
        choices=("reader", "emitter", "operator", "admin"),
        required=True,
        help="what it may do; repeat for more",
    )
    new.add_argument(
        "--service", action="append", metavar="GLOB", help="of an emitter: about which services"
    )
    new.add_argument(
        "--environment", action="append", metavar="GLOB", help="and about which environments"
    )
    new.add_argument("--kind", action="append", metavar="GLOB", help="only these kinds of change")
    new.add_argument("--phase", action="append", metavar="GLOB", help="only these phases")
    new.add_argument(
        "--lifetime", metavar="TIME", help="such as 90d or 12h (default: until it is revoked)"
    )
    _finish(new, _new)

    revoke = actions.add_parser("revoke", help="end a token")
    revoke.add_argument("id", help="as `deploymark tokens ls` shows it")
    _finish(revoke, _revoke)

    ls = actions.add_parser("ls", help="list tokens, without their secrets")
    _finish(ls, _ls)


def _finish(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="the data directory of a server on this machine"
    )
    add_server(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def _new(options: argparse.Namespace, output: Output) -> int:
    wanted = {
        "name": options.name,
        "roles": options.role,
        "scope": _scope(options),
        "lifetime_s": _lifetime(options.lifetime),
    }
    if options.data is not None:
        from deploymark.runtime.access import issue_token  # noqa: PLC0415 - needs the server's rooms

        issued = issue_token(options.data, **wanted)
    else:
        given = {name: value for name, value in wanted.items() if value is not None}
        client = Client(client_settings(options.url))
        issued = client.post("/v1/tokens", json.dumps(given).encode())
    output.say(
        f"{issued['token']}\n  This is shown once. Hand it over as DEPLOYMARK_TOKEN; "
        f"`deploymark tokens revoke {issued['id']}` ends it.",
        issued,
    )
    return 0


def _scope(options: argparse.Namespace) -> dict[str, list[str]] | None:
    given = {
        "services": options.service,
        "environments": options.environment,
        "kinds": options.kind,
        "phases": options.phase,
    }
    scope = {name: value for name, value in given.items() if value}
    if scope and "emitter" not in options.role:
        raise UsageError(
            "Only an emitter has a scope.",
            hint="Add --role emitter, or leave --service and its like out.",
        )
    return scope or None


def _lifetime(text: str | None) -> int | None:
    if text is None:
        return None
    number, unit = decimal(text[:-1]), text[-1:]
    if not number or unit not in _LIFETIMES:
        raise UsageError(
            f"--lifetime takes a number and s, m, h or d, not {text[:20]!r}.",
            hint="Write it like 90d or 12h.",
        )
    return number * _LIFETIMES[unit]


def _revoke(options: argparse.Namespace, output: Output) -> int:
    if options.data is not None:
        from deploymark.runtime.access import revoke_token  # noqa: PLC0415

        revoke_token(options.data, options.id)
    else:
        Client(client_settings(options.url)).delete(path_of("tokens", options.id))
    output.say(f"The token {options.id} is ended.", {"id": options.id, "revoked": True})
    return 0


def _ls(options: argparse.Namespace, output: Output) -> int:
    if options.data is not None:
        from deploymark.runtime.access import list_tokens  # noqa: PLC0415

        tokens = list_tokens(options.data)
    else:
        tokens = Client(client_settings(options.url)).get("/v1/tokens")["items"]
    if output.json:
        for token in tokens:
            output.say("", token)
        return 0
    rows = [
        (
            token["id"],
            token["name"],
            ",".join(token["roles"]),
            _scope_text(token.get("scope")),
            token["created_at"],
            token.get("revoked_at") or token.get("expires_at") or "",
        )
        for token in tokens
    ]
    output.table(("id", "name", "roles", "scope", "created_at", "ends_at"), rows)
    return 0


def _scope_text(scope: dict[str, list[str]] | None) -> str:
    if not scope:
        return ""
    return f"{','.join(scope['services'])} in {','.join(scope['environments'])}"
