"""A server that trusts a local issuer, for tests of whom it lets in."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest

from deploymark.errors import (
    IdentityRefusedError,
)
from deploymark.integrations.oidc.identities import Identities
from deploymark.integrations.oidc.settings import OidcSettings
from deploymark.ports import Grant
from deploymark.testing.clock import ManualClock
from deploymark.testing.issuer import AUDIENCE, LocalIssuer, local_issuer, part
from deploymark.testing.meter import ListMeter

GITHUB: dict[str, Any] = {
    "subjects": ["repo:acme/*"],
    "claims": {"ref": ["refs/heads/main"]},
    "services": ["{repository|last}", "{repository|last}-*"],
    "environments": ["{environment}"],
}


class Trust:
    """A server that trusts one issuer, with a clock that stands still."""

    def __init__(self, issuer: LocalIssuer, clock: ManualClock) -> None:
        self.issuer = issuer
        self.clock = clock
        self.meter = ListMeter()
        self._identities: Identities | None = None

    def rules(self, **rules: dict[str, Any]) -> Identities:
        """Trust by these rules from now on; issuer and audience are filled in."""
        said = {"issuer": self.issuer.url, "audience": AUDIENCE}
        read = {n: msgspec.convert(said | rule, OidcSettings) for n, rule in rules.items()}
        self._identities = Identities(read, self.clock, self.meter)
        return self._identities

    def grant(self, text: str) -> Grant:
        """Return what a token is worth."""
        return (self._identities or self.rules(github=GITHUB)).grant(text)

    def accepts(self, text: str) -> None:
        """Assert that a token is worth something."""
        assert self.grant(text).principal.startswith("oidc:")

    def refuses(self, text: str, why: str) -> None:
        """Assert that a token is worth nothing, and what is said of it."""
        with pytest.raises(IdentityRefusedError, match=why):
            self.grant(text)


@contextmanager
def trusting() -> Iterator[Trust]:
    """Run an issuer and trust it."""
    clock = ManualClock()
    with local_issuer(clock) as issuer:
        yield Trust(issuer, clock)


def resigned(token: str, header: dict[str, Any], sign: Callable[[bytes], bytes]) -> str:
    """Return a token with another header and signature."""
    body = f"{part(header)}.{token.split('.')[1]}"
    return f"{body}.{part(sign(body.encode()))}"
