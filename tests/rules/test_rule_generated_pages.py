"""The generated pages of docs/ stand as their sources say, and say everything."""

import argparse
import re

import msgspec
import pytest

from body_fields import fields_table
from deploymark.runtime.config import Configuration
from deploymark.server.operations import OPERATIONS
from generated_pages import ROOT, build_parser, cli_page, commands, options, pages

_PAGES = {path.relative_to(ROOT).as_posix(): text for path, text in pages().items()}


@pytest.mark.parametrize("name", _PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    stored = (ROOT / name).read_text(encoding="utf-8")
    assert stored == _PAGES[name], "run `make docs` and commit what it wrote"


def _parser() -> argparse.ArgumentParser:
    parser = build_parser()
    if parser is None:
        pytest.skip("deploymark.cli.build_parser does not exist yet")
    return parser


def test_every_command_and_flag_is_explained() -> None:
    unexplained = []
    for name, summary, command in commands(_parser()):
        if not (command.description or summary):
            unexplained.append(name)
        unexplained += [
            f"{name} {action.option_strings or action.dest}"
            for action in options(command)
            if not action.help
        ]
    assert unexplained == []


def test_the_page_of_a_parser_lists_nested_commands_and_their_flags() -> None:
    parser = argparse.ArgumentParser(prog="deploymark", description="The program.")
    below = parser.add_subparsers().add_parser("log", help="The log.").add_subparsers()
    fsck = below.add_parser("fsck", help="Check <it>.")
    fsck.add_argument("--data", metavar="DIR", default="here", help="a folder [%(default)s]")
    fsck.add_argument("--kind", choices=["a", "b"], required=True, help="which")
    fsck.add_argument("--quiet", action="store_true", help="say less")
    fsck.add_argument("--hidden", help=argparse.SUPPRESS)

    page = cli_page(parser)

    assert "## `deploymark log fsck`\n\nCheck &lt;it>.\n" in page
    assert "| `--data DIR` | a folder [here] |" in page
    assert "| `--kind a\\|b` | which (required) |" in page
    assert "| `--quiet` | say less |" in page
    assert "--hidden" not in page


def test_a_table_of_fields_says_type_need_and_limits_of_every_part() -> None:
    role = {"enum": ["reader", "admin"]}
    scope = {
        "type": "object",
        "required": [],
        "properties": {"kinds": {"type": "array", "items": {"type": "string"}, "default": ["*"]}},
    }
    body = {
        "type": "object",
        "required": ["name", "scope"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 2_048},
            "share": {"anyOf": [{"type": "integer"}, {"type": "number", "minimum": 0}]},
            "role": {"anyOf": [{"$ref": "#/components/schemas/Role"}, {"type": "null"}]},
            "scope": {"$ref": "#/components/schemas/Scope"},
            "parts": {"type": "array", "maxItems": 1, "items": scope},
            "old": {"type": "string", "deprecated": True},
        },
    }
    assert fields_table(body, {"Role": role, "Scope": scope})[2:] == [
        "| `name` | text | yes | 1 to 2,048 characters |",
        "| `share` | number |  | from 0 |",
        "| `role` | text |  | `reader`, `admin` |",
        "| `scope` | object | yes |  |",
        "| `scope.kinds` | list of text |  | `*` when left out |",
        "| `parts` | list of objects |  | at most 1 item |",
        "| `parts[].kinds` | list of text |  | `*` when left out |",
        "",
    ]


def test_the_settings_that_open_an_operation_exist() -> None:
    sections = msgspec.to_builtins(Configuration())
    named = {
        name
        for each in OPERATIONS
        for name in re.findall(r"\b([a-z]+)\.([a-z_]+)\b", each.access.described)
    }
    assert named == {("log", "access"), ("server", "metrics")}
    assert all(name in sections[section] for section, name in named)
