"""The suite of notifiers: the scripted one passes, and one that breaks the contract is told."""

from collections.abc import Sequence
from contextlib import nullcontext

import pytest

from deploymark.ports import Alert
from deploymark.testing.notifier import ScriptedNotifier, exercise_notifier, scripted_audience


class _Forgetful(ScriptedNotifier):
    """Tells the first alert only."""

    def notify(self, alerts: Sequence[Alert]) -> None:
        super().notify(alerts[:1])


class _Endless(ScriptedNotifier):
    """Tells no end."""

    def notify(self, alerts: Sequence[Alert]) -> None:
        super().notify([alert for alert in alerts if alert.ended_ms is None])


class _Silent(ScriptedNotifier):
    """Says nothing of its troubles."""

    def notify(self, alerts: Sequence[Alert]) -> None:
        if self.trouble is None:
            super().notify(alerts)


def test_the_scripted_notifier_keeps_the_contract() -> None:
    exercise_notifier(scripted_audience)


@pytest.mark.parametrize("broken", [_Forgetful, _Endless, _Silent])
def test_a_notifier_that_breaks_the_contract_is_told(broken: type[ScriptedNotifier]) -> None:
    with pytest.raises(AssertionError):
        exercise_notifier(lambda: nullcontext(broken()))
