"""A dialect with what a configuration says about it."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from deploymark.model.entries import Scope
from deploymark.model.mapping import NO_MAPPING, TextMapping
from deploymark.ports import Dialect


def _no_secrets() -> Sequence[str]:
    return ()


class Mounted(Struct, frozen=True):
    """A dialect as one server speaks it.

    Attributes:
        dialect: The table.
        mapping: How texts become fields, whoever sends them.
        callers: The same by name of the token, before `mapping`.
        secrets: Returns those with which webhooks may be signed; may wait for a file.
        scope: What a webhook with such a signature may speak about; None for everything.
    """

    dialect: Dialect
    mapping: TextMapping = NO_MAPPING
    callers: Mapping[str, TextMapping] = {}
    secrets: Callable[[], Sequence[str]] = _no_secrets
    scope: Scope | None = None

    def mapping_of(self, principal: str) -> TextMapping:
        """Return how the texts of a caller become fields."""
        own = self.callers.get(principal.removeprefix("token:"))
        return self.mapping if own is None else own.over(self.mapping)
