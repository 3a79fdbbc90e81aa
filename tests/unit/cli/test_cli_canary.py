"""`canary`, `promote`, `approve`, `rollback` and `freeze` against a server that has plans."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from deploymark.cli import build_parser, canary, canary_show
from deploymark.cli.asking import followed_in
from deploymark.cli.table import laid_out

Run = Callable[..., CompletedProcess[str]]
OnTerminal = Callable[..., str]
TOKEN = f"dmk_0123456789ab_{'s' * 43}"
REASON = ("--reason", "because")
SERVICES = ("cn-list", "cn-show", "cn-promote", "cn-back", "cn-pause", "cn-key", "cn-approve")
SHA = f"sha256:{'a' * 64}"
PLAN = """
[rollouts.{name}.prod]
{more}
roll_back = {{ recovery_seconds = {recovery} }}
[rollouts.{name}.prod.actuator]
kind = "command"
options = {{ run = ["true"], look = ["false"] }}
"""

QUICK = "look_seconds = 1\nbucket_seconds = 1\nblock_seconds = [1, 5]\n"


@pytest.fixture(scope="module")
def _planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("planned")
    text = "[act]\nturn_seconds = 0.1\n[telemetry]\nbucket_seconds = 1\nlag_seconds = 0\n"
    text += "[rollouts.cn-watched.prod]\n"
    text += "".join(PLAN.format(name=each, recovery=600, more="") for each in SERVICES)
    text += PLAN.format(name="cn-late", recovery=3, more=QUICK)
    text += PLAN.format(name="cn-named", recovery=3, more=f'{QUICK}approvers = ["ada"]')
    (place / "deploymark.toml").write_text(text)
    command = ["up", "--data", str(place / "data"), "--listen", "127.0.0.1:0", "--json"]
    outside = {name: value for name, value in os.environ.items() if "DEPLOYMARK" not in name}
    process = subprocess.Popen(
        [sys.executable, "-m", "deploymark", *command, "--config", str(place / "deploymark.toml")],
        env={**outside, "DEPLOYMARK_ADMIN_TOKEN": TOKEN},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(autouse=True)
def planned(_planned: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A server with plans; all tests share it, so each speaks of services of its own."""
    assert place.is_dir()
    monkeypatch.setenv("DEPLOYMARK_URL", _planned)
    monkeypatch.setenv("DEPLOYMARK_TOKEN", TOKEN)
    return _planned


def deployed(run: Run, service: str, version: str = "2", more: str = "--weight 0") -> str:
    """Apply a release and return its deployment."""
    artifact = f"--artifact app@{SHA[:-1]}{version[-1]}"
    line = f"mark applied --service {service} --environment prod --version {version} {artifact}"
    said = run(f"{line} --strategy canary {more} --json --require")
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["deployment_id"])


def shown(run: Run, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(f"canary show {name} --json").stdout)
    return found


def held(run: Run, name: str) -> dict[str, Any]:
    """Return a rollout as soon as the controller has said what it wants of it."""
    for _ in range(300):
        if (found := shown(run, name))["wants"]:
            return found
    raise AssertionError(name)


def test_in_a_pipe_a_short_sentence_is_not_filled_up_to_the_longest() -> None:
    shown: dict[str, Any] = dict.fromkeys(
        ("superseded_by", "unknown", "doing", "failed", "ended", "wants", "silence", "paused_by")
    )
    shown |= {"service": "s", "environment": "prod", "version": "1", "digest": None, "step": 0}
    shown |= {"steps": [5], "verdict": None, "deployment_id": "d-1", "frozen": [], "weight": 0}
    shown |= {"live_at": None, "state": "running"}
    rows = [canary_show.row_of({**shown, "doing": doing}) for doing in ("x" * 300, "y")]
    _, long, short = laid_out(canary_show.COLUMNS, rows, None)
    assert len(long) > 300
    assert len(short) < 120
    assert short.endswith("It is being done: y.")


# Looking -----------------------------------------------------------------------------------------


