"""How the front door is set up: frozen values that `runtime.config` reads once."""

from dataclasses import dataclass, field
from enum import StrEnum

KILOBYTE = 1_024


class LogAccess(StrEnum):
    """Who may read the log's own site (spec: trust, `log.access`)."""

    HASHES = "hashes"
    PUBLIC = "public"
    PRIVATE = "private"


class MetricsAccess(StrEnum):
    """Who may read `/metrics`: readers, or also anyone on this very host.

    A proxy on this host makes everyone who comes through it local.
    """

    READER = "reader"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Bounds of the live stream.

    Attributes:
        heartbeat_seconds: How often a silent stream says where it stands.
        stall_seconds: A client that takes nothing for so long is cut off; it may resume.
        max_subscribers: How many clients follow at once.
        ring_entries: How many of the newest entries are kept encoded, shared by all.
        max_behind: A client further behind is told to start over (`reset`).
        chunk_bytes: About how much is written to one client at a time.
    """

    heartbeat_seconds: float = 10.0
    stall_seconds: float = 30.0
    max_subscribers: int = 2_000
    ring_entries: int = 4_096
    max_behind: int = 100_000
    chunk_bytes: int = 128 * KILOBYTE


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything about the front door that can be set.

    Attributes:
        hosts: The names in `Host` that are answered; None answers any. See
            `server.hosts.answered_hosts`.
        log_access: Who may read checkpoints, tiles and bundles.
        metrics_access: Who may read the metrics.
        secure_cookies: The address that browsers see is https, so cookies are for https only.
        body_seconds: How long a request body may take to arrive.
        fresh_seconds: How long a query waits for views to be as fresh as it asks.
        max_marker_bytes: Of one marker, statement or envelope.
        max_batch_bytes: Of a batch.
        max_stranger_bytes: Of whatever a caller without a token hands in, also a batch.
        max_batch_items: Of a batch.
        max_detail_bytes: Of erasable content.
        simulated: The fleet behind this server is made up; pages say so.
        stream: Bounds of the live stream.
    """

    hosts: frozenset[str] | None = None
    log_access: LogAccess = LogAccess.HASHES
    metrics_access: MetricsAccess = MetricsAccess.READER
    secure_cookies: bool = False
    body_seconds: float = 20.0
    fresh_seconds: float = 5.0
    max_marker_bytes: int = 64 * KILOBYTE
    max_batch_bytes: int = 4 * KILOBYTE * KILOBYTE
    max_stranger_bytes: int = 512 * KILOBYTE
    max_batch_items: int = 1_000
    max_detail_bytes: int = KILOBYTE * KILOBYTE
    simulated: bool = False
    stream: StreamSettings = field(default_factory=StreamSettings)
