"""Rules about what may be deployed where, as the configuration says them. Pure values.

Each rule is data: what it is about, whether it denies or warns, and examples with the answer that
its author expects. `ruling` answers them; `docs/reference/policy.md` tells what each asks. What is
not known never satisfies a rule.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Final, Literal

from msgspec import Meta, Struct

from deploymark.errors import UsageError
from deploymark.model.limits import Instant, Name, Names, Value
from deploymark.model.vocabulary import Assurance, Kind

EVERYWHERE: Final = ("*",)


class Answer(StrEnum):
    """What a rule says."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all parts have in common."""


class PolicyFacts(_Part, frozen=True):
    """What rules are asked about; None where it is not known or was not said.

    Attributes:
        service, environment: Of what shall be deployed; None only in an example, for any.
        marked: A marker of it has come; without one nothing that markers say is known.
        kind: What changes.
        assurance: The weakest of its markers.
        owner, tickets, author: As its markers say.
        approvers: Who approved it: decisions of known callers, not words of the emitter.
        digest: Of its artifact.
        quarantined: Its image and configuration were put away; None when that cannot be read.
        changes: How many changes it brings.
        requires: The schema revision that it needs.
        applied: Revisions that are applied in the environment; None when that is not known.
        step: Of a migration: `expand` adds, `contract` takes away.
        used_by: Of a migration: running releases that need what it takes away.
        budget_left: Share of the error budget that is left, 1 for all of it.
        now: When it is asked.
    """

    service: Name | None = None
    environment: Name | None = None
    marked: bool = True
    kind: Kind = Kind.DEPLOYMENT
    assurance: Assurance | None = None
    owner: Value | None = None
    tickets: Names | None = None
    author: Value | None = None
    approvers: Names | None = None
    digest: Value | None = None
    quarantined: bool | None = None
    changes: int | None = None
    requires: Value | None = None
    applied: Names | None = None
    step: Value | None = None
    used_by: Names | None = None
    budget_left: float | None = None
    now: Instant | None = None


class Example(_Part, frozen=True):
    """What a rule shall say about some facts."""

    facts: PolicyFacts
    expect: Answer


class _Rule(_Part, frozen=True, tag_field="kind"):
    """What all rules have in common.

    Attributes:
        name: For people and for the log; one rule each.
        services, environments: Globs, in which only `*` is special.
        effect: `deny` keeps the gate shut, `warn` only says so.
        why: What it is for, shown with its answer.
        examples: With the answers that they shall get.
    """

    looks_at: ClassVar[tuple[str, ...]]
    marker_says: ClassVar[bool] = True

    name: Name
    services: Names = EVERYWHERE
    environments: Names = EVERYWHERE
    effect: Literal["deny", "warn"] = "deny"
    why: Value = ""
    examples: tuple[Example, ...] = ()


class AssuranceRule(_Rule, frozen=True, tag="assurance"):
    """Its markers are at least this well vouched for."""

    looks_at: ClassVar[tuple[str, ...]] = ("assurance",)

    least: Literal["attributed", "signed"] = "attributed"


class OwnerRule(_Rule, frozen=True, tag="owner"):
    """Somebody owns it; `like` are globs of owners that count."""

    looks_at: ClassVar[tuple[str, ...]] = ("owner",)

    like: Names = EVERYWHERE


class TicketRule(_Rule, frozen=True, tag="ticket"):
    """A change ticket is named; `like` are globs of tickets that count, such as `CHG*`."""

    looks_at: ClassVar[tuple[str, ...]] = ("tickets",)

    like: Names = EVERYWHERE


class ApproverRule(_Rule, frozen=True, tag="approver"):
    """So many people approved it who are not its author."""

    looks_at: ClassVar[tuple[str, ...]] = ("author", "approvers")

    least: Annotated[int, Meta(ge=1, le=16)] = 1


class ArtifactRule(_Rule, frozen=True, tag="artifact"):
    """Its artifact is known by digest, not by a tag that may change."""

    looks_at: ClassVar[tuple[str, ...]] = ("digest",)


class QuarantineRule(_Rule, frozen=True, tag="quarantine"):
    """It is none that failed and was put away."""

    looks_at: ClassVar[tuple[str, ...]] = ("quarantined",)


