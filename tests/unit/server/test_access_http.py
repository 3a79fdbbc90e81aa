"""Tokens, cookies and who may come in, over HTTP."""

import json
from typing import Any

import pytest
from door_samples import Door, Reply, marker

from deploymark.errors import RateLimitedError
from deploymark.model.vocabulary import Role
from deploymark.server.request import network_of
from deploymark.server.settings import MetricsAccess, Settings

JSON = {"content-type": "application/json"}


def _log_in(door: Door, role: Role = Role.ADMIN, **headers: str) -> tuple[str, str]:
    body = json.dumps({"token": door.tokens[role]}).encode()
    opened = door.ask("POST", "/v1/session", None, body, {**JSON, **headers})
    assert opened.status == 201, opened.body
    return opened.headers["set-cookie"], opened.json["csrf_token"]


def _with(door: Door, cookie: str, csrf: str = "", **asked: Any) -> Reply:  # noqa: ANN401 - a request
    headers = {"cookie": f"theme=dark; {cookie.partition(';')[0]}", **JSON}
    if csrf:
        headers["x-csrf-token"] = csrf
    method, path, body = asked.get("method", "GET"), asked["path"], asked.get("body", b"")
    return door.ask(method, path, None, body, headers)


# Sessions ----------------------------------------------------------------------------------------


def test_a_session_is_a_cookie_that_no_script_reads(door: Door) -> None:
    cookie, csrf = _log_in(door)
    name, *attributes = cookie.split("; ")
    assert name.startswith("deploymark_session=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"} == set(attributes)
    who = _with(door, cookie, path="/v1/session")
    # A page that was loaded anew gets back what lets it change something.
    assert who.json == {"principal": "token:admin", "roles": ["admin"], "csrf_token": csrf}


def test_over_https_the_cookie_is_for_https_and_this_host_only() -> None:
    with Door(Settings(secure_cookies=True)) as door:
        cookie, _ = _log_in(door)
        assert cookie.startswith("__Host-deploymark_session=")
        assert "Secure" in cookie.split("; ")
        assert _with(door, cookie, path="/v1/session").status == 200
        plain = cookie.removeprefix("__Host-")
        assert _with(door, plain, path="/v1/session").status == 401


def test_nothing_is_changed_with_a_cookie_alone(door: Door) -> None:
    cookie, csrf = _log_in(door, Role.EMITTER)
    asked: dict[str, Any] = {
        "method": "POST",
        "path": "/v1/markers",
        "body": json.dumps(marker(1)).encode(),
    }
    for wrong in ("", "x", csrf[:-1], cookie.partition("=")[2].partition(";")[0]):
        refused = _with(door, cookie, wrong, **asked)
        assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert door.log.store.head().size == 1
    assert _with(door, cookie, csrf, **asked).status == 201


def test_a_closed_session_opens_nothing(door: Door) -> None:
    cookie, csrf = _log_in(door)
    closing = {"method": "DELETE", "path": "/v1/session"}
    assert _with(door, cookie, **closing).status == 403
    closed = _with(door, cookie, csrf, **closing)
    assert (closed.status, closed.body) == (204, b"")
    assert "Max-Age=0" in closed.headers["set-cookie"]
    assert _with(door, cookie, path="/v1/session").status == 401


def test_a_token_has_no_session_to_close(door: Door) -> None:
    assert door.ask("DELETE", "/v1/session", Role.READER).status == 400


_LOG_INS = {
    "a wrong token": (b'{"token": "dmk_0123456789ab_x"}', 401),
    "no token": (b"{}", 422),
    "an empty one": (b'{"token": ""}', 422),
    "an unknown field": (b'{"token": "x", "y": 1}', 422),
    "no JSON": (b"token=x", 400),
    "no UTF-8": (b'{"token": "\xff"}', 400),
}


@pytest.mark.parametrize(("body", "status"), _LOG_INS.values(), ids=_LOG_INS)
def test_only_a_token_opens_a_session(door: Door, body: bytes, status: int) -> None:
    refused = door.ask("POST", "/v1/session", None, body, JSON)
    assert refused.status == status, refused.body
    assert "set-cookie" not in refused.headers


