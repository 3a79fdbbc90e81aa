"""Of which outcomes a question is: windows, environments, pages, and what asking costs."""

from typing import Any

import pytest
from broker_markers import DAY, HOUR, MINUTE, ci
from outcome_stories import NOW_MS, Story, decision, moment, named, tell_the_example, verdict
from sqlalchemy import event

from deploymark.errors import QueryError
from deploymark.model.vocabulary import DECISION, VERDICT
from deploymark.projections.outcome_questions import SliQuery
from deploymark.projections.outcomes_query import COUNTERS
from deploymark.testing.clock import START_MS


def test_a_window_has_its_beginning_and_not_its_end(story: Story) -> None:
    for hour in range(4):
        story.say(ci("applied", f"v{hour}"), hour * HOUR)
    asked: dict[str, Any] = {"since": moment(HOUR), "until": moment(3 * HOUR)}
    assert [i["at"] for i in story.items("M1", **asked)] == [moment(2 * HOUR), moment(HOUR)]
    assert story.share("M1", **asked) == (2, 2)
    reading = story.reading("M1", **asked)
    assert (reading.since_ms, reading.until_ms) == (START_MS + 3_600_000, START_MS + 10_800_000)


def test_the_last_week_is_counted_unless_said_otherwise(story: Story) -> None:
    story.say(ci("applied", "v1"), -2 * DAY - 1)
    story.say(ci("applied", "v2"), -2 * DAY)
    assert [i["deployment_id"] for i in story.items("M1")] == [named(ci("applied", "v2"))]
    assert story.reading("M1").until_ms == NOW_MS


def test_only_production_is_counted_unless_an_environment_is_named(story: Story) -> None:
    for environment in ("prod", "eu-live", "staging"):
        story.say(ci("applied", environment=environment), 0)
        more = {"environment": environment}
        story.judge(ci("applied", environment=environment), "pass", MINUTE, **more)
        for action in ("promote", "roll_back"):
            outcome = {"stage": "outcome", "outcome": "succeeded", **more}
            name = named(ci("applied", environment=environment))
            story.say(decision(name, action, **outcome), 2 * DAY, DECISION)
    for measure in COUNTERS:
        assert story.share(measure)[1] == 2, measure
        assert story.share(measure, environment=("staging",))[1] == 1, measure
        assert story.share(measure, environment=("staging", "prod"))[1] == 2, measure
        assert {i["environment"] for i in story.items(measure)} == {"prod", "eu-live"}


def test_a_page_that_follows_is_of_the_same_window(story: Story) -> None:
    for number in range(5):
        story.say(ci("applied", f"v{number}"), number * HOUR)
    query = SliQuery(measure="M1", limit=3)
    page = story.outcomes.items(query, NOW_MS)
    later = SliQuery(measure="M1", limit=3, cursor=page.next_cursor)
    assert len(story.outcomes.items(later, NOW_MS + 30 * DAY * 1_000).items) == 2


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"since": "yesterday"}, "/since"),
        ({"since": moment(1), "until": moment(1)}, "/since"),
        ({"since": moment(0), "until": moment(367 * DAY)}, "/since"),
        ({"limit": 0}, "/limit"),
        ({"cursor": "nonsense"}, "/cursor"),
    ],
)
def test_what_cannot_be_asked_is_refused(story: Story, asked: dict[str, Any], field: str) -> None:
    with pytest.raises(QueryError) as refused:
        story.outcomes.items(SliQuery(measure="M1", **asked), NOW_MS)
    assert refused.value.field == field


def test_an_entry_that_names_no_deployment_is_skipped_by_nothing(story: Story) -> None:
    freeze = {"action": "freeze", "stage": "decided", "environment": "prod", "actor": "anna"}
    story.say(freeze, 0, DECISION)
    assert not [name for name in story.log.meter.counts if "skipped" in name]
    assert all(story.share(measure) == (0, 0) for measure in COUNTERS)


def test_many_cost_as_many_statements_as_few(story: Story) -> None:
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(statement)

    def fill(first: int, last: int) -> None:
        for number in range(first, last):
            each = ci("applied", f"v{number}")
            story.write(each, number)
            for action in ("promote", "roll_back"):
                said = decision(named(each), action, "outcome", outcome="succeeded")
                story.write(said, DAY + number, DECISION)
            story.write(verdict(named(each), "fail", reasons=["burn"]), number, VERDICT)
        story.log.runner.catch_up()

    costs: list[int] = []
    event.listen(story.log.views.engine, "before_cursor_execute", note)
    for first, last in ((0, 3), (3, 60)):
        fill(first, last)
        statements.clear()
        assert [story.share(measure)[1] for measure in COUNTERS] == [last] * len(COUNTERS)
        costs.append(len(statements))
    assert costs[0] == costs[1]


def test_every_statement_finds_its_rows_by_an_index(story: Story) -> None:
    tell_the_example(story)
    asked: dict[str, Any] = {}

    def note(_: object, __: object, statement: str, values: object, *___: object) -> None:
        asked.setdefault(statement, values)

    event.listen(story.log.views.engine, "before_cursor_execute", note)
    for measure in COUNTERS:
        story.items(measure, 3)
    plans = []
    with story.log.views.reading() as connection:
        for statement, values in list(asked.items()):
            if statement.startswith(("SELECT", "WITH")):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                plans += [row[3] for row in rows]
    assert any("broker_run_returns" in plan for plan in plans)
    bad = [each for each in plans if each.startswith(("SCAN broker", "SCAN outcomes"))]
    assert [*bad, *[each for each in plans if "(service=? AND environment=?)" in each]] == []
