"""A control plane for tests: the double, or a real one where KUBEBUILDER_ASSETS names its programs.

Both get the same words over HTTP. Neither has a kubelet; `Kubelet` stands in for it, and says of
each pod what a node would, through the API.
"""

import contextlib
import http.client
import json
import os
import secrets
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Self

import yaml

from deploymark.testing.kubernetes_api import KubernetesApi

ASSETS = os.environ.get("KUBEBUILDER_ASSETS", "")
SECONDS = 60
SHIPPED = Path(__file__).parents[3] / "deploy" / "kubernetes"
ADAPTER = "adapter"
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
ROLLOUTS = "argoproj.io/v1alpha1/rollouts"

Json = dict[str, Any]


class ControlPlane:
    """One, with a namespace of the test's own."""

    def __init__(self, url: str, token: str, namespace: str, double: KubernetesApi | None) -> None:
        self.url, self.token, self.namespace = url, token, namespace
        self._double = double

    @property
    def double(self) -> KubernetesApi:
        """The double, for tests of what cannot be brought about in a real one."""
        assert self._double is not None
        return self._double

    @property
    def adapters_token(self) -> str:
        """What adapters come with: in the double a token whose rights a test may limit."""
        return self.token if self.is_real else ADAPTER

    @property
    def is_real(self) -> bool:
        return self._double is None

    @property
    def minor(self) -> int:
        """Of a real one; 0 for one that does not say."""
        said = self.ask("GET", "/version")[1]["minor"]
        return int("".join(filter(str.isdigit, said)) or 0)

    def kubeconfig(self, folder: Path) -> str:
        file = folder / "kubeconfig.yaml"
        cluster = {"server": self.url, "insecure-skip-tls-verify": True}
        content = {
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
            "users": [{"name": "tests", "user": {"token": self.adapters_token}}],
        }
        file.write_text(yaml.safe_dump(content))
        return str(file)

    def ask(
        self, method: str, path: str, content: object = None, kind: str = JSON
    ) -> tuple[int, Any]:
        """Send one request; `path` is below the namespace, or absolute."""
        host = self.url.partition("://")[2]
        if self.url.startswith("https"):
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, timeout=SECONDS, context=unverified()
            )
        else:
            connection = http.client.HTTPConnection(host, timeout=SECONDS)
        body = None if content is None else json.dumps(content)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": kind}
        with contextlib.closing(connection):
            connection.request(method, self.address(path), body, headers)
            answer = connection.getresponse()
            said = answer.read()
            # An address that no kind is served at is answered with text by a real API server.
            is_json = answer.headers.get("Content-Type", "").startswith(JSON)
            return answer.status, json.loads(said) if is_json else said.decode()

    def address(self, path: str) -> str:
        """Return `deployments/shop` as the API has it; `deployments?watch=true` as well."""
        if path.startswith("/"):
            return path
        plural = path.partition("/")[0].partition("?")[0]
        if plural == "rollouts":
            base = "/apis/argoproj.io/v1alpha1"
        else:
            base = "/api/v1" if plural == "pods" else "/apis/apps/v1"
        return f"{base}/namespaces/{self.namespace}/{path}"

    def got(self, path: str) -> Json:
        status, content = self.ask("GET", path)
        assert status == 200, content
        found: Json = content
        return found

    def items(self, path: str) -> list[Json]:
        return list(self.got(path)["items"])

    def made(self, plural: str, content: Json) -> Json:
        status, found = self.ask("POST", plural, content)
        assert status == 201, found
        return dict(found)

    def patched(self, path: str, content: object, kind: str = MERGE) -> Json:
        status, found = self.ask("PATCH", path, content, kind)
        assert status == 200, found
        return dict(found)


