"""One HTTP request, as far as an operation sees it.

A thin coat over the ASGI scope: headers are looked at where they are asked for, the body is read
by `server.body` under the limits of the operation.
"""

import ipaddress
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from starlette.types import Receive, Scope

from deploymark.errors import RequestError
from deploymark.ingest.callers import ANONYMOUS, Caller

ABORT = "deploymark.abort"
"""The ASGI extension that ends a connection at once, for clients that take nothing."""

_ONCE = (
    b"host",
    b"authorization",
    b"content-type",
    b"content-encoding",
    b"cookie",
    b"x-csrf-token",
)
_IPV4_PREFIX, _IPV6_PREFIX = 24, 48


Check = Callable[[], Awaitable[object]]


class Request:
    """One request of a known operation.

    Attributes:
        scope: The ASGI scope.
        receive: Gives the body.
        headers: By lower-case name; of a repeated one the last, but for those that may not repeat.
        caller: Who asks, once authenticated.
        parameters: What the operation takes from path and query, converted.
        check: Raises once the caller may not do this any more; for answers that last.
        held_bytes: What its body takes of the room that all have (`server.budget`).
        body: The body, where it had to be read to find out who calls.
    """

    __slots__ = (
        "body",
        "caller",
        "check",
        "headers",
        "held_bytes",
        "parameters",
        "receive",
        "scope",
    )

    def __init__(self, scope: Scope, receive: Receive) -> None:
        raw: list[tuple[bytes, bytes]] = scope["headers"]
        self.scope = scope
        self.receive = receive
        self.headers = dict(raw)
        self.caller: Caller = ANONYMOUS
        self.parameters: dict[str, Any] = {}
        self.check: Check | None = None
        self.held_bytes = 0
        self.body: bytes | None = None
        if len(self.headers) != len(raw):
            _refuse_repeated(raw)

    @property
    def network(self) -> str:
        """The network of the peer; what a proxy says about its own clients is not asked."""
        client = self.scope.get("client")
        return network_of(client[0]) if client else ""

    @property
    def is_local(self) -> bool:
        """Whether the peer is this very host."""
        client = self.scope.get("client")
        return client is not None and _address(client[0]).is_loopback

    @property
    def is_safe(self) -> bool:
        """Whether the method promises to change nothing."""
        return self.scope["method"] in {"GET", "HEAD"}

    def text(self, name: bytes) -> str:
        """Return a header, "" when it was not sent."""
        return self.headers.get(name, b"").decode("latin-1").strip()

    def query(self) -> list[tuple[str, str]]:
        """Return the query parameters in order.

        Raises:
            RequestError: It is no UTF-8, or has too many.
        """
        raw = self.scope.get("query_string", b"")
        if not raw:
            return []
        try:
            return parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=64
            )
        except ValueError as error:
            raise RequestError(f"The query cannot be read: {error}.") from None

    def prefers(self, preference: str) -> bool:
        """Tell whether the client asked for this in `Prefer` (RFC 7240)."""
        asked = self.headers.get(b"prefer")
        if asked is None:
            return False
        return preference in (word.strip().lower() for word in asked.decode("latin-1").split(","))

    def cookie(self, name: str) -> str:
        """Return a cookie, "" when it was not sent.

        Raises:
            RequestError: It was sent twice. Another server under this name may have set one of
                them, and its reader would work in a stranger's session.
        """
        pairs = (part.strip().partition("=") for part in self.text(b"cookie").split(";"))
        found = [value for key, _, value in pairs if key == name]
        if len(found) > 1:
            raise RequestError(
                f"There are several cookies called {name}.",
                hint="Delete this site's cookies in the browser and log in again.",
            )
        return found[0] if found else ""


def _refuse_repeated(raw: list[tuple[bytes, bytes]]) -> None:
    names = [name for name, _ in raw]
    for name in _ONCE:
        if names.count(name) > 1:
            raise RequestError(f"The header {name.decode()} stands there more than once.")


@lru_cache(maxsize=4_096)
def network_of(address: str) -> str:
    """Return the network that an address counts for: its /24, or its /48 in IPv6."""
    host = _address(address)
    if host.version == 6 and host.ipv4_mapped is not None:  # noqa: PLR2004 - the name of IPv6
        host = host.ipv4_mapped
    prefix = _IPV4_PREFIX if host.version == 4 else _IPV6_PREFIX  # noqa: PLR2004 - of IPv4
    return str(ipaddress.ip_network((host, prefix), strict=False))


@lru_cache(maxsize=4_096)
def _address(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a name, as test clients have
        return ipaddress.IPv6Address(0)