def test_the_list_says_where_each_rollout_stands_and_what_it_waits_for(run: Run) -> None:
    assert run("canary --service cn-nobody").stdout == "Nothing of these is rolled out by a plan.\n"
    name = deployed(run, "cn-list")
    held(run, name)
    lines = run("canary --service cn-list").stdout.splitlines()
    assert lines[0].split() == [
        *("SERVICE", "ENVIRONMENT", "VERSION", "STEP", "WEIGHT", "RESULT", "SCORE"),
        *("DEPLOYMENT", "WHAT"),
    ]
    cells = ["cn-list", "prod", "2", "-", "0", "%", "-", "-", f"{name}~1"]
    assert lines[1].split()[:9] == cells
    assert "Guard binding: " in lines[1]
    (told,) = map(
        json.loads, run("canary --service cn-list --environment prod --json").stdout.splitlines()
    )
    assert told["deployment_id"] == f"{name}~1"


@pytest.mark.parametrize("columns", [80, 120, 200])
def test_what_it_waits_for_is_whole_on_any_terminal(
    run: Run, on_terminal: OnTerminal, columns: int
) -> None:
    name = deployed(run, "cn-list")
    reason = held(run, name)["wants"]["reason"]
    seen = on_terminal(columns, "canary", "--service", "cn-list")
    assert reason in seen or columns >= canary.WIDE
    assert f"{name}~1" in seen
    assert len(seen.splitlines()) == (2 if columns >= canary.WIDE else 3)


def test_one_rollout_is_shown_with_why_it_waits_and_commands_that_exist(run: Run) -> None:
    deployed(run, "cn-show", "1", more="--weight 100")
    name = deployed(run, "cn-show")
    held(run, name)
    said = run(f"canary show {name}").stdout
    assert "stands         before the first step, 0 % of the traffic since " in said
    assert "  guard binding: Nobody observed what the traffic goes to" in said
    assert "It waits for a person. Let it go on:" in said
    lines = [line.strip() for line in said.splitlines()]
    commands = [line for line in lines if line.startswith("deploymark ")]
    assert commands
    for command in commands:
        assert build_parser().parse_args(shlex.split(command)[1:]).run is not None


def test_flags_before_the_action_hold_for_it_and_filters_are_refused(run: Run) -> None:
    name = deployed(run, "cn-list")
    away = "http://127.0.0.1:1"
    for line in (f"canary --url {away} show {name}", f"canary show {name} --url {away}"):
        assert run(line).returncode == 69
    for action in (
        f"show {name}",
        "replay 1",
        f"pause {name} --reason x",
        f"release {name} --reason x",
    ):
        refused = run(f"canary --service cn-list {action}")
        assert refused.returncode == 64
        assert "--service narrows the list" in refused.stderr


# Asking ------------------------------------------------------------------------------------------


def test_who_waits_hears_that_it_is_done(run: Run) -> None:
    name = deployed(run, "cn-promote")
    done = run(f"promote {name} --wait 60", *REASON)
    assert done.returncode == 0, done.stdout
    assert done.stdout.startswith("Done: promote (entry ")
    assert shown(run, name)["ended"] == "promoted"
    refused = run(f"promote {name}", *REASON)
    assert refused.returncode == 1
    assert "The rollout is promoted already." in refused.stderr


def test_a_rollback_is_refused_with_its_guard_until_the_old_release_is_adopted(run: Run) -> None:
    old = deployed(run, "cn-back", "1", more="--weight 100")
    name = deployed(run, "cn-back")
    refused = run(f"rollback {name} --wait 60", *REASON)
    assert refused.returncode == 1
    assert refused.stdout.startswith("Refused to roll back (entry ")
    assert "\n  guard target: It is not " in refused.stdout
    told = json.loads(run(f"rollback {name} --wait 60 --json", *REASON).stdout)
    assert told["state"] == "refused"
    assert "target" in [each["name"] for each in told["guards"]]
    said = run(f"rollback {name} --wait 60", *REASON).stdout
    assert "say so once: `deploymark rollback adopt`" in said
    adopted = run(f"rollback adopt {old}", *REASON)
    assert adopted.stdout.startswith(f"{old} is good to return to from now on. (entry ")
    said = run(f"rollback {name} --wait 60", *REASON).stdout
    assert "Adopting it does not change this." in said
    assert "say so once" not in said
    # The glass is broken, because nobody saw an instance of the old one; and nothing shows that
    # it helped, because there are no requests at all.
    still = run(f"rollback {name} --break-glass --wait 2", *REASON)
    assert still.returncode == 2, still.stdout
    assert "and it is still open" in still.stdout
    assert "It is being carried out." in still.stdout
    assert shown(run, name)["decisions"][-1]["stage"] == "executed"


