"""Sentences with a count in them, where it is 1 and where it is not."""

from collections.abc import Callable
from subprocess import CompletedProcess

import pytest

from deploymark.cli import gameday

Run = Callable[..., CompletedProcess[str]]


@pytest.mark.parametrize(("number", "said"), [(0, "s were"), (1, " was"), (2, "s were")])
def test_findings_of_a_game_day_are_counted_in_words(number: int, said: str) -> None:
    assert gameday._said(number, "finding") == f"{number} finding{said}"


def test_the_entries_of_a_log_are_counted_in_words(run: Run) -> None:
    run("log init --data one --origin log.example/one")
    assert "1 entry" in run("log fsck --data one").stdout
    assert "1 entries" not in run("log fsck --data one").stdout
