"""Who calls: tokens, from their making to their end, and whom their bearers are taken for.

The rules only. Where tokens are kept is behind `ports.TokenStore`; sessions of browsers, which a
token opens, are in `ingest.sessions`; what a caller may do is in `ingest.permission`. The text of
a token leaves this module once, when it is made; kept, compared and remembered is the SHA-256 of
its secret.
"""

import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, NoReturn

import msgspec

from deploymark.errors import (
    IdentityRefusedError,
    NotFoundError,
    TokenError,
    TooManyFailuresError,
    UnauthenticatedError,
    UsageError,
)
from deploymark.ingest.callers import LOCAL_PRINCIPAL, Caller
from deploymark.ingest.permission import require
from deploymark.ingest.throttle import Throttle
from deploymark.ingest.token_request import (
    checked_lifetime,
    checked_name,
    checked_roles,
    checked_scope,
)
from deploymark.ingest.token_text import (
    BROUGHT_CHARACTERS,
    TokenText,
    new_token_text,
    parse_token,
)
from deploymark.model.entries import Scope
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import Role
from deploymark.ports import OIDC, Clock, Grant, TokenRecord, TokenStore

CACHE_MS: Final = 2_000
"""For how long a proven token is trusted without a look into the store: the longest time after
which a revocation by another process takes effect."""

FAILURES_PER_SECOND: Final = 0.5
FAILURE_BURST: Final = 20

EXCHANGES_PER_SECOND: Final = 0.5
EXCHANGE_BURST: Final = 120

FORGET_MS: Final = 25 * 3_600_000
"""How long a token that was exchanged stays in the list after its end: longer than an identity
token lives that may be exchanged once."""

ADMIN_NAME: Final = "admin"
"""What the first token is called."""

