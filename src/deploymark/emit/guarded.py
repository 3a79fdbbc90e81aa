"""Single requests to addresses that a configuration names, which must not reach what is private.

For adapters that tell others something, and no part of delivering markers. The name is looked up
once, each address it has is judged, and the connection goes to the very address that was judged: a
name that means another address a moment later leads nowhere else. Redirects are not followed and
no proxy is used. Name resolution has no time limit in the standard library.

What matters to whoever acts is whether anything was sent, so every exchange says so.
"""

import ipaddress
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from deploymark.emit.connection import Connection, Deadline
from deploymark.emit.endpoint import Endpoint
from deploymark.emit.host import Host
from deploymark.emit.http1 import Response, request_bytes
from deploymark.errors import ServerUnavailableError, UsageError

MAX_ANSWER_BYTES: Final = 1_000_000
MAX_WAIT_SECONDS: Final = 3_600.0

_HTTPS_PORT: Final = 443
_HTTP_PORT: Final = 80
_HOST: Final = re.compile(r"[A-Za-z0-9._-]{1,253}|[0-9A-Fa-f:.]{2,45}", re.ASCII)
_VISIBLE: Final = re.compile(r"[!-~]*", re.ASCII)
_SHOWN: Final = 200
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Target(NamedTuple):
    """Where requests go.

    Attributes:
        host, port: Of the server.
        secure: Whether it speaks TLS.
        path: With its query, which may hold a secret.
        shown: Scheme, host and port, for messages.
    """

    host: str
    port: int
    secure: bool
    path: str
    shown: str


class Exchange(NamedTuple):
    """What came of a request.

    Attributes:
        response: What was answered, None without a whole answer.
        sent: Whether anything of the request may have arrived.
        problem: Why there is no answer, one sentence; "" when there is.
    """

    response: Response | None
    sent: bool
    problem: str = ""

    def wait_seconds(self, now_ms: int) -> float | None:
        """Return how long Retry-After asks to wait (RFC 9110, section 10.2.3), if it does."""
        asked = "" if self.response is None else self.response.headers.get("retry-after", "")
        if asked.isascii() and asked.isdigit():
            return min(float(asked[:9]), MAX_WAIT_SECONDS)
        try:
            until = parsedate_to_datetime(asked).timestamp()
        except ValueError:
            return None
        return min(max(until - now_ms / 1000, 0.0), MAX_WAIT_SECONDS)


def parse_target(url: str, *, allow_plain_http: bool = False) -> Target:
    """Return where a URL leads.

    Args:
        url: https, or http on this host.
        allow_plain_http: Also http to other hosts, where anyone on the way can read along.

    Raises:
        UsageError: It is no such URL; it is not shown, for its path may be a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    odd = parts.username is not None or parts.fragment or port == 0
    known = parts.scheme in {"http", "https"} and _HOST.fullmatch(host)
    if odd or not known or not _VISIBLE.fullmatch(url):
        raise UsageError(
            "What should be posted to is no URL of http or https.",
            hint="Name it like https://hooks.example.com/deploys, without user, password or #.",
        )
    secure = parts.scheme == "https"
    if not (secure or allow_plain_http or _is_loopback(host)):
        raise UsageError(
            f"{host} is not this host, and http is not protected.",
            hint="Use https, or allow plain http for this address explicitly.",
        )
    usual = _HTTPS_PORT if secure else _HTTP_PORT
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    shown = f"{parts.scheme}://{name}" + ("" if port in (None, usual) else f":{port}")
    return Target(host, port or usual, secure, path, shown)


def parse_networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Return networks such as `10.0.0.0/8`, or addresses.

    Raises:
        UsageError: A text is neither.
    """
    try:
        return tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise UsageError(
            f"{error}.", hint="Name networks like 10.20.0.0/16, addresses like 127.0.0.1."
        ) from None


def is_public(address: Address) -> bool:
    """Tell whether everybody may reach an address, also through the IPv4 address in it."""
    inner = _inner(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


class GuardedClient:
    """Asks one target; each request on a connection of its own. Safe on any thread.

    Args:
        target: Whom.
        host: Tells the time.
        seconds: How long a request may take in all, name resolution aside.
        allowed: Networks that may be reached although they are not public.
        authorities: A file of the authorities to trust; those of this host without one.
    """

    def __init__(
        self,
        target: Target,
        host: Host,
        seconds: float,
        allowed: Sequence[Network] = (),
        authorities: str = "",
    ) -> None:
        self._target = target
        self._host = host
        self._seconds = seconds
        self._allowed = tuple(allowed)
        self._authorities = authorities

    def ask(
        self, method: str, headers: Mapping[str, str], body: bytes = b"", query: str = ""
    ) -> Exchange:
        """Send a request and wait for the answer.

        Args:
            method: `GET` or `POST`.
            headers: Beside Host, Connection and Content-Length.
            body: What it carries.
            query: Added to that of the target; percent-encoded.

        Raises:
            UsageError: All addresses of the host are private and not allowed; nothing was sent.
        """
        target = self._target
        path = target.path + (f"{'&' if '?' in target.path else '?'}{query}" if query else "")
        sent_headers = {
            "Host": target.shown.partition("://")[2],
            "Connection": "close",
            "Accept-Encoding": "identity",
            "User-Agent": "deploymark",
            **headers,
        }
        endpoint = Endpoint((target.host, target.port), path, target.secure, None, "", target.shown)
        deadline = Deadline(self._host)
        try:
            request = request_bytes(method, path, sent_headers, body)
            addresses = self._resolve()
            deadline.set(self._seconds)
            connection = self._connect(endpoint, deadline, addresses)
        except (OSError, ServerUnavailableError) as error:
            return Exchange(None, sent=False, problem=self._said(error))
        try:
            response = connection.ask(request, MAX_ANSWER_BYTES, until_closed=True)
        except (OSError, ServerUnavailableError) as error:
            return Exchange(None, sent=True, problem=self._said(error))
        finally:
            connection.close()
        return Exchange(response, sent=True)

    def _connect(
        self, endpoint: Endpoint, deadline: Deadline, addresses: Sequence[str]
    ) -> Connection:
        problem: OSError = OSError("it has no address")
        for address in addresses:
            there = (address, self._target.port)
            try:
                return Connection(endpoint, deadline, there, self._authorities)
            except OSError as error:
                problem = error
        raise problem

    def _resolve(self) -> list[str]:
        """Return the addresses that may be reached; raises OSError or UsageError."""
        found = socket.getaddrinfo(self._target.host, self._target.port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        reached = [text for text in addresses if self._may_reach(ipaddress.ip_address(text))]
        if not reached:
            raise UsageError(
                f"{self._target.host} is at {', '.join(addresses)}, which is private.",
                hint="Name its network in `private_networks` if it is meant.",
            )
        return reached

    def _may_reach(self, address: Address) -> bool:
        if is_public(address):
            return True
        named = [address, *_chain(address)]
        return any(each in network for network in self._allowed for each in named)

    def _said(self, error: Exception) -> str:
        why = getattr(error, "strerror", "") or str(error) or type(error).__name__
        return f"{self._target.shown} did not answer: {why[:_SHOWN]}."


def _chain(address: Address) -> Iterator[Address]:
    inner = _inner(address)
    while inner is not None:
        yield inner
        inner = _inner(inner)


def _inner(address: Address) -> Address | None:
    """Return the IPv4 address to which an IPv6 address leads, None for others."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
