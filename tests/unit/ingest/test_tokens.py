"""A token opens what it was made for, to its end, and its secret stays secret."""

import logging
from typing import TYPE_CHECKING

import pytest
from token_samples import SCOPE, Office, WatchedStore, with_wrong_secret

from deploymark.errors import RateLimitedError, StoreUnavailableError, UnauthenticatedError
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.tokens import CACHE_MS, FAILURE_BURST, Tokens
from deploymark.model.vocabulary import Role
from deploymark.ports import TokenRecord

if TYPE_CHECKING:
    from collections.abc import Callable

_BROUGHT = "0f" * 32


@pytest.fixture
def office() -> Office:
    return Office()


# Whom a bearer is taken for -----------------------------------------------------------------------


def test_a_token_stands_for_its_name_roles_and_scope(office: Office) -> None:
    text, _ = office.issue("ci-main", "emitter")
    assert office.tokens.authenticate(text, "192.0.2.0/24") == Caller(
        "token:ci-main", frozenset({Role.EMITTER}), SCOPE, "192.0.2.0/24"
    )


def test_two_tokens_share_neither_id_nor_secret(office: Office) -> None:
    first, second = (office.issue(name)[0].split("_") for name in ("a", "b"))
    assert first[1] != second[1]
    assert first[2] != second[2]


def test_every_token_that_opens_nothing_is_refused_in_the_same_words(office: Office) -> None:
    text, _ = office.issue("good")
    other, _ = office.issue("other")
    revoked, revoked_id = office.issue("revoked")
    office.tokens.revoke(revoked_id, LOCAL)
    ended, _ = office.issue("ended", lifetime_s=1)
    office.clock.advance(1)
    refused = {
        "malformed": "Bearer nonsense",
        "empty": "",
        "unknown id": f"dmk_{'0' * 12}_{'A' * 43}",
        "unknown and of another shape": _BROUGHT,
        "wrong secret": with_wrong_secret(text),
        "the secret of another": text[:17] + other[17:],
        "revoked": revoked,
        "ended, with a wrong secret": with_wrong_secret(ended),
    }
    said = set()
    for case in refused.values():
        with pytest.raises(UnauthenticatedError) as caught:
            office.tokens.authenticate(case)
        said.add((caught.value.message, caught.value.hint, caught.value.field))
    assert len(said) == 1


def test_who_knows_the_secret_is_told_when_it_ended(office: Office) -> None:
    text, _ = office.issue("short", lifetime_s=60)
    office.clock.advance(59.999)
    office.tokens.authenticate(text)
    office.clock.advance(0.001)
    with pytest.raises(UnauthenticatedError, match=r"ended at 20\d\d-.*Z\."):
        office.tokens.authenticate(text)


def test_a_revoked_token_that_also_ended_says_only_that_it_is_not_valid(office: Office) -> None:
    text, token_id = office.issue("short", lifetime_s=60)
    office.tokens.revoke(token_id, LOCAL)
    office.clock.advance(61)
    with pytest.raises(UnauthenticatedError, match="not valid"):
        office.tokens.authenticate(text)


