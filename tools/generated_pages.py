"""Writes what follows from code and tables: pages of docs/ and dashboards. So they cannot drift.

`make docs` runs this file; `tests/rules` compares what stands in docs/ with what it would write.
A page whose source does not exist yet (the command line, early on) is left out.
"""

import argparse
import importlib
import importlib.util
import inspect
import pathlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

from body_fields import fields_table, limits_of, type_of
from deploymark import errors
from deploymark.act.alerts import TELLINGS as ALERTS
from deploymark.ingest.refusals import TELLINGS
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.broker.findings import COURSES, TEXTS
from deploymark.projections.search_query import MAX_VALUES
from deploymark.runtime.dialects import all_dialects
from deploymark.server.dialects.calling import described
from deploymark.server.openapi import TAGS, document_of, problem_statuses
from deploymark.server.operation import Operation, Parameter
from deploymark.server.operations import OPERATIONS
from deploymark.server.problems import status_of
from grafana import dashboards

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


_HTTP_EXAMPLE = """\
## An example

With a token of the role *emitter*, whose scope has this service and environment:

```sh
curl -sS "$DEPLOYMARK_URL/v1/markers" -H "Authorization: Bearer $DEPLOYMARK_TOKEN" \\
  -H 'Content-Type: application/json' \\
  -d '{"service": "checkout", "environment": "prod", "phase": "applied", "version": "2.31.0"}'
```

This is the least that a marker says; [its page](../formats/marker.md) has everything else. It is
answered with 201, and with 200 and `"duplicate": true` when it is sent again:

```json
{
  "index": 7,
  "received_at": "2026-11-23T00:00:00.000Z",
  "duplicate": false,
  "ignored": [],
  "marker_id": "m-472mt16kgjp7k24p23vz84mwyx",
  "deployment_id": "d-3th5nk6h67zq84ja3xrp81855w",
  "occurrence": 1
}
```

With `"phase": "done"` it is refused with 422, and the answer says where and why:

```json
{
  "type": "/problems/bad_marker",
  "title": "Bad marker",
  "status": 422,
  "detail": "/phase must be one of planned, applying, applied, running, cutover, promoted, failed, rolling_back, rolled_back, removed, not 'done'.",
  "code": "bad_marker",
  "field": "/phase",
  "hint": "`deploymark schema check FILE` explains every problem of a marker file.",
  "retryable": false
}
```
"""  # noqa: E501 - the answer, as it comes


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
        _HTTP_EXAMPLE,
    ]
    document = document_of(OPERATIONS)
    for tag, told in TAGS.items():
        lines += [f"## {tag.capitalize()}", "", told, ""]
        for operation in OPERATIONS:
            if operation.tag == tag:
                lines += _operation_section(operation, document)
    lines += _handed_in_section(document["components"]["schemas"])
    lines += ["## Statuses of problems", "", "| status | codes |", "|---|---|"]
    codes: dict[int, list[str]] = {}
    for each in error_classes():
        codes.setdefault(status_of(each.__new__(each)), []).append(f"`{each.code}`")
    lines += [f"| {status} | {', '.join(codes[status])} |" for status in sorted(codes)]
    return "\n".join(lines).rstrip() + "\n"


def _handed_in_section(components: dict[str, Any]) -> list[str]:
    return [
        "## What is handed in",
        "",
        "`POST /v1/markers` and `POST /v1/entries` take these, alone or in a batch. A field that",
        "is not required may also be null. [Marker and leaf](../formats/marker.md) says what the",
        "fields mean and which of them belong together.",
        "",
        "### Flat marker",
        "",
        *fields_table(components["Marker"], components),
        "### Statement",
        "",
        "The `predicate` is a flat marker.",
        "",
        *fields_table(components["Statement"], components),
        "### Envelope",
        "",
        "Its [page](../formats/envelope.md) tells what is signed.",
        "",
        *fields_table(components["Envelope"], components),
    ]


def _operation_section(operation: Operation, document: dict[str, Any]) -> list[str]:
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
        rows = [_parameter_row(each) for each in operation.parameters]
        section += ["| parameter | in | takes | meaning |", "|---|---|---|---|", *rows, ""]
    if any(each.many for each in operation.parameters):
        section += [f"A query names at most {MAX_VALUES} values in all.", ""]
    return [*section, *_body_section(document["paths"][path][operation.method.lower()], document)]


def _parameter_row(parameter: Parameter) -> str:
    schema = msgspec.json.schema(parameter.type)
    for definition in schema.pop("$defs", {}).values():
        schema = definition  # an enum stands alone
    takes = ", ".join(filter(None, [type_of(schema), limits_of(schema)]))
    meaning = _cell(parameter.description)
    meaning += " May be repeated." if parameter.many else ""
    meaning += " Required." if parameter.required else ""
    return f"| `{parameter.name}` | {parameter.place} | {takes} | {meaning} |"


