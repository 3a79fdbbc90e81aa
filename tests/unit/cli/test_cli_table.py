"""Tables on terminals: they fit, wide characters are aligned, and nobody's text steers them."""

import json
import re
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from deploymark.cli.table import columns_of, laid_out, short_time

Run = Callable[..., CompletedProcess[str]]
OnTerminal = Callable[..., str]

ROWS = [["2026-11-23T00:00:00.000Z", "basket", "d-0123456789"], ["now", "日本語のサービス", "d-1"]]


@pytest.mark.parametrize("width", [None, 200, 46])
def test_columns_stand_below_each_other(width: int | None) -> None:
    lines = list(laid_out(("at", "service", "deployment"), ROWS, width))
    places = {columns_of(line[: line.index(" d-") + 1]) for line in lines[1:]}
    assert len(places) == 1
    assert lines[0].startswith("AT ")
    assert all(columns_of(line) <= (width or 200) for line in lines)
    assert lines[1].endswith("d-0123456789")


def test_what_cannot_fit_is_still_shown() -> None:
    assert list(laid_out(("id",), [["d-0123456789"]], 5)) == ["ID", "d-0123456789"]
    assert list(laid_out(("a", "b"), [], 1)) == ["A  B"]


def test_a_time_is_never_cut_and_what_and_service_are_cut_first() -> None:
    columns = ("at", "service", "environment", "what", "deployment")
    row = ["2026-11-23 06:49:48Z", "a-long-service", "production", "version-2.31.0", "d-0123456789"]
    fitted = list(laid_out(columns, [row], 68))[1]
    assert columns_of(fitted) <= 68
    for whole in (row[0], "production", row[4]):
        assert whole in fitted
    assert fitted.count("…") == 2


TIMES = {
    "2026-11-23T06:49:48.123Z": "2026-11-23 06:49:48Z",
    "2026-11-23T06:49:48Z": "2026-11-23 06:49:48Z",
    "never": "never",
    "T": "T",
}


@pytest.mark.parametrize(("instant", "shown"), TIMES.items())
def test_people_read_times_to_the_second(instant: str, shown: str) -> None:
    assert short_time(instant) == shown


WIDTHS = {"": 0, "ab": 2, "é": 1, "e\u0301": 1, "日本": 4, "ｱ": 1, "\uff21": 2}


@pytest.mark.parametrize(("text", "columns"), WIDTHS.items())
def test_a_terminal_needs_for(text: str, columns: int) -> None:
    assert columns_of(text) == columns


# Real terminals -----------------------------------------------------------------------------------


HOSTILE = "red \x1b[31m\x07\nroot  applied\u202e 日本語"


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "line",
    ["ls --service hostile", "show {}", "watch --service hostile --after 0 --count 1", "doctor"],
)
def test_a_terminal_is_not_steered_by_what_strangers_say(
    run: Run, on_terminal: OnTerminal, line: str, columns: int
) -> None:
    mark = "mark applied --service hostile --environment prod --version 1.日本 --json --reason"
    name = run(mark, HOSTILE).stdout.partition('"deployment_id": "')[2].partition('"')[0]
    seen = on_terminal(columns, *line.format(name).split())
    assert "\x1b" not in seen
    assert "\x07" not in seen
    assert "\u202e" not in seen
    assert not [each for each in seen.splitlines() if each.startswith("root")]
    if line.startswith("ls"):
        assert all(columns_of(each) <= columns for each in seen.splitlines())
        assert name in seen


@pytest.mark.usefixtures("server")
def test_only_what_a_terminal_has_no_room_for_is_cut(run: Run, on_terminal: OnTerminal) -> None:
    service, version, why = "s" * 100, "v" * 64, "r" * 150
    mark = f"mark applied --service {service} --environment prod --version {version} --json"
    told = json.loads(run(mark, "--require", "--reason", why).stdout)
    name = told["deployment_id"]
    lists, shows = ["ls", "--service", service], ["show", name]
    for columns in (0, 400):  # 0: it does not say
        assert version in on_terminal(columns, *lists)
        assert why in on_terminal(columns, *shows)
    assert version in run(*lists).stdout
    assert why in run(*shows).stdout
    (row,) = on_terminal(80, *lists).splitlines()[1:]
    assert columns_of(row) <= 80
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ  sss", row)
    assert row.endswith(name)


def test_colours_are_for_terminals_and_only_where_wanted(
    team: object, on_terminal: OnTerminal
) -> None:
    assert team
    verify = ["verify", "site", "--policy", "policy"]
    assert "\x1b[32m✓\x1b[0m" in on_terminal(100, *verify)
    assert "\x1b" not in on_terminal(100, *verify, NO_COLOR="1", TERM="dumb")
