"""Occurrences decided the slow way: every rule of spec/identity.md over a plain list.

Written from the specification alone. Where its words allow more than one answer, all of them are
given; the test then holds the log to one of these, and goes on from what the log decided.
"""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product

OPENING = ("planned", "applying", "applied")
ENDING = ("failed", "rolled_back", "removed")
BELIEVED_MS = 60_000


@dataclass(frozen=True)
class Said:
    """One marker, as far as these rules care.

    Attributes:
        release: Which deployment it is about.
        identity: What makes up its marker_id, beside the deployment.
        phase: Of the marker.
        place: Where.
        weight: Percent of traffic.
        claimed_ms: The time it claims.
        attempt: The attempt it carries.
        emission: Emitter, epoch and sequence.
    """

    release: int
    identity: str
    phase: str
    place: str
    weight: int | None
    claimed_ms: int
    attempt: int | None
    emission: tuple[str, str, int] | None

    @property
    def goes_live(self) -> bool:
        """It says that the place now runs this."""
        return self.phase == "promoted" or (self.phase == "applied" and self.weight in (None, 100))

    @property
    def stands(self) -> bool:
        """It says that the place is open or live."""
        return self.phase in OPENING or self.goes_live


@dataclass(frozen=True)
class _Reading:
    """One way to read what the specification leaves open.

    Attributes:
        overtaken_revives: What an occurrence still says in a place where another one went live
            meanwhile puts it back there, although it is no new attempt.
        overtaken_replaces: If that says "live", it ends the other one.
        lost_opening_opens: A marker that neither opens nor ends opens its place when it is the
            first that is heard of an occurrence.
        ends_by_time: In a place that failed, only times tell whether it was tried again.
        ends_by_number: Within one attempt the numbers of an emitter's epoch tell that, also against
            the times.
        retry_is_silent: What is planned again where it is live says nothing new, so an end that
            came before it and is heard of after it still counts.
        late_news_opens: Late news opens a place, which an end that came before it and is heard of
            after it does not end.
    """

    overtaken_revives: bool
    overtaken_replaces: bool
    lost_opening_opens: bool
    ends_by_time: bool
    ends_by_number: bool
    retry_is_silent: bool
    late_news_opens: bool


@dataclass(frozen=True)
class _Entry:
    said: Said
    time_ms: int
    occurrence: int
    late_by: frozenset[_Reading] = frozenset()
    first: bool = False


_READINGS = [_Reading(*flags) for flags in product((True, False), repeat=7)]


def time_of(said: Said, received_ms: int) -> int:
    """Return the claimed time, unless it cannot be right."""
    if said.claimed_ms > received_ms + BELIEVED_MS:
        return received_ms
    if said.emission is None and said.claimed_ms < received_ms - BELIEVED_MS:
        return received_ms
    return said.claimed_ms


