"""Refused attempts: counted at once, and told to the log in few findings (F5).

An attempt that says something about an attacker or a misled emitter becomes part of a finding,
summed up per caller, code and minute, so that nobody can grow the log by being refused (spec:
trust, "Refused attempts"). Malformed input only counts. This module makes the payloads; somebody
else signs and appends them.
"""

import re
import threading
from collections import Counter, OrderedDict
from typing import Final, NamedTuple

from msgspec import Struct

from deploymark.errors import DeploymarkError
from deploymark.ingest.callers import Caller
from deploymark.model.canonical import SAFE_INTEGER, encode
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import FindingCode
from deploymark.ports import Meter

OTHER: Final = "other"
"""What a finding is about that sums up callers beyond the limit."""

FINDINGS_PER_MINUTE: Final = {"principal": 16, "network": 16, "conflict": 16}
PENDING_MINUTES: Final = 10
REMEMBERED_CONFLICTS: Final = 4_096

_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 86_400_000
_NAME = re.compile(r"[A-Za-z0-9][-A-Za-z0-9_./]{0,63}", re.ASCII)
_DEPLOYMENT = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?(~[1-9][0-9]{0,8})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WHO = re.compile(r"[ -~]{1,200}")


class Telling(NamedTuple):
    """What a finding says of one kind of refusal."""

    severity: str
    message: str
    remedy: str


CODES: Final[dict[str, FindingCode]] = {
    "bad_signature": FindingCode.MARKER_FORGED,
    "forbidden": FindingCode.MARKER_UNAUTHORISED,
    "identity_refused": FindingCode.MARKER_UNAUTHORISED,
    "key_untrusted": FindingCode.MARKER_UNAUTHORISED,
    "too_many_failures": FindingCode.MARKER_UNAUTHORISED,
    "unauthenticated": FindingCode.MARKER_UNAUTHORISED,
    "marker_unsigned": FindingCode.MARKER_UNSIGNED,
    "personal_data_refused": FindingCode.SECRET_REFUSED,
    "secret_refused": FindingCode.SECRET_REFUSED,
    "marker_conflict": FindingCode.MARKER_CONFLICT,
    "rate_limited": FindingCode.EMITTER_OVER_BUDGET,
}
"""Which finding an error becomes, by its code; the others are malformed input and only count."""

TELLINGS: Final[dict[FindingCode, Telling]] = {
    FindingCode.MARKER_FORGED: Telling(
        "critical",
        "Markers whose signature does not verify were refused.",
        "Find out who sends from there; if a key of yours was meant, rotate it.",
    ),
    FindingCode.MARKER_UNAUTHORISED: Telling(
        "warning",
        "Attempts without a valid token or key, or beyond its scope, were refused.",
        "Give the emitter a token or key with the scope that it needs, or revoke the one it has.",
    ),
    FindingCode.MARKER_UNSIGNED: Telling(
        "warning",
        "Markers without a token and without a signature were refused.",
        "Give the emitter a token, or register a key for it and let it sign; or allow unsigned "
        "markers by policy.",
    ),
    FindingCode.SECRET_REFUSED: Telling(
        "warning",
        "Markers that held what looks like a secret or personal data were refused.",
        "Take it out of what the emitter sends, and replace the secret: it has left its place.",
    ),
    FindingCode.MARKER_CONFLICT: Telling(
        "warning",
        "Another content was sent under the identity of a marker that stands; the first stands.",
        "Find out who sent it. A wrong first entry is corrected by a signed amendment; another "
        "change needs another action, version or digest.",
    ),
    FindingCode.EMITTER_OVER_BUDGET: Telling(
        "info",
        "Attempts beyond the caller's budget were refused; its emitters send them again later.",
        "Let the emitter send less or in batches, or raise its budget.",
    ),
}
"""What is said of each code: fixed sentences, so that nothing of the input gets into the log."""


class Attempt(Struct, frozen=True):
    """What is known of a refused attempt; nothing of it need be well-formed.

    Attributes:
        service, environment, deployment_id: What it was about.
        digests: SHA-256 of both contents of a conflict, as `sha256:<hex>`, the standing one first.
        index: The entry that stands, of a conflict.
    """

    service: str | None = None
    environment: str | None = None
    deployment_id: str | None = None
    digests: tuple[str, str] | None = None
    index: int | None = None


_NOTHING: Final = Attempt()


class _Group(NamedTuple):
    """What is summed up in one finding."""

    code: FindingCode
    about: str
    kind: str
    digests: tuple[str, ...] = ()


class _Sum:
    """The attempts of one group in one minute."""

    __slots__ = ("attempt", "count", "first_at_ms", "last_at_ms")

    def __init__(self, attempt: Attempt, at_ms: int) -> None:
        self.attempt = attempt
        self.count = 0
        self.first_at_ms = self.last_at_ms = at_ms

    def add(self, attempt: Attempt, at_ms: int) -> None:
        """Count one more; what the attempts do not agree on is left out."""
        self.count += 1
        self.first_at_ms = min(self.first_at_ms, at_ms)
        self.last_at_ms = max(self.last_at_ms, at_ms)
        mine = self.attempt
        if attempt != mine:
            self.attempt = Attempt(
                service=mine.service if mine.service == attempt.service else None,
                environment=mine.environment if mine.environment == attempt.environment else None,
                deployment_id=(
                    mine.deployment_id if mine.deployment_id == attempt.deployment_id else None
                ),
                digests=mine.digests if mine.digests == attempt.digests else None,
                index=mine.index if mine.index == attempt.index else None,
            )


