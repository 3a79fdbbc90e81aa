"""An observer of pods beside a cluster: what it says to a real server, and what it never says.

The cluster is the strict double of the Kubernetes API, in which the observer has the rights that we
ship. The commands are those of `docs/howto/kubernetes.md` and of the manifest that runs it.
"""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
import yaml
from control_plane import (
    ADAPTER,
    SHIPPED,
    ControlPlane,
    digest,
    doubled,
    pod,
    rules_of,
    say_running,
)
from serving import await_instances, uids
from team import BIN, ENVIRONMENT, SECONDS, SERVICE, Json, Team

from deploymark.testing.kubernetes_api import KubernetesApi

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "kubernetes.md"
A, B = digest("a"), digest("b")


@pytest.fixture
def plane() -> Iterator[ControlPlane]:
    """A cluster with the namespace `shop`, in which the observer may do what we ship."""
    with doubled() as found:
        plane = namespace(found.url, "shop", found.double)
        plane.double.roles[ADAPTER] = rules_of("observer.yaml")
        yield plane


class Beside:
    """A team with an observer beside its cluster."""

    def __init__(self, team: Team, plane: ControlPlane) -> None:
        self.team, self.plane = team, plane
        scope = ("--service", SERVICE, "--environment", ENVIRONMENT)
        roles = ("--role", "emitter", "--role", "reader")
        made = team.command("tokens", "new", "observer", *roles, *scope, "--json", role="admin")
        team._tokens["observer"] = json.loads(made.stdout)["token"]
        self.config = plane.kubeconfig(team.place)

    def run(self, name: str, image_digest: str) -> str:
        """Run a pod; gives its instance uid."""
        made = self.plane.made("pods", pod(name, f"registry/shop@{image_digest}"))
        status = say_running(self.plane, made)["status"]
        number = status["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        return f"{made['metadata']['uid']}/{number}"

    def end(self, name: str) -> None:
        assert self.plane.ask("DELETE", f"pods/{name}?gracePeriodSeconds=0")[0] == 200

    def look(self, cluster: str, plane: ControlPlane) -> set[tuple[str, str]]:
        """Look at a cluster once, as a process of its own; gives what was said of whom."""
        folder = self.team.place / f"{cluster}-{plane.namespace}"
        folder.mkdir(exist_ok=True)
        words = ("observe", "--service", SERVICE, "--environment", ENVIRONMENT, "--kubernetes")
        where = ("--cluster", cluster, "--namespace", plane.namespace, "--label", "app=shop")
        config = ("--kubeconfig", plane.kubeconfig(folder))
        done = self.team.command(*words, *where, *config, "--json", role="observer")
        said = map(json.loads, done.stdout.splitlines())
        return {(each["phase"], each["instance_uid"]) for each in said if "phase" in each}

    @property
    def environment(self) -> dict[str, str]:
        return self.team._environment("observer") | {"KUBECONFIG": self.config}

    def follow(self, heading: str, role: str = "observer", **variables: str) -> str:
        """Run the commands below a heading of the how-to, word for word."""
        part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
        done = subprocess.run(
            ["/bin/bash", "-euc", part.split("```sh\n")[1].split("```")[0]],
            cwd=self.team.place,
            env={**self.environment, **self.team._environment(role), **variables},
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def beside(team: Team, plane: ControlPlane) -> Beside:
    return Beside(team, plane)


def observed(markers: list[Json]) -> list[Json]:
    return [each for each in markers if each["emitter"]["kind"] == "orchestrator"]


def test_the_how_to_is_followed_word_for_word(beside: Beside) -> None:
    beside.follow("Say what is deployed", "ci", DIGEST=A)
    one, two = beside.run("shop-1", A), beside.run("shop-2", B)
    told = beside.follow("See what pods run")
    assert told.count(f"pod/shop-1 runs {A}\n") == 2
    assert f"running {one}: delivered" in told
    markers = observed(await_instances(beside.team, lambda seen: seen["running"] >= 2))
    assert [(each["target"]["instance_uid"], each["artifact"]["digest"]) for each in markers] == [
        (one, A),
        (two, B),
    ]
    assert {(each["target"]["cluster"], each["target"]["namespace"]) for each in markers} == {
        ("eu-1", "shop")
    }
    # What runs is bound to what was deployed, and what nobody deployed is not.
    listed = beside.team._items(f"/v1/instances?service={SERVICE}")
    runs = {each["instance"]: each["deployment_id"] for each in listed}
    (deployed,) = (
        each["deployment_id"]
        for each in beside.team._items(f"/v1/deployments?service={SERVICE}")
        if each["digest"] == A
    )
    assert runs["pod/shop-1"] == deployed != runs["pod/shop-2"]


def test_who_ended_while_nobody_looked_is_ended_and_nobody_of_another_place(
    beside: Beside,
) -> None:
    gone, stays = beside.run("shop-1", A), beside.run("shop-2", A)
    assert beside.look("eu-1", beside.plane) == {("running", gone), ("running", stays)}
    till = namespace(beside.plane.url, "till", beside.plane.double)
    with doubled() as other:
        elsewhere = namespace(other.url, "shop", other.double)
        for cluster, plane in (("eu-1", till), ("eu-2", elsewhere)):
            say_running(plane, plane.made("pods", pod("shop-9", f"registry/shop@{A}")))
            assert len(beside.look(cluster, plane)) == 1
        await_instances(beside.team, lambda seen: seen["running"] >= 4)
        beside.end("shop-1")
        assert beside.look("eu-1", beside.plane) >= {("removed", gone)}
        assert beside.look("eu-2", elsewhere) <= {("running", each) for each in uids_in(elsewhere)}
    markers = await_instances(beside.team, lambda seen: seen["removed"] >= 1)
    assert uids(markers, "removed") == [gone]


def namespace(url: str, name: str, double: KubernetesApi) -> ControlPlane:
    """Return a cluster seen from a namespace of it, which is made."""
    plane = ControlPlane(url, "nobody-asks", name, double)
    content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.ask("POST", "/api/v1/namespaces", content)[0] == 201
    return plane


def uids_in(plane: ControlPlane) -> list[str]:
    """Return the instance uids of all pods of a namespace."""
    return [
        f"{each['metadata']['uid']}/{status['containerID'].removeprefix('containerd://')}"
        for each in plane.items("pods")
        for status in each["status"]["containerStatuses"]
    ]


def test_a_server_that_is_away_finds_everything_in_the_spool(beside: Beside) -> None:
    uid = beside.run("shop-1", A)
    beside.team.stop_server()
    words = ("observe", "--service", SERVICE, "--environment", ENVIRONMENT, "--kubernetes")
    where = ("--cluster", "eu-1", "--namespace", "shop", "--label", "app=shop")
    config = ("--kubeconfig", beside.config)
    done = beside.team.command(*words, *where, *config, role="observer", exit_code=69)
    assert "1 marker kept in the spool" in done.stderr
    beside.team.serve()
    beside.team.command("flush", role="observer")
    markers = observed(await_instances(beside.team, lambda seen: seen["running"] >= 1))
    assert uids(markers, "running") == [uid]


class Shipped:
    """The observer as its manifest starts it, with a shorter interval."""

    def __init__(self, beside: Beside) -> None:
        self._lines: Queue[str] = Queue()
        words = [*container()["command"], *container()["args"]]
        words[words.index("--interval") + 1] = "1"
        self._process = subprocess.Popen(
            [BIN / words[0], *words[1:], "--json"],
            env=beside.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
        )
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def line(self) -> Json:
        """Return the next thing that it says."""
        said: Json = json.loads(self._lines.get(timeout=SECONDS))
        return said

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(SECONDS)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return code


def manifest() -> Json:
    content: Json = yaml.safe_load((SHIPPED / "observer-deployment.yaml").read_text())
    return content


def container() -> Json:
    (found,) = manifest()["spec"]["template"]["spec"]["containers"]
    return dict(found)


@contextmanager
def shipped(beside: Beside) -> Iterator[Shipped]:
    running = Shipped(beside)
    try:
        yield running
    finally:
        assert running.stop() == 0


def test_the_observer_of_the_manifest_looks_on_whatever_the_cluster_does(beside: Beside) -> None:
    double = beside.plane.double
    first = beside.run("shop-1", A)
    with shipped(beside) as observer:
        assert observer.line()["instance_uid"] == first
        # The cluster goes away: that is said once, nobody is ended, and it goes on afterwards.
        double.away = True
        assert "does not answer for the pods of shop" in observer.line()["trouble"]
        double.away, double.roles[ADAPTER] = False, []
        while "forbidden" not in (observer.line()["trouble"] or ""):
            pass  # for a moment it could see again
        second = beside.run("shop-2", B)
        beside.end("shop-1")
        double.roles[ADAPTER] = rules_of("observer.yaml")
        lines = [observer.line() for _ in range(3)]
        said = {(each["phase"], each["instance_uid"]) for each in lines if "phase" in each}
        assert said == {("running", second), ("removed", first)}
        assert [each["trouble"] for each in lines if "trouble" in each] == [None]
    markers = await_instances(beside.team, lambda seen: seen["removed"] >= 1)
    assert uids(markers, "removed") == [first]


def test_the_manifest_is_one_that_a_strict_api_server_takes(plane: ControlPlane) -> None:
    made = plane.made("deployments", manifest())
    spec = made["spec"]["template"]["spec"]
    rights = list(yaml.safe_load_all((SHIPPED / "observer.yaml").read_text()))
    accounts = [each["metadata"]["name"] for each in rights if each["kind"] == "ServiceAccount"]
    assert accounts == [spec["serviceAccountName"]]
