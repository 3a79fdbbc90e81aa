"""Who is told what, and when it is over: from what went wrong to what notifiers get. Pure.

`TELLINGS` is the one place that says what each kind of alert means and what to do; the page
`docs/reference/alerts.md` is written from it. What is told follows from what the log says and
from nothing that was told before, so a process that is killed between deciding and sending tells
the same again, under the same key. Sending is the business of notifiers.
"""

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple

from msgspec import Struct

from deploymark.judge.budget import FACTOR
from deploymark.ports import Alert, Urgency
from deploymark.projections.expectations import Expectations

PLATFORM: Final = "platform"
"""The owner of what belongs to deploymark itself, and of services whose owner nobody said."""

HORIZON_MS: Final = 2 * 86_400_000
"""What was over longer ago changes nothing that is told, unless something comes back every five
minutes for a day."""


class AlertCode(StrEnum):
    """What kind of thing a person should know."""

    CANARY_FAILED = "canary_failed"
    PRODUCTION_REGRESSED = "production_regressed"
    BUDGET_BREACHED = "budget_breached"
    GUARD_HELD = "guard_held"
    RECOVERY_FAILED = "recovery_failed"
    OUTCOME_UNKNOWN = "outcome_unknown"
    AUTOMATION_FROZEN = "automation_frozen"
    GLASS_BROKEN = "glass_broken"
    BUDGET_BURNING = "budget_burning"
    LEFT_BEHIND = "left_behind"
    ROLLOUT_HELD = "rollout_held"
    VERDICT_OPEN = "verdict_open"
    ACTUATOR_AWAY = "actuator_away"


class Telling(NamedTuple):
    """What is said of one kind.

    Attributes:
        urgency: Whether somebody is woken.
        says: One sentence; `{about}` stands for the deployment or, without one, the place.
        remedy: What to do.
        ends: When it is over.
    """

    urgency: Urgency
    says: str
    remedy: str
    ends: str


TELLINGS: Final = MappingProxyType[AlertCode, Telling](
    {
        AlertCode.CANARY_FAILED: Telling(
            Urgency.PAGE,
            "The canary {about} does worse than what runs beside it.",
            "Look at the verdict and what each metric contributes; the rollout is paused or goes "
            "back by itself. Roll back by hand where it only paused.",
            "the rollout is rolled back, or a person lets it go on",
        ),
        AlertCode.PRODUCTION_REGRESSED: Telling(
            Urgency.PAGE,
            "{about} has all of the traffic, and does worse than what ran before.",
            "Roll back, or go forward with a repair: nothing runs beside it that could be "
            "returned to by shifting traffic.",
            "another deployment takes its place, or the budget burns slowly again",
        ),
        AlertCode.BUDGET_BREACHED: Telling(
            Urgency.PAGE,
            "The error budget breaks since {about} came.",
            "Roll back unless another cause is plain: the budget of an hour or of six burns so "
            "fast that little is left, and before this deployment it did not.",
            "the windows of the pair burn slowly again, or 36 hours have passed",
        ),
        AlertCode.GUARD_HELD: Telling(
            Urgency.PAGE,
            "{about} should be rolled back, and was not.",
            "Decide: the decision entry names who wanted it, and the guard with its reasons or "
            "what the actuator said. Roll back by hand, or let the rollout go on.",
            "a person has decided, or the guard holds no more",
        ),
        AlertCode.RECOVERY_FAILED: Telling(
            Urgency.PAGE,
            "After the return from {about} things are not well again.",
            "The release may not be the cause. Look at what else changed; the machine does not "
            "act on this service again by itself.",
            "the service is as well as its control was, or a person says so",
        ),
        AlertCode.OUTCOME_UNKNOWN: Telling(
            Urgency.PAGE,
            "An order about {about} was given, and nobody knows what came of it.",
            "Look at what runs, then say which it is by acting again: it is not repeated by "
            "itself.",
            "what runs is seen, or a person has acted",
        ),
        AlertCode.AUTOMATION_FROZEN: Telling(
            Urgency.PAGE,
            "Several services fail at once in {about}: nothing is rolled back by itself any more.",
            "Look for a shared cause (network, database, platform) before any single release; "
            "then unfreeze.",
            "an operator unfreezes",
        ),
        AlertCode.GLASS_BROKEN: Telling(
            Urgency.PAGE,
            "An operator has overridden a guard or a policy for {about}.",
            "If you do not know of it, ask who did: the decision entry names the operator and the "
            "reason.",
            "somebody has reviewed it",
        ),
        AlertCode.BUDGET_BURNING: Telling(
            Urgency.PAGE,
            f"Since {{about}} the error budget burns more than {FACTOR:g} times too fast.",
            "The rollout is paused. Find out whether the release is the cause, then go on or "
            "roll back.",
            "the rollout goes on or back",
        ),
        AlertCode.LEFT_BEHIND: Telling(
            Urgency.PAGE,
            "The pipeline gave up {about}, and it has a part of the traffic still.",
            "Roll it back: nothing takes its traffic away by itself, and whether it serves well is "
            "judged no more.",
            "somebody has rolled it back",
        ),
        AlertCode.ROLLOUT_HELD: Telling(
            Urgency.TICKET,
            "The rollout of {about} waits for a person.",
            "Look at the rollout: it shows what it waits for, and what can be done.",
            "a person has decided",
        ),
        AlertCode.VERDICT_OPEN: Telling(
            Urgency.TICKET,
            "After the longest wait nobody can tell whether {about} is well.",
            "Look at the reasons of the verdict (too little traffic, no data, no control), then "
            "promote it or roll it back.",
            "a person has decided",
        ),
        AlertCode.ACTUATOR_AWAY: Telling(
            Urgency.TICKET,
            "What changes the traffic of {about} does not answer.",
            "Look at the actuator's own system and at its address in the plan; the order is "
            "tried again.",
            "the order is carried out, or is no longer wanted",
        ),
    }
)
"""What is said of each kind; pages first."""


