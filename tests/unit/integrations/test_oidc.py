"""Identity tokens of a local issuer: who gets what, and everything that an attacker tries."""

import hmac
import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from deploymark.errors import (
    DeploymarkError,
    IdentityRefusedError,
    IssuerUnavailableError,
    UsageError,
)
from deploymark.integrations.oidc.fetching import Fetched
from deploymark.integrations.oidc.identities import LEEWAY_SECONDS, Identities
from deploymark.integrations.oidc.keys import PAUSE_SECONDS, STALE_SECONDS, IssuerKeys
from deploymark.integrations.oidc.rules import principal_of
from deploymark.integrations.oidc.settings import OidcSettings, check_rules
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import Grant
from deploymark.testing.clock import ManualClock
from deploymark.testing.issuer import AUDIENCE, LocalIssuer, local_issuer, new_key, part, public_jwk
from deploymark.testing.meter import ListMeter

GITHUB: dict[str, Any] = {
    "subjects": ["repo:acme/*"],
    "claims": {"ref": ["refs/heads/main"]},
    "services": ["{repository|last}", "{repository|last}-*"],
    "environments": ["{environment}"],
}


class Trust:
    """A server that trusts one issuer, with a clock that stands still."""

    def __init__(self, issuer: LocalIssuer, clock: ManualClock) -> None:
        self.issuer = issuer
        self.clock = clock
        self.meter = ListMeter()
        self._identities: Identities | None = None

    def rules(self, **rules: dict[str, Any]) -> Identities:
        """Trust by these rules from now on; issuer and audience are filled in."""
        said = {"issuer": self.issuer.url, "audience": AUDIENCE}
        read = {n: msgspec.convert(said | rule, OidcSettings) for n, rule in rules.items()}
        self._identities = Identities(read, self.clock, self.meter)
        return self._identities

    def grant(self, text: str) -> Grant:
        """Return what a token is worth."""
        return (self._identities or self.rules(github=GITHUB)).grant(text)

    def accepts(self, text: str) -> None:
        """Assert that a token is worth something."""
        assert self.grant(text).principal.startswith("oidc:")

    def refuses(self, text: str, why: str) -> None:
        """Assert that a token is worth nothing, and what is said of it."""
        with pytest.raises(IdentityRefusedError, match=why):
            self.grant(text)


@pytest.fixture
def trust() -> Iterator[Trust]:
    clock = ManualClock()
    with local_issuer(clock) as issuer:
        yield Trust(issuer, clock)


# Who gets what -----------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_a_job_of_github_may_speak_about_the_service_of_its_repository(
    trust: Trust, algorithm: str
) -> None:
    trust.issuer.keys = {"key-1": new_key(algorithm)}
    grant = trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert grant == Grant(
        rule="github",
        principal="oidc:github:repo:acme/shop:environment:prod",
        roles=frozenset({Role.EMITTER}),
        scope=Scope(services=("shop", "shop-*"), environments=("prod",)),
        lifetime_s=900,
    )


def test_a_job_of_gitlab_needs_a_protected_branch(trust: Trust) -> None:
    trust.rules(
        gitlab={
            "subjects": ["project_path:acme/*:ref_type:branch:ref:*"],
            "claims": {"ref_protected": ["true"], "namespace_path": ["acme", "acme/*"]},
            "roles": ["emitter", "reader"],
            "services": ["{project_path|last}"],
            "environments": ["{environment}"],
            "phases": ["planned", "applying", "applied", "failed"],
            "lifetime_seconds": 120,
        }
    )
    grant = trust.grant(trust.issuer.sign(trust.issuer.gitlab()))
    assert grant.scope is not None
    assert (grant.scope.services, grant.scope.environments) == (("shop",), ("prod",))
    assert (grant.roles, grant.lifetime_s) == (frozenset({Role.EMITTER, Role.READER}), 120)
    trust.refuses(trust.issuer.sign(trust.issuer.gitlab(ref_protected="false")), "No rule trusts")


