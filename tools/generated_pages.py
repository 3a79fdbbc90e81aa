"""Writes the pages of docs/ that follow from code and tables, so that they cannot drift from them.

`make docs` runs this file; `tests/rules` compares what stands in docs/ with what it would write.
A page whose source does not exist yet (the command line, early on) is left out.
"""

import argparse
import importlib
import importlib.util
import inspect
import pathlib
import tomllib
from collections.abc import Iterator
from typing import Any

from deploymark import errors
from deploymark.server.openapi import TAGS, problem_statuses
from deploymark.server.operation import Operation
from deploymark.server.operations import OPERATIONS
from deploymark.server.problems import status_of

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
COVERAGE_TABLE = DOCS / "coverage.toml"

_NOTICE = "<!-- Written by tools/generated_pages.py (`make docs`); change its source instead. -->\n"

_FAMILIES: tuple[tuple[type[errors.DeploymarkError], str], ...] = (
    (errors.RefusedError, "Refused: the input is wrong"),
    (errors.UnavailableError, "Unavailable: try again later"),
    (errors.BrokenError, "Broken: stop and page a person"),
)


def error_classes() -> list[type[errors.DeploymarkError]]:
    """Return every class of the error tree, in the order in which errors.py defines them."""
    return [
        value
        for value in vars(errors).values()
        if inspect.isclass(value) and issubclass(value, errors.DeploymarkError)
    ]


def errors_page() -> str:
    """Return docs/reference/errors.md: each code, what it means and what to do."""
    lines = [
        _NOTICE,
        "# Errors",
        "",
        "Every error carries a stable *code*, says whether the same call may succeed later, and",
        "gives a hint. The code is the same in the HTTP problem, the log line and the metric",
        "label.",
        "",
    ]
    for family, heading in _FAMILIES:
        lines += [f"## {heading}", ""]
        for each in error_classes():
            if issubclass(each, family):
                lines += _error_section(each)
    return "\n".join(lines).rstrip() + "\n"


