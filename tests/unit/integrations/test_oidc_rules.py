"""Which trust rules a configuration may hold."""

from typing import Any

import msgspec
import pytest
from oidc_trust import GITHUB

from deploymark.errors import (
    DeploymarkError,
    UsageError,
)
from deploymark.integrations.oidc.settings import OidcSettings, check_rules
from deploymark.testing.issuer import AUDIENCE

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
