"""The world in which stories are told to the broker."""

import pathlib
from collections.abc import Iterator

import pytest
from broker_checks import order_does_not_matter
from broker_world import World
from outcome_stories import Story


@pytest.fixture
def world() -> Iterator[World]:
    """Tell a story; at its end, it must not matter in which order it was told."""
    with World() as told:
        yield told
        order_does_not_matter(told)


@pytest.fixture
def story(tmp_path: pathlib.Path) -> Iterator[Story]:
    """Tell a story, and count what came of it."""
    found = Story(tmp_path)
    yield found
    found.close()