def test_a_rollback_that_nothing_shows_to_help_has_failed(run: Run) -> None:
    deployed(run, "cn-late", "1", more="--weight 100")
    name = deployed(run, "cn-late")
    failed = run(f"rollback {name} --break-glass --wait 60", *REASON)
    assert failed.returncode == 1, failed.stdout
    assert failed.stdout.startswith("Failed to roll back (entry ")
    assert "Things are not well again" in failed.stdout


def test_pausing_again_after_resuming_is_another_request(
    run: Run,
) -> None:
    name = deployed(run, "cn-pause")
    indexes = []
    for line in ("canary pause", "canary resume", "canary pause"):
        done = run(f"{line} {name} --wait 60 --json", *REASON)
        assert done.returncode == 0, done.stdout
        indexes.append(json.loads(done.stdout)["decision_index"])
    assert len(set(indexes)) == 3
    assert shown(run, name)["paused_by"] == "token:admin"
    again = run(f"canary pause {name} --wait 60", *REASON)
    assert again.returncode == 0, again.stdout


def test_the_same_key_is_the_same_request(run: Run) -> None:
    name = deployed(run, "cn-key")
    first, again = (
        json.loads(run(f"canary pause {name} --key one --json", *REASON).stdout) for _ in range(2)
    )
    assert first["decision_index"] == again["decision_index"]
    assert first["state"] == "asked"


def test_an_approval_is_followed_to_what_it_lets_happen(run: Run) -> None:
    name = deployed(run, "cn-approve")
    held(run, name)
    done = run(f"approve {name} --step 0 --wait 60")
    assert done.returncode == 0, done.stdout
    found = shown(run, name)
    assert (found["step"], found["weight"]) == (1, 5)
    stale = run(f"approve {name} --if-index {found['newest_index'] - 1}")
    assert stale.returncode == 1
    assert "the newest entry is" in stale.stderr
    assert "hint: Look at the rollout again" in stale.stderr


def test_what_holds_at_once_says_so(run: Run) -> None:
    name = deployed(run, "cn-free")
    for line, said in (
        ("freeze --environment cn-env", "Everything in cn-env is frozen."),
        (f"canary quarantine {name}", f"What {name} consists of is put away."),
        (f"canary release {name}", f"What {name} consists of may be rolled out again."),
    ):
        done = run(line, *REASON)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"{said} (entry ")
        told = json.loads(run(f"{line} --json", *REASON).stdout)
        assert told["state"] == "done"


def test_what_is_odd_about_a_freeze_is_said(run: Run) -> None:
    where, lift = "--environment cn-odd", "--lift --environment cn-odd"
    frozen = run(f"freeze {where}", *REASON)
    assert frozen.stdout.startswith("Everything in cn-odd is frozen. (entry ")
    assert "Nothing is known of cn-odd here" in frozen.stdout
    narrow = run(f"freeze {lift} --service a", *REASON)
    assert narrow.stdout.startswith("It is frozen still: ")
    lifted = run(f"freeze {lift}", *REASON)
    assert lifted.stdout.startswith("Everything in cn-odd is no longer frozen. (entry ")
    again = run(f"freeze {lift}", *REASON)
    assert again.stdout.startswith("It was not frozen. (entry ")
    told = json.loads(run(f"freeze {lift} --json", *REASON).stdout)
    assert told["remark"] == "It was not frozen."


