"""`deploymark log witness`: be a witness for other logs, or have this log witnessed."""

import argparse
from pathlib import Path
from typing import Any

from deploymark.cli.flags import add_json
from deploymark.cli.numbers import decimal
from deploymark.cli.options import (
    add_data,
    add_passphrase,
    check_key_name,
    data_directory,
    passphrase,
    read_bytes,
)
from deploymark.cli.output import Output, shortened
from deploymark.crypto.note import VerifierKey
from deploymark.errors import ExtraMissingError, UsageError
from deploymark.log.policy import NONE, Group, Policy, WitnessLine, format_policy, parse_policy
from deploymark.log.steps import counted
from deploymark.runtime.compose import read_policy, witnesses_of
from deploymark.runtime.data_directory import DataDirectory, write_policy
from deploymark.runtime.witness import create_witness, run_witness, witness_vkeys

GROUP = "witnesses"
DEFAULT_LISTEN = "127.0.0.1:8421"
_MAX_PORT = 65_535


def add_parser(commands: Any) -> None:  # noqa: ANN401 - argparse does not name this type
    """Add `deploymark log witness` and its subcommands."""
    parser = commands.add_parser("witness", help="be a witness, or have this log witnessed")
    actions = parser.add_subparsers(dest="witness_action", metavar="ACTION", required=True)

    init = actions.add_parser("init", help="create a witness: its keys and its memory")
    init.add_argument("directory", type=Path, help="where; absent or empty")
    init.add_argument("--name", required=True, help="the witness's name: a URL without https://")
    add_passphrase(init)
    add_json(init)
    init.set_defaults(run=_init)

    serve = actions.add_parser("serve", help="run a witness")
    serve.add_argument("directory", type=Path, help="what `witness init` created")
    serve.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        action="append",
        required=True,
        help="policy of a log to witness, from `log policy`; may be repeated",
    )
    serve.add_argument(
        "--listen", default=DEFAULT_LISTEN, metavar="HOST:PORT", help=f"default: {DEFAULT_LISTEN}"
    )
    add_passphrase(serve)
    add_json(serve)
    serve.set_defaults(run=_serve)

    add = actions.add_parser("add", help="have this log witnessed by somebody")
    add.add_argument("name", help="what the policy calls the witness")
    add.add_argument("vkey", help="its verifier key, from whoever runs it")
    add.add_argument("url", help="its submission prefix")
    _changes_the_quorum(add, _add)

    remove = actions.add_parser("rm", help="end the part of a witness, as when its key was stolen")
    remove.add_argument("name", help="what the policy calls the witness")
    _changes_the_quorum(remove, _remove)

    listing = actions.add_parser("ls", help="list this log's witnesses")
    add_data(listing)
    listing.set_defaults(run=_ls)


