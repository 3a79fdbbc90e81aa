"""The world in which stories are told to the broker."""

from collections.abc import Iterator

import pytest
from broker_checks import order_does_not_matter
from broker_world import World


@pytest.fixture
def world() -> Iterator[World]:
    """Tell a story; at its end, it must not matter in which order it was told."""
    with World() as told:
        yield told
        order_does_not_matter(told)
