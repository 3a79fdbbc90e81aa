"""The producer keys of a running server, over HTTP: listed, exported, and changed by an entry.

What changes them is the same signed entry that `keys` appends to a log of its own; only the way
there differs.
"""

import json
from typing import Any, Final

import msgspec

from deploymark.cli.client import Answer, Client, client_settings
from deploymark.crypto.keyring import EXPORT_VERSION, KeyRing
from deploymark.crypto.note import parse_note
from deploymark.errors import (
    DeploymarkError,
    ForbiddenError,
    ServerUnavailableError,
    UnauthenticatedError,
)
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.model.envelope import Envelope

_ENTRIES: Final = "/v1/entries"


class ServedKeys:
    """The keys of one server.

    Args:
        url: The server.
    """

    def __init__(self, url: str) -> None:
        settings = client_settings(url)
        self._client = Client(settings)
        self._without_token = Client(settings._replace(token=""))

    def ring(self) -> KeyRing:
        """Return the keys and of how much of which log they speak; the server is trusted for it.

        Raises:
            UnavailableError: No answer, or one that is not ours.
            DeploymarkError: The server refused.
        """
        # First the checkpoint: the keys then speak of at least as many entries.
        note = self._client.text("/log/checkpoint")
        items = self._client.get("/v1/keys").get("items")
        try:
            checkpoint = parse_checkpoint(parse_note(note).text)
            exported = {
                "v": EXPORT_VERSION,
                "as_of": {"origin": checkpoint.origin, "size": checkpoint.size},
                "keys": items,
                "applied_index": _newest(items),
            }
            return KeyRing.load(msgspec.json.encode(exported))
        except (DeploymarkError, TypeError, KeyError) as error:
            raise ServerUnavailableError(
                f"The server {self._client.shown} answered with what are no keys: {error}."
            ) from error

    def append(self, envelope: Envelope) -> Answer:
        """Hand in a key entry; raises as `ring`.

        Its signature says who is behind it, so a token that may not hand it in does not stop it.
        """
        body = json.dumps(msgspec.to_builtins(envelope)).encode()
        try:
            return self._client.post(_ENTRIES, body)
        except ForbiddenError as forbidden:
            try:
                return self._without_token.post(_ENTRIES, body)
            except UnauthenticatedError:  # this server wants a token also of who signs
                raise forbidden from None

    def size(self) -> int | None:
        """Return how many entries are published; None where a stranger may not know."""
        try:
            return parse_checkpoint(parse_note(self._client.text("/log/checkpoint")).text).size
        except (ForbiddenError, UnauthenticatedError):
            return None


def _newest(items: Any) -> int:  # noqa: ANN401 - whatever the server said
    """Return the newest entry from which the listed keys follow, as far as they show it."""
    return max(max(int(key["from_index"]), int(key["end_index"] or 0)) for key in items)
