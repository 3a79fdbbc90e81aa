"""What the stream says of one entry."""

import json
from typing import Any

import msgspec
import pytest

from deploymark.errors import LogBrokenError, MarkerError
from deploymark.ports import StoredEntry
from deploymark.server.events import EVERYTHING, Filter, event_of, hello, reset, standing
from deploymark.server.settings import StreamSettings
from deploymark.server.stream import chunk_of
from deploymark.server.views import entry_view
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.whole_log import WholeLog

_LOG = WholeLog(MemoryLogStore())
_LOG.append_markers(5)
_LOG.close()
KEY, MARKER = _LOG.store.entry(0), _LOG.store.entry(1)


def _data(text: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text.partition(b"\ndata: ")[2])
    return found


def test_an_event_carries_the_view_of_its_entry() -> None:
    event = event_of(MARKER)
    assert event.text.startswith(b"id: 1\ndata: {")
    assert event.text.endswith(b"}\n\n")
    assert event.text.count(b"\n") == 3
    assert _data(event.text) == json.loads(msgspec.json.encode(entry_view(MARKER)))
    assert event.facets == ("marker", "service-1", "prod", "deployment", "applied")
    assert event_of(KEY).facets == ("key", None, None, None, None)


def test_an_archived_entry_is_told_all_the_same() -> None:
    archived = event_of(msgspec.structs.replace(MARKER, leaf=None))
    assert _data(archived.text) == {"index": 1, "type": "archived"}
    unread = event_of(StoredEntry(7, b"", 0, "", "", b"{}"))
    assert _data(unread.text) == {"index": 7, "type": "unreadable"}
    assert EVERYTHING.takes(unread)


def test_a_broken_log_is_not_told_as_if_it_were_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: StoredEntry) -> None:
        raise LogBrokenError("It does not add up.")

    monkeypatch.setattr("deploymark.server.events.entry_view", broken)
    with pytest.raises(LogBrokenError):
        event_of(MARKER)
    with pytest.raises(MarkerError):
        entry_view(StoredEntry(7, b"", 0, "", "", b"{}"))


def test_words_between_events_name_the_last_index() -> None:
    assert hello(0) == b"retry: 1000\n: here\nid: -1\n\n"
    assert standing(8) == b": here\nid: 7\n\n"
    assert reset("behind", 8).startswith(b"id: 7\nevent: reset\ndata: {")


def test_a_chunk_ends_at_its_size_and_says_where() -> None:
    events = [event_of(entry) for entry in _LOG.store.entries(0, 6)]
    settings = StreamSettings(chunk_bytes=1)
    assert chunk_of(events, 0, EVERYTHING, settings) == (events[0].text, 1)
    wanted = Filter(service="service-3")
    assert chunk_of(events, 0, wanted, StreamSettings()) == (events[3].text, 6)
    # What is not wanted does not count, but is passed.
    assert chunk_of(events[4:], 4, wanted, settings) == (b"", 6)
    assert chunk_of([], 4, wanted, settings) == (b"", 4)
