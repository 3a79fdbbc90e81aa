"""The suite of the port `Notifier`, and a notifier that remembers what it was told.

A notifier tells somebody, so whoever runs the suite brings an audience: whatever people are woken
by, and a way to see what it knows.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec.structs import replace

from deploymark.errors import NotifierRefusedError, NotifierUnavailableError
from deploymark.ports import Alert, Notifier, Urgency

if TYPE_CHECKING:
    from collections.abc import Iterator

_BEGAN = 1_795_000_000_000
_MINUTE_MS = 60_000
_MANY = 450


class Subject(NamedTuple):
    """What an alert is about, as an audience can tell."""

    code: str
    service: str
    environment: str
    deployment: str


class Audience(Protocol):
    """Whoever is told."""

    @property
    def notifier(self) -> Notifier:
        """Who tells, as newly started each time it is asked for."""
        ...

    def now_ms(self) -> int:
        """Return what time the audience takes it to be."""
        ...

    def lasting(self) -> set[Subject]:
        """Return what the audience takes to last now."""
        ...

    def away(self) -> AbstractContextManager[object]:
        """Let the audience not answer for as long as the block lasts; it may forget everything."""
        ...

    def refusing(self) -> AbstractContextManager[object]:
        """Let the audience refuse this notifier for as long as the block lasts."""
        ...


def exercise_notifier(make: Callable[[], AbstractContextManager[Audience]]) -> None:
    """Run every check on fresh audiences.

    Args:
        make: Returns an audience that was told nothing yet, and ends with its block.

    Raises:
        AssertionError: The adapter breaks the contract; the traceback names the check.
    """
    for check in (
        _tells_nothing_when_there_is_nothing,
        _tells_what_lasts_and_what_is_over,
        _tells_the_same_again_without_harm,
        _tells_everything_of_many,
        _tells_odd_texts,
        _says_that_nobody_answers_and_tells_later,
        _says_that_it_is_refused_and_tells_later,
    ):
        with make() as audience:
            check(audience)


def sample_alert(number: int = 0, **changes: object) -> Alert:
    """Return an alert about a service of its own, with changes; its key follows from them."""
    alert = Alert(
        key="",
        code="canary_failed",
        urgency=Urgency.PAGE,
        service=f"service-{number}",
        environment="prod",
        deployment=f"d-{number}~1",
        owner="team:payments",
        summary=f"The canary d-{number}~1 does worse than what runs beside it.",
        detail="Errors tripled. Look at the verdict.",
        began_ms=_BEGAN,
        indexes=(7, 9),
    )
    changed = replace(alert, **changes)
    return replace(changed, key="/".join(subject_of(changed)))


def subject_of(alert: Alert) -> Subject:
    """Return what an alert is about."""
    return Subject(alert.code, alert.service, alert.environment, alert.deployment)


def _tells_nothing_when_there_is_nothing(audience: Audience) -> None:
    assert audience.notifier.name
    audience.notifier.notify([])
    assert audience.lasting() == set()


def _tells_what_lasts_and_what_is_over(audience: Audience) -> None:
    one, two = (
        _recent(audience, 1),
        _recent(audience, 2, urgency=Urgency.TICKET, code="verdict_open"),
    )
    notifier = audience.notifier
    notifier.notify([one, two])
    assert audience.lasting() == {subject_of(one), subject_of(two)}
    notifier.notify([replace(one, ended_ms=audience.now_ms()), two])
    assert audience.lasting() == {subject_of(two)}
    notifier.notify([replace(two, ended_ms=two.began_ms)])
    assert audience.lasting() == set()


def _tells_the_same_again_without_harm(audience: Audience) -> None:
    one = _recent(audience, 1)
    notifier = audience.notifier
    for _ in range(3):
        notifier.notify([one])
    audience.notifier.notify([one])  # after a restart
    assert audience.lasting() == {subject_of(one)}
    over = replace(one, ended_ms=audience.now_ms())
    for _ in range(3):
        audience.notifier.notify([over])
    assert audience.lasting() == set()


def _tells_everything_of_many(audience: Audience) -> None:
    # Of many services, and many of one service.
    alerts = [_recent(audience, number) for number in range(_MANY // 3)]
    alerts += [_recent(audience, number, service="one") for number in range(_MANY - len(alerts))]
    audience.notifier.notify(alerts)
    assert audience.lasting() == {subject_of(each) for each in alerts}


def _tells_odd_texts(audience: Audience) -> None:
    odd = 'l\'og \u2014 \U0001f33b "quoted" {braced} <b> \\ % \t\n end'
    alerts = [
        _recent(audience, 1, summary=odd, detail=odd * 40, owner=odd),
        _recent(audience, 2, service=odd),
        _recent(audience, 3, service="", environment="", deployment="", owner="", indexes=()),
    ]
    audience.notifier.notify(alerts)
    assert audience.lasting() == {subject_of(each) for each in alerts}


def _says_that_nobody_answers_and_tells_later(audience: Audience) -> None:
    one, two = _recent(audience, 1), _recent(audience, 2)
    notifier = audience.notifier
    notifier.notify([one])
    with audience.away():
        _raises(NotifierUnavailableError, notifier, [one, two])
    # As a caller does: all of it again, by whoever took its place.
    audience.notifier.notify([one, two])
    assert audience.lasting() == {subject_of(one), subject_of(two)}


def _says_that_it_is_refused_and_tells_later(audience: Audience) -> None:
    one = _recent(audience, 1)
    notifier = audience.notifier
    with audience.refusing():
        _raises(NotifierRefusedError, notifier, [one])
    notifier.notify([one])
    assert audience.lasting() == {subject_of(one)}


def _recent(audience: Audience, number: int = 0, **changes: object) -> Alert:
    """Return an alert about something that began a minute ago."""
    return sample_alert(number, began_ms=audience.now_ms() - _MINUTE_MS, **changes)


def _raises(error: type[Exception], notifier: Notifier, alerts: Sequence[Alert]) -> None:
    try:
        notifier.notify(alerts)
    except error:
        return
    raise AssertionError(f"{notifier.name} does not raise {error.__name__}")


class ScriptedNotifier:
    """A `Notifier` that remembers, and its own audience.

    Attributes:
        told: Every call that came through.
        trouble: Raised instead, if there is any.
    """

    def __init__(self) -> None:
        self.told: list[tuple[Alert, ...]] = []
        self.trouble: Exception | None = None

    @property
    def name(self) -> str:
        """See `Notifier.name`."""
        return "scripted"

    @property
    def notifier(self) -> Notifier:
        """See `Audience.notifier`."""
        return self

    def notify(self, alerts: Sequence[Alert]) -> None:
        """See `Notifier.notify`."""
        if self.trouble is not None:
            raise self.trouble
        self.told.append(tuple(alerts))

    def now_ms(self) -> int:
        """See `Audience.now_ms`."""
        return _BEGAN

    def lasting(self) -> set[Subject]:
        """See `Audience.lasting`."""
        newest = {subject_of(alert): alert for call in self.told for alert in call}
        return {subject for subject, alert in newest.items() if alert.ended_ms is None}

    def away(self) -> AbstractContextManager[object]:
        """See `Audience.away`."""
        return self._troubled(NotifierUnavailableError("Told not to answer."))

    def refusing(self) -> AbstractContextManager[object]:
        """See `Audience.refusing`."""
        return self._troubled(NotifierRefusedError("Told to refuse."))

    @contextmanager
    def _troubled(self, trouble: Exception) -> "Iterator[None]":
        self.trouble = trouble
        try:
            yield
        finally:
            self.trouble = None


def scripted_audience() -> AbstractContextManager[Audience]:
    """Return an audience that is the notifier itself."""
    return nullcontext(ScriptedNotifier())
