"""Writes down what the gate answered: each answer is a decision in the log, signed like all others.

Reading must not let anybody fill the log. The same answer on the same grounds to the same caller
has the earlier entry for a while; a caller has so many entries at once and so many more in time;
and what nobody ever spoke of is not written at all, or a reader could put any words into the log.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from deploymark.act.gating import Gating, Told
from deploymark.ingest.throttle import Throttle
from deploymark.judge.gate import GateDecision
from deploymark.judge.policy import Answer
from deploymark.model.instants import format_instant
from deploymark.model.limits import ITEMS
from deploymark.ports import Clock, Meter

SAME_MS: Final = 300_000
"""How long the same answer on the same grounds has the earlier entry."""

ENTRIES_AT_ONCE: Final = 60
"""Entries that the answers to one caller may become at once…"""

ENTRIES_PER_SECOND: Final = 0.1
"""…and how many more in the long run."""

MAX_KEPT: Final = 4_096
"""Answers that are remembered."""

_MAX_REASON: Final = 500
_MAX_REASONS_BYTES: Final = 16_000

Tell = Callable[[Mapping[str, Any]], int]
"""Appends a decision and returns its index."""


class GateBook:
    """Answers callers, and writes down what they were answered.

    Args:
        gating: Knows the answers.
        tell: Appends decisions.
        clock: Tells the time.
        meter: Counts answers.
    """

    def __init__(self, gating: Gating, tell: Tell, clock: Clock, meter: Meter) -> None:
        self._gating = gating
        self._tell = tell
        self._clock = clock
        self._meter = meter
        self._throttle = Throttle(clock, ENTRIES_PER_SECOND, ENTRIES_AT_ONCE)
        self._lock = threading.Lock()
        self._written: OrderedDict[Hashable, tuple[Hashable, int, int]] = OrderedDict()

    def look(
        self, service: str, environment: str, deployment: str | None, least_size: int = 0
    ) -> Told:
        """Return what the gate says now, written nowhere; raises as `Gating.look`."""
        now_ms = self._clock.now_ms()
        return self._gating.look(service, environment, deployment, now_ms, least_size)

    def write(self, told: Told, actor: str) -> int | None:
        """Return the index of the entry that says what a caller was answered.

        Returns:
            None for an answer about what nobody ever spoke of.

        Raises:
            RateLimitedError: The caller's answers have become as many entries as they may.
            UnavailableError, BrokenError: The log refuses.
        """
        self._meter.count("deploymark_gate_answers_total", result=told.answer.decision.value)
        if not told.known:
            return None
        about, grounds = (actor, told.service, told.environment, told.name), _grounds(told)
        with self._lock:
            now_ms = self._clock.now_ms()
            before = self._written.get(about)
            if before is not None and before[0] == grounds and 0 <= now_ms - before[2] < SAME_MS:
                self._written.move_to_end(about)
                return before[1]
            self._throttle.demand(actor, "answers of the gate that are logged")
            # If we stop behind this, the caller asks again and there are two of the same.
            index = self._tell(_entry(told, actor, now_ms))
            self._written[about] = (grounds, index, now_ms)
            self._written.move_to_end(about)
            while len(self._written) > MAX_KEPT:
                self._written.popitem(last=False)
            return index


def _grounds(told: Told) -> Hashable:
    """Return what an answer rests on; times and measured values, which change always, left out."""
    looked_at = tuple((each.about, each.answer, each.counts) for each in told.answer.reasons)
    glass = None if told.glass is None else told.glass.index
    return told.answer.decision, looked_at, told.state, told.step, glass


def _entry(told: Told, actor: str, now_ms: int) -> dict[str, Any]:
    answer = told.answer
    broken = answer.decision is GateDecision.PASS and told.glass is not None
    fields = {
        "action": "gate",
        "stage": "decided",
        "environment": told.environment,
        "service": told.service,
        "deployment_id": told.name,
        "actor": actor,
        "timestamp": format_instant(now_ms),
        "result": answer.decision.value,
        "reasons": reasons_of(told),
        "step": told.step or None,
        "verdict_index": told.verdict_index,
        "decision_index": told.glass.index if broken and told.glass is not None else None,
    }
    return {name: value for name, value in fields.items() if value not in (None, [])}


def reasons_of(told: Told) -> list[str]:
    """Return why an answer is no pass, or one by a person's word, as an entry holds it."""
    found: list[str] = []
    room = _MAX_REASONS_BYTES
    for each in told.answer.reasons:
        if each.answer is Answer.PASS and each.about != "break_glass":
            continue
        said = f"{each.about}: {each.reason}"
        said = said if len(said) <= _MAX_REASON else f"{said[: _MAX_REASON - 1]}…"
        room -= len(said.encode("utf-8"))
        if room < 0 or len(found) == ITEMS:
            break
        found.append(said)
    return found
