"""Who may make a token, of what kind, who may end it, and how the first one comes to be."""

import threading
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace
from token_samples import SCOPE, Office, WatchedStore, with_wrong_secret

from deploymark.errors import (
    DeploymarkError,
    ForbiddenError,
    NotFoundError,
    TokenError,
    UnauthenticatedError,
    UsageError,
)
from deploymark.ingest.callers import ANONYMOUS, LOCAL, Caller
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import TokenRecord

if TYPE_CHECKING:
    from collections.abc import Callable

_BROUGHT = "0f" * 32
_ADMIN = Caller("token:root", frozenset({Role.ADMIN}))


@pytest.fixture
def office() -> Office:
    return Office()


# Making -------------------------------------------------------------------------------------------


NOT_ISSUED: dict[str, tuple[dict[str, Any], str]] = {
    "no name": ({"name": ""}, "/name"),
    "a capital letter": ({"name": "CI"}, "/name"),
    "a dash at the end": ({"name": "ci-"}, "/name"),
    "64 characters": ({"name": "a" * 64}, "/name"),
    "a newline after the name": ({"name": "ci\n"}, "/name"),
    "no roles": ({"roles": ()}, "/roles"),
    "a role that is none": ({"roles": ("root",)}, "/roles"),
    "an emitter without a scope": ({"roles": ("emitter",)}, "/scope"),
    "an emitter of no service": (
        {"roles": ("emitter",), "scope": Scope((), ("production",))},
        "/scope",
    ),
    "an emitter to no environment": (
        {"roles": ("emitter", "reader"), "scope": Scope(("shop",), ())},
        "/scope",
    ),
    "an emitter with an empty pattern": (
        {"roles": ("emitter",), "scope": Scope(("",), ("production",))},
        "/scope",
    ),
    "a reader with a scope": ({"scope": SCOPE}, "/scope"),
    "an administrator with a scope": ({"roles": ("admin", "emitter"), "scope": SCOPE}, "/scope"),
    "no time at all": ({"lifetime_s": 0}, "/lifetime_s"),
    "a lifetime that is over": ({"lifetime_s": -5}, "/lifetime_s"),
    "eleven years": ({"lifetime_s": 11 * 365 * 86_400}, "/lifetime_s"),
}


@pytest.mark.parametrize("case", NOT_ISSUED)
def test_a_token_is_not_made_with(office: Office, case: str) -> None:
    changed, pointer = NOT_ISSUED[case]
    asked: dict[str, Any] = {
        "name": "ci",
        "roles": ("reader",),
        "scope": None,
        "lifetime_s": None,
        **changed,
    }
    with pytest.raises(TokenError) as caught:
        office.tokens.issue(**asked, by=LOCAL)
    assert caught.value.field == pointer
    assert office.store.all() == []


@pytest.mark.parametrize("name", ["a", "0", "ci.main_2-x", "a" * 63])
def test_a_token_may_be_called(office: Office, name: str) -> None:
    text, _ = office.issue(name)
    assert office.tokens.authenticate(text).principal == f"token:{name}"


def test_a_name_is_taken_while_its_token_lives(office: Office) -> None:
    _, token_id = office.issue("ci")
    with pytest.raises(TokenError, match="'ci' already") as caught:
        office.issue("ci")
    assert caught.value.field == "/name"
    office.tokens.revoke(token_id, LOCAL)
    office.issue("ci", lifetime_s=5)
    office.clock.advance(5)
    office.issue("ci")


NOT_ADMINS = {
    "nobody": (ANONYMOUS, UnauthenticatedError),
    "a reader": (Caller("token:r", frozenset({Role.READER})), ForbiddenError),
    "an emitter": (Caller("token:e", frozenset({Role.EMITTER}), SCOPE), ForbiddenError),
    "an operator": (Caller("token:o", frozenset({Role.OPERATOR})), ForbiddenError),
}


@pytest.mark.parametrize("case", NOT_ADMINS)
def test_only_administrators_make_end_and_list_tokens(office: Office, case: str) -> None:
    caller, error = NOT_ADMINS[case]
    text, token_id = office.issue("good")
    with pytest.raises(error):
        office.tokens.issue("mine", ("admin",), None, None, caller)
    with pytest.raises(error):
        office.tokens.revoke(token_id, caller)
    with pytest.raises(error):
        office.tokens.ls(caller)
    office.tokens.authenticate(text)
    assert len(office.tokens.ls(_ADMIN)) == 1


def test_the_list_says_who_made_and_who_ended_a_token(office: Office) -> None:
    made = office.tokens.issue("ci", ("reader",), None, 60, _ADMIN).record
    office.clock.advance(1)
    ended = office.tokens.revoke(made.id, LOCAL)
    assert made.created_by == "token:root"
    assert ended == replace(made, revoked_at_ms=office.clock.now_ms(), revoked_by="local")
    assert office.tokens.ls(LOCAL) == [ended]


# Ending -------------------------------------------------------------------------------------------


