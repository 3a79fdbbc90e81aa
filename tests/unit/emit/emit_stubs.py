"""Servers that answer as a test wants, byte by byte, and posting to them."""

import contextlib
import socket
import ssl
import threading
from pathlib import Path
from typing import Self

from emit_samples import SampleHost, settings

from deploymark.emit.delivery import Posted, Poster

TOKEN = "dmk_id_secret"  # noqa: S105 - an example
BODIES = [b'{"n":1}', b'{"n":2}']
DRIP = b"HTTP/1.1 201 Created\r\nX-Slow: " + b"x" * 10_000


class Stub:
    """Answers the first request with some bytes, then drips, holds or closes."""

    def __init__(
        self, answer: bytes, *, hold: bool = False, drip: bytes = b"", tls: Path | None = None
    ) -> None:
        self.answer = answer
        self._hold = hold
        self._drip = drip
        self._tls: ssl.SSLContext | None = None
        if tls is not None:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(tls)
        self._released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run)
        scheme = "http" if tls is None else "https"
        self.port = self._listener.getsockname()[1]
        self.url = f"{scheme}://localhost:{self.port}"
        self.received = b""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            peer, _ = self._listener.accept()
            with peer:
                connection = peer
                if self._tls is not None:
                    connection = self._tls.wrap_socket(peer, server_side=True)
                with contextlib.closing(connection):
                    self.talk(connection)

    def talk(self, peer: socket.socket) -> None:
        while not self.received.endswith((b"}", b"]")):
            came = peer.recv(65_536)
            if not came:
                return
            self.received += came
        peer.sendall(self.answer)
        for byte in self._drip:
            peer.send(bytes((byte,)))
            self._released.wait(0.05)
        if self._hold:
            self._released.wait()


def http_answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    """Return an answer of HTTP in bytes."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


def poster_of(url: str, tmp_path: Path, **more: object) -> Poster:
    return Poster(settings(tmp_path, url, **{"request_seconds": 5.0, **more}), SampleHost())


def post_one(url: str, tmp_path: Path, **more: object) -> Posted:
    """Post one marker and close."""
    with contextlib.closing(poster_of(url, tmp_path, **more)) as poster:
        return poster.post(BODIES[:1])
