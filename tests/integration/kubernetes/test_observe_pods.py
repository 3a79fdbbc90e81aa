"""`deploymark observe --kubernetes`: what it shows, and what it says when it cannot."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from control_plane import ADAPTER, ControlPlane, Json, digest, pod, say_running

from deploymark.cli import main
from deploymark.testing.receiving_server import receiving_server

A, B = digest("a"), digest("b")
Observe = Callable[..., tuple[int, str, str]]


@pytest.fixture
def observe(
    plane: ControlPlane,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Observe:
    """Runs the command for the pods of the test; gives exit code, results and complaints."""
    monkeypatch.setenv("DEPLOYMARK_SPOOL", str(tmp_path / "spool"))
    config = plane.kubeconfig(tmp_path)

    def run(*more: str, kubeconfig: str = config) -> tuple[int, str, str]:
        words = ("observe", "--service", "shop", "--environment", "prod", "--kubernetes")
        where = ("--namespace", plane.namespace, "--cluster", "eu-1", "--label", "app=shop")
        code = main([*words, *where, "--kubeconfig", kubeconfig, *more])
        told = capsys.readouterr()
        assert "Traceback" not in told.err
        return code, told.out, told.err

    return run


def running(plane: ControlPlane, name: str, image: str, node: str = "node-1") -> Json:
    return say_running(plane, plane.made("pods", pod(name, image, nodeName=node)))


def test_a_dry_run_shows_what_each_pod_runs(plane: ControlPlane, observe: Observe) -> None:
    running(plane, "shop-1", f"registry/shop@{A}")
    running(plane, "shop-2", f"registry/shop@{B}")
    code, told, _ = observe("--dry-run")
    assert code == 0
    assert told == f"pod/shop-1 runs {A}\npod/shop-2 runs {B}\n"


def test_a_marker_says_in_which_cluster_on_which_node_and_of_which_pod(
    plane: ControlPlane, observe: Observe
) -> None:
    running(plane, "shop-1", f"registry/shop@{A}", node="node-7")
    with receiving_server() as server:
        code, _, _ = observe("--url", server.url, "--region", "eu-west-1")
        (marker,) = server.markers()
    assert code == 0
    uid = marker["target"].pop("instance_uid")
    assert marker["target"] == {
        "cluster": "eu-1",
        "region": "eu-west-1",
        "namespace": plane.namespace,
        "node": "node-7",
        "instance": "pod/shop-1",
    }
    assert uid.startswith(plane.got("pods/shop-1")["metadata"]["uid"])
    assert marker["evidence"]["observer"] == f"kubernetes-pods:eu-1/{plane.namespace}"
    assert (marker["evidence"]["basis"], marker["evidence"]["digest"]) == ("observed", A)


def test_no_pods_at_all_is_no_success(observe: Observe) -> None:
    code, told, _ = observe("--dry-run")
    assert (code, "No pod of shop was seen" in told) == (2, True)


@pytest.mark.usefixtures("only_the_double")
def test_who_may_not_look_is_told_so_in_a_sentence(plane: ControlPlane, observe: Observe) -> None:
    plane.double.roles[ADAPTER] = []
    code, _, complaint = observe("--dry-run")
    assert code == 69
    assert "The Kubernetes API refuses the pods of" in complaint
    assert "forbidden" in complaint


# Everything else that a cluster, or what stands before it, may answer ----------------------------

STATUS = {"kind": "Status", "apiVersion": "v1", "status": "Failure"}
ANSWERS: dict[str, tuple[int, str | None, bytes, str]] = {
    "no or old credentials": (
        401,
        "application/json",
        json.dumps({**STATUS, "code": 401, "message": "Unauthorized"}).encode(),
        "refuses the pods of shop: Unauthorized",
    ),
    "a list that was forgotten while it was read": (
        410,
        "application/json",
        json.dumps({**STATUS, "code": 410, "message": "The provided continue is too old"}).encode(),
        "wants to be asked again",
    ),
    "too many questions": (
        429,
        "application/json",
        json.dumps({**STATUS, "code": 429, "message": "Too many requests"}).encode(),
        "wants to be asked again",
    ),
    "an API that is overloaded": (
        503,
        "application/json",
        json.dumps({**STATUS, "code": 503, "message": "etcd is away"}).encode(),
        "does not answer",
    ),
    "a page of a gateway as an error": (502, "text/html", b"<h1>Bad</h1>", "does not answer"),
    "a page of a gateway as a success": (200, "text/html", b"<h1>Log in</h1>", "as it should"),
    "an error that names no type": (500, None, b"", "as it should"),
    "JSON of something else": (200, "application/json", b'["a"]', "as it should"),
    "nothing at all": (200, "application/json", b"", "as it should"),
}


@contextmanager
def answering(status: int, kind: str | None, body: bytes) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if kind is not None:
                self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def seen_from(url: str, folder: Path) -> str:
    """Return the kubeconfig of whoever looks at this cluster."""
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir(exist_ok=True)
    return ControlPlane(url, "token", "shop", None).kubeconfig(elsewhere)


@pytest.mark.parametrize("answer", ANSWERS)
def test_whatever_the_cluster_answers_is_told_in_a_sentence(
    observe: Observe, tmp_path: Path, answer: str
) -> None:
    status, kind, body, said = ANSWERS[answer]
    with answering(status, kind, body) as url:
        config = seen_from(url, tmp_path)
        code, told, complaint = observe("--dry-run", "--namespace", "shop", kubeconfig=config)
    assert (code, told) == (69, "")
    sentence, hint = complaint.splitlines()
    assert said in sentence
    assert "deploy/kubernetes/observer.yaml" in hint


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("/no/such/program", "No such file"),
        ("/bin/false", "returned 1"),
        ("/bin/true", "as it should"),
    ],
)
def test_a_program_that_gives_no_credentials_is_told(
    observe: Observe, tmp_path: Path, command: str, said: str
) -> None:
    config = Path(seen_from("http://127.0.0.1:1", tmp_path))
    content = yaml.safe_load(config.read_text())
    version = "client.authentication.k8s.io/v1beta1"
    content["users"][0]["user"] = {"exec": {"apiVersion": version, "command": command}}
    config.write_text(yaml.safe_dump(content))
    code, _, complaint = observe("--dry-run", kubeconfig=str(config))
    assert (code, said in complaint) == (69, True), complaint


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--cluster", ""), "--kubernetes needs --cluster"),
        (("--namespace", ""), "--kubernetes needs --namespace"),
        (("--label", "app"), "--label takes NAME=VALUE"),
        (("--port", "80"), "--port does not go with --kubernetes"),
        (("--command", "x"), "--command does not go with --kubernetes"),
        (("--profile", "x"), "--profile does not go with --kubernetes"),
        (("--lambda", "shop:prod"), "two places"),
        (("--kubeconfig", "/nowhere"), "kubeconfig cannot be used"),
        (("--context", "nobody"), "Context 'nobody' not found"),
    ],
)
def test_flags_that_say_too_little_or_too_much_are_refused(
    observe: Observe, more: tuple[str, ...], said: str
) -> None:
    code, _, complaint = observe("--dry-run", *more)
    assert (code, said in complaint) == (64, True), complaint


def test_without_a_label_everything_would_be_the_service(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("observe", "--service", "a", "--environment", "b", "--kubernetes", "--dry-run")
    assert main([*words, "--namespace", "c", "--cluster", "d"]) == 64
    assert "which pods belong to the service" in capsys.readouterr().err


def test_without_its_extra_the_command_says_what_to_install(
    observe: Observe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "deploymark.integrations.kubernetes.api", raising=False)
    monkeypatch.setitem(sys.modules, "lightkube", None)
    code, _, complaint = observe("--dry-run")
    assert (code, "pip install '.[kubernetes]'" in complaint) == (64, True), complaint
