"""An order as it is told to programs outside: one JSON object, the same by every actuator."""

from typing import Final

import msgspec

from deploymark.ports.acting import Order

ORDER_VERSION: Final = 1


def order_fields(order: Order) -> dict[str, object]:
    """Return an order as plain values: text, numbers, None, and an object for each release.

    Args:
        order: As it was decided.

    Returns:
        `action`, `key`, `service`, `environment`, `canary`, `stable`, `weight`, `reason`,
        `decision_index`, `fence` and `v`, the version of this form. A release has `deployment`,
        `version`, `digest` and `name`; where there is no stable one, `stable` is None.
    """
    return {
        "v": ORDER_VERSION,
        "action": order.deed.value,
        "key": order.key,
        "service": order.service,
        "environment": order.environment,
        "canary": order.canary._asdict(),
        "stable": None if order.stable is None else order.stable._asdict(),
        "weight": order.weight,
        "reason": order.reason,
        "decision_index": order.decision_index,
        "fence": order.fence,
    }


def encode_order(order: Order) -> bytes:
    """Return the JSON of `order_fields`."""
    return msgspec.json.encode(order_fields(order))
