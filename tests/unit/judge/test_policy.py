"""Every kind of rule passes on what it asks for, and on nothing that is not known."""

import tomllib
from collections.abc import Mapping
from datetime import timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.errors import UsageError
from deploymark.judge.policy import (
    Answer,
    ApproverRule,
    ArtifactRule,
    AssuranceRule,
    BudgetRule,
    ChangeSetRule,
    Days,
    Identity,
    MigrationRule,
    OwnerRule,
    PolicyFacts,
    QuarantineRule,
    Rule,
    TicketRule,
    Weekly,
    WindowRule,
    check_rules,
)
from deploymark.judge.ruling import (
    Known,
    check_examples,
    explain,
    identity_of,
    rule_on,
    zone_names,
)
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.vocabulary import Assurance, Kind

PASS, FAIL, UNKNOWN = Answer.PASS, Answer.FAIL, Answer.UNKNOWN
PEOPLE = {
    "ann": Identity(git_names=("Ann Ames", "ann@laptop"), subjects=("repo:shop:actor:ann",)),
    "bob": Identity(git_names=("Bob",)),
    "cyd": Identity(),
    "dup": Identity(git_names=("Twice",)),
    "due": Identity(git_names=("Twice",)),
}
BERLIN: Mapping[str, tzinfo] = {"Europe/Berlin": ZoneInfo("Europe/Berlin")}
KNOWN = Known(PEOPLE, BERLIN)
NIGHT = WindowRule(
    name="night",
    zone="Europe/Berlin",
    weekly=(Weekly(days=("fri",), start="18:00", end="08:00"),),
)
HOLIDAYS = WindowRule(name="holidays", days=(Days(first="2026-12-20", last="2027-01-02"),))
OFFICE = WindowRule(
    name="office",
    zone="+01:00",
    weekly=(Weekly(days=("mon", "tue"), start="09:00", end="17:00"),),
    deploys="within",
)

