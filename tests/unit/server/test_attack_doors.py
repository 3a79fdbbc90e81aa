"""Attacks on the door itself: guesses, spellings, other origins, what must not stay."""

import base64
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from door_samples import ALL, Door, exchange, marker, serving

from deploymark.errors import DeploymarkError
from deploymark.ingest.accounting import Accounting
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.ledger import Ledger
from deploymark.ingest.refusals import Refusals
from deploymark.ingest.submission import Submission
from deploymark.model.vocabulary import Role
from deploymark.server.operations import OPERATIONS
from deploymark.server.settings import Settings
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import envelope_json, producer, sign

JSON = {"content-type": "application/json"}
GET = b"GET %b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%b\r\n"
POST = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%b\r\n"


@pytest.fixture(scope="module")
def door_here() -> Iterator[Door]:
    with Door() as door:
        yield door


@pytest.fixture(scope="module")
def port(door_here: Door) -> Iterator[int]:
    with serving(door_here) as port:
        yield port


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else 0


# Tokens ------------------------------------------------------------------------------------------


def _spellings(token: str, other: str) -> dict[str, bytes]:
    identity, secret = token.rsplit("_", 1)[0], other[-43:]
    said = {
        "upper case": f"Bearer {token.upper()}",
        "a tab": f"Bearer\t{token}",
        "something behind it": f"Bearer {token} x",
        "two at once": f"Bearer {token}, Bearer {token}",
        "padding": f"Bearer {token}=",
        "another's secret": f"Bearer {identity}_{secret}",
        "without its secret": f"Bearer {identity}_",
        "another scheme": f"Basic {base64.b64encode(f':{token}'.encode()).decode()}",
        "no scheme": token,
        "a space that is none": f"Bearer\xa0{token}",
        "a cookie's name": f"deploymark_session={token}",
    }
    lines = {why: f"Authorization: {text}\r\n".encode("latin-1") for why, text in said.items()}
    right = f"Authorization: Bearer {token}\r\n".encode()
    return lines | {
        "twice": right + right,
        "twice, one of them wrong": right + b"Authorization: Bearer x\r\n",
        "folded": f"Authorization: Bearer\r\n {token}\r\n".encode(),
        "a space before the colon": f"Authorization : Bearer {token}\r\n".encode(),
        "a zero byte": f"Authorization: Bearer {token}\0\r\n".encode(),
        "an underscore": b"X_" + right,
        "a proxy's header": b"Proxy-" + right,
        "a cookie": f"Cookie: deploymark_session={token}\r\n".encode(),
        "a forwarded local": b"X-Forwarded-For: 127.0.0.1\r\nX-Real-IP: 127.0.0.1\r\n",
    }


def test_a_token_has_one_spelling(door_here: Door, port: int) -> None:
    reader, admin = door_here.tokens[Role.READER], door_here.tokens[Role.ADMIN]
    answers = {
        why: _status(exchange(port, GET % (b"/v1/markers", lines)))
        for why, lines in _spellings(reader, admin).items()
    }
    assert {why: status for why, status in answers.items() if status not in {400, 401, 429}} == {}
    good = b"Authorization: Bearer %b\r\n" % reader.encode()
    assert _status(exchange(port, GET % (b"/v1/markers", good))) == 200


def test_a_wrong_token_is_not_forgiven_for_a_good_cookie(door: Door) -> None:
    body = json.dumps({"token": door.tokens[Role.ADMIN]}).encode()
    opened = door.ask("POST", "/v1/session", None, body, JSON)
    cookie = opened.headers["set-cookie"].partition(";")[0]
    headers = {"cookie": cookie, "authorization": "Bearer x"}
    assert door.ask("GET", "/v1/session", None, headers=headers).status == 401


def test_of_two_cookies_none_is_chosen(door: Door) -> None:
    # Another server on this host can set a cookie for a longer path, which browsers send first:
    # the person would then work in somebody else's session.
    cookies = []
    for role in (Role.READER, Role.ADMIN):
        body = json.dumps({"token": door.tokens[role]}).encode()
        opened = door.ask("POST", "/v1/session", None, body, JSON)
        cookies.append(opened.headers["set-cookie"].partition(";")[0])
    answer = door.ask("GET", "/v1/session", None, headers={"cookie": "; ".join(cookies)})
    assert answer.status in {400, 401}, answer.json


def test_every_operation_refuses_who_has_no_business_there(door: Door) -> None:
    strangers = {Role.READER, Role.EMITTER, Role.OPERATOR, None}
    for operation in OPERATIONS:
        access = operation.access
        if access.public or access.anonymous or not access.roles or access.open_when is not _NEVER:
            continue
        allowed = set(access.roles) | ({Role.OPERATOR} if Role.READER in access.roles else set())
        path = operation.path.format_map(_Segments())
        for role in strangers - allowed:
            answer = door.ask(operation.method, path, role, b"{}", JSON)
            assert answer.status == (401 if role is None else 403), (operation.name, role)


