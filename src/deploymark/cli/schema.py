"""`deploymark schema`: the contract of markers and entries, and a check of a team's own files."""

import argparse
import json
from pathlib import Path
from typing import Any

from deploymark.cli.flags import add_json
from deploymark.cli.numbers import decimal
from deploymark.cli.options import read_text
from deploymark.cli.output import Output, shortened
from deploymark.errors import UsageError
from deploymark.log.steps import counted
from deploymark.model.contract import check_markers
from deploymark.model.schema import schema, schemas


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark schema` and its subcommands."""
    parser = commands.add_parser("schema", help=sentence)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    listing = actions.add_parser("ls", help="list every schema and version")
    add_json(listing)
    listing.set_defaults(run=_ls)

    show = actions.add_parser("show", help="print a JSON Schema")
    show.add_argument("name", help="such as marker, or marker/1")
    add_json(show)
    show.set_defaults(run=_show)

    check = actions.add_parser("check", help="check marker files against the contract")
    check.add_argument("files", type=Path, nargs="+", metavar="FILE", help="JSON or NDJSON")
    add_json(check)
    check.set_defaults(run=_check)


def _ls(_: argparse.Namespace, output: Output) -> int:
    rows = [(name, version) for name, version in sorted(schemas())]
    output.table(("name", "version"), rows)
    return 0


def _show(options: argparse.Namespace, output: Output) -> int:
    name, slash, number = options.name.partition("/")
    asked = decimal(number) if slash else None
    if slash and asked is None:
        raise UsageError(f"{shortened(options.name)!r} is not NAME or NAME/VERSION.")
    known = [version for known_name, version in schemas() if known_name == name]
    if not known:
        names = ", ".join(sorted({known_name for known_name, _ in schemas()}))
        raise UsageError(f"There is no schema {shortened(name)!r}; there are {names}.")
    document = schema(name, max(known) if asked is None else asked)
    output.raw(json.dumps(document, indent=None if output.json else 2, ensure_ascii=False))
    return 0


def _check(options: argparse.Namespace, output: Output) -> int:
    found = 0
    for file in options.files:
        for problem in check_markers(read_text(file)):
            found += 1
            said = problem.message.startswith(problem.pointer)  # the message names the field
            place = f"{file}:{problem.line}:" + ("" if said else f" {problem.pointer}:")
            hint = f"\n  hint: {problem.hint}" if problem.hint else ""
            output.say(
                f"{place} {problem.message}{hint}",
                {
                    "file": file,
                    "line": problem.line,
                    "field": problem.pointer,
                    "message": problem.message,
                    "hint": problem.hint,
                },
            )
    checked = counted(len(options.files), "file")
    holds = f"{checked}: the contract holds."
    output.remark(f"{checked}: {counted(found, 'problem')}." if found else holds)
    return 1 if found else 0