CASES: list[tuple[str, Rule, PolicyFacts, Answer]] = [
    (
        "signed where signed is asked for",
        AssuranceRule(name="r", least="signed"),
        PolicyFacts(assurance=Assurance.SIGNED),
        PASS,
    ),
    (
        "attributed where signed is asked for",
        AssuranceRule(name="r", least="signed"),
        PolicyFacts(assurance=Assurance.ATTRIBUTED),
        FAIL,
    ),
    (
        "anonymous where anyone known will do",
        AssuranceRule(name="r"),
        PolicyFacts(assurance=Assurance.ANONYMOUS),
        FAIL,
    ),
    ("nobody knows who", AssuranceRule(name="r"), PolicyFacts(), UNKNOWN),
    ("an owner", OwnerRule(name="r"), PolicyFacts(owner="team:pay"), PASS),
    ("no owner", OwnerRule(name="r"), PolicyFacts(), FAIL),
    (
        "an owner of another kind",
        OwnerRule(name="r", like=("team:*",)),
        PolicyFacts(owner="x"),
        FAIL,
    ),
    ("a ticket", TicketRule(name="r", like=("CHG*",)), PolicyFacts(tickets=("A1", "CHG7")), PASS),
    ("another ticket", TicketRule(name="r", like=("CHG*",)), PolicyFacts(tickets=("A1",)), FAIL),
    ("no ticket", TicketRule(name="r"), PolicyFacts(tickets=()), FAIL),
    ("no marker", TicketRule(name="r"), PolicyFacts(tickets=("CHG7",), marked=False), UNKNOWN),
    (
        "approved by somebody else",
        ApproverRule(name="r"),
        PolicyFacts(author="Ann Ames", approvers=("bob",)),
        PASS,
    ),
    (
        "approved by the author under another name",
        ApproverRule(name="r"),
        PolicyFacts(author="Ann Ames", approvers=("repo:shop:actor:ann", "ann@laptop")),
        FAIL,
    ),
    (
        "approved by a stranger",
        ApproverRule(name="r"),
        PolicyFacts(author="ann", approvers=("mallory",)),
        FAIL,
    ),
    (
        "approved by a name that two have",
        ApproverRule(name="r"),
        PolicyFacts(author="ann", approvers=("Twice",)),
        FAIL,
    ),
    (
        "written by a stranger",
        ApproverRule(name="r"),
        PolicyFacts(author="mallory", approvers=("ann",)),
        UNKNOWN,
    ),
    ("written by nobody", ApproverRule(name="r"), PolicyFacts(approvers=("ann",)), UNKNOWN),
    ("approvals that are not known", ApproverRule(name="r"), PolicyFacts(author="ann"), UNKNOWN),
    (
        "one person twice where two are asked for",
        ApproverRule(name="r", least=2),
        PolicyFacts(author="ann", approvers=("bob", "Bob")),
        FAIL,
    ),
    (
        "two people where two are asked for",
        ApproverRule(name="r", least=2),
        PolicyFacts(author="ann", approvers=("bob", "cyd")),
        PASS,
    ),
    ("a digest", ArtifactRule(name="r"), PolicyFacts(digest="sha256:1"), PASS),
    ("a tag alone", ArtifactRule(name="r"), PolicyFacts(), FAIL),
    ("what was not put away", QuarantineRule(name="r"), PolicyFacts(quarantined=False), PASS),
    ("what was put away", QuarantineRule(name="r"), PolicyFacts(quarantined=True), FAIL),
    ("what may be put away", QuarantineRule(name="r"), PolicyFacts(), UNKNOWN),
    ("as many changes as may be", ChangeSetRule(name="r", most=3), PolicyFacts(changes=3), PASS),
    ("one change too many", ChangeSetRule(name="r", most=3), PolicyFacts(changes=4), FAIL),
    ("changes nobody counted", ChangeSetRule(name="r", most=3), PolicyFacts(), UNKNOWN),
    ("no migration needed", MigrationRule(name="r"), PolicyFacts(), PASS),
    (
        "its migration is applied",
        MigrationRule(name="r"),
        PolicyFacts(requires="7", applied=("6", "7")),
        PASS,
    ),
    (
        "its migration is not applied",
        MigrationRule(name="r"),
        PolicyFacts(requires="7", applied=("6",)),
        FAIL,
    ),
    ("migrations nobody knows", MigrationRule(name="r"), PolicyFacts(requires="7"), UNKNOWN),
    (
        "a migration that adds",
        MigrationRule(name="r"),
        PolicyFacts(kind=Kind.SCHEMA_MIGRATION, step="expand"),
        PASS,
    ),
    (
        "a migration that takes away what is in use",
        MigrationRule(name="r"),
        PolicyFacts(kind=Kind.SCHEMA_MIGRATION, step="contract", used_by=("d-old~1",)),
        FAIL,
    ),
    (
        "a migration that takes away what nothing needs",
        MigrationRule(name="r"),
        PolicyFacts(kind=Kind.SCHEMA_MIGRATION, step="contract", used_by=()),
        PASS,
    ),
    (
        "a migration that may take away what is in use",
        MigrationRule(name="r"),
        PolicyFacts(kind=Kind.SCHEMA_MIGRATION, step="contract"),
        UNKNOWN,
    ),
    (
        "a migration that does not say what it does",
        MigrationRule(name="r"),
        PolicyFacts(kind=Kind.SCHEMA_MIGRATION),
        UNKNOWN,
    ),
    ("more budget than is withheld", BudgetRule(name="r"), PolicyFacts(budget_left=0.01), PASS),
    ("a budget that is spent", BudgetRule(name="r"), PolicyFacts(budget_left=0.0), FAIL),
    (
        "a budget that is withheld",
        BudgetRule(name="r", withheld=0.2),
        PolicyFacts(budget_left=0.2),
        FAIL,
    ),
    ("a budget nobody counts", BudgetRule(name="r"), PolicyFacts(), UNKNOWN),
    (
        "a budget, though no marker has come",
        BudgetRule(name="r"),
        PolicyFacts(budget_left=1.0, marked=False),
        PASS,
    ),
    ("friday at six", NIGHT, PolicyFacts(now="2026-11-27T17:00:00Z"), FAIL),
    ("friday before six", NIGHT, PolicyFacts(now="2026-11-27T16:59:59Z"), PASS),
    ("the morning after", NIGHT, PolicyFacts(now="2026-11-28T06:59:00Z"), FAIL),
    ("the morning after at eight", NIGHT, PolicyFacts(now="2026-11-28T07:00:00Z"), PASS),
    ("a friday morning", NIGHT, PolicyFacts(now="2026-11-27T06:00:00Z"), PASS),
    ("six in summer is another hour", NIGHT, PolicyFacts(now="2026-07-03T16:00:00Z"), FAIL),
    ("the last day of the holidays", HOLIDAYS, PolicyFacts(now="2027-01-02T23:59:59Z"), FAIL),
    ("the day after", HOLIDAYS, PolicyFacts(now="2027-01-03T00:00:00Z"), PASS),
    ("no time", HOLIDAYS, PolicyFacts(), UNKNOWN),
    ("in the office hours", OFFICE, PolicyFacts(now="2026-11-23T08:00:00Z"), PASS),
    ("after the office hours", OFFICE, PolicyFacts(now="2026-11-23T16:00:00Z"), FAIL),
]