def _changes_the_quorum(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument(
        "--quorum",
        default="any",
        metavar="RULE",
        help="how many witnesses verifiers demand: any, all, a number or none (default: any)",
    )
    add_data(parser)
    parser.set_defaults(run=run)


def _init(options: argparse.Namespace, output: Output) -> int:
    check_key_name(options.name)
    create_witness(options.directory, options.name, passphrase(options))
    vkeys = witness_vkeys(options.directory)
    lines = [f"Created the witness {options.name} in {options.directory}. Its verifier keys:"]
    output.say(
        "\n".join([*lines, *(f"  {vkey}" for vkey in vkeys)]),
        {"name": options.name, "directory": options.directory, "vkeys": vkeys},
    )
    return 0


def _serve(options: argparse.Namespace, output: Output) -> int:
    host, port = _address(options.listen)
    vkeys = [
        str(line.key) for file in options.policy for line in parse_policy(read_bytes(file)).logs
    ]

    def listening(bound_host: str, bound_port: int) -> None:
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        url = f"http://{shown}:{bound_port}"
        output.say(
            f"Witnessing {counted(len({vkey.partition('+')[0] for vkey in vkeys}), 'log')} "
            f"at {url}; stop with Ctrl-C.",
            {"url": url},
        )
        output.flush()

    try:
        run_witness(options.directory, vkeys, passphrase(options), (host, port), listening)
    except ImportError as error:
        raise ExtraMissingError(
            f"Running a witness needs {error.name}.",
            hint="Install this package with its extra `server`: pip install '.[server]' in its "
            "folder.",
        ) from error
    return 0


def _address(text: str) -> tuple[str, int]:
    host, _, digits = text.rpartition(":")
    host, port = host.strip("[]"), decimal(digits)
    if not host or port is None or port > _MAX_PORT:
        raise UsageError(
            f"{shortened(text)!r} is not HOST:PORT.", hint=f"Write it like {DEFAULT_LISTEN}."
        )
    return host, port


def _add(options: argparse.Namespace, output: Output) -> int:
    data = DataDirectory(data_directory(options))
    data.check_exists()
    if not options.url:
        raise UsageError("A witness without a URL cannot be asked.")
    old = read_policy(data)
    line = WitnessLine(options.name, VerifierKey.parse(options.vkey), options.url)
    if any(log.key.public == line.key.public for log in old.logs):
        raise UsageError("A log is no witness of itself: this is its own key.")
    policy = _replace(data, old, {**old.witnesses, options.name: line}, options.quorum)
    output.say(
        f"{options.name} will be asked to cosign from the next checkpoint on.\n{_demand(policy)}",
        {"name": options.name, "quorum": policy.quorum, "witnesses": len(policy.witnesses)},
    )
    return 0


def _remove(options: argparse.Namespace, output: Output) -> int:
    data = DataDirectory(data_directory(options))
    data.check_exists()
    old = read_policy(data)
    if options.name not in old.witnesses:
        raise UsageError(
            f"The log has no witness {shortened(options.name)!r}.",
            hint="`deploymark log witness ls` lists them.",
        )
    left = {name: line for name, line in old.witnesses.items() if name != options.name}
    policy = _replace(data, old, left, options.quorum)
    output.say(
        f"{options.name} will not be asked any more.\n{_demand(policy)}",
        {"name": options.name, "quorum": policy.quorum, "witnesses": len(policy.witnesses)},
    )
    return 0


def _replace(
    data: DataDirectory, old: Policy, witnesses: dict[str, WitnessLine], rule: str
) -> Policy:
    policy = _with_quorum(Policy(old.logs, witnesses, {}, NONE), rule)
    # Read back by the rules that verifiers use, and the witness opened as a publisher will open
    # it, before it replaces the policy that works.
    text = format_policy(policy)
    if parse_policy(text) != policy:
        raise UsageError("A policy cannot hold this name and URL of a witness.")
    witnesses_of(policy)
    write_policy(data, text)
    return policy


def _with_quorum(policy: Policy, rule: str) -> Policy:
    if rule == NONE:
        return policy
    names = tuple(policy.witnesses)
    thresholds = {"any": 1, "all": len(names)}
    threshold = thresholds.get(rule) or decimal(rule) or 0
    if not 1 <= threshold <= len(names):
        choices = f"any, all, none or 1 to {len(names)}" if names else "none without a witness"
        raise UsageError(
            f"The quorum is {choices}, not {shortened(rule)!r}.", hint="State it with --quorum."
        )
    group = Group(GROUP, threshold, names)
    return Policy(policy.logs, policy.witnesses, {GROUP: group}, GROUP)


def _demand(policy: Policy) -> str:
    demanded = "no witness"
    if policy.quorum != NONE:
        of = counted(len(policy.witnesses), "witness", "witnesses")
        demanded = f"{policy.groups[policy.quorum].threshold} of {of}"
    return f"Give verifiers the new `deploymark log policy`: it demands {demanded}."


def _ls(options: argparse.Namespace, output: Output) -> int:
    data = DataDirectory(data_directory(options))
    data.check_exists()
    policy = read_policy(data)
    rows = [(line.name, line.url, line.key.name) for line in policy.witnesses.values()]
    output.table(("name", "url", "key_name"), rows)
    return 0
