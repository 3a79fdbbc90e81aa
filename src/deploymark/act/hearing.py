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
                del self._asked[number]
                self._failed = failed

    def silence(self) -> str:
        """Return that the source does not answer, in a sentence; "" where it does."""
        with self._lock:
            began_ms, failed = min(self._asked.values(), default=None), self._failed
        waited_ms = 0 if began_ms is None else self._steady_ms() - began_ms
        if waited_ms > SOON_MS:
            return f"The source {self.name} has not answered for {told_length(waited_ms)}."
        return failed


def silences(
    plans: Mapping[Scope, RolloutPlan], sources: Mapping[str, Hearing]
) -> Callable[[Scope], str]:
    """Return what tells of a service in an environment that its source does not answer."""

    def silence(scope: Scope) -> str:
        plan = plans.get(scope)
        return "" if plan is None else sources[plan.source].silence()

    return silence