def test_an_unknown_id_is_compared_like_a_known_one(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _ = office.issue("good")
    compared: list[int] = []

    def compare(expected: bytes, given: bytes) -> bool:
        compared.append(len(expected) + len(given))
        return expected == given

    monkeypatch.setattr("deploymark.ingest.tokens.hmac.compare_digest", compare)
    for attempt in (with_wrong_secret(text), f"dmk_{'0' * 12}_{'A' * 43}"):
        with pytest.raises(UnauthenticatedError):
            office.tokens.authenticate(attempt)
    assert compared == [64, 64]


def test_a_store_that_cannot_tell_refuses_nobody_and_admits_nobody(office: Office) -> None:
    text, _ = office.issue("good")
    office.store.away = True
    with pytest.raises(StoreUnavailableError):
        office.tokens.authenticate(text)
    office.store.away = False
    office.tokens.authenticate(text)


# What is remembered -------------------------------------------------------------------------------


def test_a_proven_token_is_not_read_again_for_two_seconds(office: Office) -> None:
    text, _ = office.issue("busy")
    for _ in range(1000):
        office.tokens.authenticate(text)
        office.clock.advance(CACHE_MS / 1000 / 1001)
    assert office.store.reads == 1
    office.clock.advance(CACHE_MS / 1000)
    office.tokens.authenticate(text)
    assert office.store.reads == 2


def test_a_revocation_counts_at_once_here_and_after_two_seconds_elsewhere(office: Office) -> None:
    text, token_id = office.issue("leaked")
    elsewhere = office.another_process()
    for tokens in (office.tokens, elsewhere):
        tokens.authenticate(text)
    office.clock.advance(0.5)
    office.tokens.revoke(token_id, LOCAL)
    with pytest.raises(UnauthenticatedError):
        office.tokens.authenticate(text)
    office.clock.advance((CACHE_MS - 500 - 1) / 1000)
    elsewhere.authenticate(text)
    office.clock.advance(0.001)
    with pytest.raises(UnauthenticatedError):
        elsewhere.authenticate(text)


def test_a_clock_that_is_set_back_does_not_lengthen_the_memory(office: Office) -> None:
    text, token_id = office.issue("leaked")
    elsewhere = office.another_process()
    elsewhere.authenticate(text)
    office.tokens.revoke(token_id, LOCAL)
    office.clock.advance(-3600)
    with pytest.raises(UnauthenticatedError):
        elsewhere.authenticate(text)


class _SlowStore(WatchedStore):
    """Lets something happen between reading a token and returning it."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = int

    def find(self, token_id: str) -> TokenRecord | None:
        token = super().find(token_id)
        meanwhile, self.meanwhile = self.meanwhile, int
        meanwhile()
        return token


def test_a_token_read_before_its_revocation_is_not_remembered_after_it(office: Office) -> None:
    store = office.store = _SlowStore()
    tokens = office.tokens = office.another_process()
    text, token_id = office.issue("leaked")
    store.meanwhile = lambda: tokens.revoke(token_id, LOCAL)
    tokens.authenticate(text)  # was under way when it was revoked
    with pytest.raises(UnauthenticatedError):
        tokens.authenticate(text)


def test_a_revocation_that_failed_halfway_is_looked_up_again(office: Office) -> None:
    text, token_id = office.issue("leaked")
    office.tokens.authenticate(text)
    office.store.full = True
    with pytest.raises(StoreUnavailableError):
        office.tokens.revoke(token_id, LOCAL)
    reads = office.store.reads
    office.tokens.authenticate(text)
    assert office.store.reads == reads + 1


def test_a_memory_of_proven_tokens_is_bounded_and_guesses_do_not_fill_it(office: Office) -> None:
    texts = [office.issue(f"t{number}")[0] for number in range(1100)]
    for text in texts:
        office.tokens.authenticate(text)
    assert len(office.tokens._cache._proven) == 1024
    before = dict(office.tokens._cache._proven)
    for text in texts[:FAILURE_BURST]:
        with pytest.raises(UnauthenticatedError):
            office.tokens.authenticate(with_wrong_secret(text))
    assert before == office.tokens._cache._proven


# Failures -----------------------------------------------------------------------------------------


def test_failures_are_limited_by_network_and_good_tokens_pass_all_the_same(office: Office) -> None:
    text, _ = office.issue("good")
    for _ in range(FAILURE_BURST):
        with pytest.raises(UnauthenticatedError):
            office.tokens.authenticate("wrong", "192.0.2.0/24")
    with pytest.raises(RateLimitedError, match="failed attempts") as caught:
        office.tokens.authenticate("wrong", "192.0.2.0/24")
    assert caught.value.retry_after_s == 2
    with pytest.raises(UnauthenticatedError):
        office.tokens.authenticate("wrong", "198.51.100.0/24")
    office.tokens.authenticate(text, "192.0.2.0/24")
    office.clock.advance(caught.value.retry_after_s)
    with pytest.raises(UnauthenticatedError):
        office.tokens.authenticate("wrong", "192.0.2.0/24")


# Secrets ------------------------------------------------------------------------------------------


def test_no_secret_shows_in_what_is_returned_raised_or_logged(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    issued = office.tokens.issue("ci", ("reader",), None, 60, LOCAL)
    secret = issued.text.split("_", 2)[2]
    shown = [repr(issued), f"{issued}", repr(issued.record), repr(office.tokens)]
    shown += [repr(office.tokens.authenticate(issued.text)), repr(office.tokens.ls(LOCAL))]
    office.clock.advance(60)
    for attempt in (issued.text, issued.text + "x", with_wrong_secret(issued.text)):
        with pytest.raises(UnauthenticatedError) as caught:
            office.tokens.authenticate(attempt)
        shown += [repr(caught.value), f"{caught.value}", caught.value.hint]
    shown += [record.getMessage() for record in caplog.records]
    assert not any(secret[:-2] in text for text in shown)


def test_the_memory_of_proven_tokens_holds_no_secret(office: Office) -> None:
    text, _ = office.issue("ci")
    office.tokens.authenticate(text)
    assert text.split("_", 2)[2] not in repr(office.tokens._cache._proven)


def test_tokens_have_a_limit_on_failures_of_their_own_by_default(office: Office) -> None:
    first, second = (Tokens(office.store, office.clock, bytes) for _ in range(2))
    for _ in range(FAILURE_BURST):
        with pytest.raises(UnauthenticatedError):
            first.authenticate("wrong")
    with pytest.raises(UnauthenticatedError):
        second.authenticate("wrong")
