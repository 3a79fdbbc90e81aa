"""Findings as they are told to people: how bad, what it means, what to do. Pure.

Each has an id that follows from what it is about, so that the same trouble is the same finding
whoever noticed it and however often.
"""

import json
from typing import Any, Final, NamedTuple

from deploymark.model.entries import Finding
from deploymark.model.ids import encode_id
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.vocabulary import FindingCode as Code

QUIET_MS: Final = 3_600_000
"""A refusal that has not come again for this long is over."""

MAX_INDEXES: Final = 16
"""Entries that a finding names."""

INFO, WARNING, CRITICAL = "info", "warning", "critical"


class Text(NamedTuple):
    """What is said of a code.

    Attributes:
        severity: `info`, `warning` or `critical`.
        message: With `{service}`, `{environment}`, `{deployment}`, `{about}` and `{detail}`.
        remedy: What to do, in one sentence.
    """

    severity: str
    message: str
    remedy: str


TEXTS: Final = {
    Code.MARKER_MISSING: Text(
        WARNING,
        "{deployment} of {service} in {environment} runs, and no marker says that it was applied.",
        "Look at the last step of the pipeline or at the emitter's spool (`deploymark flush`).",
    ),
    Code.MARKER_STALE: Text(
        WARNING,
        "Markers of {about} for {service} in {environment} arrive {detail} late.",
        "Look at the way from that emitter to this server; its spool delivers what waits.",
    ),
    Code.CLOCK_SKEW: Text(
        WARNING,
        "The clock of {about}, which speaks for {service} in {environment}, is {detail} off.",
        "Set its clock (NTP); until then its markers are placed by the time they are received.",
    ),
    Code.MARKER_UNSIGNED: Text(
        WARNING,
        "{deployment} of {service} in {environment} has markers that no producer signed.",
        "Give its pipeline a key (`deploymark keys`); no automatic action follows from it now.",
    ),
    Code.DIGEST_MISMATCH: Text(
        CRITICAL,
        "{detail} runs {about}, which is not what {deployment} of {service} in {environment} is.",
        "Find out who replaced the artifact before anything else is deployed or rolled back.",
    ),
    Code.ARTIFACT_UNRESOLVED: Text(
        WARNING,
        "Nobody knows the digest of {deployment} of {service} in {environment}.",
        "Name the digest in the marker, or let an observer report what runs.",
    ),
    Code.ROLLOUT_PARTIAL: Text(
        WARNING,
        "{deployment} of {service} in {environment} is not live in {detail}.",
        "Finish the rollout there, or roll back where it is live.",
    ),
    Code.INTENT_UNCONFIRMED: Text(
        WARNING,
        "{deployment} of {service} in {environment} was announced and never seen.",
        "Look at its pipeline; say `failed` or `applied` for it, with its version or digest.",
    ),
    Code.CORRELATION_AMBIGUOUS: Text(
        WARNING,
        "What runs {service} in {environment} fits {deployment} and {detail}.",
        "Let instances carry their deployment id (label, DEPLOYMARK_DEPLOYMENT_ID).",
    ),
    Code.BINDING_UNPROVEN: Text(
        INFO,
        "That {deployment} of {service} in {environment} runs is only declared.",
        "Let an observer see it (`deploymark observe`); no automatic action follows from it now.",
    ),
    Code.LARGE_CHANGE_SET: Text(
        INFO,
        "{deployment} of {service} in {environment} brings {detail} changes.",
        "Watch it for longer, and deploy more often.",
    ),
    Code.CONFIG_DRIFT: Text(
        WARNING,
        "{about} of {service} in {environment} has not taken up {deployment}; it has {detail}.",
        "Restart or reload what has the old value.",
    ),
    Code.UNPLANNED_CHANGE: Text(
        WARNING,
        "{deployment} came to {service} in {environment}, and no pipeline or person announced it.",
        "Ask its owner; if it was meant, announce it (`deploymark mark planned`).",
    ),
    Code.INSTANCE_UNMARKED: Text(
        WARNING,
        "{service} in {environment} has too few instances under a marker in {about}: {detail}.",
        "Look whether it runs there, and whether its instances can reach this server.",
    ),
    Code.MIGRATION_OUT_OF_ORDER: Text(
        CRITICAL,
        "{deployment} of {service} in {environment} needs schema {detail}, which is not applied.",
        "Apply the migration, or roll back.",
    ),
    Code.FLAG_STALE: Text(
        INFO,
        "Nobody has changed the flag {about} of {service} in {environment} for {detail}.",
        "Remove the flag, or change it.",
    ),
}

_NO_TEXT: Final = Text(WARNING, "", "")


class Course(NamedTuple):
    """How a finding comes and goes, for people.

    Attributes:
        found_by: `markers` of the deployment, `watchers`, `times` of the emitter, or `refusals`.
        closes: When it does, beside the end of the deployment.
    """

    found_by: str
    closes: str


_QUIET = Course("refusals", "an hour after the last attempt")

