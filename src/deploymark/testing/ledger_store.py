"""The contract of `ports.LedgerStore`, as a suite that any implementation can be put through."""

from collections.abc import Callable

from deploymark.ports import LedgerStore, Position

Opener = Callable[[], LedgerStore]
"""Opens the same store again, as after a restart."""

_FIRST = Position("log.example", 3, b"\x03" * 32)
_SECOND = Position("log.example", 2**53 - 1, b"\x09" * 32)


def exercise_ledger_store(opened: Opener) -> None:
    """Put a ledger store through everything that the ledger relies on.

    Args:
        opened: Opens the store; empty the first time, and with what was saved after that.

    Raises:
        AssertionError: The adapter breaks the contract.
    """
    store = opened()
    assert store.load() == (None, {})
    _moves_without_rows(store)
    _replaces_and_drops_rows(store)
    _keeps_every_key_and_byte(store)
    position, rows = opened().load()
    assert (position, rows) == store.load()
    assert position == _SECOND
    _forgets_all_rows(opened())
    assert opened().load() == (_FIRST, {})


def _moves_without_rows(store: LedgerStore) -> None:
    beginning = Position("log.example", 0, b"")
    store.save({}, beginning)
    assert store.load() == (beginning, {})
    store.save({}, _FIRST)
    assert store.load() == (_FIRST, {})


def _replaces_and_drops_rows(store: LedgerStore) -> None:
    store.save({"one": b"1", "two": b"2"}, _FIRST)
    store.save({"one": b"changed", "two": None, "three": b"3", "never there": None}, _SECOND)
    assert store.load() == (_SECOND, {"one": b"changed", "three": b"3"})
    _, rows = store.load()
    rows["four"] = b"not saved"
    assert "four" not in store.load()[1]


def _keeps_every_key_and_byte(store: LedgerStore) -> None:
    odd = {
        '["open", "", "", "e"]': b"",
        "l'og \u2014 \U0001f33b": bytes(range(256)),
        "x" * 4_096: b"y" * 65_536,
    }
    store.save(odd, _SECOND)
    many = {f"many/{number}": str(number).encode() for number in range(1_500)}
    store.save(many, _SECOND)
    assert store.load() == (_SECOND, {"one": b"changed", "three": b"3", **odd, **many})


def _forgets_all_rows(store: LedgerStore) -> None:
    store.save(dict.fromkeys(store.load()[1]), _FIRST)
    assert store.load() == (_FIRST, {})
