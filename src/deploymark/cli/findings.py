"""`deploymark findings`: what is wrong, and what to do."""

import argparse
from collections.abc import Iterator
from textwrap import wrap
from typing import Any, Final

from deploymark.cli.client import Client, client_settings
from deploymark.cli.flags import add_listing
from deploymark.cli.known import unknown
from deploymark.cli.output import Output, plain
from deploymark.cli.table import short_time
from deploymark.log.steps import counted

_PAGE: Final = 200
_DONE, _NO, _UNDECIDED = 0, 1, 2
_REFUSED: Final = frozenset(
    {
        "emitter_over_budget",
        "marker_conflict",
        "marker_forged",
        "marker_unauthorised",
        "marker_unsigned",
        "secret_refused",
    }
)
_FILTERS: Final = ("service", "environment", "code", "deployment_id")
_LEAST_WIDTH: Final = 40
_INDENT: Final = "    "


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark findings`."""
    parser = commands.add_parser(
        "findings",
        help=sentence,
        description="Lists what is wrong, each with what to do about it; the one that opened last "
        "first. Only what is still open, unless asked for all.",
    )
    for name, what in (
        ("service", "only of this service"),
        ("environment", "only in this environment"),
        ("code", "only this, such as digest_mismatch"),
        ("severity", "only as bad as this: info, warning or critical"),
    ):
        parser.add_argument(f"--{name}", action="append", help=f"{what}; may be repeated")
    parser.add_argument(
        "--deployment-id",
        action="append",
        metavar="ID",
        help="only about this deployment, or one occurrence as ID~2; may be repeated",
    )
    parser.add_argument("--all", action="store_true", help="also what is over")
    parser.add_argument(
        "--fail",
        action="store_true",
        help="end with 1 if a critical one is open, whatever --severity, --all and --last show",
    )
    add_listing(parser, last=50)
    parser.set_defaults(run=_findings)


def _findings(options: argparse.Namespace, output: Output) -> int:
    client = Client(client_settings(options.url))
    filters = {name: getattr(options, name) for name in _FILTERS}
    asked = {**filters, "severity": options.severity, "state": "all" if options.all else "open"}
    # One more than is shown tells whether there are more.
    found = client.listed("/v1/findings", asked, options.last + 1, _PAGE)
    shown = found[: options.last]
    for each in shown:
        output.say("\n".join(_lines(each, output.width)), each)
    if not shown:
        narrowed = any(each is not None for each in (*filters.values(), options.severity))
        nobody_knows = unknown(client, filters)
        if nobody_knows:
            output.remark(f"{nobody_knows} Nothing can be said of it.")
            return _UNDECIDED if options.fail else _DONE
        what = "Nothing was ever wrong" if options.all else "Nothing is wrong"
        output.remark(f"{what}{' of these' if narrowed else ''}, as far as is known.")
    elif len(found) > len(shown):
        output.remark(f"There are more than {counted(len(shown), 'finding')}; --last shows more.")
    if options.fail and _is_critical(client, filters):
        return _NO
    return _DONE


def _is_critical(client: Client, filters: dict[str, Any]) -> bool:
    asked = {**filters, "severity": "critical", "state": "open"}
    return bool(client.listed("/v1/findings", asked, 1, 1))


def _lines(finding: dict[str, Any], width: int | None) -> Iterator[str]:
    """Yield what a person reads of a finding: what, where and since when, why, what to do."""
    scope = " in ".join(each for each in (finding["service"], finding["environment"]) if each)
    time = finding["opened_at"] if width is None else short_time(finding["opened_at"])
    until = finding["closed_at"]
    if until is not None:
        until = until if width is None else short_time(until)
    when = f"since {time}" if until is None else f"{time} to {until}"
    severity = finding["severity"]
    yield plain(f"{severity:9} {finding['code']}{f'  {scope}' if scope else ''}  {when}")
    if finding["code"] in _REFUSED and finding["about"]:
        who = f"{counted(finding['count'], 'attempt')} by {finding['about']}."
        yield from _indented(plain(who), width)
    for said, mark in ((finding["message"], ""), (finding["remedy"], "→ ")):
        if said:
            yield from _indented(plain(f"{mark}{said}"), width)


def _indented(text: str, width: int | None) -> Iterator[str]:
    """Yield a sentence in as many lines as a terminal needs; a pipe gets it in one."""
    lines = [text]
    if width is not None:
        room = max(_LEAST_WIDTH, width - len(_INDENT))
        # Ids are never cut in two: people copy them.
        lines = wrap(text, room, break_long_words=False, break_on_hyphens=False)
    yield from (f"{_INDENT}{line}" for line in lines)
