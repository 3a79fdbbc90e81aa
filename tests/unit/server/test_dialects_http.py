"""Clients of other systems at the door: who they are, what they may, what becomes of it."""

import base64
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from door_samples import Door, Reply
from projected_log import compiled_once

from deploymark.crypto.webhook_signature import Profile
from deploymark.errors import DialectError, RateLimitedError
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import (
    BASIC,
    BEARER,
    Carrier,
    Credential,
    Dialect,
    ForeignReply,
    ForeignRequest,
    Read,
    RecordQuery,
    Refusal,
    Route,
    Said,
    Signature,
    Token,
    Told,
    Translated,
    Write,
    in_json,
)
from deploymark.projections.database import open_views
from deploymark.projections.records import RecordsView
from deploymark.projections.records_query import Records
from deploymark.projections.runner import Runner
from deploymark.runtime.dialects import mounted_dialects
from deploymark.server.application import Application
from deploymark.server.dialects.calling import described
from deploymark.server.dialects.mounted import Mounted
from deploymark.server.settings import Settings
from deploymark.server.views import entry_view
from deploymark.testing.meter import ListMeter

_SECRET = "a secret of webhooks"  # noqa: S105 - of this test
_HMAC = Signature(Profile.HEX, "x-signature")
_MARKER = {"service": "web", "environment": "prod", "phase": "applied", "version": "1"}


def _said(request: ForeignRequest) -> Said:
    body = request.form or request.json()
    if "wrong" in body:
        raise DialectError("This is wrong.")
    fields = {**_MARKER, **{name: body[name] for name in ("author", "service") if name in body}}
    return Said((Translated(fields, str(body.get("text", "")), tuple(body.get("tags", ()))),))


def _answer(request: ForeignRequest, _: Said, told: list[Told]) -> ForeignReply:
    return in_json({"id": told[0].index, "by": request.caller, "again": told[0].duplicate}, 202)


def _refuse(refusal: Refusal) -> ForeignReply:
    told = {"error": refusal.message, "code": refusal.code, "again_s": refusal.retry_after_s}
    return in_json(told, refusal.status, [("x-refused", "yes")])


def _dialect(*credentials: Credential, max_body_bytes: int = 10_000) -> Dialect:
    write = Write(_said, _answer)  # type: ignore[arg-type]
    read = Read(lambda request, _: in_json(dict(request.path)), looks=False)
    return Dialect(
        "test",
        "Tests",
        (
            Route("POST", "/dialect/{name}/say", "Say it.", write, credentials),
            Route("GET", "/dialect/{name:path}", "Show it.", read, credentials),
        ),
        _refuse,
        max_body_bytes,
    )


