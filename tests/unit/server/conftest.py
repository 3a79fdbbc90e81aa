"""One door for tests that only look, a fresh one for those that change it."""

from collections.abc import Iterator

import pytest
from door_samples import Door


@pytest.fixture
def door() -> Iterator[Door]:
    """Return a front door before an empty log."""
    with Door() as fresh:
        yield fresh
