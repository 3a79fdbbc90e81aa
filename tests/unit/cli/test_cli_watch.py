"""`watch`: every entry once, also over broken connections."""

import io
import json
import socketserver
import threading
from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from deploymark.cli import watch
from deploymark.cli.watch import events

Run = Callable[..., CompletedProcess[str]]


def last_index(run: Run, service: str) -> int:
    """Mark something and return its index."""
    said = run(f"mark applied --service {service} --environment prod --version 1 --json --require")
    return int(json.loads(said.stdout)["index"])


@pytest.mark.usefixtures("server")
def test_what_came_after_an_entry_is_shown_in_order(run: Run) -> None:
    first = last_index(run, "watched")
    for number in range(2, 5):
        run(f"mark applied --service watched --environment prod --version {number} --require")
    line = f"watch --after {first - 1} --service watched --count 4"
    shown = run(line).stdout.splitlines()
    assert [each.split()[6] for each in shown] == ["1", "2", "3", "4"]
    told = [json.loads(each) for each in run(f"{line} --json").stdout.splitlines()]
    assert [each["marker"]["version"] for each in told] == ["1", "2", "3", "4"]
    assert "attributed" in shown[0]


@pytest.mark.usefixtures("server")
def test_only_what_is_asked_for_is_shown(run: Run) -> None:
    first = last_index(run, "filtered-a")
    last_index(run, "filtered-b")
    shown = run(f"watch --after {first - 1} --count 1 --service filtered-b --json")
    assert json.loads(shown.stdout)["marker"]["service"] == "filtered-b"
    shown = run(f"watch --after {first - 1} --count 1 --type marker --json")
    assert json.loads(shown.stdout)["type"] == "marker"


@pytest.mark.usefixtures("server")
def test_a_misspelt_type_is_refused_and_the_nearest_is_named(run: Run) -> None:
    refused = run("watch --after 0 --count 1 --type markr")
    assert refused.returncode == 64
    assert "marker, verdict, decision, incident" in refused.stderr
    assert "Did you mean `marker`?" in refused.stderr


def test_a_server_that_is_away_from_the_beginning_is_an_error(run: Run) -> None:
    assert run("watch").returncode == 69


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("flags", ["--count 0", "--count -1", "--after x", "--after -1"])
def test_numbers_are_numbers(run: Run, flags: str) -> None:
    assert run(f"watch {flags}").returncode == 64


# Connections break --------------------------------------------------------------------------------


class _Broken(socketserver.StreamRequestHandler):
    """Tells one entry per connection, then hangs up."""

    asked: list[str] = []  # noqa: RUF012 - what all connections together were asked

    def handle(self) -> None:
        behind = ""
        while line := self.rfile.readline().decode().strip():
            if line.lower().startswith("last-event-id: "):
                behind = line.partition(": ")[2]
        self.asked.append(behind)
        index = len(self.asked)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        entry = {"index": index, "type": "finding", "entry": {"code": "odd \x1b[2J"}}
        self.wfile.write(f"id: {index}\ndata: {json.dumps(entry)}\n\n".encode())


def test_it_goes_on_where_it_was_cut_off(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_PAUSE_SECONDS", 0)
    _Broken.asked.clear()
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        shown = run(f"watch --count 3 --json --url http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert [json.loads(line)["index"] for line in shown.stdout.splitlines()] == [1, 2, 3]
    assert _Broken.asked == ["", "1", "2"]


# The format ---------------------------------------------------------------------------------------

STREAMS = {
    "an event": (b"id: 1\ndata: a\n\n", [("1", "message", "a")]),
    "one of many lines": (b"data: a\ndata: b\n\n", [(None, "message", "a\nb")]),
    "one with a name": (b"event: reset\ndata:a\n\n", [(None, "reset", "a")]),
    "a comment": (b": here\nid: 4\n\n", [("4", "message", "")]),
    "lines of Windows": (b"data: a\r\n\r\n", [(None, "message", "a")]),
    "what is cut off": (b"data: a\n", []),
    "fields that we do not know": (b"retry: 5\nfoo\ndata: a\n\n", [(None, "message", "a")]),
}


@pytest.mark.parametrize(("text", "told"), STREAMS.values(), ids=STREAMS)
def test_the_stream_may_hold(text: bytes, told: list[tuple[str | None, str, str]]) -> None:
    assert list(events(io.BytesIO(text))) == told
