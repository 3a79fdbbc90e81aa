"""The generated pages of docs/ stand as their sources say, and say everything."""

import argparse

import pytest

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
