"""Time zones by their names, from the data of this machine."""

from collections.abc import Iterable
from datetime import tzinfo
from zoneinfo import ZoneInfo

from deploymark.errors import UsageError


def time_zones(names: Iterable[str]) -> dict[str, tzinfo]:
    """Return the zones of these IANA names.

    Raises:
        UsageError: The machine does not know one of them.
    """
    return {name: _zone(name) for name in names}


def _zone(name: str) -> tzinfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise UsageError(
            f"The time zone {name!r} is not known on this machine.",
            hint="Write an offset such as +01:00, or install the system's package `tzdata`.",
        ) from error