class ChangeSetRule(_Rule, frozen=True, tag="change_set"):
    """It brings no more than so many changes at once."""

    looks_at: ClassVar[tuple[str, ...]] = ("changes",)

    most: Annotated[int, Meta(ge=1, le=10_000)] = 50


class MigrationRule(_Rule, frozen=True, tag="migration"):
    """The schema that it needs is there, and no migration takes away what is still in use."""

    looks_at: ClassVar[tuple[str, ...]] = ("kind", "requires", "applied", "step", "used_by")


class BudgetRule(_Rule, frozen=True, tag="error_budget"):
    """More of the error budget is left than the share that is withheld."""

    looks_at: ClassVar[tuple[str, ...]] = ("budget_left",)
    marker_says: ClassVar[bool] = False

    withheld: Annotated[float, Meta(ge=0, lt=1)] = 0.0


class Weekly(_Part, frozen=True):
    """Some hours of some days of the week; an end before the start is on the next day."""

    days: Annotated[
        tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...],
        Meta(min_length=1, max_length=7),
    ]
    start: Annotated[str, Meta(pattern="^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\\n)")] = "00:00"
    end: Annotated[str, Meta(pattern="^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$(?!\\n)")] = "24:00"


_Day = Annotated[
    str,
    Meta(
        pattern="^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$(?!\\n)",
        description='a day such as "2026-12-20"',
    ),
]


class Days(_Part, frozen=True):
    """Whole days, the last one included."""

    first: _Day
    last: _Day


class WindowRule(_Rule, frozen=True, tag="window"):
    """It is asked at a time when deploying is allowed.

    Attributes:
        zone: `UTC`, an offset such as `+01:00`, or the IANA name of a time zone.
        weekly, days: The windows, in local time of the zone.
        deploys: Nothing is deployed within them (a freeze), or only within them.
    """

    looks_at: ClassVar[tuple[str, ...]] = ("now",)
    marker_says: ClassVar[bool] = False

    zone: Name = "UTC"
    weekly: tuple[Weekly, ...] = ()
    days: tuple[Days, ...] = ()
    deploys: Literal["outside", "within"] = "outside"


Rule = (
    AssuranceRule
    | OwnerRule
    | TicketRule
    | ApproverRule
    | ArtifactRule
    | QuarantineRule
    | ChangeSetRule
    | MigrationRule
    | BudgetRule
    | WindowRule
)


class Identity(_Part, frozen=True):
    """One person, under all names that markers and callers use; the key of the table is the handle.

    Attributes:
        git_names: Names of authors as commits carry them.
        subjects: Principals of calls: `token:NAME`, and `oidc:RULE:SUB` for the subject of an
            identity token that came by a rule of `[oidc]`.
    """

    git_names: Names = ()
    subjects: Names = ()


def check_rules(rules: Sequence[Rule], field: str = "/policy/rules") -> None:
    """Refuse rules that make no sense.

    Args:
        rules: As they were read.
        field: Where they stand in the configuration, as a JSON Pointer.

    Raises:
        UsageError: Two have one name, or a window has no time.
    """
    seen: dict[str, int] = {}
    for place, rule in enumerate(rules):
        if rule.name in seen:
            raise UsageError(
                f"Two rules have the name {rule.name}: {seen[rule.name]} and {place}.",
                field=f"{field}/{place}/name",
            )
        seen[rule.name] = place
        if isinstance(rule, WindowRule):
            _check_window(rule, f"{field}/{place}")


def _check_window(rule: WindowRule, field: str) -> None:
    if not rule.weekly and not rule.days:
        raise UsageError(
            f"The window {rule.name} has no time.",
            hint="Give it `weekly` hours or `days`.",
            field=field,
        )
    for place, each in enumerate(rule.days):
        if each.last < each.first:
            raise UsageError(
                f"The days of {rule.name} end before they begin.", field=f"{field}/days/{place}"
            )
    for place, hours in enumerate(rule.weekly):
        if hours.start == hours.end:
            raise UsageError(
                f"The hours of {rule.name} end when they begin.",
                hint="A whole day is from 00:00 to 24:00.",
                field=f"{field}/weekly/{place}",
            )


def shown(facts: PolicyFacts, rule: Rule) -> dict[str, Any]:
    """Return what a rule looks at, as it is known."""
    return {name: getattr(facts, name) for name in rule.looks_at}
