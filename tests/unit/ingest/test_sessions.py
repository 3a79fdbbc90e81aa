"""A session stands for its token, ends with it or before it, and its cookie stays secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_samples import Office

from deploymark.errors import (
    ForbiddenError,
    RateLimitedError,
    StoreUnavailableError,
    UnauthenticatedError,
)
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.sessions import (
    EXTEND_MS,
    IDLE_MS,
    LIFETIME_MS,
    PER_TOKEN,
    csrf_token,
)
from deploymark.ingest.tokens import FAILURE_BURST
from deploymark.model.vocabulary import Role

_IDLE_S = IDLE_MS / 1000


@pytest.fixture
def office() -> Office:
    return Office()


def _opened(office: Office, **lifetime: int) -> tuple[str, str]:
    text, token_id = office.issue("person", "operator", **lifetime)
    return office.sessions.open(text).cookie, token_id


def test_a_session_may_what_its_token_may(office: Office) -> None:
    cookie, _ = _opened(office)
    assert office.sessions.authenticate(cookie, "192.0.2.0/24") == Caller(
        "token:person", frozenset({Role.OPERATOR}), None, "192.0.2.0/24"
    )


def test_each_session_has_a_cookie_and_a_csrf_token_of_its_own(office: Office) -> None:
    text, _ = office.issue("person")
    first, second = office.sessions.open(text), office.sessions.open(text)
    assert len({first.cookie, second.cookie, first.csrf, second.csrf}) == 4
    assert first.csrf == csrf_token(first.cookie)


def test_one_session_too_many_ends_the_oldest_of_its_token(office: Office) -> None:
    other, _ = _opened(office)
    text, _ = office.issue("team")
    cookies = []
    for _ in range(PER_TOKEN + 2):
        office.clock.advance(1)
        cookies.append(office.sessions.open(text).cookie)
    for ended in cookies[:2]:
        with pytest.raises(UnauthenticatedError):
            office.sessions.authenticate(ended)
    for alive in (other, *cookies[2:]):
        office.sessions.authenticate(alive)


def test_a_wrong_token_opens_no_session(office: Office) -> None:
    with pytest.raises(UnauthenticatedError):
        office.sessions.open("wrong")


# The end ------------------------------------------------------------------------------------------


def test_a_session_that_is_not_used_ends_after_an_hour(office: Office) -> None:
    cookie, _ = _opened(office)
    office.clock.advance(_IDLE_S - 0.001)
    office.sessions.authenticate(cookie)
    office.clock.advance(_IDLE_S)
    with pytest.raises(UnauthenticatedError, match="has ended"):
        office.sessions.authenticate(cookie)


def test_a_session_in_use_ends_after_twelve_hours(office: Office) -> None:
    text, _ = office.issue("person")
    opened = office.sessions.open(text)
    assert opened.expires_at_ms == office.clock.now_ms() + LIFETIME_MS
    while office.clock.now_ms() < opened.expires_at_ms:
        office.sessions.authenticate(opened.cookie)
        office.clock.advance(1800)
    with pytest.raises(UnauthenticatedError):
        office.sessions.authenticate(opened.cookie)


def test_a_session_ends_with_its_token(office: Office) -> None:
    text, _ = office.issue("visitor", lifetime_s=600)
    opened = office.sessions.open(text)
    assert opened.expires_at_ms == office.clock.now_ms() + 600_000
    office.clock.advance(600)
    with pytest.raises(UnauthenticatedError):
        office.sessions.authenticate(opened.cookie)


def test_revoking_a_token_ends_its_sessions_at_once_wherever_it_was_revoked(
    office: Office,
) -> None:
    cookie, token_id = _opened(office)
    office.sessions.authenticate(cookie)
    office.another_process().revoke(token_id, LOCAL)
    with pytest.raises(UnauthenticatedError):
        office.sessions.authenticate(cookie)


def test_a_session_opened_while_its_token_is_revoked_opens_nothing(office: Office) -> None:
    text, token_id = office.issue("person")
    office.tokens.authenticate(text)
    office.another_process().revoke(token_id, LOCAL)
    opened = office.sessions.open(text)  # this process may not know yet
    with pytest.raises(UnauthenticatedError, match="no longer valid"):
        office.sessions.authenticate(opened.cookie)


def test_a_session_that_is_closed_is_over_and_closing_it_twice_is_no_error(
    office: Office,
) -> None:
    cookie, _ = _opened(office)
    other = office.sessions.open(office.issue("other")[0]).cookie
    for _ in range(2):
        office.sessions.close(cookie)
        with pytest.raises(UnauthenticatedError):
            office.sessions.authenticate(cookie)
    office.sessions.authenticate(other)
    office.sessions.close("never one")


def test_opening_a_session_forgets_those_that_have_ended(office: Office) -> None:
    text, _ = office.issue("person")
    for _ in range(3):
        office.sessions.open(text)
        office.clock.advance(_IDLE_S)
    office.sessions.open(text)
    assert len(office.store._sessions) == 1


# Use ----------------------------------------------------------------------------------------------


def test_a_busy_session_is_written_once_a_minute_at_most(office: Office) -> None:
    cookie, _ = _opened(office)
    ends: set[int] = set()
    for _ in range(600):
        office.sessions.authenticate(cookie)
        ends.update(session.ends_at_ms for session in office.store._sessions.values())
        office.clock.advance(1)
    assert len(ends) == 600_000 // EXTEND_MS


def test_a_full_disk_does_not_log_people_out_and_is_counted(office: Office) -> None:
    cookie, _ = _opened(office)
    office.store.full = True
    office.clock.advance(120)
    office.sessions.authenticate(cookie)
    assert office.meter.counts == {
        "deploymark_session_extensions_failed_total{code=store_unavailable}": 1
    }


def test_a_store_that_is_away_admits_nobody(office: Office) -> None:
    cookie, _ = _opened(office)
    office.store.away = True
    with pytest.raises(StoreUnavailableError):
        office.sessions.authenticate(cookie)


def test_guessing_cookies_counts_as_failed_attempts(office: Office) -> None:
    for number in range(FAILURE_BURST):
        with pytest.raises(UnauthenticatedError, match="unknown"):
            office.sessions.authenticate(f"{number:043}", "192.0.2.0/24")
    with pytest.raises(RateLimitedError):
        office.sessions.authenticate("A" * 43, "192.0.2.0/24")
    with pytest.raises(RateLimitedError):
        office.tokens.authenticate("wrong", "192.0.2.0/24")


# Changes ------------------------------------------------------------------------------------------


def test_a_change_needs_the_csrf_token_of_this_very_session(office: Office) -> None:
    text, _ = office.issue("person")
    opened, other = office.sessions.open(text), office.sessions.open(text)
    office.sessions.check_csrf(opened.cookie, opened.csrf)
    refused = (None, "", opened.cookie, other.csrf, opened.csrf + "x", opened.csrf[:-1], "\ud800é")
    for header in refused:
        with pytest.raises(ForbiddenError, match="CSRF"):
            office.sessions.check_csrf(opened.cookie, header)


@given(st.text())
def test_any_text_is_a_cookie_or_is_refused(cookie: str) -> None:
    office = Office()
    with pytest.raises(UnauthenticatedError):
        office.sessions.authenticate(cookie)
    with pytest.raises(ForbiddenError):
        office.sessions.check_csrf(cookie, cookie)
    office.sessions.close(cookie)


def test_no_secret_of_a_session_shows_or_is_kept(office: Office) -> None:
    text, _ = office.issue("person")
    opened = office.sessions.open(text)
    shown = f"{opened!r} {opened} {office.store._sessions!r} {office.store.all()!r}"
    for secret in (opened.cookie, opened.csrf, text.split("_", 2)[2]):
        assert secret not in shown
