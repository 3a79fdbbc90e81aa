"""One HTTP connection that ends after a time, however slowly bytes come.

For adapters that ask somebody else's server through `http.client`; the emitter has its own, lighter
way (`connection`) and does not load this.
"""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def bounded_connection(
    host: str, port: int, tls: ssl.SSLContext | None, seconds: float
) -> Iterator[http.client.HTTPConnection]:
    """Open a connection for a request and its answer.

    Args:
        host: Name or address of the server.
        port: Of the server.
        tls: How to speak https; None speaks http.
        seconds: For connecting, and then once more for everything else; name resolution aside.

    Raises:
        OSError: The server cannot be reached, is not whom its certificate says, or the time is
            over (TimeoutError).
    """
    plain = socket.create_connection((host, port), seconds)
    with plain, _deadline(plain, seconds), contextlib.ExitStack() as opened:
        connection: http.client.HTTPConnection
        if tls is None:
            connection = http.client.HTTPConnection(host, port)
            connection.sock = plain
        else:
            connection = http.client.HTTPSConnection(host, port, context=tls)
            connection.sock = tls.wrap_socket(plain, server_hostname=host)
        opened.callback(connection.close)
        yield connection


@contextlib.contextmanager
def _deadline(plain: socket.socket, seconds: float) -> Iterator[None]:
    """End a connection under whoever waits for it, and say TimeoutError.

    A socket's own timeout starts anew with every byte that comes.
    """
    expired = threading.Event()
    with plain.dup() as handle:  # the TLS layer takes the original apart

        def cut() -> None:
            expired.set()
            with contextlib.suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            if expired.is_set():
                raise TimeoutError(f"no whole answer within {seconds} seconds")
