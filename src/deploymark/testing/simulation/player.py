"""Says the history of the simulated fleet to a server, over its public interface, and goes on.

One token for all of the fleet. A forged marker is tried as well: a registered key's name under
words that it never signed. While the block lasts, what stands reports on, so that charts go on.
"""

import base64
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Any, Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.emit.signing import MarkerSigner
from deploymark.errors import ServerUnavailableError
from deploymark.ports import Clock
from deploymark.testing.gameday.door import Door, Reply
from deploymark.testing.simulation.history import History, history
from deploymark.testing.simulation.load import LIVE_STEP, reported_since, reports
from deploymark.testing.simulation.services import ENVIRONMENT, SERVICES

NAME: Final = "simulated-fleet"
_AT_ONCE: Final = 400
_REFUSED: Final = 400
_JOIN_SECONDS: Final = 5.0


class Told(NamedTuple):
    """What a server was told.

    Attributes:
        deployments: Deploys of the fleet.
        markers: That it took.
        reports: OTLP requests that it took.
        refused: Markers that it refused, as it should.
        past: What happened.
        token: Of the fleet.
    """

    deployments: int
    markers: int
    reports: int
    refused: int
    past: History
    token: str


def tell(admin: Door, seed: int, now_ms: int) -> Told:
    """Tell a server everything up to now.

    Args:
        admin: A way to it, of an administrator, who makes the fleet's token.
        seed: Of the fleet.
        now_ms: When its history ends.

    Raises:
        ServerUnavailableError: It refuses what it should take, or takes what it should refuse.
    """
    past = history(seed, now_ms / 1_000)
    token = _token(admin)
    with closing(Door(admin.url, token)) as door:
        _mark(door, past.markers)
        refused = _forge(admin, door, past)
        count = 0
        for path, body in reports(seed, past):
            _taken(door.post(path, body))
            count += 1
    return Told(len(past.told), len(past.markers), count, refused, past, token)


@contextmanager
def simulating(admin: Door, seed: int, clock: Clock) -> Iterator[Told]:
    """Tell a server everything, and let what stands at the end report on until the block is left.

    Args:
        admin: As of `tell`.
        seed: As of `tell`.
        clock: Tells the time.

    Raises:
        ServerUnavailableError: As `tell`.
    """
    told = tell(admin, seed, clock.now_ms())
    ended = threading.Event()
    door = Door(admin.url, told.token)

    def go_on() -> None:
        since_s = told.past.until_s
        # A server that has gone wants no more reports.
        with suppress(ServerUnavailableError):
            while not ended.wait(LIVE_STEP):
                until_s = clock.now_ms() / 1_000
                for path, body in reported_since(seed, told.past, since_s, until_s):
                    _taken(door.post(path, body))
                since_s = until_s

    thread = threading.Thread(target=go_on, name=NAME, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        ended.set()
        thread.join(_JOIN_SECONDS)
        door.close()


def _token(admin: Door) -> str:
    scope = {"services": [each.name for each in SERVICES], "environments": [ENVIRONMENT]}
    asked = {"name": NAME, "roles": ["emitter"], "scope": scope}
    return str(_taken(admin.post("/v1/tokens", json.dumps(asked).encode()))["token"])


def _mark(door: Door, markers: Sequence[dict[str, Any]]) -> None:
    for first in range(0, len(markers), _AT_ONCE):
        body = json.dumps(markers[first : first + _AT_ONCE]).encode()
        for each in _taken(door.post("/v1/markers", body))["results"]:
            if each["status"] >= _REFUSED:
                raise ServerUnavailableError(f"A marker is refused: {each.get('detail')}")


def _forge(admin: Door, door: Door, past: History) -> int:
    """Try to hand in a marker that carries a signature over something else."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    scope = {"services": [SERVICES[0].name], "environments": [ENVIRONMENT]}
    shown = base64.b64encode(public).decode()
    asked = {"name": "ci of the simulated fleet", "public_key": shown, "scope": scope}
    _taken(admin.post("/v1/keys", json.dumps(asked).encode()))
    own = [each for each in past.markers if each["service"] == SERVICES[0].name]
    said = {**next(each for each in reversed(own) if "author" in each), "phase": "failed"}
    body = MarkerSigner(public, lambda _: key.sign(b"something else")).seal(said)
    if door.post("/v1/markers", body).status < _REFUSED:
        raise ServerUnavailableError("The server took a forged marker.")
    return 1


def _taken(reply: Reply) -> dict[str, Any]:
    if reply.status >= _REFUSED:
        said = reply.content.get("detail") or reply.content.get("message")
        raise ServerUnavailableError(f"The server refuses with {reply.status}: {said}.")
    return reply.content