def unverified() -> ssl.SSLContext:
    """Trust the certificate that a control plane on loopback has made for itself."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Kubelet:
    """Says that pods run what their template names, until the block ends.

    Attributes:
        broken: Images (or parts of their names) whose pods never become ready.
    """

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.broken: set[str] = set()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(0.02):
            with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
                self.run_once()

    def run_once(self) -> None:
        for pod in self._plane.items("pods"):
            image = pod["spec"]["containers"][0]["image"]
            is_new = pod.get("status", {}).get("phase") in (None, "Pending")
            if is_new and not any(each in image for each in self.broken):
                say_running(self._plane, pod)


def say_running(plane: ControlPlane, pod: Json, **told: str) -> Json:
    """Write into the status of a pod that its containers run; `told` gives other image ids."""
    statuses = [
        {
            "name": each["name"],
            "image": each["image"],
            "imageID": told.get(each["name"], image_id(each["image"])),
            "containerID": f"containerd://{secrets.token_hex(32)}",
            "ready": True,
            "restartCount": 0,
            "state": {"running": {"startedAt": "2026-11-23T00:00:00Z"}},
        }
        for each in pod["spec"]["containers"]
    ]
    status = {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": statuses,
    }
    return plane.patched(f"pods/{pod['metadata']['name']}/status", {"status": status})


def image_id(image: str) -> str:
    """Return what a node says of an image, pinned or not."""
    if "@" in image:
        return image
    return f"{image.rpartition(':')[0]}@sha256:{sha256(image.encode()).hexdigest()}"


def rules_of(name: str) -> list[Json]:
    """Return the rules of the Role in a file that we ship, which says no name but `shop`."""
    documents = yaml.safe_load_all((SHIPPED / name).read_text())
    (role,) = (each for each in documents if each["kind"] == "Role")
    rules: list[Json] = role["rules"]
    return rules


def digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def pod(name: str, *images: str, labels: Json | None = None, **spec: str) -> Json:
    """Return a pod whose containers are called `app`, `app-1`, and so on."""
    containers = [
        {"name": f"app-{number}" if number else "app", "image": image}
        for number, image in enumerate(images)
    ]
    metadata = {"name": name, "labels": labels or {"app": "shop"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": containers, **spec},
    }


def deployment(name: str, image: str, replicas: int, **labels: str) -> Json:
    """Return a Deployment whose pods have the labels `app=shop` and `of=<name>`."""
    made = pod(name, image, labels={"app": "shop", "of": name, **labels})
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"of": name}},
            "template": {
                "metadata": {"labels": made["metadata"]["labels"]},
                "spec": made["spec"],
            },
        },
    }


@contextlib.contextmanager
def doubled() -> Iterator[ControlPlane]:
    """Run the double until the block ends."""
    with KubernetesApi() as double:
        yield with_namespace(double.url, "nobody-asks", double)


def with_namespace(url: str, token: str, double: KubernetesApi | None = None) -> ControlPlane:
    """Return a control plane with a namespace that nobody else uses."""
    name = f"t-{secrets.token_hex(4)}"
    plane = ControlPlane(url, token, name, double)
    content = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    assert plane.ask("POST", "/api/v1/namespaces", content)[0] == 201
    return plane


@contextlib.contextmanager
def real_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Start etcd, kube-apiserver and kube-controller-manager, and give URL and token."""
    client, peer, port, controllers = (_free_port() for _ in range(4))
    token = secrets.token_hex(16)
    (folder / "tokens.csv").write_text(f'{token},tests,tests,"system:masters"\n')
    key = folder / "service-account.pem"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)  # noqa: S607
    url = f"https://127.0.0.1:{port}"
    etcd = f"http://127.0.0.1:{client}"
    config = folder / "controllers.yaml"
    ControlPlane(url, token, "default", None).kubeconfig(folder)
    (folder / "kubeconfig.yaml").rename(config)
    started: list[subprocess.Popen[bytes]] = []

    def start(program: str, *words: str) -> None:
        with (folder / f"{program}.log").open("wb") as log:
            path = str(Path(ASSETS) / program)
            started.append(subprocess.Popen([path, *words], stdout=log, stderr=log, cwd=folder))

    try:
        start(
            "etcd",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            "--unsafe-no-fsync",
        )
        start(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--secure-port={port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={folder / 'certificates'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            f"--service-account-issuer={url}",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        )
        plane = ControlPlane(url, token, "default", None)
        _await(lambda: plane.ask("GET", "/api/v1/namespaces/default")[0] == 200)
        start(
            "kube-controller-manager",
            f"--kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={controllers}",
            "--leader-elect=false",
            "--controllers=deployment,replicaset,garbagecollector,namespace",
        )
        definition = yaml.safe_load((Path(__file__).parent / "rollout_crd.yaml").read_text())
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        assert plane.ask("POST", path, definition)[0] == 201
        _await(lambda: plane.ask("GET", "/apis/argoproj.io/v1alpha1/rollouts")[0] == 200)
        yield url, token
    finally:
        for each in reversed(started):
            each.terminate()
            each.wait(SECONDS)


def _await(is_so: Callable[[], bool]) -> None:
    for _ in range(SECONDS * 5):
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            if is_so():
                return
        time.sleep(0.2)
    raise AssertionError("the control plane did not come up")


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
