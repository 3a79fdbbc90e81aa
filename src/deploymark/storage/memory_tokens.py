"""Tokens and sessions in memory, for tests and for a server that keeps nothing."""

import threading

import msgspec

from deploymark.ports import SessionRecord, TokenRecord


class MemoryTokenStore:
    """A `TokenStore` that lives as long as its process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tokens: dict[str, TokenRecord] = {}
        self._sessions: dict[bytes, SessionRecord] = {}

    def add(self, token: TokenRecord) -> bool:
        """See `TokenStore.add`."""
        with self._lock:
            taken = any(
                other.name == token.name and other.lives(token.created_at_ms)
                for other in self._tokens.values()
            )
            if taken or token.id in self._tokens:
                return False
            self._tokens[token.id] = token
            return True

    def find(self, token_id: str) -> TokenRecord | None:
        """See `TokenStore.find`."""
        with self._lock:
            return self._tokens.get(token_id)

    def all(self) -> list[TokenRecord]:
        """See `TokenStore.all`."""
        with self._lock:
            return sorted(self._tokens.values(), key=lambda token: (token.created_at_ms, token.id))

    def revoke(self, token_id: str, at_ms: int, by: str) -> bool:
        """See `TokenStore.revoke`."""
        with self._lock:
            for session in list(self._sessions.values()):
                if session.token_id == token_id:
                    del self._sessions[session.cookie_hash]
            token = self._tokens.get(token_id)
            if token is None or token.revoked_at_ms is not None:
                return False
            self._tokens[token_id] = msgspec.structs.replace(
                token, revoked_at_ms=at_ms, revoked_by=by
            )
            return True

    def forget(self, made_by: str, ended_before_ms: int) -> None:
        """See `TokenStore.forget`."""
        with self._lock:
            for token in list(self._tokens.values()):
                ended = token.expires_at_ms is not None and token.expires_at_ms < ended_before_ms
                if ended and token.created_by.startswith(made_by):
                    del self._tokens[token.id]
            for session in list(self._sessions.values()):
                if session.token_id not in self._tokens:
                    del self._sessions[session.cookie_hash]

    def open_session(self, session: SessionRecord, most: int) -> None:
        """See `TokenStore.open_session`."""
        with self._lock:
            mine = [each for each in self._sessions.values() if each.token_id == session.token_id]
            mine.sort(key=lambda each: (each.opened_at_ms, each.cookie_hash))
            for old in mine[: max(0, len(mine) - most + 1)]:
                del self._sessions[old.cookie_hash]
            self._sessions[session.cookie_hash] = session

    def find_session(self, cookie_hash: bytes) -> SessionRecord | None:
        """See `TokenStore.find_session`."""
        with self._lock:
            return self._sessions.get(cookie_hash)

    def extend_session(self, cookie_hash: bytes, ends_at_ms: int) -> None:
        """See `TokenStore.extend_session`."""
        with self._lock:
            session = self._sessions.get(cookie_hash)
            if session is not None and session.ends_at_ms < ends_at_ms:
                self._sessions[cookie_hash] = msgspec.structs.replace(
                    session, ends_at_ms=ends_at_ms
                )

    def drop_session(self, cookie_hash: bytes) -> None:
        """See `TokenStore.drop_session`."""
        with self._lock:
            self._sessions.pop(cookie_hash, None)

    def expire_sessions(self, now_ms: int) -> None:
        """See `TokenStore.expire_sessions`."""
        with self._lock:
            for session in list(self._sessions.values()):
                if session.ends_at_ms <= now_ms:
                    del self._sessions[session.cookie_hash]