def test_a_service_account_speaks_about_its_namespace(trust: Trust) -> None:
    trust.rules(
        cluster={
            "subjects": ["system:serviceaccount:shop:*"],
            "claims": {"/kubernetes.io/serviceaccount/name": ["deployer"]},
            "services": ["{/kubernetes.io/namespace}-*"],
            "environments": ["prod"],
        }
    )
    grant = trust.grant(trust.issuer.sign(trust.issuer.kubernetes()))
    assert grant.principal == "oidc:cluster:system:serviceaccount:shop:deployer"
    assert grant.scope == Scope(services=("shop-*",), environments=("prod",))
    trust.refuses(trust.issuer.sign(trust.issuer.kubernetes(account="default")), "No rule")


def test_the_first_rule_that_is_met_counts(trust: Trust) -> None:
    reader = {"subjects": ["repo:acme/*"], "roles": ["reader"]}
    trust.rules(main={**GITHUB, "audience": "other"}, shop=GITHUB, all=reader)
    assert trust.grant(trust.issuer.sign(trust.issuer.github())).rule == "shop"
    other = trust.grant(trust.issuer.sign(trust.issuer.github(ref="refs/heads/try")))
    assert (other.rule, other.scope, other.roles) == ("all", None, frozenset({Role.READER}))


@pytest.mark.parametrize(
    ("claim", "globs", "met"),
    [
        (True, ["true"], True),
        (False, ["true"], False),
        (["a", "b"], ["b"], True),
        ([["b"]], ["b"], False),
        ([], ["*"], False),
        (1, ["1"], False),
        (None, ["*"], False),
        ({"a": "b"}, ["*"], False),
    ],
)
def test_a_claim_is_text_truth_or_a_list_of_texts(
    trust: Trust,
    claim: object,
    globs: list[str],
    met: bool,  # noqa: FBT001 - a column of the table
) -> None:
    rule = {"subjects": ["repo:acme/*"], "claims": {"extra": globs}, "roles": ["reader"]}
    trust.rules(one=rule)
    token = trust.issuer.sign(trust.issuer.github(extra=claim))
    if met:
        assert trust.grant(token).rule == "one"
    else:
        trust.refuses(token, "No rule trusts")


def test_no_two_subjects_share_a_principal() -> None:
    subjects = ["a b", "a%20b", "a\xe9", "a" * 300, "a" * 299 + "b", "a" * 1_024]
    found = {principal_of("ci", subject) for subject in subjects}
    assert len(found) == len(subjects)
    assert all(len(each) <= 200 and each.isascii() and " " not in each for each in found)


# What an attacker tries --------------------------------------------------------------------------


def _resigned(token: str, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    body = f"{part(header)}.{token.split('.')[1]}"
    return f"{body}.{part(sign(body.encode()))}"


def _pem(key: Any) -> bytes:  # noqa: ANN401 - of any kind
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "HS256", "HS512", "RS512"])
def test_an_algorithm_that_is_not_allowed_is_refused(trust: Trust, algorithm: str) -> None:
    trust.issuer.keys = {"key-1": new_key("RS256")}
    public = _pem(trust.issuer.keys["key-1"])
    token = _resigned(
        trust.issuer.sign(trust.issuer.github()),
        {"alg": algorithm, "kid": "key-1", "typ": "JWT"},
        lambda body: hmac.digest(public, body, sha256),
    )
    trust.refuses(token, "signed with")


def test_the_public_key_is_no_secret_of_hmac_under_the_name_of_another_algorithm(
    trust: Trust,
) -> None:
    trust.issuer.keys = {"key-1": new_key("RS256")}
    public = _pem(trust.issuer.keys["key-1"])
    token = _resigned(
        trust.issuer.sign(trust.issuer.github()),
        {"alg": "RS256", "kid": "key-1"},
        lambda body: hmac.digest(public, body, sha256),
    )
    trust.refuses(token, "signature")


