"""What a token may be called, may do and may speak about: the checks before one is made. Pure."""

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from deploymark.decoding import decode_json
from deploymark.errors import TokenError
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role

LONGEST_S: Final = 3_650 * 86_400
"""The longest lifetime of a token that has one: ten years in seconds."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?")
_SHOWN = 80


def checked_name(name: str) -> str:
    """Return a name that a token may have; raise TokenError for any other."""
    if not _NAME.fullmatch(name):
        raise TokenError(
            f"{name[:_SHOWN]!r} is no name of a token.",
            hint="Names are lower-case letters, digits, '-', '_' and '.', at most 63 characters, "
            "with a letter or digit at both ends.",
            field="/name",
        )
    return name


def checked_roles(roles: Iterable[str]) -> frozenset[Role]:
    """Return at least one role; raise TokenError for none, or for a word that is no role."""
    try:
        checked = frozenset(map(Role, roles))
    except ValueError as error:
        raise TokenError(
            f"{str(error)[:_SHOWN]}.", hint=f"Roles are {', '.join(Role)}.", field="/roles"
        ) from None
    if not checked:
        raise TokenError(
            "A token needs a role.", hint=f"Roles are {', '.join(Role)}.", field="/roles"
        )
    return checked


def checked_scope(roles: frozenset[Role], scope: Scope | None) -> Scope | None:
    """Return the scope that goes with these roles.

    A scope that would narrow nothing is refused, for it would look as if it did.

    Raises:
        TokenError: An emitter without services or environments, or a scope without an emitter.
    """
    if Role.ADMIN in roles or Role.EMITTER not in roles:
        if scope is not None:
            raise TokenError(
                "A scope narrows an emitter; an administrator, or a token that writes no markers, "
                "has none.",
                field="/scope",
            )
        return None
    if scope is None or not scope.services or not scope.environments:
        raise TokenError(
            "An emitter needs a scope that names services and environments.",
            hint='Patterns such as "shop-*" are allowed; "*" allows all.',
            field="/scope",
        )
    try:  # what is stored must be readable again, and limits are checked by decoding
        return decode_json(msgspec.json.encode(scope), Scope)
    except msgspec.ValidationError as error:
        raise TokenError(f"The scope is malformed: {error}.", field="/scope") from None


def checked_lifetime(lifetime_s: int) -> int:
    """Return a lifetime in seconds, at most ten years; raise TokenError for any other."""
    if not 0 < lifetime_s <= LONGEST_S:
        raise TokenError(
            f"A lifetime is 1 to {LONGEST_S} seconds, not {lifetime_s}.",
            hint="Leave it out for a token that never ends by itself.",
            field="/lifetime_s",
        )
    return lifetime_s
