"""Lets the actuator `local_fleet` ask a fleet: HTTP on loopback, for whoever has the control file.

`POST /orders` takes an order as JSON and answers when it is carried out; `POST /looks` tells
whether it is. 200 carries `said` or `found`; 409 refuses and 500 may have done part of it; both
carry `problem`. The control file holds URL and token, for its owner only.
"""

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import msgspec

from deploymark.decoding import decode_json
from deploymark.errors import ActuatorRefusedError, FleetUnavailableError
from deploymark.ports import Deed, Order, Release
from deploymark.testing.fleet.keeper import Fleet

_MOST_BYTES: Final = 1 << 20
_POLL_SECONDS: Final = 0.05


@contextlib.contextmanager
def controlled(fleet: Fleet, file: Path) -> Iterator[None]:
    """Let others ask a fleet until the block ends.

    Args:
        fleet: It runs.
        file: The control file; it must not exist, and is gone afterwards.

    Raises:
        OSError: The file cannot be made.
    """
    token = secrets.token_urlsafe(24)

    class Handler(_Handler):
        asked = fleet
        authorization = f"Bearer {token}"

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        thread.start()
        told = {"url": f"http://127.0.0.1:{server.server_port}", "token": token}
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as opened:
                json.dump(told, opened)
            yield
        finally:
            file.unlink(missing_ok=True)
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    asked: Fleet
    authorization: str

    def do_POST(self) -> None:
        """Answer a request."""
        body = self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES))
        given = (self.headers.get("Authorization") or "").encode()
        if not compare_digest(given, self.authorization.encode()):
            answer = 401, {"problem": "The token of the control file is missing."}
        else:
            answer = self._decide(body)
        with contextlib.suppress(OSError):  # whoever asked has gone
            self._answer(*answer)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _decide(self, body: bytes) -> tuple[int, dict[str, Any]]:
        try:
            order = order_of(body)
            if self.path == "/looks":
                return 200, {"found": self.asked.looks(order).value}
            return 200, {"said": self.asked.follow(order)}
        except ActuatorRefusedError as error:
            return 409, {"problem": error.message}
        except (FleetUnavailableError, OSError) as error:
            return 500, {"problem": str(error)}

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def order_of(body: bytes) -> Order:
    """Return an order from its JSON.

    Raises:
        ActuatorRefusedError: It is none.
    """
    try:
        said = decode_json(body)
        stable = said["stable"]
        return Order(
            deed=Deed(said["action"]),
            key=said["key"],
            service=said["service"],
            environment=said["environment"],
            canary=Release(**said["canary"]),
            stable=None if stable is None else Release(**stable),
            weight=float(said["weight"]),
            reason=said["reason"],
            decision_index=int(said["decision_index"]),
            fence=int(said["fence"]),
        )
    except (msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise ActuatorRefusedError(f"That is no order: {error}.") from None
