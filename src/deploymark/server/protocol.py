"""HTTP connections with bounds: how long a head may take, how large it may be, how many there are.

A subclass of uvicorn's own protocol, which bounds none of these. Bodies are bounded where they
are read (`server.body`), here only what stands around their bytes; answers to clients that take
nothing are bounded by flow control.

Limits per peer go by the address of the connection. Behind a proxy all connections are the
proxy's: loopback is exempt, another proxy bounds its own clients. X-Forwarded-For is ignored.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Any, ClassVar

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from deploymark.errors import DeploymarkError, LogBusyError, RequestError, TooLargeError
from deploymark.server.answer import PROBLEM, SECURITY, encode_json
from deploymark.server.problems import problem, status_of
from deploymark.server.request import ABORT

_TOO_LARGE_HEAD = 431
_AROUND_A_BYTE = 9  # more than the smallest chunk costs: a size, two ends of lines, the byte
_HTTP2_PREFACE = b"PRI * HTTP/2.0"
_SETTINGS, _GO_AWAY, _HTTP_1_1_REQUIRED = 4, 7, 13
HTTP2_HINT = (
    "HTTP/2 and gRPC are not spoken here; "
    "OpenTelemetry exporters: set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
)
_PHRASES = {400: b"Bad Request", 431: b"Request Header Fields Too Large", 503: b"Busy"}


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of connections.

    Attributes:
        connections: How many at once.
        per_peer: How many at once from one address other than loopback.
        head_seconds: Within which the head of a request must arrive, from the connection's
            beginning or the request's first byte.
        head_bytes: How large the head may be, address and headers together; also how much may
            come without a byte of the body while one is sent.
        headers: How many headers it may have.
        linger_seconds: How long the rest of a body is taken in, and thrown away, once the
            request was answered: a client that still sends would not read the answer.
    """

    connections: int = 4_096
    per_peer: int = 256
    head_seconds: float = 10.0
    head_bytes: int = 32_768
    headers: int = 100
    linger_seconds: float = 2.0


def bounded_protocol(limits: Bounds) -> type["BoundedProtocol"]:
    """Return the protocol of one server, which counts its own connections."""

    class ServerProtocol(BoundedProtocol):
        bounds: ClassVar[Bounds] = limits
        peers: ClassVar[Counter[str]] = Counter()

    return ServerProtocol


