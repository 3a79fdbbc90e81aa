"""The producer keys of a running server, over HTTP: listed, exported, and changed by an entry.

What changes them is the same signed entry that `keys` appends to a log of its own; only the way
there differs.
"""

import json
from typing import Any

import msgspec

from deploymark.cli.client import Answer, Client, client_settings
from deploymark.crypto.keyring import EXPORT_VERSION, KeyRing
from deploymark.crypto.note import parse_note
from deploymark.errors import DeploymarkError, ServerUnavailableError
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.model.envelope import Envelope


class ServedKeys:
    """The keys of one server.

    Args:
        url: The server.
    """

    def __init__(self, url: str) -> None:
        self._client = Client(client_settings(url))

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
        """Hand in a key entry; raises as `ring`."""
        return self._client.post("/v1/entries", json.dumps(msgspec.to_builtins(envelope)).encode())


def _newest(items: Any) -> int:  # noqa: ANN401 - whatever the server said
    """Return the newest entry from which the listed keys follow, as far as they show it."""
    return max(max(int(key["from_index"]), int(key["end_index"] or 0)) for key in items)