class Refusals:
    """Counts refused attempts and sums them up in findings; safe on any thread.

    Bounded, whatever is sent: in a minute there are at most `FINDINGS_PER_MINUTE` about principals,
    about networks and about conflicts; the rest is one finding per code, about `other`. They are
    limited apart, so that a flood from many networks cannot hide which token was misused. A
    conflict is told once a day. Minutes that nobody fetches are summed up in the last of
    `PENDING_MINUTES`. What was not fetched, and which conflicts were told, is lost with the
    process.

    Args:
        meter: Counts every attempt, by error code.
    """

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._minutes: dict[int, dict[_Group, _Sum]] = {}
        self._conflicts: OrderedDict[tuple[str, ...], int] = OrderedDict()

    def refused(
        self, error: DeploymarkError, caller: Caller, at_ms: int, attempt: Attempt = _NOTHING
    ) -> None:
        """Count one refused attempt.

        Args:
            error: Why it was refused; its message is not looked at.
            caller: Who tried.
            at_ms: When.
            attempt: What it was about, as far as that could be read.
        """
        self._meter.count("deploymark_refused_total", code=error.code)
        code = CODES.get(error.code)
        attempt = _clean(attempt)
        with self._lock:
            self._counts[error.code] += 1
            if code is None:
                return
            group = _group(code, caller, attempt)
            groups = self._groups(at_ms // _MINUTE_MS)
            if group not in groups:
                if group.digests and self._is_told(group.digests, at_ms):
                    return
                if (
                    sum(1 for each in groups if each.kind == group.kind)
                    >= (FINDINGS_PER_MINUTE[group.kind])
                ):
                    group, attempt = _Group(code, OTHER, OTHER), _NOTHING
                elif group.digests:
                    self._remember(group.digests, at_ms)
            if group not in groups:
                groups[group] = _Sum(attempt, at_ms)
            groups[group].add(attempt, at_ms)

    def counts(self) -> dict[str, int]:
        """Return how many attempts were refused since the start, by error code."""
        with self._lock:
            return dict(self._counts)

    def due(self, now_ms: int | None) -> list[bytes]:
        """Return the payloads of findings of minutes that are over, and forget them here.

        Args:
            now_ms: The time; None takes the minute that is not over as well, before an end.

        Returns:
            `finding/v1` payloads in canonical form, to be signed and appended. They are the
            caller's from here on: when the log does not take them, it tries again itself.
        """
        with self._lock:
            over = [
                minute
                for minute in sorted(self._minutes)
                if now_ms is None or (minute + 1) * _MINUTE_MS <= now_ms
            ]
            sums = [each for minute in over for each in _in_order(self._minutes.pop(minute))]
        return [_payload(group, total) for group, total in sums]

    def _groups(self, minute: int) -> dict[_Group, _Sum]:
        if minute not in self._minutes and len(self._minutes) >= PENDING_MINUTES:
            minute = max(self._minutes)
        return self._minutes.setdefault(minute, {})

    def _is_told(self, pair: tuple[str, ...], at_ms: int) -> bool:
        """Tell whether this conflict was in a finding within the last day."""
        told_at_ms = self._conflicts.get(pair)
        return told_at_ms is not None and at_ms - told_at_ms < _DAY_MS

    def _remember(self, pair: tuple[str, ...], at_ms: int) -> None:
        self._conflicts[pair] = at_ms
        self._conflicts.move_to_end(pair)
        # Beyond the limit the oldest is forgotten; at worst it is told once more.
        while len(self._conflicts) > REMEMBERED_CONFLICTS:
            self._conflicts.popitem(last=False)


def _in_order(groups: dict[_Group, _Sum]) -> list[tuple[_Group, _Sum]]:
    return sorted(groups.items(), key=lambda each: each[0])


def _group(code: FindingCode, caller: Caller, attempt: Attempt) -> _Group:
    """Return the finding to which an attempt belongs: by principal, else by network."""
    about = caller.principal or caller.network
    if not _WHO.fullmatch(about):
        about = "unknown"
    if code is FindingCode.MARKER_CONFLICT and attempt.digests is not None:
        return _Group(code, about, "conflict", attempt.digests)
    return _Group(code, about, "principal" if caller.principal else "network")


def _clean(attempt: Attempt) -> Attempt:
    """Leave out what is not well-formed: an attacker wrote it, and it would stand in the log."""
    digests = attempt.digests
    if digests is not None and not all(_DIGEST.fullmatch(each) for each in digests):
        digests = None
    index = attempt.index
    return Attempt(
        service=_matching(_NAME, attempt.service),
        environment=_matching(_NAME, attempt.environment),
        deployment_id=_matching(_DEPLOYMENT, attempt.deployment_id),
        digests=digests,
        index=index if index is not None and 0 <= index <= SAFE_INTEGER else None,
    )


def _matching(grammar: re.Pattern[str], text: object) -> str | None:
    return text if isinstance(text, str) and grammar.fullmatch(text) else None


def _payload(group: _Group, total: _Sum) -> bytes:
    """Return the finding/v1 of one group, in canonical form."""
    telling = TELLINGS[group.code]
    attempt = total.attempt
    said = {
        "about": group.about,
        "code": group.code.value,
        "count": total.count,
        "deployment_id": attempt.deployment_id,
        "digests": None if attempt.digests is None else list(attempt.digests),
        "environment": attempt.environment,
        "first_at": format_instant(total.first_at_ms),
        "indexes": None if attempt.index is None else [attempt.index],
        "last_at": format_instant(total.last_at_ms),
        "message": telling.message,
        "remedy": telling.remedy,
        "service": attempt.service,
        "severity": telling.severity,
        "state": "counted",
        "timestamp": format_instant(total.last_at_ms),
    }
    return encode({name: value for name, value in said.items() if value is not None})