class _Side:
    """A door with a dialect."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.speak(BEARER)

    def speak(self, *credentials: Credential, scope: Scope | None = None, **more: int) -> None:
        """Mount the dialect with these ways to show who calls."""
        mounted = Mounted(_dialect(*credentials, **more), secrets=lambda: (_SECRET,), scope=scope)
        self.door.app = Application(self.door.parts, Settings(), [mounted])

    @property
    def token(self) -> str:
        return self.door.tokens[Role.EMITTER]

    def say(self, body: object = None, path: str = "/dialect/x/say", **headers: str) -> Reply:
        """Send a body, JSON unless it is bytes."""
        sent = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.door.ask("POST", path, None, sent, named)

    def last(self) -> dict[str, Any]:
        """Return the newest entry."""
        store = self.door.log.store
        return entry_view(store.entry(store.head().size - 1))


@pytest.fixture
def side(door: Door) -> _Side:
    """Return a door with a dialect."""
    return _Side(door)


def _basic(pair: str) -> str:
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


_WAYS: Mapping[str, tuple[Credential, Callable[[str], dict[str, Any]]]] = {
    "a bearer": (BEARER, lambda token: {"authorization": f"bearer {token}"}),
    "a password": (BASIC, lambda token: {"authorization": _basic(f"any:{token}")}),
    "a user without a password": (BASIC, lambda token: {"authorization": _basic(f"{token}:")}),
    "a header": (Token(Carrier.HEADER, "x-api-key"), lambda token: {"x_api_key": token}),
    "a header with a prefix": (
        Token(Carrier.HEADER, "authorization", "GenieKey "),
        lambda token: {"authorization": f"geniekey {token}"},
    ),
    "a parameter": (
        Token(Carrier.QUERY, "key"),
        lambda token: {"path": f"/dialect/x/say?key={token}"},
    ),
    "a field": (Token(Carrier.BODY, "a.key"), lambda token: {"body": {"a": {"key": token}}}),
    "a field of a form": (
        Token(Carrier.BODY, "key"),
        lambda token: {
            "body": f"key={token}&text=hello".encode(),
            "content_type": "application/x-www-form-urlencoded",
        },
    ),
}


@pytest.mark.parametrize("way", _WAYS)
def test_a_token_of_ours_stands_where_the_client_puts_its_own(side: _Side, way: str) -> None:
    credential, shown = _WAYS[way]
    side.speak(_HMAC, credential)

    assert side.say(**shown(side.token)).json["by"] == "token:emitter"
    assert side.last()["principal"] == "token:emitter"
    for wrong in (shown("dm_wrong"), {}):
        refused = side.say(**wrong)
        assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
        assert described(credential) in refused.json["error"]
        assert refused.headers["x-refused"] == "yes"
        assert "bearer" in refused.headers["www-authenticate"].lower()


def test_a_signed_webhook_is_a_caller_with_the_scope_of_its_section(side: _Side) -> None:
    side.speak(_HMAC, scope=Scope(services=("web",), environments=("*",)))
    sent = json.dumps({"text": "hello"}).encode()
    signature = "sha256=" + hmac.digest(_SECRET.encode(), sent, "sha256").hex()

    assert side.say(sent, x_signature=signature).json["by"] == "webhook:test"
    entry = side.last()
    assert (entry["principal"], entry["assurance"]) == ("webhook:test", "attributed")
    forged = side.say(sent + b" ", x_signature=signature)
    assert (forged.status, forged.json["code"]) == (401, "unauthenticated")
    assert "[dialects.test]" in forged.json["error"]
    other = json.dumps({"service": "api"}).encode()
    signature = "sha256=" + hmac.digest(_SECRET.encode(), other, "sha256").hex()
    assert side.say(other, x_signature=signature).status == 403


def test_an_address_that_fits_two_dialects_is_answered_by_the_one_that_takes_the_method(
    side: _Side,
) -> None:
    shows = Dialect(
        "other",
        "Others",
        (
            Route(
                "GET",
                "/dialect/{name:path}",
                "Show.",
                Read(lambda *_: in_json("shown"), looks=False),
            ),
            Route(
                "PUT", "/dialect/{name:path}", "Put.", Read(lambda *_: in_json("put"), looks=False)
            ),
        ),
        _refuse,
    )
    says = _dialect(BEARER)
    says = Dialect(says.name, says.title, says.routes[:1], says.refuse)
    side.door.app = Application(side.door.parts, Settings(), [Mounted(shows), Mounted(says)])

    assert side.say(authorization=f"Bearer {side.token}").status == 202
    path = "/dialect/x/say"
    assert side.door.ask("GET", path, Role.EMITTER).json == "shown"
    refused = side.door.ask("DELETE", path, Role.EMITTER)
    assert (refused.status, refused.json["code"]) == (405, "method_not_allowed")
    assert refused.headers["allow"] == "GET, HEAD, PUT"
    assert (refused.headers["x-refused"], "error" in refused.json) == ("yes", True)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/api/0/", "method_not_allowed"),
        ("DELETE", "/api/annotations", "method_not_allowed"),
        ("POST", "/api/annotations/7", "method_not_allowed"),
        ("PATCH", "/api/v4/projects/team%2Fweb/deployments", "method_not_allowed"),
        ("PUT", "/api/1/deploy/7", "method_not_allowed"),
        ("DELETE", "/api/v4/projects/7/deploys", "method_not_allowed"),
        ("GET", "/api/0/issues/", "not_found"),
        ("GET", "/api/annotations/7/tags", "not_found"),
        ("GET", "/api/v4/groups", "not_found"),
        ("GET", "/api/1/items", "not_found"),
        ("GET", "/v1/deploys/7", "not_found"),
    ],
)
def test_a_dialects_client_is_told_in_its_form_that_nothing_answers_it(
    door: Door, method: str, path: str, code: str
) -> None:
    door.app = Application(door.parts, Settings(), mounted_dialects({}))
    for accept in ("*/*", "text/html"):
        told = door.ask(method, path, headers={"accept": accept})
        assert told.status == (405 if code == "method_not_allowed" else 404)
        assert "problem" not in told.headers["content-type"]
        assert "text/html" not in told.headers["content-type"]
        assert "type" not in told.json
        assert ("allow" in told.headers) == (told.status == 405)


def test_a_host_that_is_not_ours_is_told_in_the_clients_form(side: _Side) -> None:
    settings = Settings(hosts=frozenset({"localhost"}))
    side.door.app = Application(side.door.parts, settings, [Mounted(_dialect(BEARER))])
    refused = side.say(host="elsewhere.example")
    assert (refused.status, refused.json["code"]) == (421, "unknown_host")
    assert refused.headers["x-refused"] == "yes"


@pytest.mark.parametrize("path", ["/v1/nothing", "/api/nothing", "/hooks/nothing", "/nothing"])
def test_what_is_nobodys_is_told_as_a_problem(door: Door, path: str) -> None:
    door.app = Application(door.parts, Settings(), mounted_dialects({}))
    told = door.ask("GET", path)
    assert (told.status, told.headers["content-type"]) == (404, "application/problem+json")
    refused = door.ask("DELETE", "/v1/markers")
    assert (refused.status, refused.headers["content-type"]) == (405, "application/problem+json")


def test_a_scope_and_a_role_hold_as_for_markers(side: _Side, door: Door) -> None:
    narrow = door.parts.tokens.issue(
        "narrow", [Role.EMITTER], Scope(services=("api",), environments=("*",)), None, LOCAL
    ).text
    refused = side.say(authorization=f"Bearer {narrow}")
    assert refused.status == 403
    assert "token:narrow may not say this: service" in refused.json["error"]
    reader = door.tokens[Role.READER]
    assert side.say(authorization=f"Bearer {reader}").status == 403


def test_a_repeated_request_is_a_duplicate(side: _Side) -> None:
    told = [side.say(authorization=f"Bearer {side.token}").json for _ in range(2)]
    assert [each["again"] for each in told] == [False, True]
    assert told[0]["id"] == told[1]["id"]


def test_what_is_personal_or_long_is_kept_beside_the_marker(side: _Side, door: Door) -> None:
    text = "Ask ann@example.org " + "x" * 3_000
    tags = ["t" * 300, "b"]
    body = {"author": "ann@example.org", "text": text, "tags": tags}
    for _ in range(2):
        assert side.say(body, authorization=f"Bearer {side.token}").status == 202
    size = door.log.store.head().size

    marker = side.last()["marker"]
    assert marker == {
        **_MARKER,
        "kind": "deployment",
        "emitter": {"kind": "gateway", "id": "test"},
        "labels": {"dialect": "test"},
        "details_digest": marker["details_digest"],
    }
    blob = door.log.store.blob(bytes.fromhex(marker["details_digest"].removeprefix("sha256:")))
    assert json.loads(blob.content or b"") == {
        "text": text,
        "tags": tags,
        "/author": "ann@example.org",
    }
    assert side.say(body, authorization=f"Bearer {side.token}").json["again"]
    assert door.log.store.head().size == size  # and no document is stored twice


def test_a_secret_is_refused_in_the_words_of_the_client(side: _Side) -> None:
    body = {"text": "password=hunter2hunter2hunter2"}
    refused = side.say(body, authorization=f"Bearer {side.token}")
    assert (refused.status, refused.json["code"]) == (422, "secret_refused")
    assert "hunter2" not in refused.json["error"]


def test_a_refusal_of_the_translation_is_told_in_the_words_of_the_client(side: _Side) -> None:
    refused = side.say({"wrong": 1}, authorization=f"Bearer {side.token}")
    assert (refused.status, refused.json["code"]) == (400, "bad_dialect_request")
    assert refused.json["error"].startswith("This is wrong.")


def test_a_name_that_is_used_again_shows_only_what_the_new_scope_has(
    side: _Side, tmp_path: Path
) -> None:
    tokens, store = side.door.keeper, side.door.log.store
    views = compiled_once(open_views(tmp_path / "views.db"))
    runner: Runner = Runner(store, views, [RecordsView()], ListMeter())
    side.door.parts = replace(side.door.parts, records=Records(views, store))
    shows = Read(lambda _, records: in_json([r.index for r in records.search(RecordQuery())]))
    says = _dialect(BEARER)
    routes = (says.routes[0], Route("GET", "/dialect/records", "List.", shows, (BEARER,)))
    dialect = Dialect(says.name, says.title, routes, says.refuse)
    side.door.app = Application(side.door.parts, Settings(), [Mounted(dialect)])
    everything = Scope(services=("*",), environments=("*",))
    first = tokens.issue("ci", [Role.EMITTER], everything, None, LOCAL)

    def listed(token: str) -> list[int]:
        found: list[int] = side.door.ask(
            "GET", "/dialect/records", headers={"authorization": f"Bearer {token}"}
        ).json
        return found

    try:
        shop, pay = (
            side.say({"service": name}, authorization=f"Bearer {first.text}").json["id"]
            for name in ("shop-web", "pay")
        )
        runner.catch_up()
        assert sorted(listed(first.text)) == [shop, pay]
        tokens.revoke(first.record.id, LOCAL)
        narrow = Scope(services=("shop-*",), environments=("*",))
        second = tokens.issue("ci", [Role.EMITTER], narrow, None, LOCAL)
        assert listed(second.text) == [shop]
    finally:
        runner.stop()
        views.close()


def test_a_body_has_a_limit_also_before_anybody_is_known(side: _Side) -> None:
    side.speak(Token(Carrier.BODY, "key"), max_body_bytes=100)
    refused = side.say({"key": side.token, "text": "x" * 100})
    assert (refused.status, refused.json["code"]) == (413, "too_large")
    budget = side.door.app._desk.bodies
    assert side.say({"key": side.token}).status == 202
    side.say({"key": "dm_wrong"})
    assert budget.held_bytes == budget._strangers_hold_bytes == 0


def test_how_often_one_may_ask_is_told_with_the_time_to_come_back(side: _Side, door: Door) -> None:
    class Empty:
        def demand(self, key: str, what: str, amount: int = 1) -> None:
            raise RateLimitedError(f"Too many {what} of {key}, {amount}.", retry_after_s=7)

    turned_away: list[Caller] = []
    object.__setattr__(door.parts, "throttle", Empty())
    object.__setattr__(door.parts, "turned_away", lambda _, caller: turned_away.append(caller))
    refused = side.say(authorization=f"Bearer {side.token}")
    assert (refused.status, refused.json["again_s"]) == (429, 7)
    assert refused.headers["retry-after"] == "7"
    assert [each.principal for each in turned_away] == ["token:emitter"]


def test_an_address_is_answered_with_and_without_its_final_slash(side: _Side, door: Door) -> None:
    told = {"authorization": f"Bearer {side.token}"}
    for path, name in (
        ("/dialect/a/b", "a/b"),
        ("/dialect/a/b/", "a/b"),
        ("/dialect/a/b/?any=thing&any=more", "a/b"),
    ):
        answered = door.ask("GET", path, headers=told | {"accept": "text/html"})
        assert (answered.status, answered.json) == (200, {"name": name})
    assert side.say(path="/dialect/x/say/", **told).status == 202


@pytest.mark.usefixtures("side")
def test_dialects_stay_out_of_the_interface_that_we_describe(door: Door) -> None:
    described = door.ask("GET", "/openapi.json").json
    assert not [path for path in described["paths"] if path.startswith("/dialect")]
