"""GitHub as far as deployments go: an API for PyGithub, and the webhooks that follow from it.

No GitHub can be asked in a test. What is sent here has the shape of the examples that GitHub
publishes, against which `test_github_webhooks` checks the translation itself.
"""

import hmac
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

Json = dict[str, Any]

SHA = "f95f852bd8fca8fcc58a9a2d6c842781e32a215e"
_SECONDS = 60


def deliver(address: str, secret: str, event: str, body: bytes, delivery: str) -> tuple[int, Json]:
    """Send a webhook as GitHub does; return status and answer."""
    parts = urlsplit(address)
    assert parts.hostname is not None
    connection = HTTPConnection(parts.hostname, parts.port, timeout=_SECONDS)
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "GitHub-Hookshot/044aadd",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex(),
    }
    connection.request("POST", parts.path, body, headers)
    answer = connection.getresponse()
    said: Json = json.loads(answer.read())
    connection.close()
    return answer.status, said


class GithubDouble:
    """What GitHub knows.

    Attributes:
        url: Of the API.
        hooks: The webhooks as they were set up.
        deliveries: What was sent: event, body, id.
        answers: What came back.
        runs: The workflow run that deploys, or None.
    """

    def __init__(self) -> None:
        self.url = ""
        self.hooks: list[Json] = []
        self.deliveries: list[tuple[str, bytes, str]] = []
        self.answers: list[tuple[int, Json]] = []
        self.run: Json | None = None
        self._deployments: list[Json] = []
        self._now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=40)

    def answer(self, method: str, path: str, body: Json) -> tuple[int, Any]:
        """Answer one request to the API."""
        if method == "GET" and path == "/repos/acme/shop":
            return 200, self._repository()
        if path == "/repos/acme/shop/hooks":
            self.hooks.append(body)
            return 201, {"id": len(self.hooks), **body}
        if method == "POST" and path == "/repos/acme/shop/deployments":
            return 201, self._deploy(body)
        if found := re.fullmatch(r"/repos/acme/shop/deployments/(\d+)/statuses", path):
            return 201, self._state(self._deployments[int(found[1]) - 1], body)
        if found := re.fullmatch(r"/repos/acme/shop/deployments/(\d+)", path):
            return 200, self._deployments[int(found[1]) - 1]
        return 404, {"message": f"Not Found: {method} {path}"}

    def redeliver(self, order: slice = slice(None)) -> None:
        """Send every delivery again, as the button of the same name does."""
        for event, body, delivery in list(self.deliveries)[order]:
            self._send(event, body, delivery)

    def _deploy(self, asked: Json) -> Json:
        number = len(self._deployments) + 1
        deployment = {
            "id": number,
            "url": f"{self.url}/repos/acme/shop/deployments/{number}",
            "sha": SHA,
            "task": "deploy",
            "environment": "production",
            "description": None,
            "payload": {},
            "creator": {"login": "Codertocat"},
            **asked,
            **self._dates(),
        }
        self._deployments.append(deployment)
        self._tell("deployment", {"deployment": deployment})
        return deployment

    def _state(self, deployment: Json, asked: Json) -> Json:
        status = {"id": 7, "url": f"{deployment['url']}/statuses/7", **asked, **self._dates()}
        self._tell("deployment_status", {"deployment_status": status, "deployment": deployment})
        return status

    def _tell(self, event: str, said: Json) -> None:
        told = {"action": "created", **said, "workflow_run": self.run}
        body = json.dumps({**told, "repository": self._repository()}).encode()
        delivery = f"delivery-{len(self.deliveries) + 1}"
        self.deliveries.append((event, body, delivery))
        self._send(event, body, delivery)

    def _send(self, event: str, body: bytes, delivery: str) -> None:
        for hook in self.hooks:
            assert hook["config"]["content_type"] == "json"
            if event in hook["events"]:
                address, secret = hook["config"]["url"], hook["config"]["secret"]
                self.answers.append(deliver(address, secret, event, body, delivery))

    def _repository(self) -> Json:
        return {
            "id": 1,
            "name": "shop",
            "full_name": "acme/shop",
            "url": f"{self.url}/repos/acme/shop",
            "html_url": "https://github.com/acme/shop",
        }

    def _dates(self) -> Json:
        self._now += timedelta(seconds=1)
        at = self._now.strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"created_at": at, "updated_at": at}


@contextmanager
def github_double() -> Iterator[GithubDouble]:
    """Run it until the block ends."""
    double = GithubDouble()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _serve(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = json.loads(content) if content else {}
            status, said = double.answer(self.command, self.path.partition("?")[0], body)
            answer = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = _serve  # noqa: N815 - as http.server calls them

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
