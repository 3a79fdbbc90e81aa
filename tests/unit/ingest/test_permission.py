"""A caller may do what its roles say, and say what its scope says."""

from typing import Any

import pytest

from deploymark.errors import ForbiddenError, UnauthenticatedError
from deploymark.ingest.callers import ANONYMOUS, LOCAL, Caller
from deploymark.ingest.permission import check_scope, require
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role

_MAY: dict[Role, set[Role]] = {
    Role.READER: {Role.READER},
    Role.EMITTER: {Role.EMITTER},
    Role.OPERATOR: {Role.OPERATOR, Role.READER},
    Role.ADMIN: set(Role),
}
_SCOPE = Scope(("shop-*", "cart"), ("production",), phases=("applied", "failed"))
_EMITTER = Caller("token:ci", frozenset({Role.EMITTER}), _SCOPE)
_MARKER = {"service": "shop-front", "environment": "production", "phase": "applied"}


@pytest.mark.parametrize("has", Role)
@pytest.mark.parametrize("needed", Role)
def test_a_role_opens_its_own_doors_and_those_below(has: Role, needed: Role) -> None:
    caller = Caller("token:someone", frozenset({has}))
    if needed in _MAY[has]:
        require(caller, needed)
        return
    with pytest.raises(ForbiddenError, match=f"needs the role {needed}; token:someone has {has}"):
        require(caller, needed)


@pytest.mark.parametrize("needed", Role)
def test_who_said_nothing_is_asked_for_a_token(needed: Role) -> None:
    with pytest.raises(UnauthenticatedError, match=f"needs the role {needed}"):
        require(ANONYMOUS, needed)
    require(LOCAL, needed)


def test_a_token_without_roles_is_told_so() -> None:
    with pytest.raises(ForbiddenError, match="token:idle has no role"):
        require(Caller("token:idle", frozenset()), Role.READER)


OUTSIDE: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "another service": ({"service": "billing"}, "service 'billing'", "shop-*, cart", "/service"),
    "another environment": (
        {"environment": "staging"},
        "environment 'staging'",
        "production",
        "/environment",
    ),
    "another phase": ({"phase": "removed"}, "phase 'removed'", "applied, failed", "/phase"),
    "no service at all": ({"service": None}, "service None", "shop-*, cart", "/service"),
    "a service that is no text": ({"service": ["cart"]}, "service", "shop-*, cart", "/service"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_a_marker_outside_the_scope_is_refused_with_what_was_said_and_is_allowed(
    case: str,
) -> None:
    changed, said, allowed, pointer = OUTSIDE[case]
    for prefix in ("", "/3"):
        with pytest.raises(ForbiddenError) as caught:
            check_scope(_EMITTER, {**_MARKER, **changed}, prefix)
        assert said in caught.value.message
        assert allowed in caught.value.message
        assert "token:ci" in caught.value.message
        assert caught.value.field == prefix + pointer


def test_a_marker_within_the_scope_passes_of_whatever_kind() -> None:
    check_scope(_EMITTER, _MARKER)
    check_scope(_EMITTER, {**_MARKER, "kind": "config"})
    check_scope(LOCAL, {"service": "anything"})


def test_a_refusal_does_not_repeat_endless_text() -> None:
    with pytest.raises(ForbiddenError) as caught:
        check_scope(_EMITTER, {**_MARKER, "service": "x" * 100_000})
    assert len(caught.value.message) < 1000