_TIDY_MS = 3_600_000
_CACHED = 1_024
_SHOWN = 80
# Compared with when an id is unknown, so that this takes as long as for a known one.
_NOBODY = sha256(b"nobody").digest()
_UNKNOWN = "The token is not valid."


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token that was just made: the only value that holds its text, which `repr` leaves out.

    Attributes:
        text: What its bearer sends; to be shown once and kept nowhere.
        record: What is kept.
    """

    text: str = field(repr=False)
    record: TokenRecord


class Tokens:
    """Makes, ends and recognises tokens. Safe on any thread.

    Args:
        store: Where they are kept.
        clock: Tells when they end.
        random_bytes: Returns as many unpredictable bytes as asked, as `secrets.token_bytes`.
        failures: Counts failed attempts by network; a limit of its own when left out.
    """

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        failures: Throttle | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._random_bytes = random_bytes
        self._failures = failures or Throttle(clock, FAILURES_PER_SECOND, FAILURE_BURST)
        self._exchanges = Throttle(clock, EXCHANGES_PER_SECOND, EXCHANGE_BURST)
        self._changing = threading.Lock()
        self._tidied_at_ms = 0
        self._cache = _ProvenTokens()

    # Whom a bearer is taken for ------------------------------------------------------------------

    def authenticate(self, text: str, network: str = "") -> Caller:
        """Return the caller whose token this is.

        Args:
            text: What came after `Bearer`.
            network: Where from, as a prefix.

        Raises:
            UnauthenticatedError: The token is malformed, unknown, wrong, revoked or ended. Only
                who knows the secret of a token that has ended is told so.
            TooManyFailuresError: The same, after too many failures from this network. Who holds a
                good token is never refused for the failures of a neighbour.
            StoreUnavailableError, StateBrokenError: The store cannot tell.
        """
        return _caller(self.verify(text, network), network)

    def verify(self, text: str, network: str = "") -> TokenRecord:
        """Return the live token of this text; raises as `authenticate`."""
        now_ms = self._clock.now_ms()
        given = parse_token(text)
        token = None if given is None else self._proven(given, now_ms)
        if token is None:
            self.refuse(_UNKNOWN, network)
        if not token.lives(now_ms):
            self.refuse(f"The token ended at {format_instant(token.expires_at_ms or 0)}.", network)
        return token

    def recall(self, token_id: str, network: str = "") -> Caller:
        """Return the caller that a live token stands for, as a session remembers it.

        Reads the store every time, so that the end of a token is the end of its sessions.

        Raises:
            UnauthenticatedError: The token is unknown, revoked or ended.
            StoreUnavailableError, StateBrokenError: The store cannot tell.
        """
        return _caller(self.known(token_id), network)

    def known(self, token_id: str) -> TokenRecord:
        """Return the live token with this id; raises as `recall`."""
        token = self._store.find(token_id)
        if token is None or not token.lives(self._clock.now_ms()):
            raise UnauthenticatedError("The token of this session is no longer valid.")
        return token

    def administrator(self) -> TokenRecord | None:
        """Return a live administrator's token, the oldest; for whoever starts the server."""
        return next(iter(self._admins(self._clock.now_ms())), None)

    def refuse(self, message: str, network: str, hint: str = "") -> NoReturn:
        """Refuse an attempt to authenticate, with a token or a session, and count it.

        Raises:
            TooManyFailuresError: There were too many from this network.
            UnauthenticatedError: Otherwise, with this message.
        """
        self.count_failure(network)
        raise UnauthenticatedError(message, hint=hint)

    def count_failure(self, network: str) -> None:
        """Count a failed attempt to authenticate; raise TooManyFailuresError beyond the limit."""
        what = "failed attempts to authenticate from this network"
        self._failures.demand(network, what, refusal=TooManyFailuresError)

    def _proven(self, given: TokenText, now_ms: int) -> TokenRecord | None:
        """Return the token whose secret this is, unless it was revoked."""
        secret_hash = given.secret_hash
        key = (given.id, secret_hash)
        cached, generation = self._cache.find(key, now_ms)
        if cached is not None:
            return cached
        token = self._store.find(given.id)
        expected = _NOBODY if token is None else token.secret_hash
        matches = hmac.compare_digest(expected, secret_hash)
        if token is None or not matches or token.revoked_at_ms is not None:
            return None
        self._cache.keep(key, token, now_ms, generation)
        return token

    # From the making of a token to its end --------------------------------------------------------

    def issue(
        self,
        name: str,
        roles: Iterable[str],
        scope: Scope | None,
        lifetime_s: int | None,
        by: Caller,
    ) -> IssuedToken:
        """Make a token.

        Args:
            name: What it is called; the principal of what its bearer writes is `token:<name>`.
            roles: At least one.
            scope: What an emitter may speak about; None for every other token.
            lifetime_s: Seconds after which it ends; None when it never does by itself.
            by: Who asks, an administrator.

        Raises:
            TokenError: The name is malformed or taken, or roles and scope do not go together.
            ForbiddenError, UnauthenticatedError: Only administrators make tokens.
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        require(by, Role.ADMIN)
        now_ms = self._clock.now_ms()
        checked = checked_roles(roles)
        text = new_token_text(self._random_bytes)
        given = _parsed(text)
        token = TokenRecord(
            id=given.id,
            name=checked_name(name),
            secret_hash=given.secret_hash,
            roles=checked,
            scope=checked_scope(checked, scope),
            created_at_ms=now_ms,
            created_by=by.principal,
            expires_at_ms=(
                None if lifetime_s is None else now_ms + 1000 * checked_lifetime(lifetime_s)
            ),
        )
        if not self._store.add(token):
            raise TokenError(
                f"A live token is called {name!r} already.",
                hint="Revoke it first, or choose another name.",
                field="/name",
            )
        return IssuedToken(text, token)

    def exchange(self, grant: Grant) -> IssuedToken:
        """Make the token that an identity token is exchanged for.

        Args:
            grant: What its bearer gets; whoever made it has checked the identity token.

        Raises:
            IdentityRefusedError: It may be exchanged once, and was.
            RateLimitedError: This identity exchanges too often.
            TokenError: Roles and scope do not go together.
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        self._exchanges.demand(grant.principal, "exchanges of identity tokens")
        now_ms = self._clock.now_ms()
        self._forget(now_ms)
        text = new_token_text(self._random_bytes, grant.once)
        given = _parsed(text)
        token = TokenRecord(
            id=given.id,
            name=checked_name(f"oidc-{grant.rule}-{given.id}"),
            secret_hash=given.secret_hash,
            roles=grant.roles,
            scope=checked_scope(grant.roles, grant.scope),
            created_at_ms=now_ms,
            created_by=grant.principal,
            expires_at_ms=now_ms + 1000 * grant.lifetime_s,
        )
        if not self._store.add(token):
            raise IdentityRefusedError("The identity token was exchanged before.")
        return IssuedToken(text, token)

    def _forget(self, now_ms: int) -> None:
        """Forget exchanged tokens that ended long ago: each job makes some, for ever."""
        if not 0 <= now_ms - self._tidied_at_ms < _TIDY_MS:
            self._tidied_at_ms = now_ms
            self._store.forget(OIDC, now_ms - FORGET_MS)

    def revoke(self, token_id: str, by: Caller) -> TokenRecord:
        """End a token and its sessions: durably when this returns, and at once in this process.

        Revoking twice is no error. The last live administrator's token is left to those with
        access to the files, who can always make another.

        Returns:
            The token as it is now.

        Raises:
            NotFoundError: There is no such token.
            TokenError: It is the last live token of an administrator.
            ForbiddenError, UnauthenticatedError: Only administrators end tokens.
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        require(by, Role.ADMIN)
        now_ms = self._clock.now_ms()
        with self._changing:  # or two could end the last two administrators' tokens together
            admins = {token.id for token in self._admins(now_ms)}
            if by.principal != LOCAL_PRINCIPAL and admins == {token_id}:
                raise TokenError(
                    f"{token_id} is the last live administrator's token.",
                    hint="Make another one first, or revoke it with access to the files.",
                )
            try:
                self._store.revoke(token_id, now_ms, by.principal)
            finally:
                self._cache.clear()  # whether it was written or not, look again
        token = self._store.find(token_id)
        if token is None:
            raise NotFoundError(
                f"There is no token {token_id[:_SHOWN]!r}.", hint="List the tokens for their ids."
            )
        return token

    def ls(self, by: Caller) -> list[TokenRecord]:
        """Return every token that ever was, oldest first; for administrators."""
        require(by, Role.ADMIN)
        return self._store.all()

    def ensure_admin(self, text: str | None = None) -> IssuedToken | None:
        """See to it that somebody can get in; for whoever starts the server.

        Args:
            text: The token that the operator brings, known from now on beside all others; one is
                made when it is None and no administrator's token lives.

        Returns:
            The token that was made, None when there was nothing to do. One that was brought and
            has been revoked since stays revoked, as long as another administrator's token lives.

        Raises:
            UsageError: The text is no token, or is one that opens nothing while no other does.
            StoreUnavailableError, StateBrokenError: The store refuses.
        """
        now_ms = self._clock.now_ms()
        if text is None and self._admins(now_ms):
            return None
        brought = new_token_text(self._random_bytes) if text is None else text
        given = _parsed(brought)
        known = self._store.find(given.id)
        if known is not None:
            self._check_brought(known, given, now_ms)
            return None
        token = TokenRecord(
            id=given.id,
            name=ADMIN_NAME,
            secret_hash=given.secret_hash,
            roles=frozenset({Role.ADMIN}),
            scope=None,
            created_at_ms=now_ms,
            created_by=LOCAL_PRINCIPAL,
        )
        if not self._store.add(token):  # the name is taken; ids are not, not even by chance
            token = msgspec.structs.replace(token, name=f"{ADMIN_NAME}-{token.id}")
            if not self._store.add(token):
                return None  # another process brought the same
        return IssuedToken(brought, token)

    def _check_brought(self, known: TokenRecord, given: TokenText, now_ms: int) -> None:
        if not hmac.compare_digest(known.secret_hash, given.secret_hash):
            raise UsageError(
                f"The administrator's token has the id {known.id} of another token.",
                hint="Set DEPLOYMARK_ADMIN_TOKEN to a new random text.",
            )
        if self._admins(now_ms):
            return
        raise UsageError(
            f"The administrator's token {known.id} is revoked, ended or no administrator's, and "
            "no other one lives.",
            hint="Set DEPLOYMARK_ADMIN_TOKEN to a new random text, or leave it out.",
        )

    def _admins(self, now_ms: int) -> list[TokenRecord]:
        return [
            token
            for token in self._store.all()
            if Role.ADMIN in token.roles and token.lives(now_ms)
        ]


class _ProvenTokens:
    """Tokens whose secret was shown lately, so that the store is not read for each request.

    Only a right secret comes in here and only a right secret finds anything: guessing neither
    pushes others out nor learns from being quick whether an id is known.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._proven: OrderedDict[tuple[str, bytes], tuple[TokenRecord, int]] = OrderedDict()
        self._generation = 0

    def find(self, key: tuple[str, bytes], now_ms: int) -> tuple[TokenRecord | None, int]:
        """Return the token, and the generation to hand to `keep` after reading the store."""
        with self._lock:
            token, read_at_ms = self._proven.get(key, (None, 0))
            if token is not None and not 0 <= now_ms - read_at_ms < CACHE_MS:
                token = None
            return token, self._generation

    def keep(
        self, key: tuple[str, bytes], token: TokenRecord, read_at_ms: int, generation: int
    ) -> None:
        """Remember a token, unless one was revoked since the store was read."""
        with self._lock:
            if generation != self._generation:
                return
            self._proven[key] = (token, read_at_ms)
            self._proven.move_to_end(key)
            if len(self._proven) > _CACHED:
                self._proven.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, also what is being read right now."""
        with self._lock:
            self._proven.clear()
            self._generation += 1


def _caller(token: TokenRecord, network: str) -> Caller:
    return Caller(token.principal, token.roles, token.scope, network)


def _parsed(text: str) -> TokenText:
    given = parse_token(text)
    if given is None:
        least, most = BROUGHT_CHARACTERS
        raise UsageError(
            f"The administrator's token is not {least} to {most} letters, digits and -._~+/ "
            f"(it has {len(text)} characters), nor dmk_<id>_<secret>.",
            hint="Set DEPLOYMARK_ADMIN_TOKEN to the output of `openssl rand -hex 32`.",
        )
    return given
