"""How a token is shown: everything that is known of it, and never its secret."""

from typing import Any

from msgspec import to_builtins

from deploymark.model.instants import format_instant
from deploymark.ports import TokenRecord


def token_view(token: TokenRecord, now_ms: int) -> dict[str, Any]:
    """Return a token as plain JSON values; what it does not have is null."""
    return {
        "id": token.id,
        "name": token.name,
        "roles": sorted(token.roles),
        "scope": to_builtins(token.scope),
        "created_at": format_instant(token.created_at_ms),
        "created_by": token.created_by,
        "expires_at": _instant(token.expires_at_ms),
        "revoked_at": _instant(token.revoked_at_ms),
        "is_live": token.lives(now_ms),
    }


def _instant(ms: int | None) -> str | None:
    return None if ms is None else format_instant(ms)
