"""Markers that come more than once, with the same and with other content (F3)."""

from dataclasses import replace
from hashlib import sha1
from typing import ClassVar, Final

from deploymark.model.vocabulary import EmitterKind, FindingCode, Phase
from deploymark.testing.gameday.fault import Anywhere, Case, Finding, Injection
from deploymark.testing.gameday.message import ACCEPTED, CONFLICT, KNOWN, Message
from deploymark.testing.gameday.timing import REFUSALS_SECONDS

_RETRY_AFTER: Final = 30.0


class SentThrice(Anywhere):
    """Every witness delivers everything three times: nothing is found, nothing counted twice."""

    name: ClassVar[str] = "duplicates"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        answers = frozenset({ACCEPTED, KNOWN})
        messages = [replace(each, copies=3, answers=answers) for each in case.messages]
        return case.injected(self, messages)


class RetriedElsewhere(Anywhere):
    """CI runs the job again on another runner while the release is live: the same deployment."""

    name: ClassVar[str] = "retried elsewhere"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        again = [
            _on_other_runner(each, case.deploy.ends + _RETRY_AFTER + place)
            for place, each in enumerate(case.own(EmitterKind.CI))
        ]
        return case.injected(self, case.messages + again)


class Conflicting(Anywhere):
    """CI says the same again with another commit: the first stands."""

    name: ClassVar[str] = "conflicting retry"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        first = next(each for each in case.own(EmitterKind.CI) if each.phase == Phase.PLANNED)
        other = sha1(b"other", usedforsecurity=False).hexdigest()
        again = _on_other_runner(first, case.deploy.ends + _RETRY_AFTER)
        again = replace(
            again,
            fields={**again.fields, "commit_hash": other},
            answers=frozenset({CONFLICT}),
        )
        finding = Finding(
            frozenset({FindingCode.MARKER_CONFLICT}),
            since=again.at,
            within_seconds=REFUSALS_SECONDS,
            holds_lane=False,
        )
        return case.injected(self, [*case.messages, again], findings=(finding,))


def _on_other_runner(message: Message, at: float) -> Message:
    epoch = f"{message.emitter.epoch}/other-runner"
    return replace(
        message,
        emitter=replace(message.emitter, epoch=epoch),
        fields={**message.fields, "attempt": message.fields.get("attempt", 1) + 1},
        at=at,
        answers=frozenset({KNOWN}),
    )
