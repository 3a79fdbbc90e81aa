"""`mark`, `id` and `flush`: a deploy says what it does, and never fails for it."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, NamedTuple

import pytest

Run = Callable[..., CompletedProcess[str]]


class Server(NamedTuple):
    """As in conftest."""

    url: str
    token: str
    data: Path


NO_TOKEN = f"dmk_000000000000_{'x' * 43}"
"""One that no server knows."""

BASKET = "--service basket --environment prod"


def marked(run: Run, line: str, *more: object) -> dict[str, Any]:
    """Return what `mark … --json` says, whatever became of it."""
    said: dict[str, Any] = json.loads(run(f"mark {line} --json", *more).stdout)
    return said


# Said --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
def test_a_marker_stands_in_the_log_when_the_command_is_over(run: Run) -> None:
    said = run(f"mark applied {BASKET} --version 1")
    assert said.returncode == 0
    assert said.stderr == ""
    assert said.stdout.startswith("applied basket in prod: d-")
    assert ", entry " in said.stdout


@pytest.mark.usefixtures("server")
def test_saying_it_again_is_no_second_marker(run: Run) -> None:
    first = marked(run, f"planned {BASKET} --version 2")
    again = marked(run, f"planned {BASKET} --version 2")
    assert (first["state"], first["duplicate"]) == ("delivered", False)
    assert (again["index"], again["duplicate"]) == (first["index"], True)


@pytest.mark.usefixtures("server")
def test_every_flag_reaches_its_field(run: Run) -> None:
    digest = "sha256:" + "a" * 64
    flags = (
        f"--artifact registry.example/shop/full:v1@{digest} --version 1 --commit {'b' * 40} "
        "--action run:1 --attempt 2 --owner team:shop --ticket CHG1 --ticket CHG2 "
        "--change-type normal --reason why --author ann --approver bob --deployer ci "
        "--risk-flag schema-migration --strategy canary --track canary --weight 12.5 "
        "--cluster eu-1 --region eu --zone a --namespace shop --workload deploy/full "
        "--colour blue --build-id b1 --release-id r1 --correlation-id c1 "
        "--timestamp 2026-11-23T00:00:00Z --label tier=1 --label k=v=w "
        "--flag basket=on --link runbook=https://runbooks.example/full "
        "--emitter-kind proxy"
    )
    index = marked(run, f"applying --service full --environment prod {flags}")["index"]
    shown = json.loads(run("show --json", marked_id(run, "full")).stdout)
    (entry,) = [each for each in shown["markers"] if each["index"] == index]
    said = entry["marker"]
    assert said["artifact"] == {"name": "registry.example/shop/full", "tag": "v1", "digest": digest}
    assert said["change_tickets"] == ["CHG1", "CHG2"]
    assert said["approvers"] == ["bob"]
    assert said["rollout"] == {"strategy": "canary", "track": "canary", "weight": 12.5}
    assert said["target"]["namespace"] == "shop"
    assert said["labels"] == {"tier": "1", "k": "v=w"}
    assert said["emitter"]["kind"] == "proxy"
    assert said["flags"] == [{"key": "basket", "variant": "on"}]
    assert said["links"] == [{"rel": "runbook", "href": "https://runbooks.example/full"}]
    assert (said["action"], said["attempt"], said["risk_flags"]) == (
        "run:1",
        2,
        ["schema-migration"],
    )


def marked_id(run: Run, service: str) -> str:
    """Return the id of the newest deployment of a service."""
    return str(json.loads(run(f"ls --service {service} --last 1 --json").stdout)["deployment_id"])


@pytest.mark.usefixtures("server")
def test_a_release_directory_is_its_own_artifact(run: Run, place: Path) -> None:
    (place / "release").mkdir()
    (place / "release" / "app").write_text("content")
    marked(run, "applied --service dir --environment prod --release release")
    (line,) = run("ls --service dir --json").stdout.splitlines()
    assert json.loads(line)["digest"].startswith("sha256:")


@pytest.mark.usefixtures("server")
def test_what_ci_knows_is_filled_in(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://git.example",
        "GITHUB_REPOSITORY": "shop/ci",
        "GITHUB_RUN_ID": "42",
        "GITHUB_SHA": "c" * 40,
    }.items():
        monkeypatch.setenv(name, value)
    told = run("id --service ci --environment prod --json")
    said = marked(run, "applied --service ci --environment prod")
    assert json.loads(told.stdout)["deployment_id"] == said["deployment_id"]
    assert json.loads(told.stdout)["action"] == "github:https://git.example/shop/ci:42"


@pytest.mark.usefixtures("server")
def test_a_key_signs(run: Run, server: Server) -> None:
    run("keys new ci.pem")
    run("keys trust ci.pem.pub --name mark-ci --url", server.url, "--data", server.data)
    said = marked(run, "applied --service signed --environment prod --version 1 --sign ci.pem")
    (entry,) = json.loads(run("show --json", said["deployment_id"]).stdout)["markers"]
    assert entry["assurance"] == "signed"


# Not delivered -----------------------------------------------------------------------------------


def test_without_a_server_it_waits_in_the_spool_and_the_deploy_goes_on(
    run: Run, place: Path
) -> None:
    said = run(f"mark applied {BASKET} --version 1")
    assert said.returncode == 0
    assert "in the spool: http://127.0.0.1:1 did not answer: nobody listens there." in said.stdout
    assert "gives no answer (nobody listens there)" in run("ls").stderr
    assert list((place / "spool").glob("*.journal"))
    required = run(f"mark applied {BASKET} --version 1 --require --budget 0.1")
    assert required.returncode == 69


def test_flush_delivers_what_waits(
    run: Run, apart: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_TOKEN", NO_TOKEN)
    for version in range(3):
        apart(f"mark applied --service late --environment prod --version {version}")
    left = apart("flush --budget 1")
    assert left.returncode == 0
    assert left.stdout.startswith("0 delivered, 0 refused, 3 left in the spool: http")
    assert left.stdout.splitlines()[1] == "Left: 3 markers of late in prod."
    told = json.loads(apart("flush --budget 1 --json").stdout)
    assert told["waiting"] == [{"service": "late", "environment": "prod", "count": 3}]
    assert told["problem"]
    refused = apart("flush --budget 5 --require")
    assert refused.returncode == 77
    assert "[unauthenticated]" in refused.stderr
    assert "Is `deploymark up` running" not in refused.stderr
    monkeypatch.setenv("DEPLOYMARK_TOKEN", server.token)
    done = apart("flush --json")
    assert json.loads(done.stdout) == {
        "delivered": 3,
        "refused": 0,
        "left": 0,
        "waiting": [],
        "problem": "",
        "elsewhere": {},
    }
    assert len(run("ls --service late --json --url", server.url).stdout.splitlines()) == 3


def test_what_waits_for_another_server_is_counted_and_left_alone(
    run: Run, apart: Run, server: Server
) -> None:
    for version in range(2):
        apart(f"mark applied {BASKET} --version {version} --url http://127.0.0.1:1")
    done = apart("flush --require")
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "0 delivered, 0 refused, 0 left in the spool",
        "2 markers wait for http://127.0.0.1:1; `--url` delivers them.",
    ]
    told = json.loads(apart("flush --json --url", f"{server.url}/").stdout)
    assert told["elsewhere"] == {"http://127.0.0.1:1": 2}
    assert run("flush --require --budget 0.1 --url http://127.0.0.1:1").returncode == 69


def test_the_next_marker_takes_the_waiting_ones_along_with_its_own_token(
    run: Run, apart: Run, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_TOKEN", NO_TOKEN)
    first = apart("mark planned --service along --environment prod --version 1 --json")
    monkeypatch.setenv("DEPLOYMARK_TOKEN", server.token)
    second = apart("mark applied --service along --environment prod --version 1 --json")
    assert (json.loads(first.stdout)["state"], json.loads(first.stdout)["sequence"]) == (
        "spooled",
        0,
    )
    assert (json.loads(second.stdout)["state"], json.loads(second.stdout)["sequence"]) == (
        "delivered",
        1,
    )
    shown = json.loads(run("show --json", marked_id(run, "along")).stdout)
    assert [each["marker"]["phase"] for each in shown["markers"]] == ["planned", "applied"]


def test_a_spool_that_cannot_be_used_is_said_and_fails_nothing(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "file").touch()
    monkeypatch.setenv("DEPLOYMARK_SPOOL", str(place / "file" / "spool"))
    said = run(f"mark applied {BASKET} --version 1")
    assert said.returncode == 0
    assert "applied basket in prod: lost: The spool" in said.stdout
    assert run(f"mark applied {BASKET} --version 1 --require --budget 0.1").returncode == 69


# Refused -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("server")
def test_a_token_that_is_none_is_not_allowed_and_its_marker_is_kept(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPLOYMARK_TOKEN", NO_TOKEN)
    said = marked(run, "applied --service keep --environment prod --version 1")
    assert (said["state"], said["code"]) == ("spooled", "unauthenticated")
    required = run(
        "mark applied --service keep --environment prod --version 1 --require --budget 1"
    )
    assert required.returncode == 77
    assert "The marker is not in the log" in required.stderr
    assert "The token is not valid" in required.stderr
    sentence, hint = required.stderr.splitlines()
    assert hint.removeprefix("  hint: ").removesuffix(" [unauthenticated]") not in sentence


@pytest.mark.usefixtures("server")
def test_a_contradiction_is_refused_for_good(run: Run) -> None:
    line = f"mark applied --service twice --environment prod --artifact sha256:{'d' * 64}"
    line += " --version {}"
    assert run(line.format(1)).returncode == 0
    refused = run(line.format(2))
    assert refused.returncode == 0
    assert "applied twice in prod: refused: " in refused.stdout
    assert "/version" in refused.stdout
    assert run(line.format(2) + " --require").returncode == 1
    assert "refused for good" in run("doctor").stdout


WRONG = {
    "no service": "applied --environment prod --version 1",
    "no environment": "applied --service a --version 1",
    "a commit that is none": "applied --service a --environment b --commit HEAD",
    "a digest that is none": "applied --service a --environment b --artifact a@sha256:1",
    "a key that is not there": "applied --service a --environment b --version 1 --sign nowhere",
    "a release that is not there": "applied --service a --environment b --release nowhere",
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_wrong_marker_fails_only_a_deploy_that_requires_it(run: Run, line: str) -> None:
    said = run(f"mark {line}")
    assert (said.returncode, said.stdout) == (0, "")
    assert said.stderr.startswith("deploymark: ")
    assert " Nothing was marked.\n" in said.stderr
    assert "/" not in said.stderr.replace("lower-case", "").partition("\n")[0]
    assert run(f"mark {line} --require").returncode == 64


UNREADABLE = {
    "--label foo": "--label takes NAME=VALUE",
    "--strategy canry": "did you mean canary?",
    "--track stabel": "did you mean stable?",
    "--kind confg": "did you mean config?",
    "--emitter-kind prox": "did you mean proxy?",
    "--timestamp yesterday": "'yesterday' is no instant, such as 2026-11-23T06:00:00Z",
}


@pytest.mark.parametrize(("flag", "said"), UNREADABLE.items(), ids=UNREADABLE)
def test_a_command_line_that_could_never_work_is_refused_before_anything_happens(
    run: Run, place: Path, flag: str, said: str
) -> None:
    about = f"--service a --environment b --version 1 {flag}"
    for line in (f"mark applied {about}", f"run {about} -- touch made"):
        refused = run(line)
        assert (refused.returncode, refused.stdout) == (64, "")
        assert said in refused.stderr
    assert not (place / "made").exists()


def test_what_is_missing_is_named_as_flag_and_variable(
    run: Run, apart: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = run("mark applied --version 1").stderr
    assert "deploymark: --service is missing. Nothing was marked.\n" in missing
    assert "Give --service, or set DEPLOYMARK_SERVICE." in missing
    monkeypatch.setenv("DEPLOYMARK_SERVICE", "basket")
    monkeypatch.setenv("DEPLOYMARK_ENVIRONMENT", "prod")
    told = run("id --version 1").stdout
    assert told == run(f"id {BASKET} --version 1").stdout
    assert told != run("id --environment staging --version 1").stdout
    wrapped = apart("run --version 1 --budget 0 -- true")
    assert wrapped.returncode == 0
    assert "applied basket in prod: " in wrapped.stderr


UNREADABLE = {
    "another phase": "deployed --service a --environment b",
    "a pair without a value": "applied --service a --environment b --label k",
    "an attempt that is no number": "applied --service a --environment b --attempt one",
    "a weight that is no number": "applied --service a --environment b --weight nan",
    "a weight of more than all": "applied --service a --environment b --weight 101",
    "a budget without an end": "applied --service a --environment b --budget inf",
    "a budget before now": "applied --service a --environment b --budget -1",
    "an unknown flag": "applied --service a --environment b --colr blue",
}


@pytest.mark.parametrize("line", UNREADABLE.values(), ids=UNREADABLE)
def test_a_command_line_that_nobody_can_read_is_refused_in_any_case(run: Run, line: str) -> None:
    assert run(f"mark {line}").returncode == 64


@pytest.mark.parametrize("phase", ["failed", "removed"])
def test_a_deployment_id_is_no_subject_and_nothing_is_spooled(
    run: Run, place: Path, phase: str
) -> None:
    name = "d-0123456789abcdefghjkmnpqrs"
    refused = run(f"mark {phase} --service a --environment b --deployment-id {name}")
    assert refused.returncode == 64
    assert "--version or --commit" in refused.stderr
    assert not (place / "spool").exists()
    instance = "--service a --environment b --budget 0 --instance-uid u --deployment-id"
    for known in ("running", "removed"):
        assert "kept in the spool" in run(f"mark {known} {instance} {name}").stdout


URLS = {
    "of another scheme": "ftp://127.0.0.1",
    "unencrypted to somewhere else": "http://192.0.2.1",
    "with a password": "http://me:secret@127.0.0.1",
    "that is none": "nowhere",
}


@pytest.mark.parametrize("url", URLS.values(), ids=URLS)
def test_a_url(run: Run, url: str) -> None:
    said = run("mark applied --service a --environment b --version 1 --url", url)
    assert said.returncode == 0
    assert "kept in the spool" in said.stdout
    assert "secret" not in said.stdout + said.stderr
    assert run("ls --url", url).returncode == 64


# The id ------------------------------------------------------------------------------------------


def test_the_id_needs_no_server_and_leaves_nothing_behind(run: Run, place: Path) -> None:
    told = run(f"id {BASKET} --version 1")
    assert told.returncode == 0
    assert told.stdout.startswith("d-")
    assert run(f"id {BASKET} --version 1 --phase x").returncode == 64
    assert not (place / "spool").exists()


def test_an_id_that_cannot_be_told_is_an_error_because_no_deploy_hangs_on_it(run: Run) -> None:
    said = run("id --service basket")
    assert (said.returncode, said.stdout) == (64, "")
    assert "environment" in said.stderr


def test_an_empty_variable_of_the_pipeline_says_nothing(run: Run) -> None:
    empty = "--strategy '' --track '' --timestamp '' --owner ''"
    about = "--service a --environment b --version 1"
    assert run(f"id {about} {empty}").stdout == run(f"id {about}").stdout
    assert run(f"mark applied {about} {empty}").returncode == 0