def test_revoking_twice_is_no_error_and_changes_nothing(office: Office) -> None:
    _, token_id = office.issue("ci")
    ended = office.tokens.revoke(token_id, LOCAL)
    office.clock.advance(1)
    assert office.tokens.revoke(token_id, _ADMIN) == ended


def test_what_never_was_cannot_be_revoked(office: Office) -> None:
    with pytest.raises(NotFoundError, match="no token 'nothing'"):
        office.tokens.revoke("nothing", LOCAL)


def test_the_last_administrator_is_left_to_those_with_the_files(office: Office) -> None:
    _, first = office.issue("first", "admin")
    _, second = office.issue("second", "admin", lifetime_s=60)
    office.issue("reader")
    office.clock.advance(60)  # the second has ended and can let nobody in
    with pytest.raises(TokenError, match=f"{first} is the last live administrator"):
        office.tokens.revoke(first, _ADMIN)
    office.tokens.revoke(second, _ADMIN)
    assert office.tokens.revoke(first, LOCAL).revoked_by == "local"
    assert office.tokens.ensure_admin() is not None


class _CountedStore(WatchedStore):
    """Lets something happen between counting the administrators and ending one."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] = int

    def all(self) -> list[TokenRecord]:
        tokens = super().all()
        meanwhile, self.meanwhile = self.meanwhile, int
        meanwhile()
        return tokens


def test_two_administrators_cannot_end_each_other(office: Office) -> None:
    store = office.store = _CountedStore()
    tokens = office.tokens = office.another_process()
    first, second = (office.issue(name, "admin")[1] for name in ("a", "b"))
    refused: list[DeploymarkError] = []
    ended = threading.Event()

    def revoke_second() -> None:
        try:
            tokens.revoke(second, _ADMIN)
        except TokenError as error:
            refused.append(error)
        ended.set()

    thread = threading.Thread(target=revoke_second)

    def meanwhile() -> None:
        thread.start()
        ended.wait(0.1)  # it must wait for us; without that it would be through by now

    store.meanwhile = meanwhile
    tokens.revoke(first, _ADMIN)
    thread.join()
    assert len(refused) == 1


# The first token ----------------------------------------------------------------------------------


def test_the_first_start_makes_an_administrator_and_the_second_does_not(office: Office) -> None:
    issued = office.tokens.ensure_admin()
    assert issued is not None
    caller = office.tokens.authenticate(issued.text)
    assert caller == Caller("token:admin", frozenset({Role.ADMIN}))
    assert office.tokens.ensure_admin() is None
    assert office.another_process().ensure_admin() is None


@pytest.mark.parametrize(
    "text", [_BROUGHT, "a.b~c+d/e-f_" * 3 + "==", f"dmk_{'7' * 12}_{'A' * 43}"]
)
def test_a_token_that_is_brought_opens_and_is_made_once(office: Office, text: str) -> None:
    issued = office.tokens.ensure_admin(text)
    assert issued is not None
    assert issued.text == text
    assert office.tokens.authenticate(text).has(Role.ADMIN)
    assert office.tokens.ensure_admin(text) is None
    with pytest.raises(UnauthenticatedError):
        office.tokens.authenticate(with_wrong_secret(text))


def test_a_token_that_is_brought_later_opens_beside_the_others(office: Office) -> None:
    first = office.tokens.ensure_admin()
    second = office.tokens.ensure_admin(_BROUGHT)
    assert first is not None
    assert second is not None
    assert second.record.name == f"admin-{second.record.id}"
    for text in (first.text, _BROUGHT):
        assert office.tokens.authenticate(text).has(Role.ADMIN)


def test_a_brought_token_that_was_revoked_stays_so_while_another_opens(office: Office) -> None:
    brought = office.tokens.ensure_admin(_BROUGHT)
    assert brought is not None
    _, other = office.issue("other", "admin")
    office.tokens.revoke(brought.record.id, _ADMIN)
    assert office.tokens.ensure_admin(_BROUGHT) is None
    with pytest.raises(UnauthenticatedError):
        office.tokens.authenticate(_BROUGHT)
    office.tokens.revoke(other, LOCAL)
    with pytest.raises(UsageError, match="no other one lives"):
        office.tokens.ensure_admin(_BROUGHT)
    assert office.tokens.ensure_admin("1e" * 32) is not None


def test_a_brought_token_cannot_take_the_id_of_another(office: Office) -> None:
    text, _ = office.issue("other", "admin")
    with pytest.raises(UsageError, match="of another token"):
        office.tokens.ensure_admin(with_wrong_secret(text))


@pytest.mark.parametrize(
    "text", ["", "admin", "a" * 31, "a" * 257, "two words " * 5, "dmk_" + "a" * 40]
)
def test_a_text_that_cannot_be_a_token_is_refused_without_being_shown(
    office: Office, text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        office.tokens.ensure_admin(text)
    assert not text or text not in f"{caught.value} {caught.value.hint}".replace(
        "administrator", ""
    )
