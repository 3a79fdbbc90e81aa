"""May this caller do this, and say this? Roles and scopes, as refusals with a reason. Pure."""

from collections.abc import Mapping
from typing import Any

from deploymark.crypto.scope import marker_refusal
from deploymark.errors import ForbiddenError, UnauthenticatedError
from deploymark.ingest.callers import Caller
from deploymark.model.vocabulary import Role

_SHOWN = 500


def require(caller: Caller, role: Role) -> None:
    """Refuse a caller that has a role neither by itself nor through a higher one.

    Raises:
        UnauthenticatedError: The caller is anonymous.
        ForbiddenError: The caller is known and has other roles.
    """
    if caller.has(role):
        return
    if not caller.principal:
        raise UnauthenticatedError(f"This needs the role {role}, and no token was given.")
    has = ", ".join(sorted(caller.roles)) or "no role"
    raise ForbiddenError(f"This needs the role {role}; {caller.principal} has {has}.")


def check_scope(caller: Caller, fields: Mapping[str, Any], pointer_prefix: str = "") -> None:
    """Refuse a marker that lies outside the scope of its caller.

    A caller without a scope is not narrowed; whether it may write at all is its role's matter.

    Args:
        caller: Who hands it in.
        fields: The flat marker.
        pointer_prefix: JSON Pointer to the marker within what was handed in, such as `/3`.

    Raises:
        ForbiddenError: Names the field, what it says and what is allowed.
    """
    refusal = "" if caller.scope is None else marker_refusal(caller.scope, fields)
    if not refusal:
        return
    name = refusal.partition(" ")[0]  # a refusal begins with the name of the field
    shown = refusal if len(refusal) <= _SHOWN else f"{refusal[:_SHOWN]}…"
    raise ForbiddenError(
        f"{caller.principal} may not say this: {shown}.", field=f"{pointer_prefix}/{name}"
    )
