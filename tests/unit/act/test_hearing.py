"""Who does not answer is named, and who answers again is not."""

import threading

import pytest

from deploymark.act.hearing import SOON_MS, Hearing, silences
from deploymark.act.plan import RolloutPlan, StepPlan
from deploymark.errors import CountsUnavailableError
from deploymark.ports import Cohort, CohortCounts

COHORT = Cohort("shop", "prod", ())
AWAY = "The Prometheus main did not answer: timed out."


class Hanging:
    """A source that answers when it is let go, or not at all."""

    name = "main"
    lag_ms = 0

    def __init__(self) -> None:
        self.away = False
        self.asked, self.goes = threading.Event(), threading.Event()

    def count(self, *_: object) -> CohortCounts:
        self.asked.set()
        self.goes.wait(30)
        if self.away:
            raise CountsUnavailableError(AWAY)
        return CohortCounts({})


def _ask(hearing: Hearing) -> None:
    hearing.count(COHORT, (), 0, 0, 1)


def test_a_source_that_hangs_is_named_until_it_answers() -> None:
    source, now = Hanging(), [0]
    hearing = Hearing(source, lambda: now[0])
    asking = threading.Thread(target=_ask, args=(hearing,))
    asking.start()
    source.asked.wait(30)
    assert hearing.silence() == ""
    now[0] = SOON_MS + 9_000
    assert hearing.silence() == "The source main has not answered for 12 s."
    source.goes.set()
    asking.join(30)
    assert hearing.silence() == ""


def test_a_source_that_failed_is_named_until_it_answers_again() -> None:
    source = Hanging()
    source.goes.set()
    source.away = True
    plan = RolloutPlan(steps=(StepPlan(weight=5),), source="main")
    hearing = Hearing(source, lambda: 0)
    silence = silences({("shop", "prod"): plan}, {"main": hearing})
    with pytest.raises(CountsUnavailableError):
        _ask(hearing)
    assert silence(("shop", "prod")) == AWAY
    assert silence(("shop", "dev")) == ""
    source.away = False
    _ask(hearing)
    assert silence(("shop", "prod")) == ""


def test_it_is_known_for_how_long_a_source_has_failed_and_asking_again_does_not_begin_anew() -> (
    None
):
    source, now = Hanging(), [0]
    source.goes.set()
    source.away = True
    hearing = Hearing(source, lambda: now[0])
    assert hearing.silent_ms() is None
    for now[0] in (1_000, 61_000):
        with pytest.raises(CountsUnavailableError):
            _ask(hearing)
    now[0] = 121_000
    assert hearing.silent_ms() == 120_000
    source.away = False
    _ask(hearing)
    assert hearing.silent_ms() is None
