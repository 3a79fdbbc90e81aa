"""The text of the stream: entries as server-sent events, and the filters that choose among them.

Each event is encoded once and the bytes are shared by all who receive it.
"""

from typing import Any

from msgspec import Struct

from deploymark.errors import BrokenError, DeploymarkError, NotFoundError, UnavailableError
from deploymark.ports import StoredEntry
from deploymark.server.answer import encode_json
from deploymark.server.views import entry_view

RETRY_MS = 1_000
ARCHIVED = "archived"
_UNREADABLE = "unreadable"


class Event(Struct, frozen=True, gc=False):
    """One entry, ready to be sent.

    Attributes:
        index: Its position in the log, and the id of the event.
        text: The whole event.
        facets: What filters look at: type, service, environment, kind, phase.
    """

    index: int
    text: bytes
    facets: tuple[str | None, str | None, str | None, str | None, str | None]


class Filter(Struct, frozen=True):
    """Chooses events; None takes any value."""

    type: str | None = None
    service: str | None = None
    environment: str | None = None
    kind: str | None = None
    phase: str | None = None

    def takes(self, event: Event) -> bool:
        """Tell whether the event is wanted."""
        wanted = (self.type, self.service, self.environment, self.kind, self.phase)
        return all(w is None or w == f for w, f in zip(wanted, event.facets, strict=True))


EVERYTHING = Filter()


def event_of(entry: StoredEntry) -> Event:
    """Return the event of an entry.

    An entry whose body is archived, or that this release cannot read, is still told: whoever
    follows must not miss that it is there.
    """
    try:
        view = entry_view(entry)
    except (UnavailableError, BrokenError):
        raise
    except DeploymarkError as error:
        kind = ARCHIVED if isinstance(error, NotFoundError) else _UNREADABLE
        view = {"index": entry.index, "type": kind}
    said: dict[str, Any] = view.get("marker") or view.get("entry") or {}
    return Event(
        entry.index,
        b"id: %d\ndata: %b\n\n" % (entry.index, encode_json(view)),
        (
            view["type"],
            said.get("service"),
            said.get("environment"),
            # A marker that names no kind is about a deployment.
            said.get("kind", "deployment" if "marker" in view else None),
            said.get("phase"),
        ),
    )


def hello(position: int) -> bytes:
    """Open a stream, so that also who leaves at once knows where to go on."""
    return b"retry: %d\n%b" % (RETRY_MS, standing(position))


def standing(position: int) -> bytes:
    """Say where the stream stands without an event; also what filters hid counts as passed."""
    return b": here\nid: %d\n\n" % (position - 1)


def reset(reason: str, position: int) -> bytes:
    """Tell a client to read the state afresh: the stream goes on at `position`."""
    told = encode_json({"reason": reason, "next": position})
    return b"id: %d\nevent: reset\ndata: %b\n\n" % (position - 1, told)
