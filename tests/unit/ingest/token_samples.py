"""Tokens with a clock that stands still, chance that repeats, and a store that counts its reads."""

import random

from deploymark.errors import StoreUnavailableError
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.sessions import Sessions
from deploymark.ingest.tokens import Tokens
from deploymark.model.entries import Scope
from deploymark.ports import SessionRecord, TokenRecord
from deploymark.storage.memory_tokens import MemoryTokenStore
from deploymark.testing.clock import ManualClock
from deploymark.testing.meter import ListMeter

SCOPE = Scope(("shop-*",), ("production",))


class WatchedStore(MemoryTokenStore):
    """Counts reads; refuses everything, or only writes, when told."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.away = False
        self.full = False

    def find(self, token_id: str) -> TokenRecord | None:
        self.reads += 1
        self._ask(writes=False)
        return super().find(token_id)

    def find_session(self, cookie_hash: bytes) -> SessionRecord | None:
        self._ask(writes=False)
        return super().find_session(cookie_hash)

    def add(self, token: TokenRecord) -> bool:
        self._ask(writes=True)
        return super().add(token)

    def revoke(self, token_id: str, at_ms: int, by: str) -> bool:
        self._ask(writes=True)
        return super().revoke(token_id, at_ms, by)

    def extend_session(self, cookie_hash: bytes, ends_at_ms: int) -> None:
        self._ask(writes=True)
        super().extend_session(cookie_hash, ends_at_ms)

    def _ask(self, *, writes: bool) -> None:
        if self.away or (writes and self.full):
            raise StoreUnavailableError("The state file refused.")


class Office:
    """Everything that makes and recognises tokens, in one place for a test."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = WatchedStore()
        self.meter = ListMeter()
        self.chance = random.Random(7)
        self.tokens = self.another_process()
        self.sessions = Sessions(
            self.store, self.tokens, self.clock, self.chance.randbytes, self.meter
        )

    def another_process(self) -> Tokens:
        """Return tokens over the same store with a memory of their own."""
        return Tokens(self.store, self.clock, self.chance.randbytes)

    def issue(self, name: str, *roles: str, lifetime_s: int | None = None) -> tuple[str, str]:
        """Make a token and return its text and id."""
        scope = SCOPE if roles == ("emitter",) else None
        issued = self.tokens.issue(name, roles or ("reader",), scope, lifetime_s, LOCAL)
        return issued.text, issued.record.id


def with_wrong_secret(text: str) -> str:
    """Return a token of the same id whose secret is another."""
    return text[:-2] + ("AA" if text[-2:] != "AA" else "BB")
