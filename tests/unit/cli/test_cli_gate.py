"""`deploymark gate`: exit codes that a pipeline can block on, and what a person reads."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from deploymark.testing.receiving_server import Answer, receiving_server

Run = Callable[..., CompletedProcess[str]]

ADMIN = f"dmk_0123456789ab_{'g' * 43}"
RULES = """
[[policy.rules]]
name = "owned"
kind = "owner"
environments = ["prod"]

[[policy.rules.examples]]
facts = {owner = "team:shop"}
expect = "pass"

[[policy.rules]]
name = "frozen"
kind = "window"
environments = ["frozen"]
days = [{first = "2000-01-01", last = "2100-01-01"}]
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a policy."""
    folder = tmp_path_factory.mktemp("gate")
    (folder / "deploymark.toml").write_text(RULES)
    words = ["up", "--data", folder / "data", "--config", folder / "deploymark.toml"]
    outside = {name: value for name, value in os.environ.items() if "DEPLOYMARK" not in name}
    process = subprocess.Popen(
        [sys.executable, "-m", "deploymark", *map(str, words), "--listen", "127.0.0.1:0", "--json"],
        env={**outside, "DEPLOYMARK_ADMIN_TOKEN": ADMIN},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        yield json.loads(process.stdout.readline())["url"]
        process.terminate()
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def policed(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The server is the one that the environment names."""
    monkeypatch.setenv("DEPLOYMARK_URL", url)
    monkeypatch.setenv("DEPLOYMARK_TOKEN", ADMIN)
    return url


def plan(run: Run, service: str, more: str = "", environment: str = "prod") -> str:
    """Announce a release and return its deployment."""
    line = f"mark planned --service {service} --environment {environment} --version 1 {more}"
    said = run(f"{line} --require --json")
    assert said.returncode == 0, said.stderr
    return str(json.loads(said.stdout)["deployment_id"])


@pytest.mark.usefixtures("policed")
def test_it_ends_with_0_when_the_gate_is_open(run: Run) -> None:
    identity = plan(run, "good", "--owner team:shop")
    said = run("gate --service good --environment prod --require")
    assert said.returncode == 0
    head, *reasons = said.stdout.splitlines()
    assert head.startswith(f"pass: good in prod, {identity}~1 (entry ")
    assert reasons == ["    pass     policy:owned: team:shop owns it; wanted is *."]


@pytest.mark.usefixtures("policed")
def test_it_ends_with_1_and_says_why_when_it_is_shut(run: Run) -> None:
    identity = plan(run, "bad")
    said = run(f"gate --service bad --environment prod --deployment-id {identity} --json")
    assert said.returncode == 1
    answer = json.loads(said.stdout)
    assert answer["decision"] == "fail"
    assert [each["about"] for each in answer["reasons"]] == ["policy:owned"]
    assert run(f"receipt {answer['decision_index']}").returncode == 0, "it stands in the log"


@pytest.mark.usefixtures("policed")
def test_it_ends_with_2_when_nobody_can_tell_in_time(run: Run) -> None:
    said = run("gate --service nobody --environment prod --timeout 0.2")
    assert said.returncode == 2
    waits, head, *_ = said.stdout.splitlines()
    assert waits == "(waiting: Nothing is known of nobody in prod.)"
    assert head == "inconclusive: nobody in prod, no deployment (not logged)"
    # No deployment of it there: never a pass, whatever the rules say.
    plan(run, "known", "--owner team:shop")
    asked = "gate --service known --environment prod --deployment-id d-other --timeout 0"
    assert run(asked).returncode == 2


def test_what_it_waits_for_is_said_once_however_many_rules_wait_for_it(run: Run) -> None:
    why = {"counts": True, "answer": "unknown", "reason": "No marker of it has come."}
    open_gate = {"decision": "inconclusive", "service": "shop", "environment": "prod"}
    reasons = [{**why, "about": "policy:one"}, {**why, "about": "policy:two"}]
    with receiving_server(lambda _: Answer(200, {**open_gate, "reasons": reasons})) as server:
        said = run("gate --service shop --environment prod --timeout 0.2 --url", server.url)
    assert said.stdout.splitlines()[0] == "(waiting: No marker of it has come.)"


@pytest.mark.usefixtures("policed")
def test_it_goes_on_waiting_until_the_answer_is_one(apart: Run, run: Run) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-m", "deploymark", "gate", "--service", "late", "--environment", "prod"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.poll() is None
    plan(run, "late", "--owner team:late")
    out, _ = waiting.communicate(timeout=60)
    assert (waiting.returncode, out.split(":")[0]) == (0, "pass")
    assert apart("gate --help").returncode == 0


