"""The keys of an issuer: how long they are kept, and whom they are taken from."""

import json
from collections.abc import Iterator
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from oidc_trust import GITHUB, Trust, resigned, trusting

from deploymark.errors import (
    IssuerUnavailableError,
)
from deploymark.integrations.oidc.fetching import Fetched
from deploymark.integrations.oidc.keys import PAUSE_SECONDS, STALE_SECONDS, IssuerKeys
from deploymark.testing.issuer import local_issuer, new_key, public_jwk


@pytest.fixture
def trust() -> Iterator[Trust]:
    with trusting() as trust:
        yield trust


# Keys --------------------------------------------------------------------------------------------


def _key_requests(trust: Trust) -> int:
    return trust.issuer.asked.count("/keys")


def test_keys_are_asked_for_once_while_they_are_fresh(trust: Trust) -> None:
    trust.issuer.headers = {"Cache-Control": "public, max-age=300"}
    for _ in range(3):
        trust.grant(trust.issuer.sign(trust.issuer.github()))
    trust.clock.advance(299)
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert _key_requests(trust) == 1
    trust.clock.advance(1)
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert _key_requests(trust) == 2


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("max-age=0", 60), ("no-store", 600), ("max-age=999999", 3_600), ("s-maxage=9", 600)],
)
def test_an_issuer_does_not_decide_alone_how_long_its_keys_are_kept(
    trust: Trust, said: str, seconds: int
) -> None:
    trust.issuer.headers = {"Cache-Control": said}
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    trust.clock.advance(seconds - 1)
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert _key_requests(trust) == 1
    trust.clock.advance(1)
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert _key_requests(trust) == 2


def test_a_key_that_was_rotated_in_is_found_at_once(trust: Trust) -> None:
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    trust.issuer.keys["key-2"] = new_key("RS256")
    token = trust.issuer.sign(trust.issuer.github(), "key-2")
    trust.refuses(token, "does not show")  # the issuer was asked a moment ago
    trust.clock.advance(PAUSE_SECONDS)
    trust.accepts(token)
    assert _key_requests(trust) == 2


def test_a_key_that_was_taken_away_is_forgotten_with_the_next_set(trust: Trust) -> None:
    token = trust.issuer.sign(trust.issuer.github(exp=2_000_000_000))
    trust.accepts(token)
    trust.issuer.keys = {"key-2": new_key("ES256")}
    trust.clock.advance(600)
    trust.refuses(token, "does not show")


def test_strangers_with_invented_keys_make_nobody_knock_at_the_issuers(trust: Trust) -> None:
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    trust.clock.advance(PAUSE_SECONDS)
    token = trust.issuer.sign(trust.issuer.github())
    for number in range(20):
        header = {"alg": "ES256", "kid": f"invented-{number}"}
        trust.refuses(resigned(token, header, lambda _: bytes(64)), "does not show")
    assert _key_requests(trust) == 2


def test_while_the_issuer_is_away_its_keys_go_on_for_a_day(trust: Trust) -> None:
    trust.grant(trust.issuer.sign(trust.issuer.github()))
    trust.issuer.is_away = True
    trust.clock.advance(STALE_SECONDS - 1)
    trust.accepts(trust.issuer.sign(trust.issuer.github()))
    assert trust.meter.counts["deploymark_issuer_failures_total{code=issuer_unavailable}"] == 1
    trust.clock.advance(1)
    with pytest.raises(IssuerUnavailableError):
        trust.grant(trust.issuer.sign(trust.issuer.github()))
    trust.issuer.is_away = False
    trust.clock.advance(PAUSE_SECONDS)
    trust.accepts(trust.issuer.sign(trust.issuer.github()))


def test_an_issuer_that_is_away_is_asked_seldom(trust: Trust) -> None:
    trust.issuer.is_away = True
    for _ in range(5):
        with pytest.raises(IssuerUnavailableError):
            trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert len(trust.issuer.asked) == 1


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://other.example", "jwks_uri": "{url}/keys"},
        {"issuer": "{url}", "jwks_uri": "http://127.0.0.1:1/keys"},
        {"issuer": "{url}", "jwks_uri": "http://169.254.169.254/latest"},
        {"issuer": "{url}", "jwks_uri": "https://other.example/keys"},
        {"issuer": "{url}", "jwks_uri": "file:///etc/passwd"},
        {"issuer": "{url}", "jwks_uri": 7},
        {"issuer": "{url}"},
        [],
        b"no JSON",
        b" " * 300_000,
    ],
)
def test_a_document_that_leads_astray_is_not_followed(trust: Trust, document: object) -> None:
    if isinstance(document, dict):
        document = {
            name: each.format(url=trust.issuer.url) if isinstance(each, str) else each
            for name, each in document.items()
        }
    trust.issuer.document = document
    with pytest.raises(IssuerUnavailableError):
        trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert _key_requests(trust) == 0


