"""Orders about two releases of a shop."""

from control_plane import digest

from deploymark.ports import Deed, Order, Release

OLD, NEW = digest("old"), digest("new")
STABLE = Release("d-old~1", "1", OLD)
CANARY = Release("d-new~1", "2", NEW)


def order(
    deed: Deed,
    weight: float = 0.0,
    *,
    fence: int = 1,
    canary: Release = CANARY,
    stable: Release | None = STABLE,
) -> Order:
    return Order(
        deed=deed,
        key=f"{canary.deployment}:{deed.value}:{weight:g}",
        service="shop",
        environment="prod",
        canary=canary,
        stable=stable,
        weight=weight,
        reason="A test wants it.",
        decision_index=42,
        fence=fence,
    )
