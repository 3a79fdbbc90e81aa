"""`timeline`, `findings` and the filters of `ls`: what happened, and what is wrong with it."""

import json
from collections.abc import Callable, Mapping
from subprocess import CompletedProcess
from typing import Any, Protocol
from urllib.request import Request, urlopen

import pytest

from deploymark.cli import findings, timeline
from deploymark.cli.table import columns_of
from deploymark.model.instants import format_instant

Run = Callable[..., CompletedProcess[str]]
OnTerminal = Callable[..., str]
pytestmark = pytest.mark.usefixtures("server")


class Server(Protocol):
    """As in conftest."""

    url: str
    token: str


SEEN = f"sha256:{'a' * 64}"
OTHER = f"sha256:{'b' * 64}"


def mark(run: Run, phase: str, service: str, more: str = "--version 1") -> str:
    """Mark something and return the deployment's id."""
    said = run(f"mark {phase} --service {service} --environment prod {more} --json --require")
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["deployment_id"])


def listed(run: Run, line: str) -> list[dict[str, Any]]:
    said = run(f"{line} --json")
    assert said.returncode == 0, said.stderr
    return [json.loads(each) for each in said.stdout.splitlines()]


# timeline ----------------------------------------------------------------------------------------


def test_what_happened_last_stands_first(run: Run) -> None:
    name = mark(run, "planned", "tl-one")
    mark(run, "applied", "tl-one", "--version 1 --cluster eu-1")
    lines = run("timeline --service tl-one").stdout.splitlines()
    assert lines[0].split() == [
        "AT",
        "SERVICE",
        "ENVIRONMENT",
        "EVENT",
        "WHAT",
        "WHERE",
        "SOURCE",
        "DEPLOYMENT",
    ]
    assert [line.split()[3] for line in lines[1:]] == ["applied", "planned"]
    assert all(line.endswith(name) for line in lines[1:])
    assert "eu-1" in lines[1]


def test_events_are_filtered_by_what_is_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeline, "_PAGE", 1)
    name = mark(run, "planned", "tl-two")
    mark(run, "applied", "tl-two")
    mark(run, "failed", "tl-two", "--version 2")
    here = "timeline --service tl-two"
    phases = [each["phase"] for each in listed(run, f"{here} --phase applied --phase planned")]
    assert phases == ["applied", "planned"]
    assert len(listed(run, f"{here} --deployment-id {name}")) == 2
    assert len(listed(run, f"{here} --last 1")) == 1
    assert len(listed(run, f"{here} --since 1h --type marker --environment prod")) == 3
    assert listed(run, f"{here} --until 1h") == []
    assert listed(run, f"{here} --since 2999-01-01T00:00:00Z") == []
    nobody = run("timeline --service tl-nobody").stdout
    assert nobody.startswith("No deployment of the service 'tl-nobody' is known.")
    mark(run, "applied", "tl-somebody")
    missed = run("timeline --service tl-somebdy").stdout
    assert missed == (
        "No deployment of the service 'tl-somebdy' is known. Did you mean tl-somebody?\n"
    )
    assert run("timeline --service tl-somebody --phase failed").stdout == (
        "Nothing has happened of these.\n"
    )


@pytest.mark.parametrize("time", ["soon", "2y", "h", "", "2026-13-01T00:00:00Z", "9" * 20])
def test_a_time_is_an_instant_or_how_long_ago(run: Run, time: str) -> None:
    refused = run("timeline --since", time)
    assert refused.returncode == 64
    assert "2h" in refused.stderr


def test_a_word_that_the_server_does_not_know_is_refused(run: Run) -> None:
    for line in ("timeline --phase done", "findings --severity bad", "ls --state done"):
        assert run(line).returncode == 64


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_an_event_fits_on_a_terminal_with_the_whole_id(
    run: Run, on_terminal: OnTerminal, columns: int
) -> None:
    service = "tl-a-service-with-a-long-name"
    more = "--version 2.31.0-日本 --cluster eu-west-production-1 --json --reason"
    run(f"mark applied --service {service} --environment production {more}", "\x1b[2J\nroot " * 9)
    name = listed(run, f"timeline --service {service}")[0]["deployment_id"]
    seen = on_terminal(columns, "timeline", "--service", service)
    assert all(columns_of(line) <= columns for line in seen.splitlines())
    assert name in seen
    assert "\x1b" not in seen
    assert len(seen.splitlines()) == (3 if columns < timeline.WIDE else 2)


# findings ----------------------------------------------------------------------------------------


def mismatch(run: Run, service: str) -> str:
    """Let something else run than what was deployed; return the deployment's id."""
    name = mark(run, "applied", service, f"--artifact app@{SEEN}")
    instance = f"--instance-uid {service}-1 --deployment-id {name}"
    mark(run, "running", service, f"--artifact app@{OTHER} {instance}")
    return name


def test_what_is_wrong_is_shown_with_what_to_do(run: Run) -> None:
    name = mismatch(run, "fi-one")
    lines = run("findings --service fi-one").stdout.splitlines()
    assert lines[0].startswith("critical  digest_mismatch  fi-one in prod  since ")
    assert f"what {name}~1 of fi-one in prod is." in lines[1]
    assert lines[2].startswith("    → Find out who replaced the artifact")
    (told,) = listed(run, "findings --service fi-one")
    assert (told["code"], told["state"]) == ("digest_mismatch", "open")
    for more in (f"--deployment-id {name}~1", "--code digest_mismatch", "--severity critical"):
        assert len(listed(run, f"findings --service fi-one {more}")) == 1
    assert listed(run, "findings --service fi-one --severity info") == []


