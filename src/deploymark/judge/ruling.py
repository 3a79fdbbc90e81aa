"""What the rules of a policy say about a deployment, each in one sentence. Pure.

All rules are always asked. An answer is `unknown` when a fact is missing: the gate then stays
shut without claiming that something is wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Final, NamedTuple

from msgspec import Struct

from deploymark.crypto.scope import matches_any
from deploymark.judge.policy import (
    Answer,
    ApproverRule,
    ArtifactRule,
    AssuranceRule,
    BudgetRule,
    ChangeSetRule,
    Identity,
    MigrationRule,
    OwnerRule,
    PolicyFacts,
    QuarantineRule,
    Rule,
    TicketRule,
    Weekly,
    WindowRule,
    shown,
)
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import Assurance, Kind

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_OFFSET: Final = re.compile(r"([+-])([01][0-9]|2[0-3]):([0-5][0-9])")
_ASSURANCES: Final = (Assurance.ANONYMOUS, Assurance.ATTRIBUTED, Assurance.SIGNED)

Said = tuple[Answer, str]


class Known(NamedTuple):
    """What rules need beside the facts.

    Attributes:
        identities: Of people, by handle (`auth.identities`).
        zones: Time zones by the names that `zone_names` asks for; one that is missing makes its
            rules unknown.
    """

    identities: Mapping[str, Identity] = {}
    zones: Mapping[str, tzinfo] = {}


class RuleResult(Struct, frozen=True):
    """What one rule says.

    Attributes:
        rule, kind, effect: Of the rule.
        applies: It is about this service and environment; else its answer counts for nothing.
        answer: Pass, fail or unknown.
        reason: Why, in a sentence.
        looked_at: The facts that it asked for, as they are known.
    """

    rule: str
    kind: str
    effect: str
    applies: bool
    answer: Answer
    reason: str
    looked_at: dict[str, Any]


class Disagreement(Struct, frozen=True):
    """An example gets another answer than its author expects."""

    rule: str
    example: int
    expected: Answer
    answer: Answer
    reason: str


def rule_on(
    rules: Sequence[Rule], facts: PolicyFacts, known: Known | None = None
) -> tuple[RuleResult, ...]:
    """Return what every rule says, in their order, also those that do not apply."""
    return tuple(_result(rule, facts, known or Known()) for rule in rules)


def explain(results: Sequence[RuleResult]) -> Iterator[str]:
    """Yield a line for each rule: what it says, why, and what it looked at."""
    for each in results:
        if not each.applies:
            yield f"{each.rule} ({each.kind}): does not apply here"
            continue
        facts = ", ".join(f"{name}={value!r}" for name, value in each.looked_at.items())
        yield f"{each.rule} ({each.kind}, {each.effect}): {each.answer}: {each.reason} [{facts}]"


def check_examples(rules: Sequence[Rule], known: Known | None = None) -> tuple[Disagreement, ...]:
    """Return which examples of the rules get another answer than is expected."""
    found = []
    for rule in rules:
        for place, example in enumerate(rule.examples):
            answer, reason = _said(rule, example.facts, known or Known())
            if answer is not example.expect:
                found.append(Disagreement(rule.name, place, example.expect, answer, reason))
    return tuple(found)


def zone_names(rules: Sequence[Rule]) -> frozenset[str]:
    """Return the time zones that the caller has to look up for the rules."""
    return frozenset(
        rule.zone
        for rule in rules
        if isinstance(rule, WindowRule) and _fixed_zone(rule.zone) is None
    )


def identity_of(identities: Mapping[str, Identity], said: str) -> str | None:
    """Return the handle of the one person who is known under a name, None for nobody or several."""
    found = [
        handle
        for handle, names in identities.items()
        if said == handle or said in names.git_names or said in names.subjects
    ]
    return found[0] if len(found) == 1 else None


def _result(rule: Rule, facts: PolicyFacts, known: Known) -> RuleResult:
    applies = (facts.service is None or matches_any(rule.services, facts.service)) and (
        facts.environment is None or matches_any(rule.environments, facts.environment)
    )
    answer, reason = _said(rule, facts, known)
    return RuleResult(
        rule=rule.name,
        kind=str(type(rule).__struct_config__.tag),
        effect=rule.effect,
        applies=applies,
        answer=answer,
        reason=reason if answer is Answer.PASS or not rule.why else f"{reason} {rule.why}",
        looked_at=shown(facts, rule),
    )


def _said(  # noqa: C901, PLR0911, PLR0912 - one case per kind of rule
    rule: Rule, facts: PolicyFacts, known: Known
) -> Said:
    if rule.marker_says and not facts.marked:
        return Answer.UNKNOWN, "No marker of it has come."
    match rule:
        case AssuranceRule():
            return _on_assurance(rule, facts)
        case OwnerRule():
            return _on_owner(rule, facts)
        case TicketRule():
            return _on_tickets(rule, facts)
        case ApproverRule():
            return _on_approvers(rule, facts, known)
        case ArtifactRule():
            return _on_artifact(facts)
        case QuarantineRule():
            return _on_quarantine(facts)
        case ChangeSetRule():
            return _on_changes(rule, facts)
        case MigrationRule():
            return _on_migration(facts)
        case BudgetRule():
            return _on_budget(rule, facts)
        case WindowRule():
            return _on_window(rule, facts, known)


def _on_assurance(rule: AssuranceRule, facts: PolicyFacts) -> Said:
    if facts.assurance is None:
        return Answer.UNKNOWN, "Who stands behind its markers is not known."
    enough = _ASSURANCES.index(facts.assurance) >= _ASSURANCES.index(Assurance(rule.least))
    return _whether(enough, f"Its markers are {facts.assurance}; {rule.least} is asked for.")


def _on_owner(rule: OwnerRule, facts: PolicyFacts) -> Said:
    if not facts.owner:
        return Answer.FAIL, "Nobody is named as its owner."
    fits = matches_any(rule.like, facts.owner)
    return _whether(fits, f"{facts.owner} owns it; wanted is {_either(rule.like)}.")


def _on_tickets(rule: TicketRule, facts: PolicyFacts) -> Said:
    if not facts.tickets:
        return Answer.FAIL, "No change ticket is named."
    fits = any(matches_any(rule.like, ticket) for ticket in facts.tickets)
    named = ", ".join(facts.tickets)
    return _whether(fits, f"Its tickets are {named}; wanted is {_either(rule.like)}.")


def _on_approvers(rule: ApproverRule, facts: PolicyFacts, known: Known) -> Said:
    if facts.author is None or facts.approvers is None:
        return Answer.UNKNOWN, "Who wrote it, or who approved it, is not known."
    author = identity_of(known.identities, facts.author)
    if author is None:
        return Answer.UNKNOWN, f"Who {facts.author} is stands nowhere in auth.identities."
    names = {identity_of(known.identities, each) for each in facts.approvers}
    others = sorted(name for name in names if name is not None and name != author)
    told = f"{', '.join(others) or 'Nobody known'} other than {author} approved it"
    return _whether(len(others) >= rule.least, f"{told}; {rule.least} are asked for.")


def _on_artifact(facts: PolicyFacts) -> Said:
    if facts.digest:
        return Answer.PASS, f"Its artifact is {facts.digest}."
    return Answer.FAIL, "Its artifact has no digest: what a tag or version means may change."


def _on_quarantine(facts: PolicyFacts) -> Said:
    if facts.quarantined is None:
        return Answer.UNKNOWN, "Whether it failed before is not known."
    if facts.quarantined:
        return Answer.FAIL, "It failed before and was put away; an operator can release it."
    return Answer.PASS, "It is none that was put away."


def _on_changes(rule: ChangeSetRule, facts: PolicyFacts) -> Said:
    if facts.changes is None:
        return Answer.UNKNOWN, "How many changes it brings is not known."
    return _whether(
        facts.changes <= rule.most, f"It brings {facts.changes} changes; {rule.most} may be."
    )


def _on_migration(facts: PolicyFacts) -> Said:
    if facts.kind is Kind.SCHEMA_MIGRATION:
        return _on_contract(facts)
    if facts.requires is None:
        return Answer.PASS, "It needs no migration."
    if facts.applied is None:
        return Answer.UNKNOWN, f"Whether {facts.requires} is applied here is not known."
    there = facts.requires in facts.applied
    return _whether(there, f"It needs {facts.requires}, which is {'' if there else 'not '}applied.")


def _on_contract(facts: PolicyFacts) -> Said:
    if facts.step == "expand":
        return Answer.PASS, "It only adds."
    if facts.step != "contract":
        return Answer.UNKNOWN, "Whether it adds or takes away is not said."
    if facts.used_by is None:
        return Answer.UNKNOWN, "Whether what it takes away is still in use is not known."
    if facts.used_by:
        return Answer.FAIL, f"It takes away what {', '.join(facts.used_by)} still needs."
    return Answer.PASS, "Nothing that runs needs what it takes away."


def _on_budget(rule: BudgetRule, facts: PolicyFacts) -> Said:
    if facts.budget_left is None:
        return Answer.UNKNOWN, "How much of the error budget is left is not known."
    left = f"{facts.budget_left:.1%} of the error budget is left"
    return _whether(facts.budget_left > rule.withheld, f"{left}; {rule.withheld:.1%} is withheld.")


def _on_window(rule: WindowRule, facts: PolicyFacts, known: Known) -> Said:
    zone = _fixed_zone(rule.zone) or known.zones.get(rule.zone)
    if facts.now is None or zone is None:
        missing = f"The time zone {rule.zone}" if zone is None else "The time"
        return Answer.UNKNOWN, f"{missing} is not known."
    moment = datetime.fromtimestamp(parse_instant(facts.now) / 1_000, zone)
    day = moment.date().isoformat()
    within = any(_is_within(hours, moment) for hours in rule.weekly) or any(
        days.first <= day <= days.last for days in rule.days
    )
    told = f"It is {_DAYS[moment.weekday()]} {day} {moment:%H:%M} ({rule.zone})"
    where = "within" if within else "outside"
    return _whether(
        where == rule.deploys,
        f"{told}, {where} the window; deploying is allowed {rule.deploys} of it.",
    )


def _is_within(hours: Weekly, moment: datetime) -> bool:
    now = f"{moment:%H:%M}"
    today, yesterday = _DAYS[moment.weekday()], _DAYS[moment.weekday() - 1]
    if hours.start < hours.end:
        return today in hours.days and hours.start <= now < hours.end
    return (today in hours.days and now >= hours.start) or (
        yesterday in hours.days and now < hours.end
    )


def _fixed_zone(name: str) -> tzinfo | None:
    """Return a zone that needs no data: `UTC` or an offset."""
    if name == "UTC":
        return UTC
    found = _OFFSET.fullmatch(name)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    return timezone(-offset if sign == "-" else offset)


def _whether(holds: bool, reason: str) -> Said:  # noqa: FBT001 - the answer itself
    return (Answer.PASS if holds else Answer.FAIL), reason


def _either(globs: Sequence[str]) -> str:
    return " or ".join(globs) or "nobody"