def _body_section(told: dict[str, Any], document: dict[str, Any]) -> list[str]:
    """Return a table of a JSON body's fields; what is handed in has a section of its own."""
    content = told.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return []
    if schema["$ref"].endswith("/HandedIn"):
        return ["Its fields: [what is handed in](#what-is-handed-in).", ""]
    return fields_table(schema, document["components"]["schemas"])


_FINDINGS_HEAD = """\
# Findings

What deploymark notices by itself. [The broker](broker.md) tells how each comes and goes;
`GET /v1/findings` and `deploymark findings` show them. Every finding about a deployment also closes
when that is over in every place.

Found by: *markers* of the deployment, as soon as they show it; *watchers*, when a deadline has
passed; the *times* of an emitter's marker; *refusals* of attempts, counted by the minute.
"""


def findings_page() -> str:
    """Return docs/reference/findings.md: each code, how bad it is, what it means, what to do."""
    lines = [
        _NOTICE,
        _FINDINGS_HEAD,
        "| code | severity | found by | says | what to do | closes when |",
        "|---|---|---|---|---|---|",
    ]
    for code in FindingCode:
        course = COURSES[code]
        text = TELLINGS[code] if course.found_by == "refusals" else TEXTS[code]
        lines.append(
            f"| `{code}` | {text.severity} | {course.found_by} | {_cell(_pattern(text.message))} "
            f"| {_cell(text.remedy)} | {_cell(course.closes)} |"
        )
    return "\n".join(lines) + "\n"


_ALERTS_HEAD = """\
# Alerts

What people are told about deployments, by code. [How to be told](../howto/alerts.md) connects an
Alertmanager or a webhook. A *page* wakes somebody, a *ticket* waits until morning. Alerts about
deploymark itself, and on findings, are rules for Prometheus
([scraping](../howto/scrape-with-prometheus.md)).

*deployment* stands for its id with service and environment, or for the place where nothing is known
of one.
"""


def alerts_page() -> str:
    """Return docs/reference/alerts.md: each code, what it says, what to do, when it is over.

    Each has a heading of its own, because alerts link to it.
    """
    lines = [_NOTICE, _ALERTS_HEAD, "| code | urgency | says |", "|---|---|---|"]
    sections = []
    for code, telling in ALERTS.items():
        says = telling.says.format(about="*deployment*")
        lines.append(f"| [`{code}`](#{code}) | {telling.urgency} | {_cell(says)} |")
        sections += ["", f"## `{code}`", "", _prose(says), ""]
        sections += [f"- urgency: {telling.urgency}", f"- what to do: {_prose(telling.remedy)}"]
        sections += [f"- over when: {_prose(telling.ends)}"]
    return "\n".join(lines + sections) + "\n"


def _pattern(message: str) -> str:
    """Show what a message is filled in with as words in italics."""
    return re.sub(r"\{(\w+)\}", r"*\1*", message)


_DIALECTS_HEAD = """\
# Dialects

Clients of other systems work unchanged when they are given this server's address and a token of
this server's where they have one of their own. Each address stands at the root. Requests that say
something need the role *emitter* and its scope; those that read show a *reader* everything and an
emitter its own within its scope. Errors come in the client's own form.

What they say is signed by the platform, which names the caller; the label `dialect` of a marker and
its emitter of the kind `gateway` tell that it was translated. Sent again, also with other times, it
is a duplicate. Corrections are [amendments and retractions](../formats/marker.md), which later
reads show. Times of any age are taken, and flagged where they are stale.

[Configuration](configuration.md#dialects) maps texts to fields and holds the secrets of webhooks.
[How to add a dialect](../howto/add-a-dialect.md) is for developers.
"""


def dialects_page() -> str:
    """Return docs/reference/dialects.md: each dialect with its routes."""
    lines = [_NOTICE, _DIALECTS_HEAD]
    for dialect in all_dialects():
        guide = f"[How to use it](../howto/{dialect.guide}.md)."
        lines += [f"## `{dialect.name}`", "", f"{dialect.title}. {guide}"]
        lines += ["", f"Bodies of at most {dialect.max_body_bytes:,} bytes.", ""]
        lines += ["| request | does | caller |", "|---|---|---|"]
        for route in dialect.routes:
            path = route.path.replace(":path", "")
            ways = ", or ".join(described(each) for each in route.credentials) or "anyone"
            lines.append(f"| `{route.method} {path}` | {_cell(route.summary)} | {_cell(ways)} |")
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


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
    """Return every generated page and dashboard with the text that it should have."""
    parser = build_parser()
    return {
        DOCS / "reference" / "errors.md": errors_page(),
        DOCS / "reference" / "http.md": http_page(),
        DOCS / "reference" / "findings.md": findings_page(),
        DOCS / "reference" / "alerts.md": alerts_page(),
        DOCS / "reference" / "dialects.md": dialects_page(),
        DOCS / "coverage.md": coverage_page(),
        **dashboards(),
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
