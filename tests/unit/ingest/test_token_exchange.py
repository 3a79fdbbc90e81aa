"""What is made of an identity that somebody else stands for: a token like others, for a while."""

import pytest
from msgspec.structs import replace
from token_samples import SCOPE, Office

from deploymark.errors import (
    IdentityRefusedError,
    RateLimitedError,
    TooManyFailuresError,
    UnauthenticatedError,
)
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.tokens import EXCHANGE_BURST, FAILURE_BURST, FORGET_MS
from deploymark.model.vocabulary import Role
from deploymark.ports import Grant

PRINCIPAL = "oidc:github:repo:acme/shop:environment:prod"
GRANT = Grant("github", PRINCIPAL, frozenset({Role.EMITTER}), SCOPE, 900)


@pytest.fixture
def office() -> Office:
    return Office()


def test_its_bearer_is_whom_the_issuer_named(office: Office) -> None:
    issued = office.tokens.exchange(GRANT)
    caller = office.tokens.authenticate(issued.text, "net")
    assert caller == Caller(PRINCIPAL, frozenset({Role.EMITTER}), SCOPE, "net")
    assert office.another_process().authenticate(issued.text).principal == PRINCIPAL


def test_it_stands_in_the_list_and_can_be_revoked(office: Office) -> None:
    issued = office.tokens.exchange(GRANT)
    (record,) = office.tokens.ls(LOCAL)
    assert record == issued.record
    assert (record.name, record.created_by) == (f"oidc-github-{record.id}", PRINCIPAL)
    office.tokens.revoke(record.id, LOCAL)
    with pytest.raises(UnauthenticatedError):
        office.tokens.authenticate(issued.text)


def test_it_ends_when_its_rule_says(office: Office) -> None:
    issued = office.tokens.exchange(GRANT)
    office.clock.advance(899)
    assert office.tokens.authenticate(issued.text).principal == PRINCIPAL
    office.clock.advance(1)
    with pytest.raises(UnauthenticatedError, match="ended at"):
        office.tokens.authenticate(issued.text)


def test_an_identity_token_may_be_exchanged_again_and_again(office: Office) -> None:
    first, second = office.tokens.exchange(GRANT), office.tokens.exchange(GRANT)
    assert first.record.id != second.record.id
    assert office.tokens.authenticate(first.text) == office.tokens.authenticate(second.text)


def test_one_that_may_be_exchanged_once_is_known_in_every_process(office: Office) -> None:
    once = replace(GRANT, once="https://issuer.example\njti-1")
    issued = office.tokens.exchange(once)
    other = office.another_process()
    with pytest.raises(IdentityRefusedError):
        other.exchange(once)
    office.tokens.revoke(issued.record.id, LOCAL)
    office.clock.advance(86_400)  # an identity token that is exchanged once has ended by now
    with pytest.raises(IdentityRefusedError):
        other.exchange(once)
    second = other.exchange(replace(once, once="https://issuer.example\njti-2"))
    assert second.record.id != issued.record.id


def test_what_ended_long_ago_leaves_the_list(office: Office) -> None:
    old = office.tokens.exchange(GRANT)
    office.issue("mine", lifetime_s=1)
    office.clock.advance(900 + FORGET_MS / 1_000 - 1)
    office.tokens.exchange(GRANT)
    assert old.record in office.tokens.ls(LOCAL)
    office.clock.advance(901 + FORGET_MS / 1_000)
    new = office.tokens.exchange(GRANT)
    names = [each.name for each in office.tokens.ls(LOCAL)]
    assert names == ["mine", new.record.name]


def test_one_identity_does_not_fill_the_list_alone(office: Office) -> None:
    for _ in range(EXCHANGE_BURST):
        office.tokens.exchange(GRANT)
    with pytest.raises(RateLimitedError):
        office.tokens.exchange(GRANT)
    another = office.tokens.exchange(replace(GRANT, principal=f"{PRINCIPAL}2"))
    assert another.record.created_by == f"{PRINCIPAL}2"


def test_failures_count_together_with_those_of_tokens(office: Office) -> None:
    for _ in range(FAILURE_BURST):
        office.tokens.count_failure("net")
    with pytest.raises(TooManyFailuresError):
        office.tokens.authenticate("wrong", "net")