class _Segments(dict[str, str]):
    """Something for every segment of an address; `{index:path}` asks for `index`."""

    def __missing__(self, _: str) -> str:
        return "0"


_NEVER = next(each for each in OPERATIONS if each.name == "list_markers").access.open_when


def test_who_guesses_tokens_for_a_session_is_counted_as_with_a_header() -> None:
    told: list[tuple[str, str]] = []

    def turned_away(error: DeploymarkError, caller: Caller) -> None:
        told.append((error.code, caller.network))

    with Door(turned_away=turned_away) as counted:
        body = json.dumps({"token": f"dmk_{'0' * 12}_{'A' * 43}"}).encode()
        counted.ask(
            "GET", "/v1/tokens", None, headers={"authorization": "Bearer x"}, peer="9.9.9.9"
        )
        counted.ask("POST", "/v1/session", None, body, JSON, peer="9.9.9.9")
    assert told == [("unauthenticated", "9.9.9.0/24")] * 2


def test_who_goes_on_guessing_stays_an_intruder_in_the_findings() -> None:
    # Beyond the first twenty the refusals are of another kind, and the finding would say that an
    # emitter sends too much.
    refusals = Refusals(ListMeter())
    with Door(turned_away=lambda error, caller: refusals.refused(error, caller, 0)) as counted:
        for _ in range(100):
            headers = {"authorization": "Bearer x"}
            counted.ask("GET", "/v1/tokens", None, headers=headers, peer="9.9.9.9")
    found = Counter[str]()
    for each in map(json.loads, refusals.due(None)):
        found[each["code"]] += each["count"]
    assert found == {"marker_unauthorised": 100}


def test_one_token_does_not_open_sessions_without_end(door: Door) -> None:
    # Each is a durable row for an hour; a reader made a thousand of them in three seconds.
    body = json.dumps({"token": door.tokens[Role.READER]}).encode()
    cookies = []
    for _ in range(300):
        opened = door.ask("POST", "/v1/session", None, body, JSON)
        if opened.status == 201:
            cookies.append(opened.headers["set-cookie"].partition(";")[0])
    alive = [
        cookie
        for cookie in cookies
        if door.ask("GET", "/v1/session", None, headers={"cookie": cookie}).status == 200
    ]
    assert 0 < len(alive) <= 256
    assert alive[-1:] == cookies[-1:]  # who comes last is not locked out by who came before


# Addresses ---------------------------------------------------------------------------------------

_PATHS = {
    b"/v1/markers/../tokens": 404,
    b"/v1/markers/%2e%2e/tokens": 404,
    b"/v1/markers/..%2ftokens": 404,
    b"//v1/tokens": 404,
    b"//evil.example/": 404,
    b"/v1/tokens/": 404,
    b"/v1/Tokens": 404,
    b"/v1/tokens%00": 404,
    b"/v1/tokens;a=b": 404,
    b"/v1/tokens%23": 404,
    b"/v1%2ftokens": 401,
    b"/v1/tokens?access_token=x": 401,
    b"/log/tile/entries/000": 401,
    b"/log/tile/entries%2f000": 401,
    b"/log/tile/entries/000%0a": 401,
    b"/log/tile/entries/0%0a00": 404,
    b"/log/tile/entries%20/000": 404,
    b"/log/tile/Entries/000": 404,
    b"/log/tile/0/../entries/000": 404,
    b"/log/tile/0/%2e%2e/entries/000": 404,
    b"/log/tile/%65ntries/000": 401,
    b"/log/tile//entries/000": 404,
}


@pytest.mark.parametrize("path", _PATHS, ids=bytes.decode)
@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_an_address_has_one_spelling(port: int, method: bytes, path: bytes) -> None:
    answer = exchange(port, (GET % (path, b"")).replace(b"GET", method, 1))
    assert _status(answer) == _PATHS[path]
    assert b"location:" not in answer.lower()


@pytest.mark.parametrize("method", [b"OPTIONS", b"TRACE", b"PUT", b"PATCH", b"PROPFIND"])
def test_no_other_origin_is_let_in(port: int, method: bytes) -> None:
    origin = b"Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
    answer = exchange(port, (GET % (b"/v1/tokens", origin)).replace(b"GET", method, 1))
    assert _status(answer) == 405
    assert b"access-control" not in answer.lower()


