"""Identity tokens of a local issuer: who gets what, and everything that an attacker tries."""

import contextlib
import hmac
import json
import string
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from oidc_trust import GITHUB, Trust, resigned, trusting

from deploymark.errors import IdentityRefusedError
from deploymark.integrations.oidc.identities import LEEWAY_SECONDS
from deploymark.integrations.oidc.rules import principal_of
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import Grant
from deploymark.testing.issuer import AUDIENCE, local_issuer, new_key, part, public_jwk


@pytest.fixture
def trust() -> Iterator[Trust]:
    with trusting() as trust:
        yield trust


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


def _pem(key: Any) -> bytes:  # noqa: ANN401 - of any kind
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return bytes(key.public_key().public_bytes(serialization.Encoding.PEM, form))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "HS256", "HS512", "RS512"])
def test_an_algorithm_that_is_not_allowed_is_refused(trust: Trust, algorithm: str) -> None:
    trust.issuer.keys = {"key-1": new_key("RS256")}
    public = _pem(trust.issuer.keys["key-1"])
    token = resigned(
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
    token = resigned(
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
    trust.refuses(resigned(token, header, lambda _: bytes(64)), "does not show")


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
    trust.refuses(resigned(token, said, lambda _: bytes(64)), "crit|kid")


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


_ALPHABET = string.ascii_letters + string.digits + "-_"


@settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(place=st.integers(0, 10_000), other=st.sampled_from(_ALPHABET + "=. \n\0\u00e9"))
def test_no_character_of_a_token_can_be_another(trust: Trust, place: int, other: str) -> None:
    token = trust.issuer.sign(trust.issuer.github())
    signed = token.rindex(".")  # behind it one signature may be spelt in several ways
    place %= signed
    assume(token[place] != other)
    with pytest.raises(IdentityRefusedError):
        trust.grant(token[:place] + other + token[place + 1 :])


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@settings(
    max_examples=150,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=st.sampled_from(["alg", "kid", "iss", "aud", "sub", "exp", "iat", "nbf", "jti", "ref"]),
    value=_VALUES,
)
def test_no_value_of_a_claim_is_more_than_refused(trust: Trust, name: str, value: object) -> None:
    header: dict[str, Any] = {"alg": "ES256", "kid": "key-1"}
    claims = trust.issuer.github()
    (header if name in header else claims)[name] = value
    key = trust.issuer.keys["key-1"]
    body = f"{part(header)}.{part(claims)}"
    signature = jwt.get_algorithm_by_name("ES256").sign(body.encode(), key)
    with contextlib.suppress(IdentityRefusedError):
        trust.accepts(f"{body}.{part(signature)}")


def test_what_is_said_twice_is_refused_also_when_it_is_signed(trust: Trust) -> None:
    key = trust.issuer.keys["key-1"]
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    claims = json.dumps(trust.issuer.github())
    twice = claims[:-1] + ', "sub": "repo:acme/bank:environment:prod"}'
    header = {"alg": "ES256", "kid": "key-1"}

    def token(content: str) -> str:
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
