"""Every bound of the telemetry room, with what it costs; docs/reference/telemetry.md repeats them.

Whatever comes in, memory stays within: what is queued, one body being read (about twenty times
its size at worst), the streams, the places and what was confirmed. What a limit keeps out is
counted in `deploymark_telemetry_dropped_total` or refused in `partial_success`, never silent.
"""

from typing import Final

MEGABYTE: Final = 1_024 * 1_024

# What comes in -----------------------------------------------------------------------------------

BODY_BYTES: Final = 4 * MEGABYTE
"""Of one request, packed and unpacked; gRPC's own default, so that exporters are used to it."""

QUEUE_BYTES: Final = 32 * MEGABYTE
"""Bodies that wait to be read, all together; more is answered 503 with Retry-After."""

GROUP_BYTES: Final = 8 * MEGABYTE
"""Bodies that are read for one commit, but at least one."""

RESOURCES: Final = 4_000
"""Resources and scopes in one request, together."""

ITEMS: Final = 100_000
"""Spans, log records, or metrics and their points, in one request."""

ITEM_BYTES: Final = 65_536
"""One span, point or log record; larger ones are refused alone."""

ATTRIBUTES: Final = 128
"""Attributes of one resource, span or point; the rest is not looked at."""

BOUNDS: Final = 512
"""Buckets of one histogram point."""

VALUE_BYTES: Final = 256
"""Names of services, environments, deployments and instances, as in a marker."""

# Time --------------------------------------------------------------------------------------------

BUCKET_SECONDS: Final = 10
"""Counts are kept for so many seconds together, unless the configuration says otherwise."""

LAG_SECONDS: Final = 15
"""So long after the end of a bucket everything about it has come, where exporters are as usual."""

WINDOW_SECONDS: Final = 60
"""Traces and log excerpts compete for their places within so many seconds."""

AHEAD_SECONDS: Final = 60
"""A time further ahead than this is replaced by the time of receipt, as for markers."""

FRESH_SECONDS: Final = 120
"""A stream that began so recently when it is first seen counts from its beginning."""

MEASURED_SECONDS: Final = 150
"""So long after its last metric a service counts as measured, and spans are not counted."""

# How many different ------------------------------------------------------------------------------

PLACES: Final = 20_000
"""Instances that are alive at once."""

DEPLOYMENTS_PER_SERVICE: Final = 200
"""Deployments of a service in an environment; further ones count as `OTHER`."""

INSTANCES_PER_DEPLOYMENT: Final = 2_000
"""Instances of a deployment; further ones count as `OTHER`."""

OTHER: Final = "~other"
"""Where is counted what a limit keeps from being counted by itself."""

STREAMS: Final = 50_000
"""Metric streams whose last state is remembered: about 0.5 KB each, 1.2 KB exponential."""

STREAMS_PER_PLACE: Final = 2_000
"""Of one instance: attribute sets, such as routes times methods times statuses."""

IDLE_SECONDS: Final = 900
"""Streams and instances that said nothing for so long make room when room is needed."""

GAUGE_LABELS: Final = 16
"""Attribute sets of one gauge of one instance, such as CPU modes."""

CONFIRMED: Final = 50_000
"""Instances whose confirmation is remembered; a forgotten one is sent again, as a duplicate."""

RECEIPTS: Final = 8_192
"""Requests that are recognised when an exporter sends them again."""

INTERVALS: Final = 8
"""Intervals of a delta stream that are remembered, to recognise them out of order."""

# What is kept ------------------------------------------------------------------------------------

EXCERPT_CHARACTERS: Final = 512
"""Of one log record."""

NAME_CHARACTERS: Final = 128
"""Of the name of a span or a route."""

MOST_WEIGHT: Final = 10_000.0
"""What one sampled span may stand for at most."""

PAGE_ROWS: Final = 50_000
"""Rows of counts that one answer reads at most."""

GAUGES: Final = (
    "process.cpu.utilization",
    "process.memory.usage",
    "system.cpu.utilization",
    "system.memory.utilization",
    "container.cpu.usage",
    "container.memory.usage",
    "k8s.container.cpu_limit_utilization",
    "k8s.container.memory_limit_utilization",
    "jvm.memory.used",
    "go.memory.used",
    "nodejs.eventloop.utilization",
    "cpython.gc.collections",
)
"""Metrics of which the values are kept, unless the configuration names others."""