def test_a_form_of_another_page_opens_no_session(door: Door) -> None:
    body = json.dumps({"token": door.tokens[Role.READER]}).encode()
    sent = door.ask("POST", "/v1/session", None, body, {"content-type": "text/plain"})
    assert sent.status == 415


# Tokens ------------------------------------------------------------------------------------------


def _issue(door: Door, value: object) -> Reply:
    return door.ask("POST", "/v1/tokens", Role.ADMIN, json.dumps(value).encode(), JSON)


def test_a_token_is_made_shown_once_listed_and_ended(door: Door) -> None:
    asked = {
        "name": "ci",
        "roles": ["emitter"],
        "scope": {"services": ["shop-*"], "environments": ["prod"]},
        "lifetime_s": 60,
    }
    made = _issue(door, asked)
    assert made.status == 201, made.body
    text = made.json["token"]
    bearer = {"authorization": f"Bearer {text}", **JSON}
    inside = json.dumps(marker(1, service="shop-1")).encode()
    outside = json.dumps(marker(1)).encode()
    assert door.ask("POST", "/v1/markers", None, inside, bearer).status == 201
    assert door.ask("POST", "/v1/markers", None, outside, bearer).status == 403
    listed = door.ask("GET", "/v1/tokens", Role.ADMIN)
    assert text.split("_")[2].encode() not in listed.body
    assert b"secret" not in listed.body
    (shown,) = (each for each in listed.json["items"] if each["name"] == "ci")
    assert (shown["is_live"], shown["expires_at"]) == (True, "2026-11-18T11:07:40.000Z")
    assert door.ask("DELETE", f"/v1/tokens/{made.json['id']}", Role.ADMIN).status == 204
    assert door.ask("GET", "/v1/session", None, headers=bearer).status == 401


_BAD_TOKENS = {
    "no name": ({"roles": ["reader"]}, ""),
    "a bad name": ({"name": "A B", "roles": ["reader"]}, "/name"),
    "no roles": ({"name": "x", "roles": []}, "/roles"),
    "an unknown role": ({"name": "x", "roles": ["king"]}, "/roles/0"),
    "an emitter without a scope": ({"name": "x", "roles": ["emitter"]}, "/scope"),
    "no lifetime": ({"name": "x", "roles": ["reader"], "lifetime_s": 0}, "/lifetime_s"),
    "an array": ([], ""),
}


@pytest.mark.parametrize(("value", "field"), _BAD_TOKENS.values(), ids=_BAD_TOKENS)
def test_a_bad_request_for_a_token_names_the_field(door: Door, value: object, field: str) -> None:
    refused = _issue(door, value)
    assert (refused.status, refused.json["field"]) == (422, field), refused.body


def test_there_is_no_such_token_to_end(door: Door) -> None:
    assert door.ask("DELETE", "/v1/tokens/0123456789ab", Role.ADMIN).status == 404


# Callers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["Basic eDp5", "Bearer", "Bearer ", "x", "Bearer dmk_x_y"])
def test_what_is_no_token_is_a_401(door: Door, said: str) -> None:
    refused = door.ask("GET", "/v1/session", None, headers={"authorization": said})
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")


def test_a_wrong_token_beside_a_good_cookie_is_a_401(door: Door) -> None:
    cookie, _ = _log_in(door)
    headers = {"cookie": cookie.partition(";")[0], "authorization": "Bearer x"}
    assert door.ask("GET", "/v1/session", None, headers=headers).status == 401


def test_who_guesses_too_often_is_told_to_wait(door: Door) -> None:
    guess = {"authorization": "Bearer dmk_0123456789ab_" + "x" * 43}
    refused = door.ask("GET", "/v1/session", None, headers=guess, peer="192.0.2.0")
    for number in range(100):
        refused = door.ask("GET", "/v1/session", None, headers=guess, peer=f"192.0.2.{number}")
        if refused.status == 429:
            break
    assert refused.json["code"] == "too_many_failures"
    assert int(refused.headers["retry-after"]) >= 1
    # Another network is another matter, and what a header says about networks is not believed.
    other = door.ask("GET", "/v1/session", None, headers=guess, peer="198.51.100.1")
    assert other.status == 401
    lied = {**guess, "x-forwarded-for": "203.0.113.1", "forwarded": "for=203.0.113.1"}
    assert door.ask("GET", "/v1/session", None, headers=lied, peer="192.0.2.1").status == 429