FOLLOWED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nothing was decided": ([], "open"),
    "somebody else's request was answered": (
        [{"index": 8, "action": "promote", "stage": "decided", "decision_index": 6}],
        "open",
    ),
    "it was decided": (
        [{"index": 8, "action": "promote", "stage": "decided", "decision_index": 7}],
        "open",
    ),
    "it was executed": (
        [
            {"index": 8, "action": "promote", "stage": "decided", "decision_index": 7},
            {"index": 9, "action": "promote", "stage": "executed", "decision_index": 8},
        ],
        "open",
    ),
    "nobody knows what came of it": (
        [
            {"index": 8, "action": "promote", "stage": "decided", "decision_index": 7},
            {
                "index": 9,
                "action": "promote",
                "stage": "outcome",
                "decision_index": 8,
                "outcome": "unknown",
            },
        ],
        "unknown",
    ),
}


@pytest.mark.parametrize(("decisions", "state"), FOLLOWED.values(), ids=FOLLOWED)
def test_a_request_is_followed(decisions: list[dict[str, Any]], state: str) -> None:
    asked = {"index": 7, "action": "promote", "stage": "approved"}
    found = followed_in({"decisions": [asked, *decisions], "wants": None}, "promote", 7)
    assert found.state == state


# Refusals ----------------------------------------------------------------------------------------


def test_a_deployment_that_nobody_knows_is_named(run: Run) -> None:
    unknown = f"d-{'0' * 26}"
    for line in ("promote", "rollback", "rollback adopt", "approve", "canary pause"):
        refused = run(f"{line} {unknown}", *REASON)
        assert refused.returncode == 64
        assert f"No deployment '{unknown}' is known." in refused.stderr
        assert (
            "`deploymark ls` lists deployments, `deploymark canary` lists rollouts."
            in refused.stderr
        )


def test_a_service_without_a_plan_is_told_where_plans_stand(run: Run) -> None:
    refused = run(f"promote {deployed(run, 'cn-planless')}", *REASON)
    assert refused.returncode == 64
    assert "cn-planless in prod has no rollout plan." in refused.stderr
    assert "[rollouts.SERVICE.ENVIRONMENT]" in refused.stderr


def test_who_may_only_look_may_not_ask(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    name = deployed(run, "cn-list")
    token = json.loads(run("tokens new looks --role reader --json").stdout)["token"]
    monkeypatch.setenv("DEPLOYMARK_TOKEN", token)
    assert run(f"canary show {name}").returncode == 0
    for line in (f"promote {name}", f"rollback adopt {name}", "freeze --environment prod"):
        refused = run(line, *REASON)
        assert refused.returncode == 77
        assert "needs the role operator; token:looks has reader." in refused.stderr


def test_only_those_whom_the_plan_names_approve(run: Run) -> None:
    refused = run(f"approve {deployed(run, 'cn-named')}", *REASON)
    assert refused.returncode == 77
    assert "the plan names ada." in refused.stderr


@pytest.mark.parametrize("line", ["promote d-x", "rollback adopt d-x", "freeze --environment a"])
def test_a_server_that_is_away_is_named(run: Run, line: str) -> None:
    refused = run(f"{line} --url http://127.0.0.1:1", *REASON)
    assert refused.returncode == 69
    assert "http://127.0.0.1:1" in refused.stderr


@pytest.mark.parametrize("line", ["promote d-x", "rollback d-x --break-glass", "canary pause d-x"])
def test_nobody_asks_without_a_reason(run: Run, line: str) -> None:
    refused = run(line)
    assert refused.returncode == 64
    assert "--reason" in refused.stderr
    empty = run(line, "--reason", " ")
    assert empty.returncode == 64
    assert "--reason is empty." in empty.stderr


def test_an_entry_that_is_no_verdict_is_not_judged_again(run: Run) -> None:
    refused = run("canary replay 0")
    assert refused.returncode == 64
    assert "no verdict" in refused.stderr
