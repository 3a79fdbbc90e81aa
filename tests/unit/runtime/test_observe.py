"""Log lines: JSON that parses, text that a person reads, and never a token."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import pytest

from deploymark.ingest.callers import LOCAL
from deploymark.ingest.tokens import Tokens
from deploymark.runtime.compose import init_log, open_log
from deploymark.runtime.config import Configuration
from deploymark.runtime.front import open_front
from deploymark.runtime.observe import log_to
from deploymark.storage.memory_tokens import MemoryTokenStore
from deploymark.testing.clock import ManualClock

_log = logging.getLogger("deploymark.tests")


class Spoken(Protocol):
    """Sends log lines to a new buffer."""

    def __call__(self, *, as_json: bool) -> io.StringIO: ...


@pytest.fixture
def spoken() -> Iterator[Spoken]:
    """Send log lines to a buffer until the end of the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def send(*, as_json: bool) -> io.StringIO:
        stream = io.StringIO()
        log_to(stream, as_json=as_json)
        return stream

    yield send
    root.handlers[:] = handlers
    root.setLevel(level)


class Hostile:
    """Cannot be said as JSON."""

    def __str__(self) -> str:
        return 'a "word"\nand a line'


EXTRAS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "none": ({}, {}),
    "a text": ({"code": "log_busy"}, {"code": "log_busy"}),
    "a number": ({"index": 7}, {"index": 7}),
    "a path": ({"data": Path("/srv")}, {"data": "/srv"}),
    "an object": ({"what": Hostile()}, {"what": 'a "word"\nand a line'}),
    "bytes": ({"raw": b"\xff"}, {"raw": "b'\\xff'"}),
    "several lines": ({"why": "one\ntwo"}, {"why": "one\ntwo"}),
    "a lone surrogate": ({"why": "\ud800"}, {"why": "\ud800"}),
    "a number that JSON has no word for": ({"share": float("nan")}, {"share": "nan"}),
    "what every line has": ({"level": "none", "event": "x", "time": 1, "logger": "y"}, {}),
}


@pytest.mark.parametrize("case", EXTRAS)
def test_a_json_line_holds_what_was_said_with_it(spoken: Spoken, case: str) -> None:
    extra, wanted = EXTRAS[case]
    stream = spoken(as_json=True)
    _log.warning("it happened %d times", 3, extra=extra)
    (line,) = stream.getvalue().splitlines()
    said = json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    at = datetime.fromisoformat(said.pop("time"))
    assert at.tzinfo == UTC
    assert said == {
        "level": "warning",
        "logger": "deploymark.tests",
        "event": "it happened 3 times",
        **wanted,
    }


def test_a_circle_is_told_as_text(spoken: Spoken) -> None:
    circle: list[Any] = []
    circle.append(circle)
    stream = spoken(as_json=True)
    _log.error("round", extra={"circle": circle})
    assert json.loads(stream.getvalue())["circle"] == "[[...]]"


@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "text"])
def test_a_traceback_is_told(spoken: Spoken, as_json: bool) -> None:  # noqa: FBT001
    stream = spoken(as_json=as_json)
    try:
        raise ZeroDivisionError("by nothing")  # noqa: TRY301 - to have a traceback
    except ZeroDivisionError:
        _log.exception("it failed", extra={"task": "publish"})
    text = stream.getvalue()
    if as_json:
        (line,) = text.splitlines()
        text = json.loads(line)["traceback"]
    assert text.strip().endswith("ZeroDivisionError: by nothing")
    assert "test_observe.py" in text


def test_a_line_of_text_is_for_people(spoken: Spoken) -> None:
    stream = spoken(as_json=False)
    _log.warning("it happened", extra={"task": "publish", "why": "a\nb", "index": 7})
    (line,) = stream.getvalue().splitlines()
    at, _, said = line.partition(" ")
    assert at.count(":") == 2
    assert said == r"warning  it happened task='publish' why='a\nb' index=7"


def test_lines_below_the_level_and_of_chatty_neighbours_are_not_told(
    spoken: Spoken,
) -> None:
    stream = spoken(as_json=True)
    _log.debug("not this")
    logging.getLogger("uvicorn.error").info("nor this")
    logging.getLogger("asyncio").info("nor this")
    assert stream.getvalue() == ""


def test_log_lines_go_to_one_place_however_often_it_is_named(
    spoken: Spoken,
) -> None:
    first, second = spoken(as_json=True), spoken(as_json=True)
    _log.warning("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


@pytest.mark.parametrize("as_json", [True, False], ids=["JSON", "text"])
def test_no_token_is_told_even_when_its_maker_is_said_whole(
    spoken: Spoken,
    as_json: bool,  # noqa: FBT001
) -> None:
    stream = spoken(as_json=as_json)
    tokens = Tokens(MemoryTokenStore(), ManualClock(), lambda size: bytes(range(size)))
    issued = tokens.issue("reading", ["reader"], None, None, LOCAL)
    _log.error("made", extra={"issued": issued, "record": issued.record})
    assert "reading" in stream.getvalue()
    assert issued.text.split("_", 2)[2] not in stream.getvalue()


def test_a_server_that_starts_and_stops_tells_no_token(spoken: Spoken, tmp_path: Path) -> None:
    stream = spoken(as_json=True)
    init_log(tmp_path / "data", "log.example/quiet")
    with (
        open_log(tmp_path / "data") as log,
        open_front(log, Configuration(), listen_host="127.0.0.1") as front,
    ):
        assert front.admin_token is not None
        token = front.admin_token
    assert token not in stream.getvalue()
    assert token.split("_", 2)[2] not in stream.getvalue()
