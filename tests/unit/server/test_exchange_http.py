"""An identity token is exchanged over HTTP as RFC 8693 says, and refused as RFC 6749 says."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from door_samples import Door, Reply, marker

from deploymark.errors import DeploymarkError
from deploymark.ingest.callers import Caller
from deploymark.integrations.oidc.identities import Identities
from deploymark.integrations.oidc.settings import OidcSettings
from deploymark.server.exchange import ACCESS_TOKEN, FORM, GRANT_TYPE
from deploymark.testing.clock import ManualClock
from deploymark.testing.issuer import AUDIENCE, LocalIssuer, local_issuer
from deploymark.testing.meter import ListMeter

NOTHING = "e30.e30.e30"
JWT = "urn:ietf:params:oauth:token-type:jwt"


class Bank:
    """A front door that exchanges, and the issuer that it trusts."""

    def __init__(self, issuer: LocalIssuer, clock: ManualClock) -> None:
        self.issuer = issuer
        rule = {
            "issuer": issuer.url,
            "audience": AUDIENCE,
            "subjects": ["repo:acme/shop:*"],
            "services": ["checkout-{environment}"],
            "environments": ["production"],
        }
        rules = {"github": msgspec.convert(rule, OidcSettings)}
        self.turned_away: list[tuple[str, str]] = []

        def told(error: DeploymarkError, caller: Caller) -> None:
            self.turned_away.append((error.code, caller.network))

        granted = Identities(rules, clock, ListMeter()).grant
        self.door = Door(granted=granted, turned_away=told)

    def exchange(self, **changes: str | None) -> Reply:
        """Ask as a job does, but for these fields of the form."""
        usual = {
            "grant_type": GRANT_TYPE,
            "subject_token_type": JWT,
            "subject_token": self.issuer.sign(self.issuer.github()),
        }
        return self.ask(urlencode({n: v for n, v in (usual | changes).items() if v is not None}))

    def ask(self, form: str, content_type: str = FORM) -> Reply:
        """Send a form."""
        headers = {"content-type": content_type}
        return self.door.ask("POST", "/v1/tokens/exchange", None, form.encode(), headers)


@pytest.fixture
def bank() -> Iterator[Bank]:
    clock = ManualClock()
    with local_issuer(clock) as issuer:
        bank = Bank(issuer, clock)
        with bank.door:
            yield bank


def _refused(reply: Reply, error: str, status: int = 400) -> dict[str, Any]:
    told: dict[str, Any] = reply.json
    assert (reply.status, told["error"]) == (status, error)
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    assert set(told["error_description"]) <= set(map(chr, range(32, 127))) - set('"\\')
    return told


@pytest.mark.parametrize("kind", [JWT, "urn:ietf:params:oauth:token-type:id_token"])
def test_a_job_gets_a_token_for_its_identity(bank: Bank, kind: str) -> None:
    reply = bank.exchange(subject_token_type=kind, requested_token_type=ACCESS_TOKEN)
    assert reply.status == 200
    assert reply.headers["cache-control"] == "no-store"
    told = reply.json
    assert told.pop("access_token").startswith("dmk_")
    assert told == {
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 900,
        "principal": "oidc:github:repo:acme/shop:environment:prod",
    }
    assert bank.turned_away == []


def test_its_markers_say_who_it_is_and_stay_within_its_scope(bank: Bank) -> None:
    headers = {
        "content-type": "application/json",
        "authorization": f"Bearer {bank.exchange().json['access_token']}",
    }

    def said(**changes: str) -> Reply:
        fields = marker(1, **{"service": "checkout-prod", "environment": "production", **changes})
        return bank.door.ask("POST", "/v1/markers", None, json.dumps(fields).encode(), headers)

    taken = said()
    assert taken.status == 201, taken.body
    entry = bank.door.log.store.entry(taken.json["index"])
    assert entry.leaf is not None
    assert b"oidc:github:repo:acme/shop:environment:prod" in entry.leaf
    assert said(service="checkout-staging").status == 403
    assert bank.door.ask("GET", "/v1/markers", None, headers=headers).status == 403


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": None}, "unsupported_grant_type"),
        ({"grant_type": ""}, "unsupported_grant_type"),
        ({"subject_token": None}, "invalid_request"),
        ({"subject_token": "x"}, "invalid_request"),
        ({"subject_token": '\n\u2028"\\'}, "invalid_request"),
        ({"subject_token_type": None}, "invalid_request"),
        ({"subject_token_type": ACCESS_TOKEN}, "invalid_request"),
        ({"requested_token_type": JWT}, "invalid_request"),
        ({"actor_token": "x"}, "invalid_request"),
        ({"audience": "x"}, "invalid_target"),
        ({"resource": "https://x.example"}, "invalid_target"),
        ({"scope": "admin"}, "invalid_scope"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_in_the_words_of_oauth(
    bank: Bank, changes: dict[str, str | None], error: str
) -> None:
    _refused(bank.exchange(**changes), error)


def test_what_is_unknown_is_ignored_as_the_rfc_wants(bank: Bank) -> None:
    assert bank.exchange(client_id="ci", audience="").status == 200


@pytest.mark.parametrize(
    ("form", "content_type", "status"),
    [
        ("grant_type=a&grant_type=b", FORM, 400),
        ("grant_type=%ff", FORM, 400),
        ("\u00fc", FORM, 400),
        ("&".join(f"n{number}=1" for number in range(40)), FORM, 400),
        ("{}", "application/json", 415),
        ("x" * 40_000, FORM, 413),
    ],
)
def test_a_form_that_is_none(bank: Bank, form: str, content_type: str, status: int) -> None:
    _refused(bank.ask(form, content_type), "invalid_request", status)


def test_a_token_that_is_refused_is_told_why_and_counted(bank: Bank) -> None:
    evil = bank.issuer.sign(bank.issuer.github("acme/shop-evil"))
    told = _refused(bank.exchange(subject_token=evil), "invalid_request")
    assert told["code"] == "identity_refused"
    assert told["error_uri"] == "/problems/identity_refused"
    assert "acme/shop-evil" in told["error_description"]
    assert "acme/shop:*" not in told["error_description"]
    assert bank.turned_away == [("identity_refused", "127.0.0.0/24")]


def test_who_guesses_is_slowed_down_and_who_is_right_is_not(bank: Bank) -> None:
    for _ in range(20):
        _refused(bank.exchange(subject_token=NOTHING), "invalid_request")
    slowed = bank.exchange(subject_token=NOTHING)
    _refused(slowed, "temporarily_unavailable", 429)
    assert int(slowed.headers["retry-after"]) > 0
    assert bank.turned_away[-1] == ("too_many_failures", "127.0.0.0/24")
    assert bank.exchange().status == 200


def test_an_issuer_that_is_away_is_no_fault_of_the_job(bank: Bank) -> None:
    bank.issuer.is_away = True
    reply = bank.exchange()
    told = _refused(reply, "temporarily_unavailable", 503)
    assert (told["code"], reply.headers["retry-after"]) == ("issuer_unavailable", "1")
    assert bank.issuer.url not in reply.body.decode()


def test_without_a_rule_nobody_is_trusted(door: Door) -> None:
    form = {"grant_type": GRANT_TYPE, "subject_token_type": JWT, "subject_token": "e30.e30.e30"}
    body = urlencode(form).encode()
    reply = door.ask("POST", "/v1/tokens/exchange", None, body, {"content-type": FORM})
    _refused(reply, "invalid_request")