def test_a_script_can_stop_at_a_critical_finding(run: Run) -> None:
    mismatch(run, "fi-two")
    assert run("findings --service fi-two").returncode == 0
    assert run("findings --service fi-two --fail").returncode == 1
    # What is shown is another matter than what is wrong.
    assert run("findings --service fi-two --fail --severity info").returncode == 1
    mark(run, "applied", "fi-two", "--version 1 --environment test")
    assert run("findings --service fi-two --fail --environment test").returncode == 0


@pytest.mark.parametrize(
    "asked", ["--service fi-nobody", "--environment fi-nowhere", "--deployment-id d-fi-nothing"]
)
def test_a_misspelt_name_is_not_in_order(run: Run, asked: str) -> None:
    shown = run(f"findings {asked}")
    assert shown.returncode == 0
    assert "Nothing can be said of it." in shown.stdout
    assert run(f"findings {asked} --fail").returncode == 2


def test_what_is_over_is_shown_when_asked_for(run: Run) -> None:
    mismatch(run, "fi-three")
    mark(run, "removed", "fi-three", f"--artifact app@{SEEN}")
    here = "findings --service fi-three"
    assert run(here).stdout == "Nothing is wrong of these, as far as is known.\n"
    shown = run(f"{here} --all --fail")
    assert shown.returncode == 0
    assert " to 20" in shown.stdout.splitlines()[0]
    quiet = f"{here} --all --code flag_stale"
    assert run(quiet).stdout.startswith("Nothing was ever wrong of these")


def test_more_than_is_shown_is_said(run: Run) -> None:
    for service in ("fi-four", "fi-five"):
        mismatch(run, service)
    shown = run("findings --service fi-four --service fi-five --last 1").stdout.splitlines()
    assert len(shown) == 4
    assert shown[-1] == "There are more than 1 finding; --last shows more."


@pytest.mark.parametrize("columns", [60, 120])
def test_a_finding_fits_on_a_terminal(run: Run, on_terminal: OnTerminal, columns: int) -> None:
    name = mismatch(run, "fi-six")
    seen = on_terminal(columns, "findings", "--service", "fi-six")
    assert name in seen
    assert all(columns_of(line) <= columns + len(SEEN) - 52 for line in seen.splitlines())


def test_words_of_strangers_do_not_steer_a_finding() -> None:
    finding = {
        "service": "a\nb",
        "environment": None,
        "opened_at": format_instant(0),
        "closed_at": None,
        "severity": "info",
        "code": "x",
        "message": "red \x1b[31m\nroot",
        "remedy": "",
    }
    lines = list(findings._lines(finding, 80))
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)


# ls ----------------------------------------------------------------------------------------------


def test_deployments_are_filtered_by_state_and_kind(run: Run) -> None:
    first = mark(run, "applied", "ls-kinds", "--version 1")
    second = mark(run, "failed", "ls-kinds", "--version 2")
    here = "ls --service ls-kinds"
    assert [each["deployment_id"] for each in listed(run, f"{here} --state failed")] == [second]
    both = listed(run, f"{here} --state failed --state running --kind deployment")
    assert {each["deployment_id"] for each in both} == {first, second}
    assert listed(run, f"{here} --kind config") == []


# corrections -------------------------------------------------------------------------------------


def test_what_was_amended_or_taken_back_is_said_wherever_it_is_shown(
    run: Run, server: Server
) -> None:
    said = {"text": "First.", "tags": ["service:tl-back", "env:prod", "version:1", "phase:applied"]}
    index = annotated(server, "POST", "/api/annotations", said)["id"]
    annotated(server, "PATCH", f"/api/annotations/{index}", {"text": "Better."})
    (item,) = listed(run, "ls --service tl-back")
    name = item["deployment_id"]

    (event,) = run("timeline --service tl-back").stdout.splitlines()[1:]
    assert "[amended reason: Better.] 1 (First.)" in event
    shown = run(f"show {name}").stdout
    assert "amended        reason: it was First." in shown
    assert "[amended reason: Better.] First." in shown
    assert "retracted" not in shown

    annotated(server, "DELETE", f"/api/annotations/{index}")
    assert "retracted (running)" in run("ls --service tl-back").stdout
    taken = "by token:admin in entry"
    assert f"[retracted {taken}" in run("timeline --service tl-back").stdout
    shown = run(f"show {name}").stdout
    assert f"retracted      {taken}" in shown
    assert f"[retracted {taken}" in shown
    assert json.loads(run(f"show {name} --json").stdout)["retracted"]["about"] == index
    watched = run(f"watch --after {index} --type retraction --count 1").stdout
    assert f"retraction of entry {index}: A client of grafana_annotations" in watched


def annotated(
    server: Server, method: str, path: str, said: Mapping[str, object] | None = None
) -> dict[str, Any]:
    """Speak to the server as Grafana's clients do."""
    request = Request(  # noqa: S310 - of the test's own server
        server.url + path,
        None if said is None else json.dumps(said).encode(),
        {"Authorization": f"Bearer {server.token}", "Content-Type": "application/json"},
        method=method,
    )
    with urlopen(request, timeout=30) as reply:  # noqa: S310 - as above
        found: dict[str, Any] = json.loads(reply.read())
    return found
