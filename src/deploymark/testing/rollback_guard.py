"""The suite of the port `RollbackGuard`, and a guard that cannot write."""

from collections.abc import Callable

from deploymark.errors import StoreUnavailableError
from deploymark.ports import RollbackGuard

_ROOTS = (b"\x00" * 32, b"\xff" * 32, bytes(range(32)))


def exercise_rollback_guard(make: Callable[[], RollbackGuard]) -> None:
    """Run every check on fresh guards.

    Args:
        make: Returns a guard in a new place each time, where nothing was ever published.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _remembers_nothing_at_first,
        _remembers_the_last,
        _remembers_every_value,
        _takes_what_it_is_told,
    ):
        check(make())


def _remembers_nothing_at_first(guard: RollbackGuard) -> None:
    assert guard.read() is None
    assert guard.read() is None


def _remembers_the_last(guard: RollbackGuard) -> None:
    for size, root in enumerate(_ROOTS):
        guard.write("log.example/a", size, root)
        assert guard.read() == ("log.example/a", size, root)
        assert guard.read() == ("log.example/a", size, root)


def _remembers_every_value(guard: RollbackGuard) -> None:
    for origin in ("a", "log.example/deep/path", "l'og \u2014 \U0001f33b", "x" * 255):
        for size in (0, 1, 2**32, 2**63 - 1):
            guard.write(origin, size, _ROOTS[2])
            assert guard.read() == (origin, size, _ROOTS[2])


def _takes_what_it_is_told(guard: RollbackGuard) -> None:
    # It remembers, it does not judge: whether a log may go back is decided by who asks.
    guard.write("log.example/a", 9, _ROOTS[0])
    guard.write("log.example/b", 4, _ROOTS[1])
    assert guard.read() == ("log.example/b", 4, _ROOTS[1])


class FullGuard:
    """A guard on a full disk: reads what it was given, writes nothing."""

    def __init__(self, remembered: tuple[str, int, bytes] | None = None) -> None:
        self._remembered = remembered

    def read(self) -> tuple[str, int, bytes] | None:
        """See `RollbackGuard.read`."""
        return self._remembered

    def write(self, origin: str, size: int, root: bytes) -> None:  # noqa: ARG002 - it refuses all
        """See `RollbackGuard.write`."""
        raise StoreUnavailableError("The guard's disk is full.")
