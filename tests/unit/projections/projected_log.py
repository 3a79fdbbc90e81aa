"""Logs made of leaves alone, which the tests of projections follow; nobody signs in them."""

import json
import pathlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import Dialect

from deploymark.log.tree import EMPTY_ROOT, leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.filing import file_entry
from deploymark.model.instants import format_instant
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.vocabulary import MARKER, Assurance
from deploymark.ports import Batch, Head, LogStore, StoredEntry
from deploymark.projections.database import Views, open_views
from deploymark.projections.runner import Runner, View
from deploymark.projections.search import Search, SearchView
from deploymark.projections.search_query import EntryQuery, MarkerQuery, Page
from deploymark.storage.memory import MemoryLogStore
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

Fields = Mapping[str, Any]

_COMPILED: dict[Any, Any] = {}
_DIALECTS: list[Dialect] = []


def compiled_once(views: Views) -> Views:
    """Return views that share what was compiled with all that went this way.

    Otherwise every new file would compile every statement anew, which takes longer than it all.
    """
    views.engine = views.engine.execution_options(compiled_cache=_COMPILED)
    _DIALECTS.append(views.engine.dialect)
    views.engine.dialect = _DIALECTS[0]  # what was compiled is found again by its dialect
    del _DIALECTS[1:]
    return views


def digest(text: str) -> str:
    return f"sha256:{sha256(text.encode()).hexdigest()}"


def marker(number: int, **changes: object) -> dict[str, Any]:
    fields = {
        "service": f"service-{number % 3}",
        "environment": "prod",
        "phase": "applied",
        "version": f"1.{number}",
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


def leaf_of(
    fields: Fields,
    payload_type: str = MARKER,
    *,
    occurrence: int = 1,
    received_at_ms: int = START_MS,
) -> Leaf:
    payload = json.dumps(fields, separators=(",", ":")).encode()
    return Leaf(
        assurance=Assurance.ANONYMOUS,
        dsse=Envelope(b64encode(payload).decode(), payload_type, []),
        ids=file_entry(payload_type, payload).ids,
        occurrence=occurrence if payload_type == MARKER else 0,
        principal="",
        received_at=format_instant(received_at_ms),
    )


def bodies_of(count: int, **changes: object) -> list[bytes]:
    """Return the leaves of markers that differ, a second apart."""
    return [
        encode_leaf(leaf_of(marker(n, **changes), received_at_ms=START_MS + 1_000 * n))
        for n in range(count)
    ]


def empty_log() -> MemoryLogStore:
    store = MemoryLogStore()
    store.create(Head("log.example/projected", 0, EMPTY_ROOT, b"", "", 0))
    return store


def append(store: LogStore, bodies: Sequence[bytes], times: Sequence[int] = ()) -> None:
    """Append bytes as they are; their columns are right where they are leaves."""
    head = store.head()
    times = times or [START_MS + 1_000 * (head.size + n) for n in range(len(bodies))]
    entries = [
        StoredEntry(head.size + n, leaf_hash(body), times[n], "", f"x-{head.size + n}", body)
        for n, body in enumerate(bodies)
    ]
    grown = Head(head.origin, head.size + len(bodies), EMPTY_ROOT, b"", "", 0)
    store.append(Batch(head.size, entries, [], grown))


class Projected:
    """A log with the search view over it, which is fed when asked.

    Args:
        folder: Where views.db lies.
        store: The log; an empty one when left out.
        views: Further views.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        store: LogStore | None = None,
        views: Sequence[View[Any]] = (),
        search: SearchView | None = None,
    ) -> None:
        self.store = store or empty_log()
        self.path = folder / "views.db"
        self.meter = ListMeter()
        self.views = compiled_once(open_views(self.path))
        self.search = Search(self.views)
        every = [search or SearchView(), *views]
        self.runner = Runner(self.store, self.views, every, self.meter)

    def add(self, *leaves: Leaf) -> None:
        """Append leaves and feed the views."""
        times = [START_MS + 1_000 * (self.store.head().size + n) for n in range(len(leaves))]
        append(self.store, [encode_leaf(leaf) for leaf in leaves], times)
        self.runner.catch_up()

    def markers(self, **filters: Any) -> list[int]:  # noqa: ANN401 - any filter
        """Return all indexes, following cursors."""
        return self.follow(MarkerQuery(**filters))

    def entries(self, **filters: Any) -> list[int]:  # noqa: ANN401 - any filter
        return self.follow(EntryQuery(**filters))

    def follow(self, query: MarkerQuery | EntryQuery) -> list[int]:
        page, found = self.ask(query), list[int]()
        found += page.indexes
        while page.next_cursor is not None:
            page = self.ask(_continued(query, page.next_cursor))
            assert len(page.indexes) <= query.limit
            found += page.indexes
        return found

    def ask(self, query: MarkerQuery | EntryQuery) -> Page:
        if isinstance(query, MarkerQuery):
            return self.search.markers(query)
        return self.search.entries(query)

    def close(self) -> None:
        self.runner.stop()
        self.views.close()


def _continued(query: MarkerQuery | EntryQuery, cursor: str) -> MarkerQuery | EntryQuery:
    values = {name: getattr(query, name) for name in query.__struct_fields__}
    return type(query)(**{**values, "cursor": cursor})
