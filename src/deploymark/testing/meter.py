"""A meter whose counts tests can read."""

from collections import Counter


class ListMeter:
    """Remembers every count; see `ports.Meter`.

    Attributes:
        counts: Amount by name and sorted labels, as `name{label=value}`.
        observed: Durations in seconds by name.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.observed: dict[str, list[float]] = {}

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """See `Meter.count`."""
        shown = ",".join(f"{label}={value}" for label, value in sorted(labels.items()))
        self.counts[f"{name}{{{shown}}}"] += amount

    def observe(self, name: str, seconds: float) -> None:
        """See `Meter.observe`."""
        self.observed.setdefault(name, []).append(seconds)
