"""Opens the notifiers of the configuration, and tells each of them what it shall be told.

What people should know is decided elsewhere (`act.alerts`); here it is handed over, to everybody
although one of them does not answer. Nothing is remembered: whoever missed something is told again.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from deploymark.act.alerts import Patience
from deploymark.errors import DeploymarkError
from deploymark.integrations.alertmanager.notifier import (
    AlertmanagerNotifier,
    AlertmanagerSettings,
)
from deploymark.integrations.webhook_notifier.notifier import WebhookNotifier
from deploymark.ports import Alert, Clock, Meter, Notifier, Urgency
from deploymark.runtime.config import AlertsSection, NotifierSection

HELD_REPEATS: Final = 15
"""For how many repeats an Alertmanager holds what lasts when it is told no more."""

_LOG = logging.getLogger(__name__)


class Route(NamedTuple):
    """Who is told what."""

    notifier: Notifier
    urgencies: frozenset[Urgency]


class Teller:
    """Tells all notifiers; one thread at a time.

    Args:
        routes: Who is told what.
        meter: Counts who could not be told.
    """

    def __init__(self, routes: Sequence[Route], meter: Meter) -> None:
        self._routes = routes
        self._meter = meter
        self._failing: dict[int, str] = {}

    def tell(self, alerts: Sequence[Alert]) -> None:
        """Hand over what people should know; a failure is logged, counted and made good next time.

        Args:
            alerts: All that lasts, and the ends, as `act.alerts.alerts_of` gives them.
        """
        for place, (notifier, urgencies) in enumerate(self._routes):
            try:
                notifier.notify([alert for alert in alerts if alert.urgency in urgencies])
            except DeploymarkError as error:
                self._meter.count("deploymark_alerts_untold_total", code=error.code)
                # Once, not at every repeat.
                if self._failing.get(place) != error.code:
                    self._failing[place] = error.code
                    _LOG.error(
                        "people are not told",
                        extra={
                            "notifier": notifier.name,
                            "code": error.code,
                            "why": error.message,
                            "hint": error.hint,
                        },
                    )
            else:
                if self._failing.pop(place, None) is not None:
                    _LOG.warning("people are told again", extra={"notifier": notifier.name})


def open_routes(section: AlertsSection, clock: Clock) -> tuple[Route, ...]:
    """Return who is told what.

    Raises:
        UsageError: A secret cannot be read or is none.
    """
    return tuple(
        Route(_opened(each, section, clock), frozenset(each.urgencies))
        for each in section.notifiers
    )


def patience_of(section: AlertsSection) -> Patience:
    """Return how long endings are waited for."""
    return Patience(section.quiet_seconds * 1_000, section.least_seconds * 1_000)


def _opened(notifier: NotifierSection, section: AlertsSection, clock: Clock) -> Notifier:
    secret_file = Path(notifier.secret_file)
    match notifier.kind:
        case "alertmanager":
            settings = AlertmanagerSettings(
                notifier.url,
                user=notifier.user,
                secret_file=secret_file if notifier.secret_file else None,
                runbooks=section.runbooks,
                hold_seconds=section.repeat_seconds * HELD_REPEATS,
                allow_plain_http=notifier.allow_plain_http,
            )
            return AlertmanagerNotifier(settings, clock)
        case "webhook":
            return WebhookNotifier(
                notifier.url,
                clock,
                secret_file=secret_file,
                runbooks=section.runbooks,
                allow_plain_http=notifier.allow_plain_http,
            )
