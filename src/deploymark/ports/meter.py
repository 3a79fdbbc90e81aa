"""Who counts what happens."""

from typing import Protocol


class Meter(Protocol):
    """Counts what happens, tolerated failures above all."""

    def count(self, name: str, amount: int = 1, **labels: str) -> None:
        """Add `amount` to the counter `name` with these labels.

        Args:
            name: In full, as it is scraped: `deploymark_…_total`.
            amount: How much.
            labels: From closed sets only; strangers could multiply anything else.
        """
        ...

    def observe(self, name: str, seconds: float) -> None:
        """Add a duration to the distribution `name`, in full: `deploymark_…_seconds`."""
        ...
