"""A connection to the server, and the time that a request may take on it.

Everything that waits gets what is left of that time, because a socket's own timeout starts anew
with every byte that comes. `http1` says what the bytes mean. Name resolution has no time limit in
the standard library. `ssl` is loaded only for https.
"""

import os
import socket
from typing import Final

from deploymark.emit.endpoint import Endpoint
from deploymark.emit.host import Host
from deploymark.emit.http1 import Response, read_response, read_tunnel, request_bytes

_PIECE_BYTES: Final = 65_536
_SUCCESS: Final = 2

_inherited: list[object] = []  # in a forked child: never freed, because freeing would close


class Deadline:
    """The end of the request at hand."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seconds = 0.0
        self._at = 0.0

    def set(self, seconds: float) -> None:
        """Begin a request that may take so long in all."""
        self._seconds = seconds
        self._at = self._host.elapsed_seconds() + seconds

    def left(self) -> float:
        """Return how many seconds are left; TimeoutError when none are."""
        left = self._at - self._host.elapsed_seconds()
        if left <= 0:
            raise TimeoutError(f"no whole answer within {self._seconds:g} seconds")
        return left


class Connection:
    """One connection, made within the deadline and used for one request after the other.

    Not safe for threads.

    Args:
        endpoint: Which server, and which way to it.
        deadline: When to give up; set for each request.
        address: IP address and port to connect to, where they were looked up already.
        authorities: A file of the authorities to trust for https; those of the host without one.

    Raises:
        OSError: The server or the proxy cannot be reached, or is not whom its certificate says.
        ServerUnavailableError: The proxy answers something else than HTTP.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        deadline: Deadline,
        address: tuple[str, int] | None = None,
        authorities: str = "",
    ) -> None:
        self._deadline = deadline
        self._authorities = authorities
        self._nothing_yet: tuple[type[OSError], ...] = (BlockingIOError,)
        self._socket = socket.create_connection(
            address or endpoint.reached,  # type: ignore[arg-type]  # getaddrinfo takes bytes as well
            deadline.left(),
        )
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if endpoint.proxy is not None:
                self._tunnel(endpoint)
            if endpoint.secure:
                self._encrypt(endpoint.server[0])
        except BaseException:
            self.close()
            raise

    def ask(self, request: bytes, max_body_bytes: int, *, until_closed: bool = False) -> Response:
        """Send a request and return the response; see `read_response`.

        Raises:
            OSError: The connection ended, or the time is over (TimeoutError).
            ServerUnavailableError: What came back is no whole HTTP response.
        """
        self._send(request)
        return read_response(self._receive, max_body_bytes, until_closed=until_closed)

    def is_quiet(self) -> bool:
        """Whether it still stands, and nothing came since the last response.

        What comes unasked, were it kept, would be taken for the response to the next request.
        """
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)
        except self._nothing_yet:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close it; idempotent."""
        self._socket.close()

    def abandon(self) -> None:
        """Let go of it in a forked child; a thread of the parent goes on using it.

        Nothing is closed through the objects: that thread may have held locks of TLS.
        """
        _inherited.append(self._socket)
        descriptor = self._socket.detach()
        if descriptor >= 0:
            os.close(descriptor)

    def _send(self, content: bytes) -> None:
        rest = memoryview(content)
        while rest:
            self._socket.settimeout(self._deadline.left())
            rest = rest[self._socket.send(rest) :]

    def _receive(self) -> bytes:
        self._socket.settimeout(self._deadline.left())
        return self._socket.recv(_PIECE_BYTES)

    def _tunnel(self, endpoint: Endpoint) -> None:
        """Ask the proxy for a way through (RFC 9110, section 9.3.6)."""
        login = endpoint.proxy_login
        headers = {"Host": endpoint.authority}
        if login:
            headers["Proxy-Authorization"] = login
        self._send(request_bytes("CONNECT", endpoint.authority, headers))
        status = read_tunnel(self._receive)
        if status // 100 != _SUCCESS:
            raise OSError(f"the proxy refuses the way to it ({status})")

    def _encrypt(self, name: str) -> None:
        import ssl  # noqa: PLC0415 - only for https

        # The handshake takes its timeout as a whole, not for each byte.
        self._socket.settimeout(self._deadline.left())
        context = ssl.create_default_context(cafile=self._authorities or None)
        self._socket = context.wrap_socket(self._socket, server_hostname=name)
        self._nothing_yet = (BlockingIOError, ssl.SSLWantReadError)


def said_of(error: Exception) -> str:
    """Return why nobody answered, in words that need no manual page."""
    if isinstance(error, ConnectionRefusedError):
        return "nobody listens there"
    if isinstance(error, socket.gaierror):
        return "there is no such name"
    return str(error) or type(error).__name__