_HOSTS = {
    b"localhost": 401,
    b"LOCALHOST:1": 401,
    b"localhost.": 401,
    b"127.0.0.1:80": 401,
    b"[::1]": 401,
    b"localhost.evil.example": 421,
    b"localhost@evil.example": 421,
    b"evil.example#localhost": 421,
    b"localhost:80:evil.example": 421,
    b"localhost, evil.example": 421,
    b"[::1].evil.example": 421,
    b"0x7f.1": 421,
    b"": 421,
}


def test_only_our_own_names_are_answered() -> None:
    with Door(Settings(hosts=frozenset({"localhost", "127.0.0.1", "[::1]"}))) as door:
        answers = {
            host: door.ask("GET", "/v1/tokens", None, headers={"host": host.decode()}).status
            for host in _HOSTS
        }
    assert answers == _HOSTS


_NUMBERS = {
    "/v1/markers/1.0": 404,
    "/v1/markers/01": 404,
    "/v1/markers/+1": 404,
    "/v1/markers/1_0": 404,
    "/v1/markers?limit=10.0": 400,
    "/v1/markers?limit=1e1": 400,
    "/v1/markers?limit=%2B1": 400,
}


@pytest.mark.parametrize("path", _NUMBERS)
def test_a_number_has_one_spelling(door: Door, path: str) -> None:
    for number in range(12):
        door.post(marker(number))
    assert door.ask("GET", path, Role.READER).status == _NUMBERS[path]


@pytest.mark.parametrize("last", ["1_0", "+1", "01", "1.0", "\xb2"])
def test_a_client_resumes_from_a_number_of_one_spelling(door: Door, last: str) -> None:
    answer = door.ask("GET", "/v1/stream", Role.READER, headers={"last-event-id": last})
    assert answer.status == 400


# What others said --------------------------------------------------------------------------------


def test_a_duplicate_gives_nobody_the_entry_of_somebody_else(door: Door) -> None:
    other = door.parts.tokens.issue("other", [Role.EMITTER], ALL, None, LOCAL).text
    said, headers = json.dumps(marker(1)).encode(), JSON | {"prefer": "receipt"}
    assert door.post(said).status == 201
    of_another = {**headers, "authorization": f"Bearer {other}"}
    answer = door.ask("POST", "/v1/markers", None, said, of_another)
    assert (answer.status, "receipt" in answer.json) == (200, False)
    answer = door.ask("POST", "/v1/markers", Role.EMITTER, said, headers)
    assert (answer.status, "receipt" in answer.json) == (200, True)


def test_strangers_are_not_one_person(door: Door) -> None:
    key = producer("shop")
    door.log.register(key, "shop", ALL)
    said = envelope_json(sign(marker(1), key))
    answers = [door.post(said, role=None, prefer="receipt") for _ in range(2)]
    assert [(each.status, "receipt" in each.json) for each in answers] == [
        (201, True),
        (200, False),
    ]


# What stays --------------------------------------------------------------------------------------


def test_a_secret_in_a_refused_marker_is_kept_nowhere(door: Door) -> None:
    # The marker is refused so that the secret does not stay; its number is still counted.
    secret = door.tokens[Role.ADMIN]
    store, meter = MemoryLedgerStore(), ListMeter()
    ledger = Ledger(store, door.log.store, meter)
    books = Accounting(ledger, Refusals(meter), door.log.clock, meter)
    for field in ("id", "epoch"):
        said = marker(1, emitter={"id": "ci", "epoch": "e", "sequence": 3, field: secret})
        handed_in = Submission(json.dumps(said).encode(), Caller("token:ci", frozenset(Role)))
        refused = door.intake.submit([handed_in]).result()
        assert isinstance(refused[0], DeploymarkError)
        books.answered([handed_in], refused)
    ledger.flush()
    _, rows = store.load()
    assert secret not in repr(rows)
    assert secret not in repr(ledger.emitters(door.log.clock.now_ms()))


def test_a_stranger_does_not_count_numbers_for_an_emitter_with_a_token() -> None:
    with Door() as door:
        store, meter = MemoryLedgerStore(), ListMeter()
        ledger = Ledger(store, door.log.store, meter)
        books = Accounting(ledger, Refusals(meter), door.log.clock, meter)
        said = marker(1, emitter={"kind": "ci", "id": "ci", "epoch": "e", "sequence": 0})
        assert door.post(said).status == 201
        far = marker(2, emitter={"kind": "ci", "id": "ci", "epoch": "e", "sequence": 5_000})
        handed_in = Submission(json.dumps(far).encode(), Caller("", frozenset()))
        books.answered([handed_in], door.intake.submit([handed_in]).result())
        ledger.flush()
        door.log.clock.advance(3_600)
        lost = ledger.missing(door.log.clock.now_ms())
        assert [each for each in lost if each.principal] == []
        assert ledger.rates(door.log.clock.now_ms()).share == 1
