"""Remembers whether a source of counts answers, so that people are told which one does not.

It stands before every source, whoever asks; it changes no answer and asks nothing by itself.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from deploymark.act.plan import RolloutPlan, Scope
from deploymark.errors import CountsUnavailableError, QueryError
from deploymark.model.lengths import told_length
from deploymark.ports import Cohort, CohortCounts, CountsSource, MetricQuery

SOON_MS: Final = 3_000
"""What has not answered for longer is said not to answer."""


class Hearing:
    """A source of counts, and how asking it went last; any thread may ask.

    Args:
        source: Answers.
        steady_ms: Tells the time by a clock that never jumps.
    """

    def __init__(self, source: CountsSource, steady_ms: Callable[[], int]) -> None:
        self._source = source
        self._steady_ms = steady_ms
        self._lock = threading.Lock()
        self._asked: dict[int, int] = {}
        self._number = 0
        self._failed = ""
        self._failing_since: int | None = None

    @property
    def name(self) -> str:
        """Which source this is, for people."""
        return self._source.name

    @property
    def lag_ms(self) -> int:
        """As the source says."""
        return self._source.lag_ms

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        """Count, as the source does.

        Raises:
            CountsUnavailableError, QueryError: As the source.
        """
        with self._lock:
            self._number += 1
            number = self._number
            self._asked[number] = self._steady_ms()
        failed = ""
        try:
            return self._source.count(cohort, metrics, since_ms, until_ms, bucket_ms)
        except (CountsUnavailableError, QueryError) as error:
            failed = error.message
            raise
        finally:
            with self._lock:
                began_ms = self._asked.pop(number)
                self._failed = failed
                if not failed:
                    self._failing_since = None
                elif self._failing_since is None:
                    self._failing_since = began_ms

    def silence(self) -> str:
        """Return that the source does not answer, in a sentence; "" where it does."""
        with self._lock:
            began_ms, failed = min(self._asked.values(), default=None), self._failed
        waited_ms = 0 if began_ms is None else self._steady_ms() - began_ms
        if waited_ms > SOON_MS:
            return f"The source {self.name} has not answered for {told_length(waited_ms)}."
        return failed

    def silent_ms(self) -> int | None:
        """Return for how long the source has not answered, None where it does: as `silence`."""
        with self._lock:
            waiting_ms, failing_ms = min(self._asked.values(), default=None), self._failing_since
        began = [each for each in (waiting_ms, failing_ms) if each is not None]
        waited_ms = self._steady_ms() - min(began) if began else 0
        return waited_ms if failing_ms is not None or waited_ms > SOON_MS else None


def silences(
    plans: Mapping[Scope, RolloutPlan], sources: Mapping[str, Hearing]
) -> Callable[[Scope], str]:
    """Return what tells of a service in an environment that its source does not answer."""

    def silence(scope: Scope) -> str:
        plan = plans.get(scope)
        return "" if plan is None else sources[plan.source].silence()

    return silence


def silent_times(
    plans: Mapping[Scope, RolloutPlan], sources: Mapping[str, Hearing]
) -> Callable[[Scope], int | None]:
    """Return what tells for how many milliseconds the source of a service has not answered."""

    def silent_ms(scope: Scope) -> int | None:
        plan = plans.get(scope)
        return None if plan is None else sources[plan.source].silent_ms()

    return silent_ms
