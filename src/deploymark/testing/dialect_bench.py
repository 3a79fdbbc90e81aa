"""A real server to which one dialect's clients talk, in process: no socket, everything else.

Log, admission, views and configuration are the ones of `deploymark up`, in a folder that goes away.
"""

import asyncio
import base64
import hmac
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from deploymark.crypto.standard_webhooks import (
    ID_HEADER,
    TIMESTAMP_HEADER,
    parse_secret,
    sign,
)
from deploymark.crypto.webhook_signature import HEX_PREFIX, Profile
from deploymark.ingest.callers import LOCAL
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import Ask, Carrier, Credential, Dialect, Route, Signature, Token
from deploymark.runtime.compose import OpenLog, init_log, open_log
from deploymark.runtime.config import parse_configuration
from deploymark.runtime.front import admission_rules, open_front
from deploymark.runtime.system import SystemClock
from deploymark.server.application import Application
from deploymark.server.parts import Parts
from deploymark.server.views import entry_view

ORIGIN: Final = "log.example/dialect"
SECRET: Final = "whsec_" + base64.b64encode(b"the secret of all webhooks").decode()
_FORM: Final = "application/x-www-form-urlencoded"
_HOST: Final = "deploymark.test"


class Call(Struct, frozen=True, kw_only=True):
    """One request as a client of the dialect sends it, without its credential.

    Attributes:
        method: Such as POST.
        path: Its address, with the query behind a question mark.
        body: As sent.
        headers: By lower-case name.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = {}


class Answered(Struct, frozen=True):
    """What came back."""

    status: int
    media_type: str
    body: bytes

    @property
    def json(self) -> Any:  # noqa: ANN401 - whatever it says
        """The body as JSON, None when it is empty, its text when it is no JSON."""
        if not self.body:
            return None
        try:
            return json.loads(self.body)
        except ValueError:
            return self.body.decode()


class DialectBench:
    """A server, and a client of one dialect; `open_bench` makes one.

    Args:
        dialect: Which.
        log: The server's log.
        app: The server.
        parts: The rooms behind its door.
    """

    def __init__(self, dialect: Dialect, log: OpenLog, app: Application, parts: Parts) -> None:
        self.dialect = dialect
        self._log = log
        self._app = app
        self._parts = parts
        everywhere = Scope(services=("*",), environments=("*",))
        issue = parts.tokens.issue
        self.token = issue("client", [Role.EMITTER], everywhere, None, LOCAL).text
        self.reader = issue("reader", [Role.READER], None, None, LOCAL).text
        narrow = Scope(services=("only-this",), environments=("only-here",))
        self.narrow = issue("narrow", [Role.EMITTER], narrow, None, LOCAL).text

    @property
    def size(self) -> int:
        """How many entries the log has."""
        return self._log.store.head().size

    def entries(self, since: int = 0) -> list[dict[str, Any]]:
        """Return entries of the log as `GET /v1/entries/{index}` shows them."""
        return [entry_view(self._log.store.entry(index)) for index in range(since, self.size)]

    def deployments(self) -> set[str]:
        """Return every `id~occurrence` that a marker of the log is filed under."""
        return {
            f"{each['ids']['deployment_id']}~{each['occurrence']}"
            for each in self.entries()
            if each["type"] == "marker"
        }

    def ask(self, call: Call, token: str | None = None) -> Answered:
        """Send a call with the credential that its route asks for first.

        Args:
            call: The call.
            token: Instead of the client's, or the reader's who asks the gate; "" for no credential
                at all.
        """
        route = route_of(self.dialect, call)
        if route.credentials and token != "":
            own = self.reader if isinstance(route.does, Ask) else self.token
            call = credited(call, route.credentials[0], own if token is None else token)
        return asyncio.run(_knock(self._app, call))


def route_of(dialect: Dialect, call: Call) -> Route:
    """Return the route that answers a call; AssertionError when there is none."""
    wanted = call.path.partition("?")[0].strip("/").split("/")
    for route in dialect.routes:
        if route.method == call.method and _fits(route.path.strip("/").split("/"), wanted):
            return route
    raise AssertionError(f"no route answers {call.method} {call.path}")


@contextmanager
def open_bench(
    dialect: Dialect, section: Mapping[str, Any] | None = None
) -> Iterator[DialectBench]:
    """Start a server in a folder of its own, and end it.

    Args:
        dialect: Who talks to it.
        section: What `[dialects.NAME]` says, as in the file.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        init_log(data, ORIGIN)
        said = dict(section or {})
        signed = (
            isinstance(each, Signature) for route in dialect.routes for each in route.credentials
        )
        if any(signed):
            secret = Path(folder) / "secret"
            secret.touch(0o600)
            secret.write_text(SECRET + "\n", encoding="utf-8")
            said["secret_file"] = str(secret)
        configuration = parse_configuration(
            {
                "server": {"hosts": [_HOST]},
                "dialects": {dialect.name: said},
                "telemetry": {"enabled": False},
            }
        )
        with (
            open_log(data, rules=admission_rules(configuration)) as log,
            open_front(log, configuration, listen_host="127.0.0.1") as front,
        ):
            yield DialectBench(dialect, log, front.app, front.app.parts)


