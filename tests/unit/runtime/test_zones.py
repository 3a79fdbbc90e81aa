"""Time zones come from the machine, and one that it does not know is named."""

from datetime import UTC, datetime, timedelta

import pytest

from deploymark.errors import UsageError
from deploymark.runtime.zones import time_zones


def test_a_zone_knows_its_summer() -> None:
    zone = time_zones(["Europe/Berlin"])["Europe/Berlin"]
    assert datetime(2026, 7, 1, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=2)
    assert datetime(2026, 12, 1, tzinfo=UTC).astimezone(zone).utcoffset() == timedelta(hours=1)


@pytest.mark.parametrize("name", ["Europe/Atlantis", "Europe", "../etc/passwd", "", "\0"])
def test_what_is_no_zone_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(UsageError, match="not known on this machine"):
        time_zones([name])
