"""What a webhook is told: the alerts of one service and environment, as one document. Pure.

`docs/howto/alerts.md` shows it. The id of a message follows from what is told, so telling it again
after a crash is the same message to whoever keeps ids (Standard Webhooks 1.0.0).
"""

import json
from collections.abc import Sequence
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any, Final, NamedTuple

from deploymark.model.instants import format_instant
from deploymark.ports import Alert

TYPE: Final = "deploymark.alerts"
MOST_ALERTS: Final = 50
"""In one message."""

_ID_DIGITS: Final = 32


class Message(NamedTuple):
    """A message before it is signed.

    Attributes:
        id: Value of `webhook-id`.
        body: JSON.
        alerts: What it tells.
    """

    id: str
    body: bytes
    alerts: tuple[Alert, ...]


def messages_of(alerts: Sequence[Alert], runbooks: str) -> list[Message]:
    """Return one message for each service and environment, more where there is much to tell.

    Args:
        alerts: What is told.
        runbooks: The address of the page that explains the codes.
    """
    place = attrgetter("service", "environment")
    messages: list[Message] = []
    for _, group in groupby(sorted(alerts, key=place), place):
        whole = tuple(group)
        messages += [
            _message(whole[first : first + MOST_ALERTS], runbooks)
            for first in range(0, len(whole), MOST_ALERTS)
        ]
    return messages


def state_of(alert: Alert) -> tuple[str, int, int | None]:
    """Return what of an alert is told once: which, since when, and whether it is over."""
    return alert.key, alert.began_ms, alert.ended_ms


def _message(alerts: tuple[Alert, ...], runbooks: str) -> Message:
    states = sorted(json.dumps(state_of(alert)) for alert in alerts)
    digits = sha256("\n".join(states).encode()).hexdigest()[:_ID_DIGITS]
    newest_ms = max(alert.ended_ms or alert.began_ms for alert in alerts)
    content = {
        "type": TYPE,
        # Of what is told, not of the attempt: the same message has the same bytes.
        "timestamp": format_instant(newest_ms),
        "data": {
            "service": alerts[0].service,
            "environment": alerts[0].environment,
            "alerts": [_document(alert, runbooks) for alert in alerts],
        },
    }
    return Message(f"alerts_{digits}", json.dumps(content).encode(), alerts)


def _document(alert: Alert, runbooks: str) -> dict[str, Any]:
    return {
        "key": alert.key,
        "code": alert.code,
        "urgency": alert.urgency.value,
        "deployment_id": alert.deployment,
        "owner": alert.owner,
        "summary": alert.summary,
        "detail": alert.detail,
        "began_at": format_instant(alert.began_ms),
        "ended_at": None if alert.ended_ms is None else format_instant(alert.ended_ms),
        "entries": list(alert.indexes),
        "runbook": f"{runbooks}#{alert.code}",
    }
