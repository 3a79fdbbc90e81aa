"""Where an alias leads. Pure."""

from collections.abc import Mapping

from msgspec import Struct


class Alias(Struct, frozen=True):
    """An alias of a function, as it is.

    Attributes:
        arn: Its name in all of AWS.
        version: To which it leads when no weights say otherwise.
        weights: Share of the invocations, 0 to 1, by additional version.
        description: Free text.
        revision: Changes with every update.
    """

    arn: str
    version: str
    weights: Mapping[str, float]
    description: str
    revision: str

    @property
    def routed(self) -> dict[str, float]:
        """Share of the invocations by version, those that get nothing left out."""
        first = 1.0 - sum(self.weights.values())
        found = {self.version: first, **self.weights}
        return {version: share for version, share in found.items() if share > 0}
