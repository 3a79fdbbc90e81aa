"""Tokens and sessions in `state.db`; every statement about them stands in this file."""

from importlib.resources import files
from typing import Any

import msgspec

from deploymark.decoding import decode_json
from deploymark.errors import StateBrokenError
from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports import SessionRecord, TokenRecord
from deploymark.storage.sqlite.state import StateFile

ADAPTER = "tokens"
SCHEMA_VERSION = 1

_SELECT = """SELECT id, name, secret_hash, roles, scope, created_at, created_by, expires_at,
                    revoked_at, revoked_by FROM token"""
_ADD = """
INSERT INTO token SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
WHERE NOT EXISTS (
  SELECT 1 FROM token
  WHERE id = ?
     OR (name = ? AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?))
)"""
_REVOKE = "UPDATE token SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL"
_FORGET = "DELETE FROM token WHERE substr(created_by, 1, length(?)) = ? AND expires_at < ?"
_ORPHANS = "DELETE FROM session WHERE token_id NOT IN (SELECT id FROM token)"
_SESSION = "SELECT cookie_hash, token_id, opened_at, ends_at FROM session WHERE cookie_hash = ?"
_MAKE_ROOM = """
DELETE FROM session WHERE cookie_hash IN (
  SELECT cookie_hash FROM session WHERE token_id = ?
  ORDER BY opened_at DESC, cookie_hash DESC LIMIT -1 OFFSET ?
)"""
_EXTEND = "UPDATE session SET ends_at = max(ends_at, ?) WHERE cookie_hash = ?"


class SqliteTokenStore:
    """A `TokenStore` in the file that operational state shares.

    Args:
        state: The file; its owner closes it.

    Raises:
        DataDirectoryError: The tables there are of another release.
        StateBrokenError: The file is damaged.
        StoreUnavailableError: The medium refuses.
    """

    def __init__(self, state: StateFile) -> None:
        self._state = state
        schema = files("deploymark.storage.sqlite").joinpath("tokens.sql")
        state.lay(ADAPTER, SCHEMA_VERSION, schema.read_text(encoding="utf-8"))

    def add(self, token: TokenRecord) -> bool:
        """See `TokenStore.add`."""
        with self._state.writing() as connection:
            values = (*_values(token), token.id, token.name, token.created_at_ms)
            return connection.execute(_ADD, values).rowcount == 1

    def find(self, token_id: str) -> TokenRecord | None:
        """See `TokenStore.find`."""
        with self._state.reading() as connection:
            row = connection.execute(f"{_SELECT} WHERE id = ?", (token_id,)).fetchone()
        return None if row is None else self._token(row)

    def all(self) -> list[TokenRecord]:
        """See `TokenStore.all`."""
        with self._state.reading() as connection:
            rows = connection.execute(f"{_SELECT} ORDER BY created_at, id").fetchall()
        return [self._token(row) for row in rows]

    def revoke(self, token_id: str, at_ms: int, by: str) -> bool:
        """See `TokenStore.revoke`."""
        with self._state.writing() as connection:
            revoked = connection.execute(_REVOKE, (at_ms, by, token_id)).rowcount == 1
            connection.execute("DELETE FROM session WHERE token_id = ?", (token_id,))
            return revoked

    def forget(self, made_by: str, ended_before_ms: int) -> None:
        """See `TokenStore.forget`."""
        with self._state.writing(durable=False) as connection:
            if connection.execute(_FORGET, (made_by, made_by, ended_before_ms)).rowcount:
                connection.execute(_ORPHANS)

    def open_session(self, session: SessionRecord, most: int) -> None:
        """See `TokenStore.open_session`."""
        with self._state.writing() as connection:
            connection.execute(_MAKE_ROOM, (session.token_id, most - 1))
            connection.execute(
                "INSERT INTO session VALUES (?, ?, ?, ?)", msgspec.structs.astuple(session)
            )

    def find_session(self, cookie_hash: bytes) -> SessionRecord | None:
        """See `TokenStore.find_session`."""
        with self._state.reading() as connection:
            row = connection.execute(_SESSION, (cookie_hash,)).fetchone()
        return None if row is None else SessionRecord(*row)

    def extend_session(self, cookie_hash: bytes, ends_at_ms: int) -> None:
        """See `TokenStore.extend_session`."""
        # Not worth a sync at every page view: a crash only lets the session idle out earlier.
        with self._state.writing(durable=False) as connection:
            connection.execute(_EXTEND, (ends_at_ms, cookie_hash))

    def drop_session(self, cookie_hash: bytes) -> None:
        """See `TokenStore.drop_session`."""
        with self._state.writing() as connection:
            connection.execute("DELETE FROM session WHERE cookie_hash = ?", (cookie_hash,))

    def expire_sessions(self, now_ms: int) -> None:
        """See `TokenStore.expire_sessions`."""
        with self._state.writing(durable=False) as connection:
            connection.execute("DELETE FROM session WHERE ends_at <= ?", (now_ms,))

    def _token(self, row: tuple[Any, ...]) -> TokenRecord:
        token_id, name, secret_hash, roles, scope, *rest = row
        try:
            return TokenRecord(
                token_id,
                name,
                secret_hash,
                frozenset(map(Role, roles.split())),
                None if scope is None else decode_json(scope, Scope),
                *rest,
            )
        except (ValueError, msgspec.MsgspecError) as error:
            raise StateBrokenError(
                f"The token {token_id} in {self._state.path} is damaged: {error}."
            ) from error


def _values(token: TokenRecord) -> tuple[Any, ...]:
    return (
        token.id,
        token.name,
        token.secret_hash,
        " ".join(sorted(token.roles)),
        None if token.scope is None else msgspec.json.encode(token.scope).decode(),
        token.created_at_ms,
        token.created_by,
        token.expires_at_ms,
        token.revoked_at_ms,
        token.revoked_by,
    )
