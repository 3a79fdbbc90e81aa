"""The actuator `webhook`: a service of the operator's carries out orders that are posted to it."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import msgspec
import pytest

from deploymark.crypto.standard_webhooks import message_id_of, parse_secret, verify
from deploymark.emit.host import SystemHost
from deploymark.errors import (
    ActuatorRefusedError,
    ActuatorUnavailableError,
    DeploymarkError,
    OutcomeUnknownError,
    UsageError,
)
from deploymark.integrations.signed_webhook.actuator import WebhookActuator, WebhookOptions
from deploymark.ports import Actuator, Deed, Found, Release, order_fields
from deploymark.testing.actuator import ScriptedActuator, Trouble, exercise_actuator, order_for

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105 - an example
LOOPBACK = ["127.0.0.1"]


class Receiver:
    """A service that takes orders as the docs tell to write one."""

    def __init__(self) -> None:
        self.trouble = Trouble.NONE
        self.weight = 0.0
        self.fence = 0
        self.answer: tuple[int, dict[str, str], bytes] | None = None
        self.came: list[tuple[str, dict[str, str], bytes]] = []

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.came.append((path, headers, body))
        now_s = SystemHost().now_ms() // 1_000
        stamp = int(headers["webhook-timestamp"])
        secret = parse_secret(SECRET)
        verify(secret, headers["webhook-id"], stamp, body, headers["webhook-signature"], now_s)
        if not body:
            asked = dict(parse_qsl(urlsplit(path).query))
            found = "done" if float(asked["weight"]) == self.weight else "not_done"
            return 200, json.dumps({"found": found}).encode()
        order = json.loads(body)
        if self.trouble is Trouble.REFUSES or order["fence"] < self.fence:
            return 409, b"a later holder has acted"
        self.weight, self.fence = order["weight"], order["fence"]
        return 200, b"shifted"


class Handler(BaseHTTPRequestHandler):
    receiver: Receiver

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        receiver = self.receiver
        headers = {name.lower(): value for name, value in self.headers.items()}
        if receiver.trouble is Trouble.AWAY:
            self.send_error(503)
            return
        status, content = receiver.take(self.path, headers, body)
        more: dict[str, str] = {}
        if receiver.answer is not None:
            status, more, content = receiver.answer
        if receiver.trouble is Trouble.SILENT and body:
            return  # it hangs up
        self.send_response(status)
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def receiving() -> Iterator[tuple[Receiver, str]]:
    found = Receiver()
    handler = type("Bound", (Handler,), {"receiver": found})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield found, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(0o600)
    file.write_text(SECRET + "\n")
    return file


@pytest.fixture
def receiver() -> Iterator[tuple[Receiver, str]]:
    with receiving() as found:
        yield found


class WebhookWorld:
    """A receiver of its own."""

    remembers_fence = True
    canary = Release("d-new~1", "2", "", "")
    stable = Release("d-old~1", "1", "", "")

    def __init__(self, receiver: Receiver, url: str, secret_file: Path, *, sees: bool) -> None:
        self.sees = sees
        self._receiver = receiver
        self._options = WebhookOptions(
            url=f"{url}/orders",
            look_url=f"{url}/look?tenant=1" if sees else "",
            secret_file=str(secret_file),
            private_networks=LOOPBACK,
        )

    def actuator(self) -> Actuator:
        return WebhookActuator(self._options)

    def weight(self) -> float:
        return self._receiver.weight

    def suffer(self, trouble: Trouble) -> bool:
        self._receiver.trouble = trouble
        return True


@pytest.mark.parametrize("sees", [True, False])
def test_it_passes_the_suite(secret_file: Path, *, sees: bool) -> None:
    with ExitStack() as opened:
        exercise_actuator(
            lambda: WebhookWorld(*opened.enter_context(receiving()), secret_file, sees=sees)
        )


ORDER = order_for(ScriptedActuator(), weight=12.5, fence=3)


def actuator_at(url: str, secret_file: Path, **options: object) -> WebhookActuator:
    told = {"url": url, "secret_file": str(secret_file), "private_networks": LOOPBACK} | options
    return WebhookActuator(msgspec.convert(told, WebhookOptions))


def test_an_order_is_posted_whole_under_its_key(
    receiver: tuple[Receiver, str], secret_file: Path
) -> None:
    service, url = receiver
    dotted = msgspec.structs.replace(ORDER, key="shop.v2~1:shift:1")
    said = actuator_at(f"{url}/orders", secret_file).carry_out(dotted)
    assert said == f"{url} has done it: shifted"
    ((path, headers, body),) = service.came  # the receiver has verified it
    assert path == "/orders"
    assert json.loads(body) == order_fields(dotted)
    assert headers["webhook-id"] == message_id_of("shop.v2~1:shift:1") == "shop%2Ev2~1:shift:1"
    assert headers["content-type"] == "application/json"


def test_a_look_asks_about_the_order_and_is_signed_too(
    receiver: tuple[Receiver, str], secret_file: Path
) -> None:
    service, url = receiver
    actuator = actuator_at(url, secret_file, look_url=f"{url}/look?tenant=1")
    assert actuator.look(ORDER) is Found.NOT_DONE
    ((path, _, _),) = service.came
    assert dict(parse_qsl(urlsplit(path).query, keep_blank_values=True)) == {
        "tenant": "1",
        "key": "d-canary~1:shift:1",
        "action": "shift",
        "service": "shop",
        "environment": "prod",
        "canary": "d-canary~1",
        "stable": "d-stable~1",
        "weight": "12.5",
    }


STATUSES: dict[int, type[DeploymarkError] | None] = {
    **dict.fromkeys((200, 201, 202, 204), None),
    **dict.fromkeys((400, 401, 403, 404, 405, 409, 410, 413, 415, 422), ActuatorRefusedError),
    **dict.fromkeys((301, 302, 303, 307, 308), ActuatorRefusedError),
    **dict.fromkeys((429, 503), ActuatorUnavailableError),
    **dict.fromkeys((408, 418, 500, 502, 504), OutcomeUnknownError),
}


@pytest.mark.parametrize(("status", "error"), STATUSES.items())
def test_a_status_says_what_came_of_it(
    receiver: tuple[Receiver, str],
    secret_file: Path,
    status: int,
    error: type[DeploymarkError] | None,
) -> None:
    service, url = receiver
    service.answer = (status, {"Retry-After": "7", "Location": f"{url}/other"}, b"")
    actuator = actuator_at(url, secret_file)
    try:
        actuator.carry_out(ORDER)
        raised = None
    except DeploymarkError as problem:
        raised = problem
    assert (None if raised is None else type(raised)) is error
    if isinstance(raised, ActuatorUnavailableError):
        assert raised.wait_seconds == 7
    assert len(service.came) == 1


LOOKS = {
    "done": ((200, b'{"found": "done"}'), Found.DONE),
    "not done": ((200, b'{"found": "not_done", "more": 1}'), Found.NOT_DONE),
    "unknown": ((200, b'{"found": "unknown"}'), Found.UNKNOWN),
    "another word": ((200, b'{"found": "yes"}'), Found.UNKNOWN),
    "another shape": ((200, b"[]"), Found.UNKNOWN),
    "no JSON": ((200, b"\xff"), Found.UNKNOWN),
    "a status": ((404, b'{"found": "not_done"}'), None),
    "a failure": ((500, b""), None),
}


@pytest.mark.parametrize(("answer", "found"), LOOKS.values(), ids=LOOKS)
def test_a_look_believes_only_what_is_plainly_said(
    receiver: tuple[Receiver, str],
    secret_file: Path,
    answer: tuple[int, bytes],
    found: Found | None,
) -> None:
    service, url = receiver
    service.answer = (answer[0], {}, answer[1])
    actuator = actuator_at(url, secret_file, look_url=url)
    if found is not None:
        assert actuator.look(ORDER) is found
        return
    with pytest.raises(ActuatorUnavailableError):
        actuator.look(ORDER)


def test_where_nobody_listens_nothing_was_done(secret_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    actuator = actuator_at(url, secret_file, look_url=url)
    with pytest.raises(ActuatorUnavailableError):
        actuator.carry_out(ORDER)
    with pytest.raises(ActuatorUnavailableError):
        actuator.look(ORDER)


def test_an_answer_that_does_not_come_leaves_the_outcome_unknown(secret_file: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(OutcomeUnknownError, match="posted"):
            actuator_at(url, secret_file, timeout_seconds=0.3).carry_out(ORDER)


def test_a_private_address_is_refused_and_nothing_is_sent(
    receiver: tuple[Receiver, str], secret_file: Path
) -> None:
    service, url = receiver
    actuator = actuator_at(url, secret_file, private_networks=[], look_url=url)
    with pytest.raises(ActuatorRefusedError, match="private"):
        actuator.carry_out(ORDER)
    with pytest.raises(ActuatorUnavailableError, match="private"):
        actuator.look(ORDER)
    assert service.came == []


def test_what_cannot_work_is_refused_before_anything_happens(
    secret_file: Path, tmp_path: Path
) -> None:
    open_file, empty = tmp_path / "open", tmp_path / "empty"
    open_file.write_text(SECRET)
    open_file.chmod(0o644)
    empty.touch(0o600)
    wrong: list[dict[str, object]] = [
        {"secret_file": str(open_file)},
        {"secret_file": str(empty)},
        {"secret_file": str(tmp_path / "nowhere")},
        {"url": "http://hooks.example.com/"},
        {"look_url": "ftp://hooks.example.com/"},
        {"private_networks": ["10.0.0.1/8"]},
    ]
    usual = {"url": "https://hooks.example.com/", "secret_file": str(secret_file)}
    for options in wrong:
        with pytest.raises(UsageError):
            WebhookActuator(msgspec.convert(usual | options, WebhookOptions))
    assert actuator_at("http://hooks.example.com/", secret_file, allow_plain_http=True).name


def test_nothing_is_posted_for_a_return_to_nowhere(
    receiver: tuple[Receiver, str], secret_file: Path
) -> None:
    service, url = receiver
    nowhere = msgspec.structs.replace(ORDER, deed=Deed.ROLL_BACK, stable=None)
    with pytest.raises(ActuatorRefusedError):
        actuator_at(url, secret_file).carry_out(nowhere)
    assert service.came == []


def test_the_path_of_an_address_may_be_secret_and_is_not_shown(
    receiver: tuple[Receiver, str], secret_file: Path
) -> None:
    service, url = receiver
    actuator = actuator_at(f"{url}/hidden-word?key=hidden-word", secret_file)
    said = [actuator.name, actuator.carry_out(ORDER)]
    service.answer = (500, {}, b"what\nbroke \x1b[31m")
    with pytest.raises(OutcomeUnknownError) as unknown:
        actuator.carry_out(ORDER)
    said.append(unknown.value.message)
    assert "hidden-word" not in "".join(said)
    assert said[-1].endswith("status 500: what")