def test_an_unsigned_token_is_none(trust: Trust) -> None:
    token = trust.issuer.sign(trust.issuer.github())
    trust.refuses(token.rpartition(".")[0] + ".", "not a JSON Web Token")


def test_a_key_is_used_for_its_own_algorithm_only(trust: Trust) -> None:
    trust.issuer.keys = {"key-1": new_key("RS256")}
    token = trust.issuer.sign(trust.issuer.github())
    header = {"alg": "ES256", "kid": "key-1"}
    trust.refuses(_resigned(token, header, lambda _: bytes(64)), "does not show")


def test_a_rule_may_take_fewer_algorithms(trust: Trust) -> None:
    trust.rules(github={**GITHUB, "algorithms": ["RS256"]})
    trust.refuses(trust.issuer.sign(trust.issuer.github()), "signed with 'ES256'")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"aud": "https://other.example"}, "audience"),
        ({"aud": AUDIENCE + "/"}, "audience"),
        ({"aud": [AUDIENCE, "https://other.example"]}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": None}, "audience"),
        ({"iss": "https://issuer.example"}, "not one that is trusted"),
        ({"iss": None}, "not one that is trusted"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": "repo:acme/" + "x" * 1_024}, "subject"),
        ({"sub": "repo:acme/shop\nrepo:other"}, "control characters"),
        ({"sub": "repo:acme/shop\u2028x"}, "control characters"),
        ({"sub": "repo:other/shop:environment:prod"}, "No rule trusts"),
        ({"sub": "xrepo:acme/shop"}, "No rule trusts"),
        ({"sub": "REPO:acme/shop"}, "No rule trusts"),
        ({"ref": "refs/heads/main2"}, "No rule trusts"),
        ({"ref": None}, "No rule trusts"),
        ({"exp": None}, "exp"),
        ({"exp": True}, "exp"),
        ({"exp": "9999999999"}, "exp"),
        ({"iat": None}, "iat"),
        ({"nbf": "now"}, "nbf"),
        ({"repository": "acme/*"}, "no scope"),
        ({"repository": "acme/shop\n"}, "no scope"),
        ({"repository": "acme/"}, "no scope"),
        ({"repository": ["acme/shop"]}, "no scope"),
        ({"environment": None}, "no scope"),
        ({"environment": "prod,dev"}, "no scope"),
        ({"environment": "{ref}"}, "no scope"),
    ],
)
def test_claims_that_are_refused(trust: Trust, changes: dict[str, Any], why: str) -> None:
    trust.refuses(trust.issuer.sign(trust.issuer.github(**changes)), why)


def test_a_name_that_goes_on_is_another_one(trust: Trust) -> None:
    trust.rules(shop={**GITHUB, "subjects": ["repo:acme/shop", "repo:acme/shop:*"]})
    trust.refuses(trust.issuer.sign(trust.issuer.github("acme/shop-evil")), "No rule trusts")
    trust.refuses(trust.issuer.sign(trust.issuer.github(sub="repo:acme/shop-evil")), "No rule")
    trust.accepts(trust.issuer.sign(trust.issuer.github(sub="repo:acme/shop")))


@pytest.mark.parametrize(
    ("claim", "seconds", "valid"),
    [
        ("exp", 1 - LEEWAY_SECONDS, True),
        ("exp", -LEEWAY_SECONDS, False),
        ("nbf", LEEWAY_SECONDS, True),
        ("nbf", LEEWAY_SECONDS + 1, False),
        ("iat", LEEWAY_SECONDS + 1, False),
    ],
)
def test_a_token_is_valid_from_when_to_when_it_says(
    trust: Trust,
    claim: str,
    seconds: int,
    valid: bool,  # noqa: FBT001 - a column of the table
) -> None:
    at = trust.clock.now_ms() // 1_000 + seconds
    token = trust.issuer.sign(trust.issuer.github(**{claim: at}))
    if valid:
        trust.accepts(token)
    else:
        trust.refuses(token, "expired" if claim == "exp" else "not valid yet")


