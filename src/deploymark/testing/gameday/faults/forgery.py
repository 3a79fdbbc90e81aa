"""Markers that somebody makes up: refused, told, and without effect on any record (F5)."""

from dataclasses import replace
from typing import ClassVar, Final

from deploymark.model.vocabulary import EmitterKind, FindingCode, Phase
from deploymark.testing.gameday.fault import Anywhere, Case, Finding, Injection
from deploymark.testing.gameday.message import Message, Seal
from deploymark.testing.gameday.timing import REFUSALS_SECONDS

ATTACKERS: Final = 3
"""Callers of each kind; few, because refusals are summed up by caller and minute."""

REFUSED: Final = frozenset(range(400, 500))
_AFTER: Final = 10.0


def attacker(kind: str, serial: int) -> str:
    """Return the name of a caller that misbehaves."""
    return f"{kind}-{serial % ATTACKERS}"


def _attack(case: Case, caller: str) -> Message:
    """Return a marker that says that the deploy failed, which it did not."""
    said = case.own(EmitterKind.CI)[0]
    return replace(
        said,
        emitter=replace(said.emitter, id=f"attack/{case.serial}", epoch=None),
        fields={**said.fields, "phase": Phase.FAILED.value},
        at=case.deploy.ends + _AFTER,
        caller=caller,
        answers=REFUSED,
    )


def _told(code: FindingCode, attack: Message) -> Finding:
    return Finding(
        frozenset({code}),
        since=attack.at,
        within_seconds=REFUSALS_SECONDS,
        caller=attack.caller,
        holds_lane=False,
    )


class Forged(Anywhere):
    """The signature of a known key stands over something else."""

    name: ClassVar[str] = "forged"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        attack = replace(_attack(case, attacker("forger", case.serial)), seal=Seal.SPOILT)
        finding = _told(FindingCode.MARKER_FORGED, attack)
        return case.injected(self, [*case.messages, attack], findings=(finding,))


class StrangerKey(Anywhere):
    """A marker is signed with a key that nobody registered."""

    name: ClassVar[str] = "unknown key"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        attack = replace(_attack(case, attacker("stranger", case.serial)), seal=Seal.STRANGER)
        finding = _told(FindingCode.MARKER_UNAUTHORISED, attack)
        return case.injected(self, [*case.messages, attack], findings=(finding,))


class OutOfScope(Anywhere):
    """A token speaks about a service that it was not made for."""

    name: ClassVar[str] = "out of scope"

    def inject(self, case: Case) -> Injection:
        """See `Fault.inject`."""
        attack = _attack(case, attacker("outsider", case.serial))
        finding = _told(FindingCode.MARKER_UNAUTHORISED, attack)
        return case.injected(self, [*case.messages, attack], findings=(finding,))