class Counting:
    """A throttle that lets nobody pass, and remembers who it was asked about."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def demand(self, key: str, what: str, amount: int = 1) -> None:
        self.keys.append(f"{key}: {amount} {what}")
        raise RateLimitedError("Too many.", retry_after_s=3)


def test_requests_are_counted_by_caller_and_strangers_by_network() -> None:
    throttle = Counting()
    with Door(throttle=throttle) as door:
        refused = door.ask("GET", "/v1/session", Role.READER)
        assert (refused.status, refused.headers["retry-after"]) == (429, "3")
        assert door.post(marker(1), role=None).status == 429
        assert door.ask("GET", "/healthz").status == 200
        body = json.dumps({"token": door.tokens[Role.ADMIN]}).encode()
        assert door.ask("POST", "/v1/session", None, body, JSON).status == 429
    assert throttle.keys == [
        "token:reader: 1 requests",
        "127.0.0.0/24: 1 requests",
        "token:admin: 1 requests",
    ]


_NETWORKS = {
    "192.0.2.77": "192.0.2.0/24",
    "2001:db8:1:2::5": "2001:db8:1::/48",
    "::ffff:192.0.2.77": "192.0.2.0/24",
    "fe80::1%eth0": "fe80::/48",
    "testclient": "::/48",
}


@pytest.mark.parametrize(("address", "network"), _NETWORKS.items())
def test_an_address_counts_for_its_network(address: str, network: str) -> None:
    assert network_of(address) == network


# Keys and metrics --------------------------------------------------------------------------------


def test_a_key_is_registered_once(door: Door) -> None:
    asked = {
        "name": "ci",
        "public_key": "x",
        "scope": {"services": ["*"], "environments": ["*"]},
    }
    body = json.dumps(asked).encode()
    assert [door.ask("POST", "/v1/keys", Role.ADMIN, body, JSON).status for _ in range(2)] == [
        201,
        200,
    ]
    assert len(door.ask("GET", "/v1/keys", Role.READER).json["items"]) == 2


def test_metrics_are_open_to_this_host_where_set() -> None:
    with Door(Settings(metrics_access=MetricsAccess.LOOPBACK)) as door:
        assert door.ask("GET", "/metrics").status == 200
        assert door.ask("GET", "/metrics", peer="::1").status == 200
        assert door.ask("GET", "/metrics", peer="192.0.2.1").status == 401
        assert door.ask("GET", "/metrics", Role.READER, peer="192.0.2.1").status == 200


def test_metrics_are_text_for_prometheus_without_names_of_callers(door: Door) -> None:
    door.post([marker(1), marker(1), {}])
    door.post(marker(1))
    page = door.ask("GET", "/metrics", Role.READER)
    assert page.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = page.body.decode().splitlines()
    for line in (
        'deploymark_http_requests_total{operation="admit_markers",status="207"} 1',
        'deploymark_http_requests_total{operation="admit_markers",status="200"} 1',
        'deploymark_http_request_seconds_bucket{le="+Inf",operation="admit_markers"} 2',
        'deploymark_http_request_seconds_count{operation="admit_markers"} 2',
        'deploymark_marker_items_total{outcome="new"} 1',
        'deploymark_marker_items_total{outcome="duplicate"} 2',
        'deploymark_marker_items_total{outcome="bad_marker"} 1',
        'deploymark_witness_failures_total{code="un\\"known"} 3',
        'deploymark_time_to_marker_seconds_bucket{le="1.0"} 0',
        'deploymark_time_to_marker_seconds_bucket{le="2.5"} 1',
        "deploymark_time_to_marker_seconds_sum 2.0",
        "deploymark_log_size 2",
        "deploymark_log_published_size 0",
        "deploymark_view_lag_entries 0",
        "deploymark_stream_clients 0",
        "deploymark_http_requests_in_flight 1",
    ):
        assert line in lines, line
    assert "token:" not in page.body.decode()
    assert len({line for line in lines if line.startswith("# TYPE")}) == len(
        [line for line in lines if line.startswith("# TYPE")]
    )
