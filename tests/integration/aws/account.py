"""An AWS account for tests: moto on loopback, and a door before it that can make trouble.

The door enforces what moto does not: an update of an alias with another revision than it has is
answered with 412, and every update makes a new revision. Nothing here can reach AWS: credentials
are made up, and everything that is not loopback goes to a proxy that is not there.
"""

import http.client
import io
import json
import logging
import threading
import urllib.parse
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import boto3
import pytest
from moto.server import ThreadedMotoServer

REGION = "eu-west-1"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "made-up",
    "AWS_SECRET_ACCESS_KEY": "made-up",
    "AWS_DEFAULT_REGION": REGION,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "HTTPS_PROXY": "http://127.0.0.1:1",
    "NO_PROXY": "127.0.0.1",
}

Json = dict[str, Any]


class Door:
    """Passes requests on to moto.

    Attributes:
        answers: Status and error code that requests of a method get instead of being passed on.
        deaf_after_write: The next write is passed on; it and all that follows get no answer.
        mute_next_write: The next write is passed on, and gets no answer.
        meddles: How many more updates come too late, because somebody wrote in between.
    """

    def __init__(self, behind: tuple[str, int]) -> None:
        self.behind = behind
        self.answers: dict[str, tuple[int, str]] = {}
        self.deaf_after_write = self.mute_next_write = self.is_deaf = False
        self.meddles = 0
        self.revisions: dict[str, int] = {}
        self.written: list[Json] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def revision(self, path: str) -> str:
        return f"revision-{self.revisions.get(path, 0)}"


def _handler_for(door: Door) -> type["_Handler"]:
    class Bound(_Handler):
        pass

    Bound.door = door
    return Bound


class _Handler(BaseHTTPRequestHandler):
    door: ClassVar[Door]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        door, path = self.door, urllib.parse.urlsplit(self.path).path
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        is_update = self.command == "PUT" and "/aliases/" in path
        if self.command in door.answers:
            self._refuse(*door.answers[self.command])
            return
        if is_update:
            asked = json.loads(body)
            door.written.append(asked)
            if door.meddles:
                door.meddles -= 1
                door.revisions[path] = door.revisions.get(path, 0) + 1
            if asked.get("RevisionId") not in (None, door.revision(path)):
                self._refuse(412, "PreconditionFailedException")
                return
        status, answer = self._passed_on(body)
        if is_update and status < 300:
            door.revisions[path] = door.revisions.get(path, 0) + 1
        if self.command != "GET":
            door.is_deaf = door.is_deaf or door.deaf_after_write
        if door.is_deaf or (door.mute_next_write and self.command != "GET"):
            door.mute_next_write = False
            self.close_connection = True
            return
        if "/aliases/" in path and status < 300 and answer:
            answer = json.dumps({**json.loads(answer), "RevisionId": door.revision(path)}).encode()
        self._send(status, answer)

    def _passed_on(self, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(*self.door.behind, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() != "host"}
        connection.request(self.command, self.path, body, {**headers, "Host": "lambda"})
        answer = connection.getresponse()
        try:
            return answer.status, answer.read()
        finally:
            connection.close()

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, json.dumps({"Message": "The door says so."}).encode(), code)

    def _send(self, status: int, body: bytes, code: str = "") -> None:
        self.send_response(status)
        if code:
            self.send_header("x-amzn-ErrorType", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Account:
    """The function `shop`, without a version or an alias at first."""

    def __init__(self, door: Door, behind: tuple[str, int]) -> None:
        self.door = door
        url = f"http://{behind[0]}:{behind[1]}"
        iam = boto3.client("iam", endpoint_url=url)
        self.client = boto3.client("lambda", endpoint_url=url)
        role = iam.create_role(RoleName="shop", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        iam.close()
        self.client.create_function(
            FunctionName="shop",
            Runtime="python3.12",
            Role=role,
            Handler="shop.handler",
            Code={"ZipFile": package(b"first")},
        )

    @property
    def access(self) -> Json:
        """What the options of adapters must say to get here."""
        return {"region": REGION, "endpoint_url": self.door.url}

    def publish(self, code: bytes) -> tuple[str, str]:
        """Publish a version; gives its number and its digest."""
        done = self.client.update_function_code(
            FunctionName="shop", ZipFile=package(code), Publish=True
        )
        return done["Version"], f"sha256:{b64decode(done['CodeSha256']).hex()}"

    def alias(self, name: str, version: str, description: str = "") -> None:
        self.client.create_alias(
            FunctionName="shop", Name=name, FunctionVersion=version, Description=description
        )

    def point(self, name: str, version: str, weights: dict[str, float] | None = None) -> None:
        """Update an alias as a person would, so that it has another revision."""
        client = boto3.client("lambda", endpoint_url=self.door.url)
        client.update_alias(
            FunctionName="shop",
            Name=name,
            FunctionVersion=version,
            RoutingConfig={"AdditionalVersionWeights": weights or {}},
        )
        client.close()

    def shown(self, name: str) -> Json:
        found: Json = self.client.get_alias(FunctionName="shop", Name=name)
        return found


def package(code: bytes) -> bytes:
    """Return a ZIP file that is the same for the same code."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("shop.py"), code)
    return file.getvalue()


@contextmanager
def running_moto() -> Iterator[tuple[str, int]]:
    """Run moto until the block ends; gives where it answers."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        yield server.get_host_and_port()
    finally:
        server.stop()


def keep_from_aws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make up credentials, and cut the way to everything that is not loopback."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
        monkeypatch.setenv(name.lower(), value)


@contextmanager
def account(behind: tuple[str, int]) -> Iterator[Account]:
    """Give an account of its own, until the block ends."""
    connection = http.client.HTTPConnection(*behind, timeout=60)
    connection.request("POST", "/moto-api/reset")
    connection.getresponse().read()
    connection.close()
    door = Door(behind)
    made = Account(door, behind)
    try:
        yield made
    finally:
        made.client.close()
        door.close()