@pytest.mark.parametrize(
    ("rule", "facts", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_rule_says(rule: Rule, facts: PolicyFacts, expected: Answer) -> None:
    [result] = rule_on([rule], facts, KNOWN)
    assert result.answer is expected, result.reason
    assert result.reason.endswith(".")
    assert set(result.looked_at) == set(rule.looks_at)


def test_every_kind_of_rule_has_a_case_for_each_answer_it_can_give() -> None:
    seen = {(type(rule), answer) for _, rule, _, answer in CASES}
    kinds = {type(rule) for _, rule, _, _ in CASES}
    assert len(kinds) == len(Rule.__args__)
    assert {kind for kind in kinds if (kind, PASS) not in seen} == set()
    assert {kind for kind in kinds if (kind, FAIL) not in seen} == set()


@pytest.mark.parametrize("kind", Rule.__args__, ids=lambda kind: kind.__name__)
def test_nothing_known_passes_no_rule(kind: type[Any]) -> None:
    extra = {"days": HOLIDAYS.days} if kind is WindowRule else {}
    [result] = rule_on([kind(name="r", **extra)], PolicyFacts(marked=False))
    assert result.answer is UNKNOWN


def test_a_zone_without_data_is_not_known() -> None:
    assert zone_names([NIGHT, OFFICE, HOLIDAYS]) == {"Europe/Berlin"}
    [result] = rule_on([NIGHT], PolicyFacts(now="2026-11-23T08:00:00Z"), Known(PEOPLE))
    assert result.answer is UNKNOWN


@given(st.integers(0, 7 * 24 * 60 - 1))
def test_a_window_and_its_opposite_never_agree(minute: int) -> None:
    begun = parse_instant("2026-11-23T00:00:00Z")
    now = format_instant(begun + minute * 60_000)
    rules = [
        msgspec.structs.replace(OFFICE, zone=zone, deploys=deploys)
        for zone in ("UTC", "-05:30")
        for deploys in ("within", "outside")
    ]
    answers = [each.answer for each in rule_on(rules, PolicyFacts(now=now))]
    assert answers[0] is not answers[1]
    assert answers[2] is not answers[3]


@given(st.integers(0, 2 * 365 * 24))
def test_a_window_that_lasts_all_week_has_no_gap_also_when_clocks_change(hour: int) -> None:
    every: Any = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    whole = WindowRule(name="r", zone="Europe/Berlin", weekly=(Weekly(days=every),))
    begun = parse_instant("2026-01-01T00:30:00Z")
    now = format_instant(begun + hour * int(timedelta(hours=1).total_seconds()) * 1_000)
    [result] = rule_on([whole], PolicyFacts(now=now), KNOWN)
    assert result.answer is FAIL


def test_a_rule_about_other_places_does_not_apply() -> None:
    rule = OwnerRule(name="r", services=("pay*",), environments=("prod",))
    about = [("pay-api", "prod"), ("pay-api", "dev"), ("shop", "prod")]
    found = [
        rule_on([rule], PolicyFacts(service=service, environment=environment))[0].applies
        for service, environment in about
    ]
    assert found == [True, False, False]


def test_all_rules_are_explained_with_what_they_looked_at() -> None:
    rules: list[Rule] = [
        OwnerRule(name="owned", why="Ask somebody."),
        TicketRule(name="ticketed", effect="warn", environments=("prod",)),
    ]
    lines = list(explain(rule_on(rules, PolicyFacts(service="shop", environment="dev"))))
    assert lines == [
        "owned (owner, deny): fail: Nobody is named as its owner. Ask somebody. [owner=None]",
        "ticketed (ticket): does not apply here",
    ]


TEXT = """
[[rules]]
name = "tickets"
kind = "ticket"
environments = ["prod*"]
like = ["CHG*"]
[[rules.examples]]
facts = {tickets = ["CHG0012345"]}
expect = "pass"
[[rules.examples]]
facts = {tickets = ["JIRA-1"]}
expect = "pass"
[[rules]]
name = "friday"
kind = "window"
zone = "+01:00"
weekly = [{days = ["fri"], start = "12:00"}]
[[rules.examples]]
facts = {now = "2026-11-27T11:00:00Z"}
expect = "fail"
"""


def test_examples_stand_beside_the_rules_and_are_checked() -> None:
    rules = msgspec.convert(tomllib.loads(TEXT)["rules"], tuple[Rule, ...])
    [wrong] = check_examples(rules)
    assert (wrong.rule, wrong.example, wrong.expected, wrong.answer) == ("tickets", 1, PASS, FAIL)


def test_a_name_that_two_people_have_is_nobody() -> None:
    assert identity_of(PEOPLE, "Twice") is None
    assert identity_of(PEOPLE, "Ann Ames") == "ann"
    assert identity_of(PEOPLE, "") is None


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ((OwnerRule(name="a"), ArtifactRule(name="a")), "/policy/rules/1/name"),
        ((WindowRule(name="a"),), "/policy/rules/0"),
        (
            (WindowRule(name="a", days=(Days(first="2026-02-02", last="2026-02-01"),)),),
            "/policy/rules/0/days/0",
        ),
        (
            (WindowRule(name="a", weekly=(Weekly(days=("mon",), start="08:00", end="08:00"),)),),
            "/policy/rules/0/weekly/0",
        ),
    ],
    ids=["two of one name", "no time", "backwards", "no length"],
)
def test_rules_that_make_no_sense_are_refused(rules: tuple[Rule, ...], field: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_rules(rules)
    assert caught.value.field == field
    check_rules((NIGHT, HOLIDAYS, OFFICE))
