"""What the client makes of an API that is silent, and of something else that answers for it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml
from control_plane import ControlPlane

from deploymark.errors import ActuatorUnavailableError, ObservationError, OutcomeUnknownError
from deploymark.integrations.kubernetes.access import Access
from deploymark.integrations.kubernetes.api import Cluster
from deploymark.integrations.kubernetes.objects import DEPLOYMENT
from deploymark.integrations.kubernetes.pods import KubernetesPods, PodsOptions


@contextmanager
def gateway() -> Iterator[str]:
    """Run what answers every write with a page of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_PATCH(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", "4")
            self.end_headers()
            self.wfile.write(b"<h1>")

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


def write(config: str) -> None:
    cluster = Cluster(Access(kubeconfig=config))
    try:
        cluster.patch(DEPLOYMENT, "shop", "shop", {"spec": {"replicas": 1}}, status=False)
    finally:
        cluster.close()


def test_what_came_of_a_write_that_a_gateway_answered_is_unknown(tmp_path: Path) -> None:
    with gateway() as url:
        config = ControlPlane(url, "token", "shop", None).kubeconfig(tmp_path)
        with pytest.raises(OutcomeUnknownError, match="with something else"):
            write(config)


def test_a_write_for_which_there_are_no_credentials_was_not_sent(tmp_path: Path) -> None:
    config = Path(ControlPlane("http://127.0.0.1:1", "token", "shop", None).kubeconfig(tmp_path))
    content = yaml.safe_load(config.read_text())
    version = "client.authentication.k8s.io/v1beta1"
    content["users"][0]["user"] = {"exec": {"apiVersion": version, "command": "/bin/false"}}
    config.write_text(yaml.safe_dump(content))
    with pytest.raises(ActuatorUnavailableError, match="no credentials"):
        write(str(config))


def test_a_cluster_that_never_answers_is_not_waited_for(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        config = ControlPlane(url, "token", "shop", None).kubeconfig(tmp_path)
        observer = KubernetesPods(
            PodsOptions(
                namespace="shop", labels={"app": "shop"}, kubeconfig=config, request_seconds=0.1
            )
        )
        with pytest.raises(ObservationError, match="does not answer for the pods of shop"):
            observer.observe()
        observer.close()
