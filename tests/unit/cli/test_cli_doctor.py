"""`doctor` and what it looks at: nothing is changed, and what is wrong is said with a remedy."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import pytest

from deploymark.cli.noise import doubled, unfinished

Run = Callable[..., CompletedProcess[str]]


class Server(NamedTuple):
    """As in conftest."""

    url: str
    token: str
    data: Path


def found(run: Run, line: str = "doctor") -> list[dict[str, str]]:
    """Return what the doctor says."""
    return [json.loads(each) for each in run(f"{line} --json").stdout.splitlines()]


def said(remarks: list[dict[str, str]], check: str) -> str:
    """Return everything that one check says."""
    return " ".join(each["says"] for each in remarks if each["check"] == check)


# The emitter --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
def test_a_healthy_emitter_has_nothing_wrong(run: Run) -> None:
    told = run("doctor")
    assert told.returncode == 0
    assert "✗" not in told.stdout
    assert "0 wrong, " in told.stdout
    assert {each["check"] for each in found(run)} >= {"settings", "ci", "key", "spool", "server"}


def test_a_server_that_is_away_is_wrong(run: Run) -> None:
    told = run("doctor")
    assert told.returncode == 1
    assert "✗ server: The server http://127.0.0.1:1 gives no answer" in told.stdout


def test_every_remark_that_is_not_fine_says_what_to_do(run: Run) -> None:
    for each in found(run):
        assert bool(each["hint"]) == (each["finding"] != "fine")


TROUBLES = {
    "a key that is not there": ("DEPLOYMARK_KEY", "nowhere.pem", "key", "no key file"),
    "a key open to others": ("DEPLOYMARK_KEY", "open.pem", "key", "open to others"),
    "a spool that others may write": ("DEPLOYMARK_SPOOL", "shared", "spool", "others may write"),
    "a spool that is a file": ("DEPLOYMARK_SPOOL", "open.pem", "spool", "cannot be read"),
    "a spool that cannot be made": (
        "DEPLOYMARK_SPOOL",
        "open.pem/spool",
        "spool",
        "cannot be made",
    ),
    "a token that is none": ("DEPLOYMARK_TOKEN", "geheimé", "server", "no token has"),
}


@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
def test_the_doctor_sees(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, trouble: tuple[str, str, str, str]
) -> None:
    name, value, check, complaint = trouble
    (place / "open.pem").write_text("x")
    (place / "open.pem").chmod(0o644)
    (place / "shared").mkdir()
    (place / "shared").chmod(0o777)
    monkeypatch.setenv(name, value)
    assert run("doctor").returncode == 1
    assert complaint in said(found(run), check)


def test_what_waits_and_what_ci_does_not_tell_is_advice(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("mark applied --service a --environment b --version 1")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    told = found(run)
    assert "1 marker not delivered yet" in said(told, "spool")
    assert "names no run" in said(told, "ci")
    assert "does not tell the commit and the repository" in said(told, "ci")


@pytest.mark.usefixtures("server")
def test_a_token_that_ends_soon_and_one_that_may_too_much_are_named(run: Run) -> None:
    run("tokens new short --role reader --lifetime 2d")
    told = found(run)
    assert "short ends at" in said(told, "token")
    assert "This token may do everything" in said(told, "server")


@pytest.mark.usefixtures("server")
def test_unsigned_markers_are_counted(run: Run) -> None:
    marked = run("mark applied --service unsigned --environment prod --version 1 --json")
    run("show", json.loads(marked.stdout)["deployment_id"])  # waits until it can be found
    looked = found(run)
    assert re.search(
        r"(is not signed by its|are not signed by their) producer", said(looked, "markers")
    )
    hints = [each["hint"] for each in looked if each["check"] == "markers"]
    assert "Where an environment's `action_assurance` is signed" in hints[0]  # elsewhere they do


def test_what_is_expected_of_services_is_shown_value_by_value(run: Run, team: Path) -> None:
    prod = 'clusters = ["eu", "us"]\ninstances = { eu = 3, us = 1 }\n'
    (team / "services.toml").write_text(
        f'[services.checkout]\nowner = "shop"\n[services.checkout.environments.prod]\n{prod}'
    )
    told = said(found(run, "doctor --data data --config services.toml"), "configuration")
    assert "services.checkout.owner = 'shop' (services.toml)" in told
    prod = "services.checkout.environments.prod"
    assert f"{prod}.clusters = 'eu, us' (services.toml)" in told
    assert f"{prod}.instances.eu = 3 (services.toml)" in told
    assert "services.checkout.tier = 'standard' (default)" in told


# A server's own files -----------------------------------------------------------------------------


def test_the_configuration_is_explained_value_by_value(run: Run, team: Path) -> None:
    (team / "up.toml").write_text('[server]\nurl = "https://d.example"\n[log]\naccess = "public"\n')
    told = found(run, "doctor --data data --config up.toml")
    values = said(told, "configuration")
    assert "server.url = 'https://d.example' (up.toml)" in values
    assert "log.publish_seconds = 1.0 (default)" in values
    exposure = said(told, "exposure")
    assert "Behind a proxy on this machine everybody may read /metrics" in exposure
    assert "may read every entry" in exposure
    assert "demand no witness" in said(told, "trust")


def test_the_steps_of_a_plan_are_shown_part_by_part(run: Run, team: Path) -> None:
    plan = "[rollouts.shop.prod]\nsteps = [{weight = 5}, {weight = 50, approval = true}]\n"
    team.joinpath("plan.toml").write_text(plan)
    told = said(found(run, "doctor --data data --config plan.toml"), "configuration")
    assert "rollouts.shop.prod.steps.0.weight = 5.0 (plan.toml)" in told
    assert "rollouts.shop.prod.steps.1.approval = True (plan.toml)" in told
    assert "rollouts.shop.prod.steps.0.approval = False (default)" in told
    assert "Plan(" not in told


def test_the_program_of_an_actuator_that_is_not_there_is_named(run: Run, team: Path) -> None:
    actuator = "actuator = {kind = 'command', options = {run = ['/nowhere/shift', '5']}}\n"
    plan = f"[rollouts.shop.prod]\nsteps = [{{weight = 5}}]\n{actuator}"
    team.joinpath("acts.toml").write_text(plan)
    told = said(found(run, "doctor --data data --config acts.toml"), "actuators")
    assert "The program /nowhere/shift of the actuator of shop in prod cannot be run here." in told


def test_notifiers_are_named_without_what_is_secret_in_their_addresses(
    run: Run, team: Path
) -> None:
    hook = "kind = 'webhook'\nurl = 'https://chat.example/hooks/hidden'\nsecret_file = 's'"
    team.joinpath("told.toml").write_text(f"[[alerts.notifiers]]\n{hook}\n")
    told = said(found(run, "doctor --data data --config told.toml"), "configuration")
    assert "alerts.notifiers = 'webhook https://chat.example (page and ticket)'" in told
    assert "hidden" not in told


def test_what_anybody_may_do_is_said(run: Run, team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (team / "up.toml").write_text('[policy]\nanonymous_environments = ["dev-*"]\n')
    monkeypatch.setenv("DEPLOYMARK_CONFIG", "up.toml")
    monkeypatch.setenv("DEPLOYMARK_LISTEN", "0.0.0.0:80")
    told = found(run, "doctor --data data")
    assert "server.listen = '0.0.0.0:80' (DEPLOYMARK_LISTEN)" in said(told, "configuration")
    assert "anything about these environments: dev-*" in said(told, "exposure")
    assert "open to the network" in said(told, "exposure")


def test_a_directory_that_would_not_start_is_wrong(run: Run, team: Path) -> None:
    assert run("doctor --data data").returncode == 0
    (team / "data.guard").unlink()
    (team / "data" / "keys" / "platform.pem").chmod(0o640)
    told = run("doctor --data data")
    assert told.returncode == 1
    assert "The rollback guard" in told.stdout
    assert "platform.pem is open to other users" in told.stdout
    assert "There is no data directory" in run("doctor --data nowhere").stdout


def test_looking_changes_nothing(run: Run, team: Path) -> None:
    before = {each: each.stat().st_mtime_ns for each in team.rglob("*") if each.is_file()}
    run("doctor --data data")
    after = {each: each.stat().st_mtime_ns for each in team.rglob("*") if each.is_file()}
    assert {each.name for each in after.keys() - before.keys()} <= {"state.db"}
    changed = {each.name for each in before if after[each] != before[each]}
    assert changed <= {"state.db", "log.db-shm"}  # what SQLite notes for itself


# Noise --------------------------------------------------------------------------------------------


def view(
    second: int, phase: str = "applied", emitter: str = "ci:one", **more: str
) -> dict[str, Any]:
    """Return a marker as a server lists it."""
    return {
        "received_at": f"2026-11-23T00:{second // 60:02}:{second % 60:02}.000Z",
        "ids": {"deployment_id": more.pop("deployment", "d-1")},
        "marker": {
            "service": "basket",
            "environment": "prod",
            "phase": phase,
            "version": "1",
            "emitter": {"kind": more.pop("kind", "ci"), "id": emitter},
            **more,
        },
    }


TWICE = {
    "two CI systems at once": ([view(0), view(9, emitter="ci:two")], 1),
    "one CI system twice": ([view(0), view(9)], 0),
    "two CI systems an hour apart": ([view(0), view(3_599, emitter="ci:two")], 0),
    "CI and an orchestrator": ([view(0), view(1, emitter="k8s", kind="orchestrator")], 0),
    "two instances that run": ([view(0, "running"), view(1, "running", "host:two")], 0),
    "two versions": ([view(0), view(1, emitter="ci:two", version="2")], 0),
}


@pytest.mark.parametrize(("views", "count"), TWICE.values(), ids=TWICE)
def test_one_event_is_marked_by(views: list[dict[str, Any]], count: int) -> None:
    assert len(list(doubled(views))) == count


def test_plans_that_never_go_on_are_noise() -> None:
    plans = [view(n, "planned", deployment=f"d-{n}") for n in range(8)]
    later_ms = 1_795_392_000_000 + 2 * 3_600_000
    assert list(unfinished(plans, later_ms)) == [
        "Of 8 planned deployments of basket in prod, 8 never went on."
    ]
    applied = [view(60 + n, deployment=f"d-{n}") for n in range(5)]
    assert not list(unfinished([*plans, *applied], later_ms))
    assert not list(unfinished(plans, later_ms - 2 * 3_600_000))


NOT_STARTING = {
    "an actuator that there is not": (
        '[rollouts.shop.prod.actuator]\nkind = "comand"\n',
        "There is no actuator 'comand'.",
    ),
    "an actuator without what it needs": (
        '[rollouts.shop.prod.actuator]\nkind = "command"\n',
        "The options of the actuator command are wrong",
    ),
    "a source that there is not": (
        '[rollouts.shop.prod]\nsource = "prometeus"\n',
        "counts from 'prometeus', which is no source",
    ),
    "a secret that is not there": (
        (
            '[[alerts.notifiers]]\nkind = "webhook"\nurl = "http://127.0.0.1:9"\n'
            'secret_file = "nowhere"\n'
        ),
        "secret",
    ),
    "a secret that cannot be read": (
        '[dialects.github_webhooks]\nsecret_file = "nowhere"\n',
        "The secret file nowhere cannot be read.",
    ),
    "an address that is none": ('[server]\nlisten = "abc"\n', "'abc' is no address to listen on"),
}


@pytest.mark.parametrize(("content", "why"), NOT_STARTING.values(), ids=NOT_STARTING)
def test_what_keeps_a_server_from_starting_is_wrong(
    run: Run, team: Path, content: str, why: str
) -> None:
    assert "keeps the server from starting" in said(found(run, "doctor --data data"), "start")
    (team / "bad.toml").write_text(content)
    told = found(run, "doctor --data data --config bad.toml")
    wrong = [each for each in told if each["check"] == "start"]
    assert [each["finding"] for each in wrong] == ["wrong"]
    assert wrong[0]["says"].startswith("The server would not start: ")
    assert why in wrong[0]["says"]
