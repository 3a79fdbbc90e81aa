"""Operational state that no log entry says: tokens, sessions, the ledger of emitters."""

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role
from deploymark.ports.admission import Position

OIDC: Final = "oidc:"
"""How principals begin that an issuer of identity tokens stands for."""


class TokenRecord(Struct, frozen=True):
    """What is kept of a token: everything but its secret.

    Attributes:
        id: 12 characters of lower-case Crockford base32; no secret.
        name: What people call it; unique among live tokens.
        secret_hash: SHA-256 of the secret part of its text, 32 bytes.
        roles: What its bearer may do.
        scope: What an emitter may speak about; None for every other token.
        created_at_ms: When it was made.
        created_by: The principal that made it; of one that an identity token was exchanged for,
            that identity.
        expires_at_ms: From when on it opens nothing; None when it never ends by itself.
        revoked_at_ms: When it was revoked, None while it stands.
        revoked_by: The principal that revoked it, "" while it stands.
    """

    id: str
    name: str
    secret_hash: bytes
    roles: frozenset[Role]
    scope: Scope | None
    created_at_ms: int
    created_by: str
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    revoked_by: str = ""

    @property
    def principal(self) -> str:
        """Whom its bearer is taken for: who made it themselves by an exchange, else its name."""
        return self.created_by if self.created_by.startswith(OIDC) else f"token:{self.name}"

    def lives(self, now_ms: int) -> bool:
        """Tell whether it opens anything at a time."""
        return self.revoked_at_ms is None and (
            self.expires_at_ms is None or now_ms < self.expires_at_ms
        )


class Grant(Struct, frozen=True):
    """What the bearer of an identity token gets for it.

    Attributes:
        rule: The rule of the configuration that says so.
        principal: Who it is, `oidc:<rule>:<subject>`, printable and at most 200 characters.
        roles: What they may do; never an administrator.
        scope: What an emitter may speak about; None for others.
        lifetime_s: For how many seconds.
        once: What tells this identity token from all others, where it may be exchanged only once;
            "" where it may be exchanged as long as it is valid.
    """

    rule: str
    principal: str
    roles: frozenset[Role]
    scope: Scope | None
    lifetime_s: int
    once: str = ""


class SessionRecord(Struct, frozen=True):
    """What is kept of the session of a browser: everything but its cookie.

    Attributes:
        cookie_hash: SHA-256 of the cookie's value, 32 bytes.
        token_id: The token that opened it, without which it opens nothing.
        opened_at_ms: When it was opened.
        ends_at_ms: When it ends unless it is used before.
    """

    cookie_hash: bytes
    token_id: str
    opened_at_ms: int
    ends_at_ms: int


class TokenStore(Protocol):
    """Keeps tokens and the sessions that they opened; never a secret, only hashes.

    Safe on any thread and, where the medium is shared, among processes: what one call wrote, every
    later read sees. Every method raises `StoreUnavailableError` when the medium refuses and
    `StateBrokenError` when it is damaged.
    """

    def add(self, token: TokenRecord) -> bool:
        """Keep a new token durably.

        Returns:
            Whether it was kept: not when its id is known, nor when a token that lives at
            `created_at_ms` has its name.
        """
        ...

    def find(self, token_id: str) -> TokenRecord | None:
        """Return a token, revoked and ended ones too; None when it never was."""
        ...

    def all(self) -> list[TokenRecord]:
        """Return every token that ever was, by time of creation, then by id."""
        ...

    def revoke(self, token_id: str, at_ms: int, by: str) -> bool:
        """End a token and its sessions durably, in one step; the first revocation stands.

        Returns:
            Whether this call ended it.
        """
        ...

    def forget(self, made_by: str, ended_before_ms: int) -> None:
        """Forget tokens that ended by themselves before a time, and their sessions.

        Args:
            made_by: How the principal begins that made them.
            ended_before_ms: Milliseconds since the Unix epoch.
        """
        ...

    def open_session(self, session: SessionRecord, most: int) -> None:
        """Keep a new session durably, and forget the oldest of its token beyond `most`."""
        ...

    def find_session(self, cookie_hash: bytes) -> SessionRecord | None:
        """Return a session, ended ones too unless they were expired; None when it is unknown."""
        ...

    def extend_session(self, cookie_hash: bytes, ends_at_ms: int) -> None:
        """Move the end of a session further away, never nearer; nothing when it is unknown.

        A crash may take this back.
        """
        ...

    def drop_session(self, cookie_hash: bytes) -> None:
        """Forget a session durably, known or not."""
        ...

    def expire_sessions(self, now_ms: int) -> None:
        """Forget the sessions that have ended by then."""
        ...


class LedgerStore(Protocol):
    """Keeps the emitter ledger: small rows by key, as of one position of the log.

    What was accepted can be folded from the log again; what was refused cannot. Every method
    raises `StoreUnavailableError` when the medium refuses and `StateBrokenError` when it is
    damaged.
    """

    def load(self) -> tuple[Position | None, dict[str, bytes]]:
        """Return the position and all rows; None and nothing when it is empty."""
        ...

    def save(self, changes: Mapping[str, bytes | None], position: Position) -> None:
        """Replace these rows, drop those that are None, and move to a position, in one step.

        A loss of power may take the newest steps back, whole ones only.
        """
        ...
