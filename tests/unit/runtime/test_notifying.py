"""Everybody is told what they shall be told, although one of them does not answer."""

import logging
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from deploymark.act.alerts import Patience
from deploymark.errors import NotifierRefusedError, NotifierUnavailableError, UsageError
from deploymark.integrations.alertmanager.notifier import AlertmanagerNotifier
from deploymark.integrations.webhook_notifier.notifier import WebhookNotifier
from deploymark.ports import Alert, Urgency
from deploymark.runtime.config import AlertsSection, parse_configuration
from deploymark.runtime.notifying import Route, Teller, open_routes, patience_of
from deploymark.testing.clock import ManualClock
from deploymark.testing.meter import ListMeter
from deploymark.testing.notifier import ScriptedNotifier, sample_alert

PAGE = sample_alert(1)
TICKET = sample_alert(2, urgency=Urgency.TICKET)
EVERYTHING = frozenset(Urgency)
SECRET = "whsec_" + "A" * 32


def test_each_is_told_its_urgencies() -> None:
    pager, board = ScriptedNotifier(), ScriptedNotifier()
    routes = [Route(pager, frozenset({Urgency.PAGE})), Route(board, EVERYTHING)]
    Teller(routes, ListMeter()).tell([PAGE, TICKET])
    assert pager.told == [(PAGE,)]
    assert board.told == [(PAGE, TICKET)]


def test_who_does_not_answer_keeps_nobody_from_being_told_and_is_told_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    away, here, meter = ScriptedNotifier(), ScriptedNotifier(), ListMeter()
    teller = Teller([Route(away, EVERYTHING), Route(here, EVERYTHING)], meter)
    with caplog.at_level(logging.WARNING):
        for trouble in (NotifierUnavailableError("a"), NotifierUnavailableError("b"), None):
            away.trouble = trouble
            teller.tell([PAGE])
    assert here.told == [(PAGE,)] * 3
    assert away.told == [(PAGE,)]
    assert meter.counts == {"deploymark_alerts_untold_total{code=notifier_unavailable}": 2}
    # Not at every repeat.
    assert [record.message for record in caplog.records] == [
        "people are not told",
        "people are told again",
    ]


def test_a_new_reason_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    away = ScriptedNotifier()
    teller = Teller([Route(away, EVERYTHING)], ListMeter())
    for trouble in (NotifierUnavailableError("a"), NotifierRefusedError("b")):
        away.trouble = trouble
        teller.tell([PAGE])
    assert len(caplog.records) == 2


class _Killed(ScriptedNotifier):
    """The process ends before anything is sent."""

    def notify(self, alerts: Sequence[Alert]) -> None:
        del alerts
        raise KeyboardInterrupt


def test_who_was_killed_before_sending_sends_the_same_key_after_the_restart() -> None:
    with pytest.raises(KeyboardInterrupt):
        Teller([Route(_Killed(), EVERYTHING)], ListMeter()).tell([PAGE])
    notifier = ScriptedNotifier()
    for _ in range(2):  # killed again behind sending
        Teller([Route(notifier, EVERYTHING)], ListMeter()).tell([replace(PAGE)])
    assert [alert.key for told in notifier.told for alert in told] == [PAGE.key] * 2


# The configuration --------------------------------------------------------------------------------


def section(**settings: object) -> AlertsSection:
    return parse_configuration({"alerts": settings}).alerts


def test_notifiers_are_opened_as_configured(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    configured = section(
        notifiers=[
            {"kind": "alertmanager", "url": "http://127.0.0.1:9093/", "urgencies": ["page"]},
            {"kind": "webhook", "url": "https://a.example/x", "secret_file": str(secret)},
        ],
    )
    pager, hook = open_routes(configured, ManualClock())
    assert isinstance(pager.notifier, AlertmanagerNotifier)
    assert pager.urgencies == {Urgency.PAGE}
    assert isinstance(hook.notifier, WebhookNotifier)
    assert hook.notifier.name == "webhook https://a.example"
    assert hook.urgencies == EVERYTHING


@pytest.mark.parametrize("kind", ["alertmanager", "webhook"])
def test_a_secret_that_cannot_be_read_is_refused_at_the_start(tmp_path: Path, kind: str) -> None:
    notifier = {"kind": kind, "url": "https://a.example", "secret_file": str(tmp_path / "absent")}
    with pytest.raises(UsageError, match="cannot be read"):
        open_routes(section(notifiers=[notifier]), ManualClock())


def test_without_notifiers_nobody_is_told() -> None:
    assert open_routes(AlertsSection(), ManualClock()) == ()


def test_patience_is_configured() -> None:
    assert patience_of(AlertsSection()) == Patience()
    assert patience_of(section(quiet_seconds=1, least_seconds=2)) == Patience(1_000, 2_000)
