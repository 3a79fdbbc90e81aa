"""The metrics of this process in the Prometheus text format (version 0.0.4).

Labels come from closed sets only: names of operations, statuses, codes. Never a caller, a
service or an address, which strangers could multiply.
"""

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "deploymark_"
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of durations in seconds."""

Labels = tuple[tuple[str, str], ...]
_TOLD = {
    "http_requests_total": "Requests by operation and status.",
    "http_request_seconds": "How long requests took until answered, but for streams.",
    "http_requests_in_flight": "Requests being answered now.",
    "marker_items_total": "Items handed in by outcome: new, duplicate, or the code of the refusal.",
    "stream_clients": "Clients that follow the stream now.",
    "log_size": "Entries in the log.",
    "log_published_size": "Entries under the newest published checkpoint.",
    "view_lag_entries": "Entries that the views have not seen yet.",
}


class RequestMeter:
    """Counts requests; used on the event loop only, so it needs no lock."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._items: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._buckets: defaultdict[str, list[int]] = defaultdict(lambda: [0] * (len(BUCKETS) + 1))

    def answered(self, operation: str, status: int, seconds: float | None) -> None:
        """Count one answer.

        Args:
            operation: Its name, "unknown" where there was none.
            status: HTTP status; 499 when the client went away before.
            seconds: How long it took; None for a stream, whose length says nothing.
        """
        self._requests[operation, status] += 1
        if seconds is not None:
            self._seconds[operation] += seconds
            self._buckets[operation][bisect_left(BUCKETS, seconds)] += 1

    def item(self, outcome: str) -> None:
        """Count what became of one marker or other entry."""
        self._items[outcome] += 1

    def lines(self) -> Iterable[str]:
        """Yield everything counted here."""
        yield from family(
            "http_requests_total",
            "counter",
            {
                (("operation", operation), ("status", str(status))): count
                for (operation, status), count in self._requests.items()
            },
        )
        yield from self._histogram("http_request_seconds")
        yield from family("http_requests_in_flight", "gauge", {(): self.in_flight})
        items: dict[Labels, int] = {
            (("outcome", outcome),): count for outcome, count in self._items.items()
        }
        yield from family("marker_items_total", "counter", items)

    def _histogram(self, name: str) -> Iterable[str]:
        yield from _head(name, "histogram")
        for operation, buckets in sorted(self._buckets.items()):
            total = 0
            for bound, count in zip([*map(str, BUCKETS), "+Inf"], buckets, strict=True):
                total += count
                labels = (("le", bound), ("operation", operation))
                yield _sample(f"{name}_bucket", labels, total)
            own = (("operation", operation),)
            yield _sample(f"{name}_sum", own, self._seconds[operation])
            yield _sample(f"{name}_count", own, total)


def family(name: str, kind: str, samples: Mapping[Labels, float]) -> Iterable[str]:
    """Yield one metric with all its samples.

    Args:
        name: Without the prefix.
        kind: `counter` or `gauge`.
        samples: Value by labels.
    """
    yield from _head(name, kind)
    for labels, value in sorted(samples.items()):
        yield _sample(name, labels, value)


def counters(counts: Mapping[tuple[str, Labels], int]) -> Iterable[str]:
    """Yield the counters of a meter, `total` appended to each name."""
    names: defaultdict[str, dict[Labels, int]] = defaultdict(dict)
    for (name, labels), count in counts.items():
        names[name][labels] = count
    for name, samples in sorted(names.items()):
        yield from family(f"{name}_total", "counter", samples)


def render(parts: Sequence[Iterable[str]]) -> bytes:
    """Return the whole page."""
    return "".join(f"{line}\n" for part in parts for line in part).encode()


def _head(name: str, kind: str) -> Iterable[str]:
    told = _TOLD.get(name)
    if told is not None:
        yield f"# HELP {PREFIX}{name} {told}"
    yield f"# TYPE {PREFIX}{name} {kind}"


def _sample(name: str, labels: Labels, value: float) -> str:
    shown = ",".join(f'{label}="{_escape(text)}"' for label, text in labels)
    return f"{PREFIX}{name}{{{shown}}} {value}" if shown else f"{PREFIX}{name} {value}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
