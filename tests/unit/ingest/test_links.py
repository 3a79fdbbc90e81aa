"""A sign-in link opens one session, once and soon."""

import pytest
from token_samples import Office

from deploymark.errors import TooManyFailuresError, UnauthenticatedError
from deploymark.ingest.callers import LOCAL, Caller
from deploymark.ingest.links import LIFETIME_S, MOST, SignInLinks
from deploymark.ingest.sessions import Sessions
from deploymark.ingest.tokens import FAILURE_BURST
from deploymark.model.vocabulary import Role


class Gate:
    """Sessions with links of their own."""

    def __init__(self) -> None:
        self.office = Office()
        office = self.office
        self.links = SignInLinks(office.clock, office.chance.randbytes)
        self.sessions = Sessions(
            office.store,
            office.tokens,
            office.clock,
            office.chance.randbytes,
            office.meter,
            self.links,
        )
        self.text, self.token_id = office.issue("person", "operator")


@pytest.fixture
def gate() -> Gate:
    return Gate()


def test_a_link_opens_a_session_of_its_token(gate: Gate) -> None:
    opened = gate.sessions.open_once(gate.links.issue(gate.token_id))
    caller = gate.sessions.authenticate(opened.cookie)
    assert caller == Caller("token:person", frozenset({Role.OPERATOR}))


def test_a_link_is_used_once(gate: Gate) -> None:
    link = gate.links.issue(gate.token_id)
    gate.sessions.open_once(link)
    with pytest.raises(UnauthenticatedError, match="used, or is too old"):
        gate.sessions.open_once(link)


def test_a_link_ends_by_itself(gate: Gate) -> None:
    link = gate.links.issue(gate.token_id)
    gate.office.clock.advance(LIFETIME_S)
    with pytest.raises(UnauthenticatedError):
        gate.sessions.open_once(link)


def test_a_link_ends_with_its_token(gate: Gate) -> None:
    link = gate.links.issue(gate.token_id)
    gate.office.tokens.revoke(gate.token_id, LOCAL)
    with pytest.raises(UnauthenticatedError):
        gate.sessions.open_once(link)


@pytest.mark.parametrize("text", ["", "once_", "once_" + "x" * 43, "dmk_a_b", "once_" + "ä" * 43])
def test_what_is_no_link_opens_nothing(gate: Gate, text: str) -> None:
    with pytest.raises(UnauthenticatedError):
        gate.sessions.open_once(text)


def test_a_token_is_no_link_and_a_link_no_token(gate: Gate) -> None:
    with pytest.raises(UnauthenticatedError):
        gate.sessions.open_once(gate.text)
    with pytest.raises(UnauthenticatedError):
        gate.sessions.open(gate.links.issue(gate.token_id))


def test_guessing_links_is_counted_like_guessing_tokens(gate: Gate) -> None:
    for _ in range(FAILURE_BURST):
        with pytest.raises(UnauthenticatedError):
            gate.sessions.open_once("once_" + "x" * 43, "192.0.2.0/24")
    with pytest.raises(TooManyFailuresError):
        gate.sessions.open_once("once_" + "x" * 43, "192.0.2.0/24")


def test_so_many_links_wait_and_no_more(gate: Gate) -> None:
    first = gate.links.issue(gate.token_id)
    others = [gate.links.issue(gate.token_id) for _ in range(MOST)]
    assert gate.links.take(first) is None
    assert gate.links.take(others[0]) == gate.token_id


def test_the_oldest_live_administrator_is_found(gate: Gate) -> None:
    assert gate.office.tokens.administrator() is None
    _, first = gate.office.issue("one", "admin")
    gate.office.clock.advance(1)
    _, second = gate.office.issue("two", "admin")
    found = gate.office.tokens.administrator()
    assert found is not None
    assert found.id == first
    gate.office.tokens.revoke(first, LOCAL)
    left = gate.office.tokens.administrator()
    assert left is not None
    assert left.id == second
