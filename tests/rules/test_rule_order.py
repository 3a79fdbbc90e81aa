"""What several workers begin with."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TESTS = Path(__file__).parents[1]


class Listed:
    """A test as far as its place in the list depends on it."""

    def __init__(self, path: str, *marks: str) -> None:
        self.path = TESTS / path
        self.marks = marks

    def get_closest_marker(self, name: str) -> bool:
        """Tell whether it is marked."""
        return name in self.marks


def listed(module: str, count: int, *marks: str) -> list[Listed]:
    return [Listed(module, *marks) for _ in range(count)]


@pytest.fixture
def deal(request: pytest.FixtureRequest) -> Callable[[list[Listed], int], list[Listed]]:
    conftest: Any = request.config.pluginmanager.get_plugin(str(TESTS / "conftest.py"))
    return conftest.dealt  # type: ignore[no-any-return]


def test_each_worker_begins_with_long_tests_and_keeps_modules_together(
    deal: Callable[[list[Listed], int], list[Listed]],
) -> None:
    modules = [
        listed("scenarios/test_a.py", 2),
        listed("scenarios/test_b.py", 1, "long"),
        listed("unit/log/test_c.py", 7),
        listed("unit/log/test_d.py", 6),
        listed("web/test_e.py", 2, "long"),
        listed("web/test_f.py", 1),
    ]
    found = deal([each for module in modules for each in module], 2)
    a, b, c, d, e, f = modules
    assert found[:9] == [*b, *a, *c[:6]]
    assert found[9:] == [*e, *f, *c[6:], *d]


def test_more_long_tests_than_a_worker_has_room_for_are_all_listed(
    deal: Callable[[list[Listed], int], list[Listed]],
) -> None:
    every = [*listed("web/test_a.py", 5), *listed("unit/log/test_b.py", 1)]
    assert deal(every, 4) == every
