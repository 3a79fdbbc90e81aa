"""Which environments are production, as far as their names say. Standard library only."""

import re
from typing import Final

PRODUCTION: Final = frozenset({"prod", "production", "prd", "live"})
"""Words of a name that make it one of production: `prod`, `eu-prod`, `Production 2`.

Views keep what follows from them; another word is another version of the broker's and outcomes'."""

_SEPARATORS: Final = re.compile(r"[^a-z0-9]+")


def is_production(environment: str) -> bool:
    """Tell whether a name is that of a production environment."""
    return not PRODUCTION.isdisjoint(_SEPARATORS.split(environment.lower()))
