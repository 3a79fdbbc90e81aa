"""One server for each test."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dialect_server import DialectServer, dialect_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DialectServer]:
    """Return a server whose file says nothing."""
    with dialect_server(tmp_path) as started:
        yield started