class Concern(Struct, frozen=True):
    """Something that went wrong for a while, as the log tells it.

    Attributes:
        code: What kind.
        service, environment: Where; "" for everything.
        deployment: `d-…~1`, "" without one.
        seen: What was seen, one sentence.
        began_ms: When.
        ended_ms: When it was over, None while it lasts.
        indexes: The entries of the log that it rests on.
    """

    code: AlertCode
    service: str
    environment: str
    deployment: str
    seen: str
    began_ms: int
    ended_ms: int | None = None
    indexes: tuple[int, ...] = ()


class Patience(NamedTuple):
    """How long endings are waited for, in milliseconds.

    Attributes:
        quiet_ms: What comes back sooner after its end is the same alert; so long no end is told.
        least_ms: How long an alert lasts at least, so that whoever was woken still finds it.
        ended_ms: How long an end is told, for notifiers that were away.
    """

    quiet_ms: int = 300_000
    least_ms: int = 600_000
    ended_ms: int = 86_400_000


PATIENCE: Final = Patience()


def alerts_of(
    concerns: Iterable[Concern],
    expectations: Expectations,
    now_ms: int,
    patience: Patience = PATIENCE,
) -> tuple[Alert, ...]:
    """Return what notifiers shall know now.

    Args:
        concerns: What lasts, and what was over within `HORIZON_MS`, in any order.
        expectations: Say who owns a service.
        now_ms: Milliseconds since the Unix epoch.
        patience: How long endings are waited for.

    Returns:
        One alert for each kind and deployment, what belongs to one service and environment side by
        side, there pages first. The same concerns make the same alerts, whoever was told before.
    """
    by_key: dict[str, list[Concern]] = {}
    for concern in concerns:
        by_key.setdefault(key_of(concern), []).append(concern)
    told = []
    for key, parts in by_key.items():
        course = _last_course(parts, patience.quiet_ms)
        over_ms = _over_ms(course, patience)
        if over_ms is None or now_ms < over_ms + patience.ended_ms:
            lasts = over_ms is None or now_ms < over_ms
            told.append(_alert(key, course, expectations, lasts=lasts))
    return tuple(sorted(told, key=_place))


def key_of(concern: Concern) -> str:
    """Return what makes two concerns one alert: kind, service, environment and deployment."""
    parts = (concern.code, concern.service, concern.environment, concern.deployment)
    return "/".join(part.replace("%", "%25").replace("/", "%2F") for part in parts).rstrip("/")


def owner_of(expectations: Expectations, service: str) -> str:
    """Return whom to tell about a service: its owner, else whoever runs the platform."""
    expected = expectations.services.get(service)
    return (expected.owner if expected is not None else None) or PLATFORM


def _last_course(parts: list[Concern], quiet_ms: int) -> list[Concern]:
    """Return the newest of the concerns that lie no further apart than the quiet time."""
    ordered = sorted(parts, key=lambda each: (each.began_ms, each.indexes, each.seen))
    course = ordered[:1]
    for part in ordered[1:]:
        end_ms = _end_ms(course)
        if end_ms is not None and part.began_ms - end_ms > quiet_ms:
            course = []
        course.append(part)
    return course


def _end_ms(course: list[Concern]) -> int | None:
    ends = [part.ended_ms for part in course]
    known = [end for end in ends if end is not None]
    return max(known) if len(known) == len(ends) else None


def _over_ms(course: list[Concern], patience: Patience) -> int | None:
    """Return from when on the end is told, None while nobody knows of one."""
    end_ms = _end_ms(course)
    if end_ms is None:
        return None
    return max(end_ms + patience.quiet_ms, course[0].began_ms + patience.least_ms)


def _alert(key: str, course: list[Concern], expectations: Expectations, *, lasts: bool) -> Alert:
    newest = course[-1]
    telling = TELLINGS[newest.code]
    place = " in ".join(filter(None, (newest.service, newest.environment))) or "the whole platform"
    about = f"{newest.deployment} of {place}" if newest.deployment else place
    return Alert(
        key=key,
        code=newest.code,
        urgency=telling.urgency,
        service=newest.service,
        environment=newest.environment,
        deployment=newest.deployment,
        owner=owner_of(expectations, newest.service),
        summary=telling.says.format(about=about),
        detail=f"{newest.seen} {telling.remedy}".strip(),
        began_ms=course[0].began_ms,
        ended_ms=None if lasts else _end_ms(course),
        indexes=tuple(sorted({index for part in course for index in part.indexes})),
    )


def _place(alert: Alert) -> tuple[str, str, bool, int, str]:
    urgent = alert.urgency is Urgency.PAGE
    return alert.service, alert.environment, not urgent, alert.began_ms, alert.key