def _error_section(each: type[errors.DeploymarkError]) -> list[str]:
    meaning = inspect.cleandoc(each.__doc__ or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")
    again = "yes" if each.retryable else "no"
    section = [f"### `{each.code}`", "", meaning, ""]
    section += [f"- class: `{each.__name__}`", f"- try again: {again}"]
    if each.default_hint:
        section.append(f"- what now: {each.default_hint}")
    return [*section, ""]


def build_parser() -> argparse.ArgumentParser | None:
    """Return the parser of the command line, or None while there is no command line."""
    if importlib.util.find_spec("deploymark.cli") is None:
        return None
    build = getattr(importlib.import_module("deploymark.cli"), "build_parser", None)
    return build() if build is not None else None


def commands(
    parser: argparse.ArgumentParser, name: str = "deploymark", summary: str = ""
) -> Iterator[tuple[str, str, argparse.ArgumentParser]]:
    """Yield (full name, one-line summary, parser) of a command and of all below it."""
    yield name, summary, parser
    for group in _subcommands(parser):
        summaries = {each.dest: each.help or "" for each in group._choices_actions}  # noqa: SLF001 - argparse offers no public way to walk a parser
        for word, child in group.choices.items():
            yield from commands(child, f"{name} {word}", summaries.get(word, ""))


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments and flags of one command that a person may see."""
    for action in parser._actions:  # noqa: SLF001 - as above
        shown = action.help != argparse.SUPPRESS and "--help" not in action.option_strings
        if shown and not isinstance(action, argparse._SubParsersAction):  # noqa: SLF001 - as above
            yield action


def _subcommands(
    parser: argparse.ArgumentParser,
) -> "list[argparse._SubParsersAction[argparse.ArgumentParser]]":
    return [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]  # noqa: SLF001 - as above


def cli_page(parser: argparse.ArgumentParser) -> str:
    """Return docs/reference/cli.md: each command with every argument and flag."""
    lines = [
        _NOTICE,
        "# Command line",
        "",
        "`python -m deploymark` is the same program.",
        "",
        *(["```text", parser.epilog.rstrip(), "```", ""] if parser.epilog else []),
    ]
    for name, summary, command in commands(parser):
        text = command.description or summary
        lines += [f"## `{name}`", "", *([_prose(text), ""] if text else [])]
        rows = [_option_row(action, command) for action in options(command)]
        if rows:
            lines += ["| argument | meaning |", "|---|---|", *rows, ""]
    return "\n".join(lines).rstrip() + "\n"


def _option_row(action: argparse.Action, command: argparse.ArgumentParser) -> str:
    value = "" if action.nargs == 0 else _value_name(action)
    names = [f"`{flag} {value}`" if value else f"`{flag}`" for flag in action.option_strings]
    shown = ", ".join(names) or f"`{value}`"
    meaning = (action.help or "") % {**vars(action), "prog": command.prog}
    if action.required and action.option_strings:
        meaning += " (required)"
    return f"| {shown} | {_cell(meaning)} |".replace("\n", " ")


def _value_name(action: argparse.Action) -> str:
    if action.choices is not None:
        return _cell("|".join(str(choice) for choice in action.choices))
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    return metavar or (action.dest.upper().replace("-", "_") if action.dest else "")


def _cell(text: str) -> str:
    return _prose(text).replace("|", "\\|")


def _prose(text: str) -> str:
    return " ".join(text.replace("<", "&lt;").split())


def http_page() -> str:
    """Return docs/reference/http.md: every operation of the HTTP interface."""
    lines = [
        _NOTICE,
        "# HTTP interface",
        "",
        "`GET /openapi.json` says the same for machines. Callers send `Authorization: Bearer",
        "<token>`; browsers a session's cookie, and its CSRF token in `X-CSRF-Token` with whatever",
        "changes something. An administrator may do everything. Errors are",
        "`application/problem+json` (RFC 9457) with a `code` that [errors](errors.md) explains.",
        "",
    ]
    for tag, told in TAGS.items():
        lines += [f"## {tag.capitalize()}", "", told, ""]
        for operation in OPERATIONS:
            if operation.tag == tag:
                lines += _operation_section(operation)
    lines += ["## Statuses of problems", "", "| status | codes |", "|---|---|"]
    codes: dict[int, list[str]] = {}
    for each in error_classes():
        codes.setdefault(status_of(each.__new__(each)), []).append(f"`{each.code}`")
    lines += [f"| {status} | {', '.join(codes[status])} |" for status in sorted(codes)]
    return "\n".join(lines).rstrip() + "\n"


def _operation_section(operation: Operation) -> list[str]:
    path = operation.path.replace(":path", "")
    text = _prose(f"{operation.summary} {operation.description}".strip())
    section = [f"### `{operation.method} {path}`", "", text, ""]
    section += [f"- for: {_prose(operation.access.sentence())}"]
    if operation.body:
        section.append(f"- takes: {', '.join(f'`{media.type}`' for media in operation.body)}")
    statuses: dict[str, list[int]] = {}
    for status, reply in operation.replies.items():
        kinds = ", ".join(f"`{media.type}`" for media in reply.media)
        told = f"{reply.description}{f' ({kinds})' if kinds else ''}"
        statuses.setdefault(told, []).append(status)
    section += [f"- {', '.join(map(str, each))}: {told}" for told, each in statuses.items()]
    problems = [each for each in problem_statuses(operation) if each not in operation.replies]
    section += [f"- problems: {', '.join(map(str, problems))}", ""]
    if operation.parameters:
        rows = [
            f"| `{each.name}` | {each.place} | {_cell(each.description)}"
            f"{' May be repeated.' if each.many else ''} |"
            for each in operation.parameters
        ]
        section += ["| parameter | in | meaning |", "|---|---|---|", *rows, ""]
    return section


def coverage_table() -> dict[str, dict[str, Any]]:
    """Return docs/coverage.toml: requirement id -> title, shown_by, missing."""
    return tomllib.loads(COVERAGE_TABLE.read_text(encoding="utf-8"))


def coverage_page() -> str:
    """Return docs/coverage.md: each requirement with the tests that show it."""
    lines = [
        _NOTICE,
        "# Coverage of the requirements",
        "",
        "Each requirement, the tests that show it, and what is still missing. A test of the",
        "project checks that every test named here exists.",
        "",
    ]
    for name, row in coverage_table().items():
        lines += [f"## {name}: {row['title']}", "", row["means"], ""]
        lines += [f"- `{test}`" for test in row["shown_by"]] or ["- not shown by a test yet"]
        if row.get("missing"):
            lines += ["", f"Missing: {row['missing']}"]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def pages() -> dict[pathlib.Path, str]:
    """Return every generated page with the text that it should have."""
    parser = build_parser()
    return {
        DOCS / "reference" / "errors.md": errors_page(),
        DOCS / "reference" / "http.md": http_page(),
        DOCS / "coverage.md": coverage_page(),
        **({DOCS / "reference" / "cli.md": cli_page(parser)} if parser is not None else {}),
    }


def main() -> None:
    """Write the pages that differ, naming each."""
    for path, text in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
