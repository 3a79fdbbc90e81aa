"""The gate at the front door: answers, waiting, and what a reader who means harm can do."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from door_samples import Reply, knock

from deploymark.act.gate_book import ENTRIES_AT_ONCE
from deploymark.errors import RateLimitedError
from deploymark.ingest.callers import LOCAL
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.projections.logged import read_entry
from deploymark.runtime.compose import OpenLog, init_log, open_log
from deploymark.runtime.config import parse_configuration
from deploymark.runtime.front import admission_rules, open_front
from deploymark.server.application import Application
from deploymark.server.waiting import WaitingRoom

ALL = Scope(services=("*",), environments=("*",))
CONFIGURATION = parse_configuration(
    {
        "log": {"publish_seconds": 60},
        "policy": {
            "rules": [
                {"name": "owned", "kind": "owner"},
                {
                    "name": "frozen",
                    "kind": "window",
                    "environments": ["frozen"],
                    "days": [{"first": "2000-01-01", "last": "2100-01-01"}],
                },
            ]
        },
    }
)
JSON = {"content-type": "application/json"}
DEADLINE_SECONDS = 30


class Gate:
    """A server with a policy, and somebody with each role before it."""

    def __init__(self, log: OpenLog, app: Application) -> None:
        self.log = log
        self.app = app
        self.tokens = {
            role: app._desk.parts.tokens.issue(
                role, [role], ALL if role is Role.EMITTER else None, None, LOCAL
            ).text
            for role in (Role.READER, Role.EMITTER, Role.OPERATOR)
        }

    def headers(self, role: Role) -> dict[str, str]:
        return {"host": "localhost", "authorization": f"Bearer {self.tokens[role]}", **JSON}

    def ask(self, method: str, path: str, body: object = None, role: Role = Role.READER) -> Reply:
        sent = b"" if body is None else json.dumps(body).encode()
        return asyncio.run(knock(self.app, method, path, self.headers(role), sent))

    def mark(self, service: str, environment: str = "prod", **fields: object) -> str:
        marker = {
            "service": service,
            "environment": environment,
            "phase": "planned",
            "version": "1",
            "emitter": {"kind": "ci", "id": "deploy.yml"},
            **fields,
        }
        reply = self.ask("POST", "/v1/markers", marker, Role.EMITTER)
        assert reply.status in {200, 201}, reply.body
        return str(reply.json["deployment_id"])

    def answer(self, service: str, environment: str = "prod", **more: str) -> dict[str, Any]:
        said = {"service": service, "environment": environment, **more}
        query = "&".join(f"{name}={quote(text)}" for name, text in said.items())
        reply = self.ask("GET", f"/v1/gate?{query}")
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json
        return found

    @property
    def size(self) -> int:
        return self.log.store.head().size


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    init_log(tmp_path / "data", "log.example/gate")
    with (
        open_log(tmp_path / "data", rules=admission_rules(CONFIGURATION)) as log,
        open_front(log, CONFIGURATION, listen_host="127.0.0.1") as front,
    ):
        yield Gate(log, front.app)


def test_it_answers_with_reasons_and_the_entry_that_says_so(gate: Gate) -> None:
    identity = gate.mark("shop", owner="team:shop")
    answer = gate.answer("shop")
    assert answer["decision"] == "pass"
    assert (answer["deployment_id"], answer["rollout"]) == (f"{identity}~1", "not_begun")
    assert [each["about"] for each in answer["reasons"]] == ["policy:owned"]
    entry = read_entry(gate.log.store.entry(answer["decision_index"]))
    assert (entry.content.action, entry.content.result) == ("gate", "pass")  # type: ignore[union-attr]
    assert entry.content.actor == "token:reader"  # type: ignore[union-attr]
    assert "rules" not in answer


def test_what_was_marked_a_moment_ago_is_already_seen(gate: Gate) -> None:
    for number in range(20):
        service = f"shop-{number}"
        gate.mark(service, owner="team:shop")
        assert gate.answer(service)["decision"] == "pass", number


def test_it_explains_every_rule_with_what_it_looked_at(gate: Gate) -> None:
    gate.mark("shop")
    rules = {each["rule"]: each for each in gate.answer("shop", explain="true")["rules"]}
    assert rules["owned"]["looked_at"] == {"owner": None}
    assert (rules["owned"]["answer"], rules["frozen"]["applies"]) == ("fail", False)


def test_a_dry_run_and_a_head_log_nothing(gate: Gate) -> None:
    gate.mark("shop")
    size = gate.size
    assert gate.answer("shop", dry_run="true")["decision_index"] is None
    assert gate.ask("HEAD", "/v1/gate?service=shop&environment=prod").status == 200
    assert gate.size == size
    asked = {"service": "shop", "environment": "prod", "dry_run": True}
    assert gate.ask("POST", "/v1/gate", asked).json["decision_index"] is None


def test_the_gate_is_opened_by_operators_only(gate: Gate) -> None:
    identity = gate.mark("shop", "frozen", owner="team:shop")
    assert gate.answer("shop", "frozen")["decision"] == "fail"
    asked = {
        "action": "gate",
        "deployment_id": identity,
        "reason": "INC-17",
        "break_glass": True,
    }
    assert gate.ask("POST", "/v1/actions", asked, Role.READER).status == 403
    assert gate.ask("POST", "/v1/actions", asked, Role.EMITTER).status == 403
    no_reason = {**asked, "reason": ""}
    assert gate.ask("POST", "/v1/actions", no_reason, Role.OPERATOR).status == 400
    opened = gate.ask("POST", "/v1/actions", asked, Role.OPERATOR)
    assert opened.status == 202
    answer = gate.answer("shop", "frozen")
    assert answer["decision"] == "pass"
    assert answer["reasons"][-1]["reason"].startswith("token:operator broke the glass in entry ")


# Waiting -----------------------------------------------------------------------------------------


async def waiting(
    gate: Gate, asked: Mapping[str, object], leaves: asyncio.Event
) -> dict[str, Any] | None:
    """Ask and stay on the line until an event; return the answer, None when there is none."""
    body = [{"type": "http.request", "body": json.dumps(asked).encode(), "more_body": False}]
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/gate",
        "raw_path": b"/v1/gate",
        "root_path": "",
        "query_string": b"",
        "scheme": "http",
        "client": ("127.0.0.1", 50_000),
        "headers": [
            (name.encode(), text.encode()) for name, text in gate.headers(Role.READER).items()
        ],
    }
    sent: list[Any] = []

    async def receive() -> Any:  # noqa: ANN401 - an ASGI message
        if body:
            return body.pop()
        await leaves.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        sent.append(message)

    await gate.app(scope, receive, send)
    if not sent:
        return None
    assert sent[0]["status"] == 200
    found: dict[str, Any] = json.loads(sent[-1]["body"])
    return found


async def somebody_waits(gate: Gate) -> None:
    while not gate.app._desk.waiting._callers.total():  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.01)


def test_it_waits_until_somebody_says_what_was_missing(gate: Gate) -> None:
    gate.mark("shop")

    async def story() -> None:
        asked = {"service": "late", "environment": "prod", "wait": 60}
        line = asyncio.create_task(waiting(gate, asked, asyncio.Event()))
        await somebody_waits(gate)
        await asyncio.to_thread(gate.mark, "late", owner="team:late")
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await line
        assert answer is not None
        assert answer["decision"] == "pass"
        assert gate.app._desk.waiting._callers.total() == 0

    asyncio.run(story())


def test_it_does_not_wait_longer_than_asked(gate: Gate) -> None:
    async def story() -> None:
        asked = {"service": "never", "environment": "prod", "wait": 0.05}
        async with asyncio.timeout(DEADLINE_SECONDS):
            answer = await waiting(gate, asked, asyncio.Event())
        assert answer is not None
        assert answer["decision"] == "inconclusive"

    asyncio.run(story())


def test_who_hangs_up_waits_no_longer_and_is_not_logged(gate: Gate) -> None:
    gate.mark("shop", owner="team:shop")

    async def story() -> None:
        leaves = asyncio.Event()
        asked = {"service": "shop", "environment": "prod", "deployment_id": "d-no", "wait": 60}
        line = asyncio.create_task(waiting(gate, asked, leaves))
        await somebody_waits(gate)
        size = gate.size
        leaves.set()
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await line is None
        assert gate.app._desk.waiting._callers.total() == 0
        assert gate.size == size

    asyncio.run(story())


def test_a_server_that_stops_lets_nobody_wait(gate: Gate) -> None:
    async def story() -> None:
        asked = {"service": "never", "environment": "prod", "wait": 60}
        line = asyncio.create_task(waiting(gate, asked, asyncio.Event()))
        await somebody_waits(gate)
        gate.app.close()
        async with asyncio.timeout(DEADLINE_SECONDS):
            assert await line is not None

    asyncio.run(story())


def test_more_than_so_many_do_not_wait(gate: Gate) -> None:
    room = WaitingRoom(most=3, of_one=2)
    with room.seat("a"), room.seat("a"):
        with pytest.raises(RateLimitedError), room.seat("a"):
            pass
        with room.seat("b"), pytest.raises(RateLimitedError), room.seat("c"):
            pass
    with room.seat("a"), room.seat("a"):
        pass
    assert gate.app._desk.waiting is not room


# Attacks -----------------------------------------------------------------------------------------

ODD = [
    "",
    " ",
    "*",
    "%",
    "'; drop table broker_run; --",
    "a" * 256,
    "a" * 257,
    "a" * 20_000,
    "\N{PARTY POPPER}" * 64,
    "\0",
    "\x1b[2J",
    "../../etc/passwd",
    "d-x~0",
    "d-x~999999999",
    "d-x~9999999999",
    "~1",
    "D-UPPER",
    "d_x.y-z",
    "NaN",
    "true",
]


def test_nothing_that_is_asked_breaks_it(gate: Gate) -> None:
    gate.mark("shop", owner="team:shop")
    names = ("service", "environment", "deployment_id", "explain", "dry_run", "wait")
    for odd, name in product(ODD, names):
        asked = {"service": "shop", "environment": "prod", name: odd}
        query = "&".join(f"{key}={quote(text)}" for key, text in asked.items())
        assert gate.ask("GET", f"/v1/gate?{query}").status < 500, (name, odd)
        assert gate.ask("POST", "/v1/gate", asked).status < 500, (name, odd)


BODIES: dict[str, tuple[object, int]] = {
    "nothing": ({}, 422),
    "a list": ([], 422),
    "a wait that is too long": ({"service": "a", "environment": "b", "wait": 61}, 422),
    "a wait that is past": ({"service": "a", "environment": "b", "wait": -1}, 422),
    "a field too many": ({"service": "a", "environment": "b", "role": "admin"}, 422),
    "a huge field": ({"service": "a" * 100_000, "environment": "b"}, 413),
}


def test_a_body_that_asks_for_nothing_is_refused(gate: Gate) -> None:
    for what, (body, status) in BODIES.items():
        assert gate.ask("POST", "/v1/gate", body).status == status, what


def test_half_a_character_is_refused(gate: Gate) -> None:
    body = b'{"service": "\\ud800", "environment": "prod"}'
    reply = asyncio.run(knock(gate.app, "POST", "/v1/gate", gate.headers(Role.READER), body))
    assert reply.status in {400, 422}


def test_a_reader_cannot_fill_the_log(gate: Gate) -> None:
    names = [gate.mark("shop", version=str(n), action=f"ci/{n}") for n in range(70)]
    gate.answer("shop")  # the views have seen all
    size = gate.size
    statuses = []
    for number in range(400):
        made_up = f"service-{number}"
        statuses.append(gate.ask("GET", f"/v1/gate?service={made_up}&environment=prod").status)
        path = f"/v1/gate?service=shop&environment=prod&deployment_id={names[number % 70]}"
        statuses.append(gate.ask("GET", path).status)
    grown = gate.size - size
    assert 0 < grown <= ENTRIES_AT_ONCE + 10
    assert set(statuses) == {200, 429}
    assert gate.answer("shop", dry_run="true")["decision"] == "fail"
