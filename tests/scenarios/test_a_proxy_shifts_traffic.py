"""A proxy gives a canary its share, by the commands of the docs, and says so in the log."""

import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple

import pytest
from team import Team

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "integration" / "proxies"))

from cohorts import cohorts, plausible  # noqa: E402 - they stand in that folder
from proxies import SHIPPED, Proxy, command_for, running  # noqa: E402

Run = Callable[..., CompletedProcess[str]]
PAGE = "howto/proxies.md"
HEADINGS = {"nginx": "nginx", "haproxy": "HAProxy", "envoy": "Envoy"}
TEMPLATES = {
    "weights.conf": "weights.template",
    "deployments.map": "deployments.template",
    "clusters.yaml": "clusters.template",
    "weights.yaml": "weights.template",
}
REQUESTS = 600


class Release(NamedTuple):
    """A deployment that CI has marked."""

    deployment_id: str
    artifact: str


def released(team: Team, run: int, version: int, weight: str = "100") -> Release:
    """Let CI mark a release; what it deploys stands behind the proxy already."""
    said = team.deploy(run, version, "true", weight=weight)
    marker = team.markers(said["index"])[-1]["marker"]
    return Release(said["deployment_id"], marker["artifact"]["digest"])


@pytest.fixture(params=HEADINGS)
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    program = str(request.param)
    with cohorts() as both, running(program, tmp_path / program, both) as proxy:
        shutil.copy(SHIPPED / "answered.sh", proxy.place)
        for shipped, template in TEMPLATES.items():
            if (proxy.place / shipped).exists():
                shutil.copy(proxy.place / shipped, proxy.place / template)
        yield proxy


def given(team: Team, proxy: Proxy, stable: Release, canary: Release) -> str:
    """Return what a deploy job has before the commands of the page."""
    variables = team.job(101, 1, 2) | {
        "STABLE": stable.deployment_id,
        "CANARY": canary.deployment_id,
        "ARTIFACT": canary.artifact,
        "PROXY_URL": f"http://127.0.0.1:{proxy.ports['edge']}/",
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    return "".join(lines) + f"cd {shlex.quote(str(proxy.place))}\n" + command_for(proxy)


def test_a_proxy_takes_up_new_weights_and_its_word_stands_beside_that_of_ci(
    team: Team, proxy: Proxy, documented: Run
) -> None:
    stable = released(team, 100, 1)
    canary = released(team, 101, 2, weight="10")
    before = given(team, proxy, stable, canary)

    done = documented(PAGE, f"Shift traffic with {HEADINGS[proxy.program]}", before=before)
    assert f"applied shop in prod: {canary.deployment_id}" in done.stdout

    # What the proxy says it does, it does.
    with proxy.client("edge") as client:
        answers = [client.get() for _ in range(REQUESTS)]
    ids = {"stable": stable.deployment_id, "canary": canary.deployment_id}
    for each in answers:
        assert each.header("x-deployment-id") == ids[each.header("x-answered-by")]
    share = sum(each.header("x-answered-by") == "canary" for each in answers)
    assert plausible(share, REQUESTS, 0.25), share

    # One deployment, of which CI and the proxy speak; the canary replaces nothing yet.
    documented(PAGE, "Switch colours", before=before)
    markers = [
        each["marker"]["emitter"]["kind"] + " " + each["marker"]["phase"]
        for each in team.markers(after=9)
        if each["ids"]["deployment_id"] == canary.deployment_id
    ]
    assert markers == ["ci planned", "ci applying", "ci applied", "proxy applied", "proxy cutover"]
    assert team.markers(after=9)[-2]["marker"]["rollout"]["weight"] == 25
    assert team.markers(after=9)[-1]["marker"]["target"]["colour"] == "green"
    listed = {each["deployment_id"]: each for each in team._items("/v1/deployments?after=9")}
    assert {"ci", "proxy"} <= set(listed[canary.deployment_id]["sources"])
    assert [each["state"] for each in listed[stable.deployment_id]["places"]] == ["live"]


def test_where_the_deployment_does_not_answer_nothing_is_said(
    team: Team, place: Path, documented: Run
) -> None:
    stable = released(team, 100, 1)
    shutil.copy(SHIPPED / "answered.sh", place)
    nobody = Proxy("envoy", place, {"edge": 1}, 0)
    done = documented(
        PAGE, "Switch colours", before=given(team, nobody, stable, stable), exit_code=1
    )
    assert f"{stable.deployment_id} did not answer" in done.stderr
    assert len(team.markers(after=4)) == 3


def test_who_does_not_answer_is_waited_for_and_then_said() -> None:
    words = ["sh", str(SHIPPED / "answered.sh"), "http://127.0.0.1:1/", "d-nobody", "1"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "d-nobody did not answer at http://127.0.0.1:1/ within 1 seconds" in done.stderr
