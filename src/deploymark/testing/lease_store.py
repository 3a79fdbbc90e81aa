"""The contract of `ports.LeaseStore`, as a suite that any implementation can be put through."""

import threading
from collections.abc import Callable

from deploymark.ports import LeaseStore

Opener = Callable[[], LeaseStore]
"""Opens the same store again, as after a restart or by another process."""

_NOW = 1_795_000_000_000
_LENGTH = 30_000
_YEAR = 31_536_000_000
_RACERS = 8
_ROUNDS = 12
_SECONDS = 60


def exercise_lease_store(opened: Opener) -> None:
    """Put a lease store through everything that whoever acts relies on.

    Args:
        opened: Opens the store; empty the first time, and the same one after that. What it opened
            before stays open.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    store = opened()
    for check in (
        _lets_one_hold_it,
        _keeps_names_apart,
        _keeps_the_fence_while_it_is_prolonged,
        _frees_what_has_ended,
        _takes_a_lease_that_lapsed_for_a_new_one,
        _frees_what_is_dropped,
        _drops_nothing_of_somebody_else,
        _lets_the_newest_end_count,
        _is_free_after_a_jump_forwards,
        _outlasts_no_clock_that_went_back,
        _keeps_a_holder_whose_clock_went_back,
        _keeps_every_name,
    ):
        check(store)
    _goes_on_after_a_restart(opened)
    _lets_one_racer_win(opened)


def _lets_one_hold_it(store: LeaseStore) -> None:
    assert store.take("one", "a", _NOW, _NOW + _LENGTH) is not None
    assert store.take("one", "b", _NOW, _NOW + _LENGTH) is None
    assert store.take("one", "b", _NOW + _LENGTH - 1, _NOW + 2 * _LENGTH) is None


def _keeps_names_apart(store: LeaseStore) -> None:
    assert store.take("apart", "a", _NOW, _NOW + _LENGTH) is not None
    assert store.take("apart, too", "b", _NOW, _NOW + _LENGTH) is not None
    assert store.take("Apart", "c", _NOW, _NOW + _LENGTH) is not None


def _keeps_the_fence_while_it_is_prolonged(store: LeaseStore) -> None:
    fence = store.take("prolonged", "a", _NOW, _NOW + _LENGTH)
    for now in range(_NOW, _NOW + 3 * _LENGTH, _LENGTH // 3):
        assert store.take("prolonged", "a", now, now + _LENGTH) == fence
    assert store.take("prolonged", "b", _NOW + 3 * _LENGTH, _NOW + 4 * _LENGTH) is None


def _frees_what_has_ended(store: LeaseStore) -> None:
    first = _taken(store, "ended", "a", _NOW)
    second = _taken(store, "ended", "b", _NOW + _LENGTH)
    third = _taken(store, "ended", "a", _NOW + 2 * _LENGTH)
    assert first < second < third
    assert store.take("ended", "b", _NOW + 2 * _LENGTH, _NOW + 3 * _LENGTH) is None


def _takes_a_lease_that_lapsed_for_a_new_one(store: LeaseStore) -> None:
    # Nobody knows what the holder missed meanwhile; its orders of before are older than these.
    first = _taken(store, "lapsed", "a", _NOW)
    assert _taken(store, "lapsed", "a", _NOW + _LENGTH) > first


def _frees_what_is_dropped(store: LeaseStore) -> None:
    first = _taken(store, "dropped", "a", _NOW)
    store.drop("dropped", "a")
    second = _taken(store, "dropped", "b", _NOW)
    store.drop("dropped", "b")
    store.drop("dropped", "b")
    assert first < second < _taken(store, "dropped", "b", _NOW)


def _drops_nothing_of_somebody_else(store: LeaseStore) -> None:
    store.drop("never taken", "a")
    fence = _taken(store, "kept", "a", _NOW)
    store.drop("kept", "b")
    assert store.take("kept", "b", _NOW, _NOW + _LENGTH) is None
    assert store.take("kept", "a", _NOW, _NOW + _LENGTH) == fence


def _lets_the_newest_end_count(store: LeaseStore) -> None:
    fence = store.take("shortened", "a", _NOW, _NOW + _YEAR)
    assert store.take("shortened", "a", _NOW + 1, _NOW + _LENGTH) == fence
    assert _taken(store, "shortened", "b", _NOW + _LENGTH) > (fence or 0)


def _is_free_after_a_jump_forwards(store: LeaseStore) -> None:
    first = _taken(store, "forwards", "a", _NOW)
    assert _taken(store, "forwards", "b", _NOW + _YEAR) > first
    assert store.take("forwards", "a", _NOW + _YEAR, _NOW + _YEAR + _LENGTH) is None


def _outlasts_no_clock_that_went_back(store: LeaseStore) -> None:
    """A lease that was taken at a wrong, late time must not be held until that time comes."""
    first = _taken(store, "back", "a", _NOW + _YEAR)
    assert store.take("back", "b", _NOW, _NOW + _LENGTH) is None
    assert store.take("back", "b", _NOW + _LENGTH - 1, _NOW + 2 * _LENGTH) is None
    assert _taken(store, "back", "b", _NOW + _LENGTH) > first
    store.drop("back", "b")
    assert _taken(store, "back", "a", _NOW - _YEAR) > first + 1


def _keeps_a_holder_whose_clock_went_back(store: LeaseStore) -> None:
    fence = _taken(store, "held back", "a", _NOW + _YEAR)
    assert store.take("held back", "a", _NOW, _NOW + _LENGTH) == fence
    assert store.take("held back", "b", _NOW + 1, _NOW + _LENGTH) is None
    assert _taken(store, "held back", "b", _NOW + _LENGTH) > fence


def _keeps_every_name(store: LeaseStore) -> None:
    for name in ("l'og \u2014 \U0001f33b", "x" * 4_096, 'a"b', "shop/prod"):
        fence = _taken(store, name, name, _NOW)
        assert store.take(name, name, _NOW, _NOW + _LENGTH) == fence
        assert store.take(name, f"{name} ", _NOW, _NOW + _LENGTH) is None


def _goes_on_after_a_restart(opened: Opener) -> None:
    fences = []
    for number in range(_ROUNDS):
        store = opened()
        now = _NOW + number * _LENGTH
        fences.append(_taken(store, "restarted", f"holder {number % 3}", now))
        assert opened().take("restarted", "somebody else", now, now + _LENGTH) is None
        if number % 2:
            opened().drop("restarted", f"holder {number % 3}")
    assert fences == sorted(set(fences))


def _lets_one_racer_win(opened: Opener) -> None:
    stores = [opened() for _ in range(_RACERS)]
    start = threading.Barrier(_RACERS, timeout=_SECONDS)
    won: list[tuple[int, int]] = []

    def race(racer: int) -> None:
        for number in range(_ROUNDS):
            start.wait()
            now = _NOW + number * _LENGTH
            fence = stores[racer].take("raced", f"racer {racer}", now, now + _LENGTH)
            if fence is not None:
                won.append((number, fence))

    racers = [threading.Thread(target=race, args=(number,)) for number in range(_RACERS)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
    assert [number for number, _ in sorted(won)] == list(range(_ROUNDS))
    fences = [fence for _, fence in sorted(won)]
    assert fences == sorted(set(fences))


def _taken(store: LeaseStore, name: str, holder: str, now_ms: int) -> int:
    fence = store.take(name, holder, now_ms, now_ms + _LENGTH)
    assert fence is not None
    return fence
