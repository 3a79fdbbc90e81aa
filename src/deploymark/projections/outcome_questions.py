"""What may be asked of the outcomes, and what is answered: windows, and what is counted. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from msgspec import Struct

from deploymark.errors import QueryError
from deploymark.model.instants import format_instant
from deploymark.projections.broker.questions import Item, Values, instant_of
from deploymark.projections.paging import DEFAULT_LIMIT, check_limit, read_cursor, write_cursor

DAY_MS: Final = 86_400_000
WINDOW_MS: Final = 7 * DAY_MS
"""What is counted unless a query says otherwise: the last week."""

MAX_WINDOW_MS: Final = 366 * DAY_MS
ROLLED_BACK_WITHIN_SECONDS: Final = 600
"""The target of M11, from the first failing verdict to a rollback that succeeded."""

HOLDS_MS: Final = DAY_MS
"""A promotion that is not rolled back for so long was right (M14)."""

_NEVER_MS: Final = 2**62
_KEY: Final = 6  # two of the last item, four of the window


_SLICE_MS: Final = 6 * 3_600_000
_MOST_SLICES: Final = 64


class Window(NamedTuple):
    """Where and when is counted.

    Attributes:
        since_ms: From then on.
        until_ms: Before then; `now_ms` when nobody said.
        before_ms: The same, but far away when nobody said: a clock may be a little ahead.
        now_ms: The time.
        environments: In which; none named: in those whose names say that they are production.
    """

    since_ms: int
    until_ms: int
    before_ms: int
    now_ms: int
    environments: tuple[str, ...] = ()

    @property
    def over_ms(self) -> int:
        """Before when something must have happened that waits for its consequences."""
        return min(self.until_ms, self.now_ms)

    def slices(self) -> Iterator["Window"]:
        """Yield the same as windows one behind the other, the latest first."""
        length_ms = max(_SLICE_MS, (self.until_ms - self.since_ms) // _MOST_SLICES)
        before_ms, since_ms = self.before_ms, self.until_ms - length_ms
        while since_ms > self.since_ms:
            yield self._replace(since_ms=since_ms, before_ms=before_ms)
            before_ms, since_ms = since_ms, since_ms - length_ms
        yield self._replace(before_ms=before_ms)


class SliQuery(Struct, frozen=True, kw_only=True):
    """Which measures are taken, or what one of them counts, the latest first.

    Attributes:
        measure: Of which the items are listed; "" for all measures.
        environment: In which; those that are production by name unless said otherwise.
        since: Counted then or later (RFC 3339); a week before `until`.
        until: Counted before then; now.
    """

    measure: str = ""
    environment: Values = ()
    since: str | None = None
    until: str | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


def window_of(query: SliQuery, now_ms: int) -> Window:
    """Return the window that a query names, a week by default.

    Raises:
        QueryError: A time is none, or the window is empty or longer than 366 days.
    """
    asked_ms = instant_of("until", query.until)
    until_ms = now_ms if asked_ms is None else asked_ms
    begin_ms = instant_of("since", query.since)
    since_ms = until_ms - WINDOW_MS if begin_ms is None else begin_ms
    if since_ms >= until_ms:
        raise QueryError("/since is not before /until.", field="/since")
    if until_ms - since_ms > MAX_WINDOW_MS:
        raise QueryError(
            "From /since to /until are more than 366 days.",
            hint="Ask for a year at a time, and add up numerators and denominators.",
            field="/since",
        )
    before_ms = _NEVER_MS if asked_ms is None else asked_ms
    return Window(since_ms, until_ms, before_ms, now_ms, tuple(sorted(set(query.environment))))


class At(NamedTuple):
    """An entry, and when that happened."""

    ms: int
    idx: int


class Counted(Struct, frozen=True):
    """One thing in the denominator of a measure.

    Attributes:
        at: When it is counted, and the entry that makes it so; what a list is ordered by.
        service: Whose; None where nobody said.
        deployment: The occurrence, `id~number`.
        result: What came of it, in a word.
        counts: It is in the numerator too.
        entries: What says so: (index, what it says).
        seconds: How long it took, where that is measured.
    """

    at: At
    service: str | None
    environment: str
    deployment: str
    result: str
    counts: bool
    entries: tuple[tuple[int, str], ...]
    seconds: float | None = None

    def shown(self) -> Item:
        """Return it as the interface shows it."""
        told: Item = {
            "index": self.at.idx,
            "at": format_instant(self.at.ms),
            "service": self.service,
            "environment": self.environment,
            "deployment_id": self.deployment,
            "result": self.result,
            "numerator": int(self.counts),
            "denominator": 1,
            "entries": [{"index": index, "says": says} for index, says in self.entries],
        }
        return told if self.seconds is None else {**told, "seconds": self.seconds}


def continued(query: SliQuery, now_ms: int) -> tuple[Window, At | None]:
    """Return the window of a list and behind which place its page begins.

    A page that follows another is of the same window, whatever the time.

    Raises:
        QueryError: A time, the limit or the cursor is not what it may be.
    """
    check_limit(query.limit)
    key = read_cursor(query, query.cursor, _KEY)
    window = window_of(query, now_ms)
    if key is None:
        return window, None
    if not all(isinstance(each, int) for each in key):
        raise QueryError("/cursor is not as it came.", field="/cursor")
    at_ms, idx, since_ms, until_ms, before_ms, then_ms = key
    window = Window(since_ms, until_ms, before_ms, then_ms, window.environments)
    return window, At(at_ms, idx)


def cursor_behind(query: SliQuery, window: Window, last: At) -> str:
    """Return the cursor of a page that ends with this."""
    return write_cursor(query, [*last, *window[: _KEY - len(last)]])