def test_an_issuer_sends_nobody_to_another_server(trust: Trust) -> None:
    with local_issuer(trust.clock) as other:
        other.keys = trust.issuer.keys
        trust.issuer.document = {"issuer": trust.issuer.url, "jwks_uri": f"{other.url}/keys"}
        with pytest.raises(IssuerUnavailableError):
            trust.grant(trust.issuer.sign(trust.issuer.github()))
        assert other.asked == []


def _weak(trust: Trust) -> list[object]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - that is the point
    curve = ec.generate_private_key(ec.SECP384R1())
    good = trust.issuer.keys["key-1"]
    assert isinstance(good, ec.EllipticCurvePrivateKey)
    return [
        public_jwk(key, "key-1"),
        public_jwk(curve, "key-1"),
        public_jwk(good, "key-1", use="enc"),
        public_jwk(good, "key-1", alg="ES384"),
        public_jwk(good, "key-1", key_ops=["sign"]),
        {
            **jwt.algorithms.ECAlgorithm.to_jwk(good, as_dict=True),
            "kid": "key-1",
        },  # the private half
        public_jwk(good, "key-1", x="!"),
        public_jwk(good, ""),
        {"kty": "oct", "k": "AAAA", "kid": "key-1"},
        "key-1",
    ]


@pytest.mark.parametrize("place", range(10))
def test_a_key_that_is_not_for_this_is_not_used(trust: Trust, place: int) -> None:
    trust.issuer.shown = {"keys": [_weak(trust)[place]]}
    with pytest.raises(IssuerUnavailableError):
        trust.grant(trust.issuer.sign(trust.issuer.github()))


@pytest.mark.parametrize("shown", [b"{}", b"[]", b'{"keys": 7}', b'{"keys": []}', b" " * 300_000])
def test_a_set_without_keys_does_not_replace_the_one_that_is_held(
    trust: Trust, shown: bytes
) -> None:
    trust.accepts(trust.issuer.sign(trust.issuer.github()))
    trust.issuer.shown = shown
    trust.clock.advance(600)
    trust.accepts(trust.issuer.sign(trust.issuer.github()))
    assert _key_requests(trust) == 2


def test_a_swapped_set_with_the_same_name_signs_nothing_of_before(trust: Trust) -> None:
    token = trust.issuer.sign(trust.issuer.github(exp=2_000_000_000))
    trust.accepts(token)
    trust.issuer.shown = {"keys": [public_jwk(new_key("ES256"), "key-1")]}
    trust.clock.advance(600)
    trust.refuses(token, "signature")


def test_keys_may_stand_in_a_file_and_the_issuer_is_not_asked(trust: Trust, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    token = trust.issuer.sign(trust.issuer.github())
    trust.rules(github={**GITHUB, "jwks_file": str(file)})
    with pytest.raises(IssuerUnavailableError):
        trust.grant(token)
    file.write_text(json.dumps({"keys": [public_jwk(trust.issuer.keys["key-1"], "key-1")]}))
    trust.clock.advance(PAUSE_SECONDS)
    trust.accepts(token)
    assert trust.issuer.asked == []


def test_keys_may_stand_at_an_address_of_their_own(trust: Trust) -> None:
    token = trust.issuer.sign(trust.issuer.github())
    trust.rules(github={**GITHUB, "jwks_url": f"{trust.issuer.url}/keys"})
    trust.accepts(token)
    assert trust.issuer.asked == ["/keys"]


def test_a_redirect_is_not_followed(trust: Trust, monkeypatch: pytest.MonkeyPatch) -> None:
    def moved(path: str, _: str) -> tuple[int, bytes]:
        trust.issuer.asked.append(path)
        return 302, json.dumps({"keys": [public_jwk(trust.issuer.keys["key-1"], "key-1")]}).encode()

    monkeypatch.setattr(trust.issuer, "answer", moved)
    trust.rules(github={**GITHUB, "jwks_url": f"{trust.issuer.url}/keys"})
    trust.issuer.headers = {"Location": f"{trust.issuer.url}/other"}
    with pytest.raises(IssuerUnavailableError):
        trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert len(trust.issuer.asked) == 1


def test_threads_beyond_a_few_do_not_wait_for_an_issuer(trust: Trust) -> None:
    def fetch() -> Fetched:
        raise AssertionError

    found = IssuerKeys("https://issuer.example", fetch, trust.clock, trust.meter)
    for _ in range(4):
        assert found._waiting.acquire(blocking=False)
    with pytest.raises(IssuerUnavailableError):
        found.find("key-1", "ES256")
