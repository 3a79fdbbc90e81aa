"""One POST to somebody else's server, within a time: for adapters that tell others something.

A stranger answers: redirects are not followed, and more of the answer than a page is refused. The
emitter does not use this module, so that it need not load it.
"""

import re
from typing import Final
from urllib.parse import urlsplit

from deploymark.emit.connection import Connection, Deadline, said_of
from deploymark.emit.endpoint import Endpoint
from deploymark.emit.host import Host, SystemHost
from deploymark.emit.http1 import Response, request_bytes
from deploymark.errors import ServerUnavailableError, UsageError

MAX_ANSWER_BYTES: Final = 65_536

_LOOPBACK: Final = re.compile(r"localhost|::1|127(\.[0-9]{1,3}){3}")
_NAME: Final = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]+")
_VISIBLE: Final = re.compile(r"[!-~]+")
_PORTS: Final = {"http": 80, "https": 443}
_SYSTEM: Final = SystemHost()


def destination(url: str, *, allow_plain_http: bool = False) -> Endpoint:
    """Return where a URL leads.

    Args:
        url: Of https, or of http on this host; with path and query, as webhooks have.
        allow_plain_http: Other hosts may be reached by http.

    Returns:
        Its `shown` is the server without path and query, which often hold a secret.

    Raises:
        UsageError: It is no such URL, which is not shown because it may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        host, port, parts = "", None, urlsplit("")
    odd = "@" in parts.netloc or parts.fragment or not _VISIBLE.fullmatch(url)
    if parts.scheme not in _PORTS or odd or not _NAME.fullmatch(host) or port == 0:
        raise UsageError(
            "This is not the URL of a server that could be told something.",
            hint="Write it like https://alerts.example.com/path; secrets have a file of their own.",
        )
    secure = parts.scheme == "https"
    if not (secure or allow_plain_http or _LOOPBACK.fullmatch(host)):
        raise UsageError(
            f"The server {host} is not on this host, and http shows everything to everybody on "
            "the way.",
            hint="Use https, or set allow_plain_http in a network that you trust.",
        )
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    shown = f"{parts.scheme}://{parts.netloc}"
    return Endpoint((host, port or _PORTS[parts.scheme]), path, secure, None, "", shown)


def post(
    endpoint: Endpoint,
    headers: dict[str, str],
    body: bytes,
    timeout_seconds: float,
    host: Host = _SYSTEM,
) -> Response:
    """Send a request over a connection of its own and return the answer, whatever its status.

    Args:
        endpoint: From `destination`.
        headers: Beside `Host`, `User-Agent`, `Connection` and `Content-Length`.
        body: What is sent.
        timeout_seconds: For all of it, name resolution aside.
        host: Tells how time passes.

    Raises:
        ServerUnavailableError: Nobody answers in time, or not in HTTP; what was sent may have
            come.
    """
    every = {"Host": endpoint.name, "User-Agent": "deploymark", "Connection": "close", **headers}
    deadline = Deadline(host)
    deadline.set(timeout_seconds)
    try:
        request = request_bytes("POST", endpoint.path, every, body)
        connection = Connection(endpoint, deadline)
        try:
            return connection.ask(request, MAX_ANSWER_BYTES, until_closed=True)
        finally:
            connection.close()
    except (OSError, ServerUnavailableError) as error:
        why = said_of(error)
        raise ServerUnavailableError(f"{endpoint.shown} did not answer: {why}.") from error
