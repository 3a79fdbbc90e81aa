"""The contract of `ports.RegistryStore`, as a suite that any implementation can be put through."""

from collections.abc import Callable

from deploymark.ports import ListedDeployment, Position, RegistryStore

Opener = Callable[[], RegistryStore]
"""Opens the same store again, as after a restart."""


def exercise_registry_store(opened: Opener) -> None:
    """Put a registry store through everything that admission relies on.

    Args:
        opened: Opens the store; empty the first time, and with what was saved after that.
    """
    store = opened()
    assert store.position() is None
    assert store.load(["d/one"]) == {}
    assert store.listed(None, None, None, 10) == []
    _saves_and_replaces(store)
    _lists_by_newest_entry(store)
    again = opened()
    assert again.position() == Position("log.example", 9, b"\x09" * 32)
    assert again.load(["r/one"]) == {"r/one": b"changed"}
    again.clear()
    assert again.position() is None
    assert again.load(["r/one", "d/one"]) == {}
    assert again.listed(None, None, None, 10) == []


def _saves_and_replaces(store: RegistryStore) -> None:
    first = Position("log.example", 3, b"\x03" * 32)
    store.save({"d/one": b"owner", "r/one": b"record"}, [], first)
    assert store.position() == first
    assert store.load(["d/one", "r/one", "r/two"]) == {"d/one": b"owner", "r/one": b"record"}
    many = {f"x/{number}": str(number).encode() for number in range(1_500)}
    store.save({"r/one": b"changed", **many}, [], Position("log.example", 9, b"\x09" * 32))
    assert store.load(list(many)) == many
    assert store.load(["d/one", "r/one"]) == {"d/one": b"owner", "r/one": b"changed"}


def _lists_by_newest_entry(store: RegistryStore) -> None:
    position = store.position()
    assert position is not None
    rows = [
        ListedDeployment("r/one", "checkout", "prod", 1),
        ListedDeployment("r/two", "checkout", "staging", 2),
        ListedDeployment("r/three", "search", "prod", 10),
    ]
    store.save({}, rows, position)
    assert [row.key for row in store.listed(None, None, None, 10)] == ["r/three", "r/two", "r/one"]
    assert [row.key for row in store.listed("checkout", None, None, 10)] == ["r/two", "r/one"]
    assert [row.key for row in store.listed(None, "prod", None, 10)] == ["r/three", "r/one"]
    assert [row.key for row in store.listed("checkout", "prod", None, 10)] == ["r/one"]
    assert [row.key for row in store.listed(None, None, 10, 1)] == ["r/two"]
    moved = ListedDeployment("r/one", "checkout", "prod", 11)
    store.save({}, [moved], position)
    assert store.listed(None, None, None, 1) == [moved]