def in_json(method: str, path: str, value: object, **headers: str) -> Call:
    """Return a call with a body in JSON."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Call(
        method=method,
        path=path,
        body=msgspec.json.encode(value),
        headers={"content-type": "application/json", **named},
    )


def in_form(method: str, path: str, fields: Mapping[str, str]) -> Call:
    """Return a call with a form."""
    body = urlencode(fields).encode()
    return Call(method=method, path=path, body=body, headers={"content-type": _FORM})


def credited(call: Call, credential: Credential, token: str) -> Call:
    """Return a call that shows a token, or a signature over its body, where its dialect has it."""
    if isinstance(credential, Signature):
        return _signed(call, credential)
    headers, path, body = dict(call.headers), call.path, call.body
    match credential.carrier:
        case Carrier.BEARER:
            headers["authorization"] = f"Bearer {token}"
        case Carrier.BASIC:
            pair = base64.b64encode(f"api_key:{token}".encode()).decode()
            headers["authorization"] = f"Basic {pair}"
        case Carrier.HEADER:
            headers[credential.name] = credential.prefix + token
        case Carrier.QUERY:
            path += f"{'&' if '?' in path else '?'}{credential.name}={quote(token)}"
        case Carrier.BODY:
            body = _with_token(call, credential, token)
    return Call(method=call.method, path=path, body=body, headers=headers)


def _signed(call: Call, signature: Signature) -> Call:
    headers = dict(call.headers)
    match signature.profile:
        case Profile.HEX:
            digest = hmac.digest(SECRET.encode(), call.body, "sha256").hex()
            headers[signature.header] = HEX_PREFIX + digest
        case Profile.PLAIN:
            headers[signature.header] = SECRET
        case Profile.STANDARD:
            now_s = SystemClock().now_ms() // 1_000
            headers[ID_HEADER] = identity = headers.get(ID_HEADER, "msg_1")
            headers[TIMESTAMP_HEADER] = str(now_s)
            headers[signature.header] = sign(parse_secret(SECRET), identity, now_s, call.body)
    return Call(method=call.method, path=call.path, body=call.body, headers=headers)


def _with_token(call: Call, credential: Token, token: str) -> bytes:
    if call.headers.get("content-type") == _FORM and not call.body.startswith(b"{"):
        return call.body + b"&" + urlencode({credential.name: token}).encode()
    try:
        value = json.loads(call.body)
    except ValueError:
        return call.body
    holder = value
    *way, last = credential.name.split(".")
    for name in way:
        holder = holder.get(name) if isinstance(holder, dict) else None
    if isinstance(holder, dict):
        holder[last] = token
    return json.dumps(value).encode()


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not parts or not wanted:
        return not parts and not wanted
    if parts[0].endswith(":path}"):
        return _fits(parts[1:], wanted[1:]) or _fits(parts, wanted[1:])
    same = parts[0] == wanted[0] or parts[0].startswith("{")
    return same and _fits(parts[1:], wanted[1:])


async def _knock(app: Application, call: Call) -> Answered:
    path, _, query = call.path.partition("?")
    headers = {"host": _HOST, **call.headers}
    scope = {
        "type": "http",
        "method": call.method,
        "path": path,
        "raw_path": quote(path).encode(),
        "root_path": "",
        "query_string": quote(query, safe="=&%+:,;/@").encode(),
        "scheme": "https",
        "client": ("127.0.0.1", 50_000),
        "headers": [
            (name.encode("latin-1"), text.encode("latin-1", "replace"))
            for name, text in headers.items()
        ],
    }
    sent: list[Any] = []
    waiting = [{"type": "http.request", "body": call.body, "more_body": False}]

    async def receive() -> Any:  # noqa: ANN401 - an ASGI message
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:  # noqa: ANN401 - an ASGI message
        sent.append(message)

    await app(scope, receive, send)
    start, *rest = sent
    told = {name.decode(): text.decode("latin-1") for name, text in start["headers"]}
    body = b"".join(each.get("body", b"") for each in rest)
    return Answered(start["status"], told.get("content-type", ""), body)
