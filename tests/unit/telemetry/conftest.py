"""One room for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from telemetry_samples import Room


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    """An empty room."""
    with Room(tmp_path) as made:
        yield made
