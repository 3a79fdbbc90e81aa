"""Leases that last as long as the process: for a server without a data directory, and tests."""

import threading
from dataclasses import dataclass


@dataclass(slots=True)
class _Lease:
    """A lease; it stays when nobody holds it, so that the fence goes on rising."""

    holder: str | None
    taken_ms: int
    until_ms: int
    fence: int


class MemoryLeaseStore:
    """Keeps leases in memory; see `ports.LeaseStore`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}

    def take(self, name: str, holder: str, now_ms: int, until_ms: int) -> int | None:
        """See `LeaseStore.take`."""
        with self._lock:
            lease = self._leases.setdefault(name, _Lease(None, now_ms, now_ms, 0))
            if lease.taken_ms > now_ms:
                # The clock went back: it lasts from now for as long as it was taken for.
                lease.until_ms -= lease.taken_ms - now_ms
                lease.taken_ms = now_ms
            ended = lease.holder is None or lease.until_ms <= now_ms
            if lease.holder != holder and not ended:
                return None
            if lease.holder != holder or ended:
                lease.fence += 1
            lease.holder, lease.taken_ms, lease.until_ms = holder, now_ms, until_ms
            return lease.fence

    def drop(self, name: str, holder: str) -> None:
        """See `LeaseStore.drop`."""
        with self._lock:
            lease = self._leases.get(name)
            if lease is not None and lease.holder == holder:
                lease.holder = None
