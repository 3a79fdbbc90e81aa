"""Who hands something in, as far as admission cares.

The server authenticates (a token, a session, a local process); ingestion only sees the result.
"""

from msgspec import Struct

from deploymark.model.entries import Scope
from deploymark.model.vocabulary import Role

LOCAL_PRINCIPAL = "local"
"""The principal of someone who writes to the data directory directly."""


class Caller(Struct, frozen=True):
    """An authenticated caller, or an anonymous one.

    Attributes:
        principal: Who it is, as the leaf will say: `token:<name>`, `local`, "" when anonymous.
        roles: What it may do.
        scope: What an emitter may speak about; None when no scope narrows it.
        network: The network it calls from, as a prefix; refusals are counted by it.
        is_platform: It is the running platform itself. It only repeats, between sentences of its
            own, what was looked at when it came, so that is not searched for secrets again: names
            of principals (`token:ci-4711-eu`) look like one.
    """

    principal: str
    roles: frozenset[Role]
    scope: Scope | None = None
    network: str = ""
    is_platform: bool = False

    def has(self, role: Role) -> bool:
        """Tell whether this caller has a role, by itself or through a higher one."""
        if Role.ADMIN in self.roles or role in self.roles:
            return True
        return role is Role.READER and Role.OPERATOR in self.roles


LOCAL = Caller(LOCAL_PRINCIPAL, frozenset(Role))
"""Someone with access to the files needs no token."""

PLATFORM = Caller(LOCAL_PRINCIPAL, frozenset(Role), is_platform=True)
"""What the platform says of its own accord: findings, and the ends that its watchers see."""

ANONYMOUS = Caller("", frozenset())
"""Someone who said nothing about themselves."""