@pytest.mark.usefixtures("policed")
def test_it_explains_every_rule(run: Run) -> None:
    plan(run, "explained", "--owner team:shop")
    said = run("gate --service explained --environment prod --explain").stdout
    assert (
        "    rule owned (owner, deny) pass: team:shop owns it; wanted is *. [owner='team:" in said
    )
    assert "    rule frozen (window) does not apply here" in said


@pytest.mark.usefixtures("policed")
def test_a_dry_run_is_not_logged(run: Run) -> None:
    plan(run, "dry", "--owner team:shop")
    said = run("gate --service dry --environment prod --dry-run --json")
    assert (said.returncode, json.loads(said.stdout)["decision_index"]) == (0, None)


def test_a_server_that_is_away_lets_nothing_pass(run: Run) -> None:
    line = "gate --service shop --environment prod"
    refused = run(f"{line} --require")
    assert refused.returncode == 69
    assert "[server_unavailable]" in refused.stderr
    open_ = run(line)
    assert open_.returncode == 2
    assert "inconclusive: shop in prod" in open_.stdout
    assert "unknown  server: The server http://127.0.0.1:1 gives no answer" in open_.stdout
    told = json.loads(run(f"{line} --json").stdout)
    assert (told["decision"], told["decision_index"]) == ("inconclusive", None)


def test_a_token_that_may_not_ask_is_no_answer(
    run: Run, policed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert policed
    monkeypatch.setenv("DEPLOYMARK_TOKEN", ADMIN.replace("g", "h"))
    assert run("gate --service shop --environment prod").returncode == 77


# Breaking the glass -------------------------------------------------------------------------------


@pytest.mark.usefixtures("policed")
def test_the_glass_is_broken_with_a_reason(run: Run) -> None:
    identity = plan(run, "urgent", environment="frozen")
    line = "gate --service urgent --environment frozen"
    assert run(line).returncode == 1
    said = run(f"{line} --deployment-id {identity} --break-glass --reason INC-17")
    assert said.returncode == 0
    assert "policy:frozen" in said.stdout
    assert "break_glass: token:admin broke the glass in entry " in said.stdout
    assert run(line).returncode == 0, "it stays open for this deployment"
    plan(run, "urgent", "--commit 0123abc", "frozen")
    assert run(line).returncode == 1, "and for no other"


@pytest.mark.usefixtures("policed")
@pytest.mark.parametrize(
    "more", ["--break-glass", "--reason INC-17", '--break-glass --reason ""'], ids=str
)
def test_the_glass_is_not_broken_without_a_reason(run: Run, more: str) -> None:
    refused = run(f"gate --service urgent --environment frozen {more}")
    assert refused.returncode == 64
    assert "--break-glass and --reason go together" in refused.stderr


@pytest.mark.usefixtures("policed")
def test_a_reader_breaks_no_glass(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    plan(run, "guarded", environment="frozen")
    url = os.environ["DEPLOYMARK_URL"]
    token = json.loads(run(f"tokens new watcher --role reader --url {url} --json").stdout)["token"]
    monkeypatch.setenv("DEPLOYMARK_TOKEN", token)
    line = "gate --service guarded --environment frozen"
    assert run(f"{line} --break-glass --reason INC-17").returncode == 77
    assert run(line).returncode == 1


@pytest.mark.usefixtures("policed")
def test_there_is_no_glass_before_a_deployment_that_nobody_knows(run: Run) -> None:
    refused = run("gate --service nobody --environment prod --break-glass --reason INC-17")
    assert refused.returncode == 64
    assert "No such deployment is known" in refused.stderr


# Examples -----------------------------------------------------------------------------------------


def test_examples_are_checked_without_a_server(run: Run, place: Path) -> None:
    (place / "rules.toml").write_text(RULES)
    said = run("gate --examples rules.toml")
    assert (said.returncode, said.stdout) == (0, "2 rules and 1 example: all as expected.\n")
    (place / "rules.toml").write_text(RULES.replace('expect = "pass"', 'expect = "fail"'))
    refused = run("gate --examples rules.toml")
    assert refused.returncode == 64
    assert "the rule owned says pass of its example 0, which expects fail" in refused.stderr


def test_what_is_asked_about_must_be_said(run: Run) -> None:
    assert "--service is missing" in run("gate --environment prod").stderr
    assert "--environment is missing" in run("gate --service shop").stderr
