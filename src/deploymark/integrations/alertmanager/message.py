"""An alert in the words of Alertmanager's API v2 (`api/v2/openapi.yaml`, `postableAlerts`). Pure.

Alertmanager knows an alert by its labels, so they hold only what stays the same while it lasts.
"""

from typing import Any

from deploymark.model.instants import format_instant
from deploymark.ports import Alert


def alert_message(alert: Alert, now_ms: int, hold_ms: int, runbooks: str) -> dict[str, Any]:
    """Return one alert as it is posted.

    Args:
        alert: What is told.
        now_ms: Milliseconds since the Unix epoch.
        hold_ms: How long Alertmanager takes it to last when nobody tells it again.
        runbooks: The address of the page that explains the codes.
    """
    end_ms = now_ms + hold_ms if alert.ended_ms is None else alert.ended_ms
    return {
        # Alertmanager takes an empty label for one that is absent.
        "labels": _known(
            {
                "alertname": alert_name(alert.code),
                "service": alert.service,
                "environment": alert.environment,
                "deployment_id": alert.deployment,
                "severity": alert.urgency.value,
                "owner": alert.owner,
            }
        ),
        "annotations": _known(
            {
                "summary": alert.summary,
                "description": alert.detail,
                "runbook": f"{runbooks}#{alert.code}",
                "entries": ", ".join(map(str, alert.indexes)),
            }
        ),
        "startsAt": format_instant(alert.began_ms),
        "endsAt": format_instant(max(end_ms, alert.began_ms)),
    }


def alert_name(code: str) -> str:
    """Return a code as the name of an alert, like those of the rules for Prometheus."""
    return "Deploymark" + "".join(word.capitalize() for word in code.split("_"))


def _known(texts: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in texts.items() if text}
