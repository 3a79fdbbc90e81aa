"""The score: which faults were found, how soon, and which findings nothing was the reason of.

Pure: it compares what had to be found with what a server showed, and when it was first seen.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from deploymark.model.ids import ids_of_marker
from deploymark.testing.gameday.fault import Degradation, Finding, Injection
from deploymark.testing.gameday.timing import Timing

Json = dict[str, Any]

CLOSED: Final = "closed"


@dataclass(frozen=True, slots=True)
class Shown:
    """A finding as the server shows it.

    Attributes:
        content: As it was last shown.
        first_ms: When it was first seen, by the clock of the scorer.
        changed_ms: When it was first seen as it is: summed-up findings count on.
    """

    content: Json
    first_ms: int
    changed_ms: int

    @property
    def code(self) -> str:
        """Its code."""
        return str(self.content.get("code"))

    @property
    def deployment(self) -> str | None:
        """The deployment that it is about, without its occurrence."""
        named = self.content.get("deployment_id")
        return None if named is None else str(named).partition("~")[0]

    def seconds_after(self, since_ms: int) -> float | None:
        """Return how long after a time this was there; None when it was all over before."""
        if self.changed_ms < since_ms and self.content.get("state") == CLOSED:
            return None
        at_ms = self.first_ms if self.first_ms >= since_ms else self.changed_ms
        return max(0.0, (at_ms - since_ms) / 1_000)

    def mentions(self, text: str) -> bool:
        """Tell whether a name stands anywhere in it."""
        return json.dumps(text)[1:-1] in json.dumps(self.content)


@dataclass(slots=True)
class Answered:
    """One thing that had to be seen, and whether it was.

    Attributes:
        what: In words.
        seconds: From when it could be seen until it was; None when it never was.
        limit_seconds: How long it may take.
        shown: Id of the finding.
    """

    what: str
    limit_seconds: float
    seconds: float | None = None
    shown: str | None = None

    @property
    def holds(self) -> bool:
        """It was seen, and in time."""
        return self.seconds is not None and self.seconds <= self.limit_seconds


@dataclass(slots=True)
class Verdict:
    """What became of one fault.

    Attributes:
        answers: Of everything that had to be seen.
        faults: What was wrong beside that: a record that is not true, an answer that is not right.
    """

    injection: Injection
    answers: list[Answered]
    faults: list[str] = field(default_factory=list)

    @property
    def found(self) -> bool:
        """Everything was seen in time, and nothing else was wrong."""
        return all(each.holds for each in self.answers) and not self.faults

    @property
    def seconds(self) -> float | None:
        """How long the last of it took; None when something was never seen."""
        times = [each.seconds for each in self.answers]
        known = [each for each in times if each is not None]
        return max(known, default=0.0) if len(known) == len(times) else None


class Subject:
    """What a fault is about, to tell its findings from others.

    Args:
        injection: The fault.
        principal: Tells how the server names a caller.
        known: Ids of deployments that nothing is wrong with.
    """

    def __init__(
        self, injection: Injection, principal: Callable[[str], str], known: frozenset[str]
    ) -> None:
        deploy = injection.deploy
        self._injection = injection
        self._principal = principal
        self._known = known
        self.ids = {
            ids_of_marker(message.fields)[0]
            for message in injection.messages
            if message.deploy == deploy.number
        }
        if injection.record is not None:
            self.ids.add(injection.record.id)
        self._lane = (deploy.lane.service.name, deploy.lane.environment)

    def concerns(self, shown: Shown) -> bool:
        """Tell whether a finding is about this deployment, or about its lane and no other one."""
        if shown.deployment is not None and shown.deployment in self._known | self.ids:
            return shown.deployment in self.ids
        return (shown.content.get("service"), shown.content.get("environment")) == self._lane

    def answers(self, wanted: Finding, shown: Shown) -> bool:
        """Tell whether a finding is the one that is wanted."""
        if shown.code not in wanted.codes:
            return False
        if wanted.severity is not None and shown.content.get("severity") != wanted.severity:
            return False
        if wanted.names and not any(shown.mentions(name) for name in wanted.names):
            return False
        if wanted.caller is not None:
            return shown.mentions(self._principal(wanted.caller))
        if wanted.emitter is not None and shown.mentions(wanted.emitter):
            return True
        return self.concerns(shown)

    def explains(self, shown: Shown) -> bool:
        """Tell whether a finding appears because of this fault, wanted or tolerated."""
        if any(self.answers(replace(each, names=()), shown) for each in self._injection.findings):
            return True
        return shown.code in self._injection.tolerated and self.concerns(shown)


class Scorer:
    """Scores one day.

    Args:
        injections: The faults.
        timing: The pace.
        real_ms: Tells the real time of a simulated second.
        principal: Tells how the server names a caller.
        healthy: Ids of deployments without a fault.
    """

    def __init__(
        self,
        injections: Sequence[Injection],
        timing: Timing,
        real_ms: Callable[[float], int],
        principal: Callable[[str], str],
        healthy: Iterable[str],
    ) -> None:
        self._timing = timing
        self._real_ms = real_ms
        known = frozenset(healthy)
        self._subjects = [Subject(each, principal, known) for each in injections]
        self.verdicts = [Verdict(each, self._questions(each)) for each in injections]

    def _questions(self, injection: Injection) -> list[Answered]:
        slack = self._timing.slack_seconds
        findings = [
            Answered(" or ".join(sorted(each.codes)), each.within_seconds + slack)
            for each in injection.findings
        ]
        seen = [Answered(each.what, each.within_seconds + slack) for each in injection.degradations]
        return findings + seen

    def look(self, shown: Mapping[str, Shown], now_ms: int) -> None:
        """Take note of what the server shows.

        Args:
            shown: All findings that are not older than the day, by id.
            now_ms: The time.
        """
        by_code: dict[str, list[tuple[str, Shown]]] = {}
        for name, each in shown.items():
            by_code.setdefault(each.code, []).append((name, each))
        for subject, verdict in zip(self._subjects, self.verdicts, strict=True):
            findings = verdict.injection.findings
            for wanted, answer in zip(findings, verdict.answers, strict=False):
                if answer.seconds is None and self._real_ms(wanted.since) <= now_ms:
                    self._answer(subject, wanted, answer, by_code)

    def _answer(
        self,
        subject: Subject,
        wanted: Finding,
        answer: Answered,
        by_code: Mapping[str, list[tuple[str, Shown]]],
    ) -> None:
        since_ms = self._real_ms(wanted.since)
        candidates = [each for code in wanted.codes for each in by_code.get(code, ())]
        for name, shown in candidates:
            if not subject.answers(wanted, shown):
                continue
            seconds = shown.seconds_after(since_ms)
            if seconds is not None and (answer.seconds is None or seconds < answer.seconds):
                answer.seconds, answer.shown = seconds, name

    def open_degradations(self, now_ms: int) -> list[tuple[Verdict, Answered, Degradation]]:
        """Return what of the records is to be looked at now: begun, not seen, and not too late."""
        open_now = []
        for verdict in self.verdicts:
            injection = verdict.injection
            answers = verdict.answers[len(injection.findings) :]
            for each, answer in zip(injection.degradations, answers, strict=True):
                waited = (now_ms - self._real_ms(each.since)) / 1_000
                if answer.seconds is None and 0 <= waited <= answer.limit_seconds:
                    open_now.append((verdict, answer, each))
        return open_now

    def seen(self, answer: Answered, degradation: Degradation, now_ms: int) -> None:
        """Take note that a record shows what it must."""
        since_ms = self._real_ms(degradation.since)
        answer.seconds = max(0.0, (now_ms - since_ms) / 1_000)

    def is_decided(self, now_ms: int) -> bool:
        """Tell whether nothing can change any more: all was seen, or is too late."""
        for verdict in self.verdicts:
            for each, answer in zip(verdict.injection.wanted, verdict.answers, strict=True):
                late = (now_ms - self._real_ms(each.since)) / 1_000 > answer.limit_seconds
                if answer.seconds is None and not late:
                    return False
        return True

    def close(self, shown: Mapping[str, Shown]) -> None:
        """Take note, at the end, of findings that should have closed and are open."""
        for verdict in self.verdicts:
            for each, answer in zip(verdict.injection.findings, verdict.answers, strict=False):
                if not each.closes or answer.shown is None:
                    continue
                if shown[answer.shown].content.get("state") != CLOSED:
                    verdict.faults.append(f"{answer.what} is still open at the end")

    def unexplained(self, shown: Mapping[str, Shown]) -> list[Shown]:
        """Return the findings that no fault is the reason of."""
        by_lane = [
            each
            for each in shown.values()
            if not any(subject.explains(each) for subject in self._subjects)
        ]
        return sorted(by_lane, key=lambda each: each.first_ms)