def test_a_changed_claim_breaks_the_signature(trust: Trust) -> None:
    header, _, signature = trust.issuer.sign(trust.issuer.github()).split(".")
    claims = part(trust.issuer.github("acme/bank"))
    trust.refuses(f"{header}.{claims}.{signature}", "signature")


def test_a_key_of_another_issuer_signs_nothing_here(trust: Trust) -> None:
    with local_issuer(trust.clock) as other:
        other.keys = {"key-2": new_key("ES256")}
        rule = {"issuer": other.url, "subjects": ["repo:evil/*"], "roles": ["reader"]}
        trust.rules(github=GITHUB, other=rule)
        trust.refuses(other.sign(trust.issuer.github(), "key-2"), "does not show")
        other.keys = {"key-1": new_key("ES256")}
        trust.refuses(other.sign(trust.issuer.github()), "signature")


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_token_does_not_say_where_its_key_is(trust: Trust, name: str) -> None:
    with local_issuer(trust.clock) as evil:
        shown: dict[str, Any] = {
            "jku": f"{evil.url}/keys",
            "x5u": f"{evil.url}/keys",
            "jwk": public_jwk(evil.keys["key-1"], "key-1"),
            "x5c": ["MIIB"],
        }
        trust.refuses(evil.sign(trust.issuer.github(), **{name: shown[name]}), "signature")
        assert evil.asked == []


@pytest.mark.parametrize(
    "header",
    [{"crit": ["b64"], "b64": False}, {"crit": ["exp"]}, {"kid": None}, {"kid": ["key-1"]}],
)
def test_headers_that_are_refused(trust: Trust, header: dict[str, Any]) -> None:
    token = trust.issuer.sign(trust.issuer.github())
    said = {"alg": "ES256", "kid": "key-1"} | header
    trust.refuses(_resigned(token, said, lambda _: bytes(64)), "crit|kid")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a JSON Web Token"),
        ("a.b", "not a JSON Web Token"),
        ("a.b.c.d", "not a JSON Web Token"),
        ("e30.e30.e30\n", "not a JSON Web Token"),
        (" e30.e30.e30", "not a JSON Web Token"),
        ("e30=.e30.e30", "not a JSON Web Token"),
        ("x" * 20_000 + ".e30.e30", "not a JSON Web Token"),
        ("e.e30.e30", "base64url"),
        ("MQ.MQ.e30", "JSON objects"),
        (f"{part(b'[' * 9_000)}.e30.e30", "nested"),
        (f"{part(b'{')}.e30.e30", "Not JSON"),
        (f"{part(bytes([255]))}.e30.e30", "UTF-8"),
        (part(b'{"a":NaN}') + ".e30.e30", "NaN"),
        (part(b'{"a":1e999}') + ".e30.e30", "too large"),
    ],
)
def test_what_is_no_token_is_refused(trust: Trust, text: str, why: str) -> None:
    trust.refuses(text, why)
    assert trust.issuer.asked == []


