"""The metrics of this process in the Prometheus text format (version 0.0.4).

Labels come from closed sets only: names of operations, statuses, codes. Never a caller, a
service or an address, which strangers could multiply. The exceptions are `deploymark_info` and
`deploymark_deployment_timestamp_seconds`, whose samples are bounded in number (`exposition`).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from deploymark.model.distribution import Distribution

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "deploymark_"

Labels = tuple[tuple[str, str], ...]
_TOLD = {
    "http_requests_total": "Requests by operation and status.",
    "http_request_seconds": "How long requests took until answered, but for streams.",
    "http_requests_in_flight": "Requests being answered now.",
    "marker_items_total": "Items handed in by outcome: new, duplicate, or the code of the refusal.",
    "stream_clients": "Clients that follow the stream now.",
    "entries_total": "Entries handed in, by outcome: accepted, duplicate, refused.",
    "markers_emitted": "Numbers that emitters are known to have given, of epochs still counted.",
    "markers_received": "Those of them that came: accepted, refused or sampled (M3).",
    "emitter_epochs": "Epochs of emitters still counted.",
    "time_to_marker_seconds": "From the time that a marker claims until the log has it (M2).",
    "refused_total": "Refused attempts, by the code of the refusal.",
    "log_size": "Entries in the log.",
    "log_published_size": "Entries under the newest published checkpoint.",
    "view_lag_entries": "Entries that the views have not seen yet.",
    "view_lag_seconds": "For how long the oldest entry waits that the views have not seen.",
    "findings_open": "Open findings, by code, severity and whether they are of production.",
    "instances": "Instances that run, by what is known of them.",
    "info": "1 for each running instance, to join its metrics with its deployment.",
    "info_omitted": "Running instances without a sample of deploymark_info, by reason.",
    "deployment_timestamp_seconds": "When a deployment began, went live, failed, was rolled back.",
    "deployment_timestamps_omitted": "Deployments of the last week that have none.",
    "measure_numerator": "Numerators of the measures in /v1/slis.",
    "measure_denominator": "Denominators of the measures in /v1/slis.",
    "measure_target": "The shares that the measures shall reach, or stay below.",
    "measure_age_seconds": "How long ago the measures were counted.",
    "measure_seconds": "How long what a measure counts took: the median and the 95th percentile.",
    "post_deploy_errors": "Failed requests before and after deployments (M4).",
    "post_deploy_requests": "Requests before and after deployments (M4).",
    "post_deploy_deployments": "Deployments of the last week: counted by M4, or why not.",
    "rollout_lanes_busy": "Services and environments in which a rollout is being taken further.",
    "rollout_lanes_busy_seconds": "For how long the one has been that began first.",
    "rollout_lanes_waiting": "Services and environments that wait for a worker to be free.",
    "rollout_lanes_waiting_seconds": "For how long the one has waited that came first.",
    "telemetry_items_total": "Spans, points and log records, by what became of them.",
    "telemetry_dropped_total": "Telemetry that a limit kept out, by reason.",
    "telemetry_confirmations_total": "Confirmations made of resources, by outcome.",
    "telemetry_queue_bytes": "Telemetry that waits to be counted.",
    "telemetry_store_bytes": "Telemetry that is kept.",
    "telemetry_instances": "Instances that reported lately.",
    "telemetry_streams": "Metric streams whose last state is remembered.",
}


class RequestMeter:
    """Counts requests; used on the event loop only, so it needs no lock."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._requests: Counter[tuple[str, int]] = Counter()
        self._items: Counter[str] = Counter()
        self._seconds: defaultdict[str, Distribution] = defaultdict(Distribution)

    def answered(self, operation: str, status: int, seconds: float | None) -> None:
        """Count one answer.

        Args:
            operation: Its name, "unknown" where there was none.
            status: HTTP status; 499 when the client went away before.
            seconds: How long it took; None for a stream, whose length says nothing.
        """
        self._requests[operation, status] += 1
        if seconds is not None:
            self._seconds[operation].add(seconds)

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
        by_operation: dict[Labels, Distribution] = {
            (("operation", name),): each for name, each in self._seconds.items()
        }
        yield from histogram("http_request_seconds", by_operation)
        yield from family("http_requests_in_flight", "gauge", {(): self.in_flight})
        items: dict[Labels, int] = {
            (("outcome", outcome),): count for outcome, count in self._items.items()
        }
        yield from family("marker_items_total", "counter", items)


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


def histogram(name: str, samples: Mapping[Labels, Distribution]) -> Iterable[str]:
    """Yield one distribution for each set of labels; the name without the prefix."""
    yield from _head(name, "histogram")
    for labels, each in sorted(samples.items(), key=lambda item: item[0]):
        steps = each.cumulative()
        for bound, count in steps:
            yield _sample(f"{name}_bucket", (("le", bound), *labels), count)
        yield _sample(f"{name}_sum", labels, each.sum)
        yield _sample(f"{name}_count", labels, steps[-1][1])


def counters(counts: Mapping[tuple[str, Labels], int]) -> Iterable[str]:
    """Yield the counters of a meter, whose names are given in full."""
    names: defaultdict[str, dict[Labels, int]] = defaultdict(dict)
    for (name, labels), count in counts.items():
        names[name.removeprefix(PREFIX)][labels] = count
    for name, samples in sorted(names.items()):
        yield from family(name, "counter", samples)


def distributions(found: Mapping[str, Distribution]) -> Iterable[str]:
    """Yield the distributions of a meter, whose names are given in full."""
    for name, each in sorted(found.items()):
        yield from histogram(name.removeprefix(PREFIX), {(): each})


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