COURSES: Final = {
    Code.MARKER_MISSING: Course("watchers", "`applied` comes; the missing numbers come"),
    Code.MARKER_STALE: Course("times", "the emitter's next marker is in time"),
    Code.CLOCK_SKEW: Course("times, watchers", "the emitter's next marker is not off"),
    Code.MARKER_CONFLICT: _QUIET,
    Code.MARKER_FORGED: _QUIET,
    Code.MARKER_UNAUTHORISED: _QUIET,
    Code.MARKER_UNSIGNED: Course("watchers, refusals", "only then; refusals: an hour after"),
    Code.DIGEST_MISMATCH: Course(
        "markers",
        "no instance has it any more; a marker names the digest as one of the artifact's",
    ),
    Code.ARTIFACT_UNRESOLVED: Course("markers", "a marker or an observer names the digest"),
    Code.ROLLOUT_PARTIAL: Course(
        "watchers",
        "it is live there; no instance runs on that an observer sees of the one before; a newer "
        "one has begun",
    ),
    Code.INTENT_UNCONFIRMED: Course("watchers", "more is heard of it"),
    Code.CORRELATION_AMBIGUOUS: Course("markers", "all but one of those that fitted are over"),
    Code.BINDING_UNPROVEN: Course("watchers", "an observer sees it; no instance is left"),
    Code.LARGE_CHANGE_SET: Course("markers", "only then"),
    Code.CONFIG_DRIFT: Course("markers", "the instance confirms the new value"),
    Code.UNPLANNED_CHANGE: Course("markers", "an intent explains it within a quarter of an hour"),
    Code.INSTANCE_UNMARKED: Course("watchers", "as many are known as expected; a newer one begins"),
    Code.MIGRATION_OUT_OF_ORDER: Course("markers", "the migration is applied"),
    Code.FLAG_STALE: Course("watchers", "somebody changes the flag"),
    Code.SECRET_REFUSED: _QUIET,
    Code.EMITTER_OVER_BUDGET: _QUIET,
}


class FindingRow(NamedTuple):
    """A finding as it is stored; the columns of `broker_finding`."""

    id: str
    code: str
    severity: str
    origin: str
    service: str | None
    environment: str | None
    deployment_id: str | None
    opened_ms: int
    closed_ms: int | None
    document: dict[str, Any]


def finding_of(row: Any) -> FindingRow:  # noqa: ANN401 - a row of the table
    """Return a finding from its row in the table, where the document is JSON."""
    return FindingRow._make([*row[:-1], json.loads(row.document)])


def finding_id(code: str, *parts: str | None) -> str:
    """Return the `f-…` id of a finding: by its code, service, environment, deployment and about."""
    return encode_id("f-", ["finding/1", code, *parts])


def describe(  # noqa: PLR0913 - what a finding is about
    code: str,
    service: str,
    environment: str,
    deployment: str | None,
    *,
    about: str,
    detail: str,
    indexes: list[int],
) -> dict[str, Any]:
    """Return what a finding says beside its state and times."""
    text = TEXTS.get(Code(code), _NO_TEXT)
    message = text.message.format(
        service=service,
        environment=environment,
        deployment=deployment or "A deployment",
        about=about or "something",
        detail=detail or "an instance",
    )
    return {
        "about": about or None,
        "message": message.strip(),
        "remedy": text.remedy,
        "indexes": indexes,
        "count": len(indexes),
    }


def entry_row(finding: Finding, index: int, received_ms: int) -> FindingRow:
    """Return the row of a finding that stands in the log.

    `opened` stays open until `closed` says otherwise; what was `counted` is over when it has not
    come again for `QUIET_MS`.
    """
    parts = (finding.service, finding.environment, finding.deployment_id, finding.about)
    counted = finding.state == "counted"
    first = parse_instant(finding.first_at or finding.timestamp)
    last = parse_instant(finding.last_at or finding.timestamp)
    closed_ms = None
    if counted:
        closed_ms = max(last, received_ms) + QUIET_MS
    elif finding.state == "closed":
        closed_ms = parse_instant(finding.timestamp)
    document = {
        "about": finding.about,
        "message": finding.message,
        "remedy": finding.remedy or TEXTS.get(finding.code, _NO_TEXT).remedy,
        "indexes": [*(finding.indexes or ()), index][-MAX_INDEXES:],
        "count": finding.count or 1,
        "digests": list(finding.digests or ()),
    }
    return FindingRow(
        id=finding_id(finding.code, *parts),
        code=finding.code.value,
        severity=finding.severity,
        origin="counted" if counted else "watcher",
        service=finding.service,
        environment=finding.environment,
        deployment_id=finding.deployment_id,
        opened_ms=first,
        closed_ms=closed_ms,
        document=document,
    )


def join_rows(before: FindingRow, after: FindingRow) -> FindingRow:
    """Return what is known of a finding after it came again."""
    indexes = list(dict.fromkeys([*before.document["indexes"], *after.document["indexes"]]))
    closed = before.closed_ms is not None and before.closed_ms < after.opened_ms
    count = after.document["count"]
    if after.origin == "counted":
        count += before.document["count"]
    return after._replace(
        opened_ms=after.opened_ms if closed else before.opened_ms,
        document={**after.document, "indexes": indexes[-MAX_INDEXES:], "count": count},
    )


def shown(row: FindingRow, now_ms: int) -> dict[str, Any]:
    """Return a finding as the interface shows it, at a time of the log."""
    is_open = row.closed_ms is None or row.closed_ms > now_ms
    return {
        "id": row.id,
        "code": row.code,
        "severity": row.severity,
        "state": "open" if is_open else "closed",
        "service": row.service,
        "environment": row.environment,
        "deployment_id": row.deployment_id,
        **row.document,
        "opened_at": format_instant(row.opened_ms),
        "closed_at": None if is_open or row.closed_ms is None else format_instant(row.closed_ms),
    }