def test_what_is_said_twice_is_refused_also_when_it_is_signed(trust: Trust) -> None:
    key = trust.issuer.keys["key-1"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    claims = json.dumps(trust.issuer.github())
    twice = claims[:-1] + ', "sub": "repo:acme/bank:environment:prod"}'
    header = {"alg": "ES256", "kid": "key-1"}

    def token(content: str) -> str:
        import jwt  # noqa: PLC0415 - bytes that jwt.encode would not make

        return jwt.PyJWS().encode(content.encode(), key, "ES256", headers=header)

    trust.accepts(token(claims))
    trust.refuses(token(twice), "sub")


def test_a_token_may_be_exchanged_once_only_when_it_says_which_one_it_is(trust: Trust) -> None:
    trust.rules(github={**GITHUB, "once": True})
    first = trust.grant(trust.issuer.sign(trust.issuer.github()))
    assert first.once == f"{trust.issuer.url}\njti-{trust.clock.now_ms() // 1_000}"
    trust.refuses(trust.issuer.sign(trust.issuer.github(jti=None)), "jti")
    late = trust.clock.now_ms() // 1_000 + 90_000
    trust.refuses(trust.issuer.sign(trust.issuer.github(exp=late)), "lives for more")


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
        trust.refuses(_resigned(token, header, lambda _: bytes(64)), "does not show")
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


def _weak(trust: Trust) -> list[object]:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=1_024)  # noqa: S505 - that is the point
    curve = ec.generate_private_key(ec.SECP384R1())
    good = trust.issuer.keys["key-1"]
    return [
        public_jwk(key, "key-1"),
        public_jwk(curve, "key-1"),
        public_jwk(good, "key-1", use="enc"),
        public_jwk(good, "key-1", alg="ES384"),
        public_jwk(good, "key-1", key_ops=["sign"]),
        public_jwk(good, "key-1", d="AAAA"),
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
        return 302, b""

    monkeypatch.setattr(trust.issuer, "answer", moved)
    trust.issuer.headers = {"Location": f"{trust.issuer.url}/keys"}
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


# Rules that are refused --------------------------------------------------------------------------

GOOD: dict[str, Any] = {"issuer": "https://issuer.example", "audience": AUDIENCE, **GITHUB}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"issuer": "http://issuer.example"}, "issuer"),
        ({"issuer": "issuer.example"}, "issuer"),
        ({"issuer": "https://issuer.example?x"}, "issuer"),
        ({"issuer": "https://user:pw@issuer.example"}, "issuer"),
        ({"jwks_url": "http://10.0.0.1/keys"}, "jwks_url"),
        ({"jwks_url": "https://issuer.example/keys", "jwks_file": "keys"}, "jwks_file"),
        ({"subjects": ["*"], "claims": {}}, "subjects"),
        ({"subjects": ["repo:acme/*", "**"], "claims": {"ref": ["*"]}}, "subjects"),
        ({"services": []}, "services"),
        ({"environments": []}, "environments"),
        ({"roles": ["reader"]}, "services"),
        ({"services": ["{repository"]}, "services"),
        ({"services": ["{}"]}, "services"),
        ({"services": ["{repository|first}"]}, "services"),
    ],
)
def test_a_rule_that_trusts_too_much_is_refused(changes: dict[str, Any], field: str) -> None:
    rule = msgspec.convert(GOOD | changes, OidcSettings)
    with pytest.raises(UsageError) as caught:
        check_rules({"ci": rule})
    assert caught.value.field == f"/oidc/ci/{field}"


def test_the_good_rule_is_good() -> None:
    check_rules({"ci": msgspec.convert(GOOD, OidcSettings)})


@pytest.mark.parametrize("name", ["", "CI", "a:b", "-a", "x" * 33])
def test_a_rule_has_a_plain_name(name: str) -> None:
    with pytest.raises(UsageError):
        check_rules({name: msgspec.convert(GOOD, OidcSettings)})


def test_an_issuer_has_one_source_of_keys() -> None:
    other = GOOD | {"jwks_file": "keys.json"}
    with pytest.raises(DeploymarkError, match="different places"):
        check_rules({n: msgspec.convert(r, OidcSettings) for n, r in (("a", GOOD), ("b", other))})


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": ""},
        {"algorithms": ["none"]},
        {"algorithms": ["HS256"]},
        {"algorithms": []},
        {"roles": ["admin"]},
        {"roles": []},
        {"subjects": []},
        {"lifetime_seconds": 3_601},
        {"unknown": 1},
    ],
)
def test_values_that_no_rule_has(changes: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(GOOD | changes, OidcSettings)