class BoundedProtocol(HttpToolsProtocol):
    """One connection; see `bounded_protocol`."""

    bounds: ClassVar[Bounds] = Bounds()
    peers: ClassVar[Counter[str]] = Counter()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._peer = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._heard = False
        self._head_bytes = 0
        self._head_begun = False
        self._body_open = False
        self._around_bytes = 0
        self._declined = b""
        self._refused: DeploymarkError | None = None
        self._extensions: dict[str, Any] = {}

    # The connection ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or say that there are too many."""
        super().connection_made(transport)
        self._extensions = {ABORT: transport.abort}
        address = self.client[0] if self.client else ""
        if not _is_exempt(address):
            self._peer = address
            self.peers[address] += 1
        if (
            len(self.connections) > self.bounds.connections
            or self.peers[self._peer] > self.bounds.per_peer
        ):
            self._refuse(503, LogBusyError("", hint="Come back later, or with fewer connections."))
            return
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._stop_clock()
        if self._peer:
            self.peers[self._peer] -= 1
            if self.peers[self._peer] <= 0:
                del self.peers[self._peer]
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, within the bounds of a head and of what stands around a body."""
        if self.transport.is_closing():
            return
        if not self._heard and data.startswith(_HTTP2_PREFACE):
            self._stop_clock()
            self.transport.write(go_away(HTTP2_HINT))
            self.transport.close()
            return
        self._heard = True
        self._head_bytes += len(data)
        if self._body_open:
            self._around_bytes += len(data)
        self._unset_keepalive_if_required()
        self._feed(memoryview(data))
        if self.transport.is_closing():
            return
        if self._body_open and self._around_bytes > self.bounds.head_bytes:
            self._refused = RequestError(
                f"More than {self.bounds.head_bytes} bytes came without one of the body.",
                hint="Send larger chunks, without extensions.",
            )
            self.send_400_response("")
            return
        if self._head_begun or (self._is_idle and self.timeout_keep_alive_task is None):
            if self._head_bytes > self.bounds.head_bytes:
                self._refused = _too_large_head(self.bounds)
                self.send_400_response("")
            elif self._deadline is None:
                self._expect_head()

    def _feed(self, data: memoryview) -> None:
        """Parse; what is not HTTP is answered and not logged: strangers would fill our log."""
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                except HttpParserUpgrade as offer:
                    data = data[offer.args[0] :]
                    self._decline()
                else:
                    return
        except HttpParserError:
            self.send_400_response("The request is not HTTP.")

    def _decline(self) -> None:
        """Parse a head again without its offer to speak another protocol (RFC 9110, 7.8).

        The parser stops behind a head with `Upgrade`, such as `curl --http2` and Java's HttpClient
        send, and would take the body for the other protocol.
        """
        head, self._declined = self._declined, b""
        self.parser = HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.parser.feed_data(head)

    @property
    def _is_idle(self) -> bool:
        return not self._body_open and not self._is_answering

    @property
    def _is_answering(self) -> bool:
        # uvicorn has no cycle before the first request, whatever its annotation says.
        return self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]

    def _expect_head(self) -> None:
        self._deadline = self.loop.call_later(self.bounds.head_seconds, self.transport.abort)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # The parser's callbacks ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self.scope["extensions"] = self._extensions
        self._head_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header.

        One behind the body would count like those of the head, which a proxy in front has checked
        and this has not; nothing here needs any.
        """
        if self._body_open:
            self._refused = RequestError(
                "Headers behind a body (trailers) are not taken.", hint="Send them in the head."
            )
            raise self._refused
        super().on_header(name, value)
        if len(self.headers) > self.bounds.headers:
            self._refused = _too_large_head(self.bounds)
            raise self._refused

    def on_headers_complete(self) -> None:
        """Start the request."""
        if self.parser.should_upgrade():
            self._declined = self._head_without_offer()
            return
        self._stop_clock()
        self._head_begun = False
        self._head_bytes = self._around_bytes = 0
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.bounds.head_bytes:
            self._refused = _too_large_head(self.bounds)
            raise self._refused
        super().on_headers_complete()
        self._body_open = True

    def _head_without_offer(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            self._refused = RequestError("This is no proxy; it does not take CONNECT.")
            raise self._refused
        lines = [b"%b %b HTTP/%b" % (method, self.url, self.parser.get_http_version().encode())]
        lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._around_bytes = max(0, self._around_bytes - _AROUND_A_BYTE * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request's body."""
        if self._declined:
            return
        self._body_open = False
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request, or get rid of a body that nobody will read."""
        super().on_response_complete()
        if not self._body_open or self.transport.is_closing():
            return
        if self.expect_100_continue:
            self.transport.close()  # the client has not begun to send it
        elif self._deadline is None:
            self._unset_keepalive_if_required()
            self._deadline = self.loop.call_later(self.bounds.linger_seconds, self._end_lingering)

    def _end_lingering(self) -> None:
        self._deadline = None
        if self._is_answering:
            return
        if self._body_open:
            self.transport.close()
        else:
            self._expect_head()

    # What cannot be parsed -----------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP, unless an answer is being or was written: then only close."""
        if self._body_open:
            is_free = not self.pipeline and not self.cycle.response_started
        else:
            is_free = not self._is_answering
        if not is_free:
            self.transport.close()
            return
        if self._body_open:  # whoever reads it learns that nothing more comes, and says nothing
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        error = self._refused or RequestError(msg)
        self._refuse(
            _TOO_LARGE_HEAD if isinstance(error, TooLargeError) else status_of(error), error
        )

    def _refuse(self, status: int, error: DeploymarkError) -> None:
        self._stop_clock()
        told = {**problem(error), "status": status}
        body = encode_json(told)
        retry = [(b"retry-after", b"1")] if error.retryable else []
        headers = [
            (b"content-type", PROBLEM.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
            *SECURITY,
            *retry,
            (b"connection", b"close"),
        ]
        head = b"".join(b"%b: %b\r\n" % header for header in headers)
        line = b"HTTP/1.1 %d %b\r\n" % (status, _PHRASES[status])
        self.transport.write(b"%b%b\r\n%b" % (line, head, body))
        self.transport.close()


def go_away(text: str) -> bytes:
    """Return what tells an HTTP/2 client to leave, and why: gRPC shows people the text.

    An empty SETTINGS frame, then GOAWAY with the code HTTP_1_1_REQUIRED (RFC 9113, 6.5 and 6.8).
    """
    content = bytes(4) + _HTTP_1_1_REQUIRED.to_bytes(4) + text.encode("ascii")
    frames = ((_SETTINGS, b""), (_GO_AWAY, content))
    return b"".join(
        len(body).to_bytes(3) + bytes([kind]) + bytes(5) + body for kind, body in frames
    )


def _is_exempt(address: str) -> bool:
    return not address or address == "::1" or address.startswith("127.")


def _too_large_head(bounds: Bounds) -> TooLargeError:
    return TooLargeError(
        f"The head of a request has at most {bounds.head_bytes} bytes and "
        f"{bounds.headers} headers.",
        hint="Send fewer or shorter headers, cookies or query parameters.",
    )
