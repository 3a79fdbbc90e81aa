"""The callers of a game day: tokens and keys that it asks the server's admin for, and gives back.

Witnesses have a token each, of the role emitter and for `gameday-…` only; so have those who will
misbehave. One key is registered, whose signatures will be spoilt, and one is not.
"""

import base64
import json
from collections.abc import Mapping
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploymark.emit.signing import MarkerSigner
from deploymark.errors import ForbiddenError
from deploymark.model.vocabulary import EmitterKind
from deploymark.testing.gameday.door import Door, Json, segment
from deploymark.testing.gameday.faults.forgery import ATTACKERS, attacker
from deploymark.testing.gameday.fleet import PREFIX
from deploymark.testing.gameday.message import Message, Seal

_EVERYTHING: Final = f"{PREFIX}*"
_NOTHING_OF_OURS: Final = f"{PREFIX}elsewhere"
_CREATED: Final = frozenset({200, 201})
_WITNESSES: Final = (
    EmitterKind.CI,
    EmitterKind.ORCHESTRATOR,
    EmitterKind.RUNTIME,
    EmitterKind.HUMAN,
)
_ATTACKERS: Final = {"forger": _EVERYTHING, "stranger": _EVERYTHING, "outsider": _NOTHING_OF_OURS}
_READER: Final = "reader"


class Guests:
    """Whoever calls the server on a game day.

    Args:
        door: To the server, as an admin.
        day: The name of the day, which stands in the names of the tokens.

    Raises:
        ForbiddenError: The caller is no admin.
    """

    def __init__(self, door: Door, day: str) -> None:
        self._door = door
        self._day = day
        self._tokens: dict[str, str] = {}
        self._ids: list[str] = []
        self._key = Ed25519PrivateKey.generate()
        self._unknown = Ed25519PrivateKey.generate()

    def invite(self) -> None:
        """Make all tokens and register the key."""
        self._admit(_READER, "reader", None)
        for kind in _WITNESSES:
            self._admit(kind.value, "emitter", _EVERYTHING)
        for name, services in _ATTACKERS.items():
            for number in range(ATTACKERS):
                self._admit(attacker(name, number), "emitter", services)
        public = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()
        scope = {"services": [_EVERYTHING], "environments": [_EVERYTHING]}
        asked = {"name": f"{PREFIX}{self._day}", "public_key": public, "scope": scope}
        self._post("/v1/keys", asked)

    def reader(self) -> Door:
        """Return a new way to the server for somebody who reads."""
        return self.way_of(_READER)

    def way_of(self, caller: str) -> Door:
        """Return a new way to the server for a caller."""
        return Door(self._door.url, self._tokens[caller])

    def principal(self, caller: str) -> str:
        """Return how the server names a caller in findings."""
        return f"token:{self._name(caller)}"

    def body(self, message: Message, fields: Mapping[str, object]) -> bytes:
        """Return the body of a marker, sealed as the message wants it."""
        match message.seal:
            case Seal.NONE:
                return json.dumps(fields).encode()
            case Seal.SPOILT:
                key, said = self._key, b"something else"
                return MarkerSigner(_public(key), lambda _: key.sign(said)).seal(fields)
            case Seal.STRANGER:
                return MarkerSigner(_public(self._unknown), self._unknown.sign).seal(fields)

    def dismiss(self) -> None:
        """End all tokens; the key stays registered, as nothing that it signed was ever valid."""
        for each in self._ids:
            self._door.delete(f"/v1/tokens/{segment(each)}")

    def _admit(self, caller: str, role: str, services: str | None) -> None:
        asked: Json = {"name": self._name(caller), "roles": [role]}
        if services is not None:
            asked["scope"] = {"services": [services], "environments": [_EVERYTHING]}
        made = self._post("/v1/tokens", asked)
        self._tokens[caller] = made["token"]
        self._ids.append(made["id"])

    def _name(self, caller: str) -> str:
        return f"{PREFIX}{self._day}-{caller}"

    def _post(self, path: str, asked: Json) -> Json:
        reply = self._door.post(path, json.dumps(asked).encode())
        if reply.status not in _CREATED:
            raise ForbiddenError(
                f"POST {path} is answered with {reply.status}: {reply.content.get('detail')}",
                hint="A game day makes tokens of its own: set DEPLOYMARK_TOKEN to an admin's.",
            )
        return reply.content


def _public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def caller_of(message: Message) -> str:
    """Return who sends a message."""
    return message.caller or message.emitter.kind.value