@dataclass
class Reference:
    """The markers of one service that stand, with the occurrence each was given."""

    entries: list[_Entry] = field(default_factory=list)
    heard: dict[Hashable, int] = field(default_factory=dict)

    def known(self, said: Said) -> int | None:
        """Return the occurrence of what this one repeats (rule 1)."""
        return self.heard.get(_statement(said))

    def hear(self, said: Said, occurrence: int) -> None:
        """Note what it states, also of a duplicate."""
        self.heard.setdefault(_statement(said), occurrence)

    def standing(self, said: Said, occurrence: int) -> _Entry | None:
        """Return the entry under the same dedupe key."""
        for entry in self.entries:
            if (entry.said.release, entry.said.identity, entry.occurrence) == (
                said.release,
                said.identity,
                occurrence,
            ):
                return entry
        return None

    def take(self, said: Said, received_ms: int, occurrence: int) -> None:
        """Note that it stands."""
        own = self._own(said.release, occurrence)
        late_by = frozenset(
            reading for reading in _READINGS if self._closers(said.release, occurrence, reading)
        )
        self.entries.append(
            _Entry(said, time_of(said, received_ms), occurrence, late_by, first=not own)
        )

    def latest(self, release: int) -> int:
        """Return the number of the latest occurrence, 0 when there is none."""
        return max((e.occurrence for e in self.entries if e.said.release == release), default=0)

    def answers(self, said: Said, received_ms: int) -> set[int]:
        """Return the occurrences that it may be given (rules 2 and 3)."""
        latest = self.latest(said.release)
        if latest == 0:
            return {1}
        asked = _Entry(said, time_of(said, received_ms), 0)
        rule = self._opening if said.phase in OPENING else self._other
        return {answer for reading in _READINGS for answer in rule(asked, latest, reading)}

    def _opening(self, asked: _Entry, latest: int, reading: _Reading) -> Iterator[int]:
        release = asked.said.release
        closers = self._closers(release, latest, reading)
        own = self._own(release, latest)
        if not closers:
            yield latest
        else:
            verdicts = {_later(asked, closer, own) for closer in closers}
            if True in verdicts:
                yield latest + 1
            if False in verdicts:
                yield latest
        # "The old one" may also be an earlier occurrence, for which it is late news.
        for number in range(1, latest):
            own, following = self._own(release, number), self._own(release, number + 1)
            ends = self._closers(release, number, reading)
            if not all(_later(asked, entry, own) for entry in (*following, *ends)):
                yield number

    def _other(self, asked: _Entry, latest: int, reading: _Reading) -> Iterator[int]:
        release = asked.said.release
        begun = [
            number
            for number in range(1, latest + 1)
            if min(e.time_ms for e in self._own(release, number)) <= asked.time_ms
        ]
        for last in (min, max):  # which of several ends of one place counts
            containing = []
            for number in begun:
                ends = [e.time_ms for e in self._closers(release, number, reading)]
                if not ends or asked.time_ms <= last(ends):
                    containing.append(number)
            if containing:
                yield from containing
            else:
                yield latest
                yield from begun[-1:]

    def _own(self, release: int, number: int) -> list[_Entry]:
        return [e for e in self.entries if e.said.release == release and e.occurrence == number]

    def _closers(self, release: int, number: int, reading: _Reading) -> list[_Entry]:
        """Return what ended it in each of its places; empty while it is not over."""
        own = self._own(release, number)
        places = {e.said.place for e in own if _opens(e, reading)}
        found: list[_Entry] = []
        for place in places:
            ends = self._ends(release, number, place, own, reading)
            if not ends:
                return []
            found += ends
        if places:
            return found
        # Never opened: over when something ended it all the same (example 30).
        return [e for e in own if e.said.phase in ENDING]

    def _ends(
        self, release: int, number: int, place: str, own: Sequence[_Entry], reading: _Reading
    ) -> list[_Entry]:
        opened = [e for e in own if _opens(e, reading) and e.said.place == place]
        ends = [
            end
            for end in own
            if end.said.phase in ENDING
            and end.said.place == place
            and not any(
                self._undoes(e, end, reading) for e in opened if not self._silent(e, reading)
            )
        ]
        if ends:
            return ends
        first = min(opened, key=lambda e: e.time_ms)
        for other in self._live(release, number, place, reading):
            revived = any(
                _follows(e, other)
                for e in opened
                if reading.overtaken_revives or reading not in e.late_by
            )
            if _follows(other, first) and not revived:
                ends.append(other)
        return ends

    def _undoes(self, opening: _Entry, end: _Entry, reading: _Reading) -> bool:
        """Tell whether a place that had ended was tried again; late news is no new try."""
        if reading in opening.late_by and opening.said.phase in OPENING:
            heard_first = self.entries.index(opening) < self.entries.index(end)
            if not (reading.late_news_opens and heard_first):
                return False
        if reading.ends_by_time:
            return opening.time_ms > end.time_ms
        attempts = opening.said.attempt, end.said.attempt
        if attempts[0] is not None and attempts[1] is not None:
            if attempts[0] == attempts[1] and reading.ends_by_number:
                return _is_numbered_after(opening, end)
            return attempts[0] > attempts[1]
        return _follows(opening, end)

    def _silent(self, opening: _Entry, reading: _Reading) -> bool:
        if not reading.retry_is_silent or opening.said.goes_live:
            return False
        before = self.entries[: self.entries.index(opening)]
        return any(
            e.said.goes_live
            and (e.said.release, e.said.place) == (opening.said.release, opening.said.place)
            and e.occurrence == opening.occurrence
            for e in before
        )

    def _live(self, release: int, number: int, place: str, reading: _Reading) -> Iterator[_Entry]:
        for entry in self.entries:
            said = entry.said
            if not said.goes_live or said.place != place:
                continue
            # An earlier occurrence of the same deployment cannot replace a later one.
            if said.release == release and entry.occurrence <= number:
                continue
            if reading in entry.late_by and not reading.overtaken_replaces:
                continue
            yield entry


def _statement(said: Said) -> Hashable:
    """Return what makes a marker the same statement: its number, else all that it says.

    Bytes that state their time are one statement whenever they come again (ADR 0014).
    """
    return said if said.emission is None else (said.release, said.identity, said.emission)


def _opens(entry: _Entry, reading: _Reading) -> bool:
    if reading.lost_opening_opens and entry.first and entry.said.phase not in ENDING:
        return True
    return entry.said.stands


def _later(asked: _Entry, closer: _Entry, own: Sequence[_Entry]) -> bool:
    """Tell whether an opening is later than what closed an occurrence (rule 2)."""
    attempts = [e.said.attempt for e in own if e.said.attempt is not None]
    if asked.said.attempt is not None and attempts:
        return asked.said.attempt > max(attempts)
    return _follows(asked, closer)


def _follows(one: _Entry, other: _Entry) -> bool:
    """By sequence within one emitter epoch, else by time."""
    a, b = one.said.emission, other.said.emission
    if a is not None and b is not None and a[:2] == b[:2]:
        return a[2] > b[2]
    return one.time_ms > other.time_ms


def _is_numbered_after(one: _Entry, other: _Entry) -> bool:
    a, b = one.said.emission, other.said.emission
    return a is not None and b is not None and a[:2] == b[:2] and a[2] > b[2]
