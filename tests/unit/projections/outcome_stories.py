"""The words of the stories about outcomes, and a log in which they are told and counted."""

import pathlib
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from broker_markers import DAY, HOUR, MINUTE, Fields, ci, digest_of, id_of
from msgspec import structs
from projected_log import Projected, append, leaf_of

from deploymark.model.instants import format_instant
from deploymark.model.leaf import encode_leaf
from deploymark.model.vocabulary import DECISION, MARKER, VERDICT
from deploymark.ports import LogStore
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.measures import Reading
from deploymark.projections.outcome_questions import DAY_MS, SliQuery, window_of
from deploymark.projections.outcomes import OutcomesView
from deploymark.projections.outcomes_query import Outcomes
from deploymark.testing.clock import START_MS

Item = dict[str, Any]
NOW_MS = START_MS + 5 * DAY_MS
"""When it is asked; the stories begin five days before."""


class Story:
    """A log with its outcomes and the broker beside them.

    Args:
        folder: Where the views lie.
        store: A log that was written before.
    """

    def __init__(self, folder: pathlib.Path, store: LogStore | None = None) -> None:
        self.log = Projected(folder, store, views=[BrokerView(), OutcomesView()])
        self.outcomes = Outcomes(self.log.views)
        self.log.runner.catch_up()

    def write(self, fields: Fields, at: float, payload_type: str = MARKER, **more: Any) -> int:  # noqa: ANN401 - of a leaf
        """Append what is said at this second; return its index."""
        came = START_MS + round(1_000 * at)
        said = {"timestamp": format_instant(came), **fields}
        leaf = leaf_of(said, payload_type, received_at_ms=came, **more)
        append(self.log.store, [encode_leaf(leaf)], [came])
        return self.log.store.head().size - 1

    def say(self, fields: Fields, at: float, payload_type: str = MARKER, **more: Any) -> int:  # noqa: ANN401 - as `write`
        """Append it, and let the views take it in."""
        index = self.write(fields, at, payload_type, **more)
        self.log.runner.catch_up()
        return index

    def judge(self, marker: Fields, result: str, at: float, **more: object) -> int:
        """Say a verdict about the deployment of a marker."""
        return self.say(verdict(named(marker), result, **more), at, VERDICT)

    def decide(self, marker: Fields, action: str, stage: str, at: float, **more: object) -> int:
        """Say a stage of a decision about the deployment of a marker."""
        return self.say(decision(named(marker), action, stage, **more), at, DECISION)

    def carry_out(
        self, marker: Fields, action: str, at: float, seconds: float = 60, how: str = "succeeded"
    ) -> tuple[int, int]:
        """Say the first and the last stage of a decision; return their indexes."""
        first = self.decide(marker, action, "decided", at)
        stages = {"decision_index": first, "outcome": how}
        return first, self.decide(marker, action, "outcome", at + seconds, **stages)

    def reading(self, measure: str, **asked: Any) -> Reading:  # noqa: ANN401 - any filter
        """Return what a measure says."""
        return self.outcomes.take(window_of(SliQuery(**asked), NOW_MS)).readings[measure]

    def share(self, measure: str, **asked: Any) -> tuple[int, int]:  # noqa: ANN401 - any filter
        """Return numerator and denominator."""
        return self.shares(**asked)[measure]

    def shares(self, **asked: Any) -> dict[str, tuple[int, int]]:  # noqa: ANN401 - any filter
        """Return numerator and denominator of every measure, which are read together."""
        found = self.outcomes.take(window_of(SliQuery(**asked), NOW_MS)).readings
        return {
            name: (each.share.numerator, each.share.denominator) for name, each in found.items()
        }

    def items(self, measure: str, limit: int = 2, **asked: Any) -> list[Item]:  # noqa: ANN401 - any filter
        """Return the items of all pages."""
        query = SliQuery(measure=measure, limit=limit, **asked)
        items: list[Item] = []
        while True:
            page = self.outcomes.items(query, NOW_MS)
            assert len(page.items) <= limit
            items += page.items
            if page.next_cursor is None:
                return items
            query = structs.replace(query, cursor=page.next_cursor)

    def results(self, measure: str, **asked: Any) -> list[str]:  # noqa: ANN401 - any filter
        """Return what came of each item, the latest first."""
        return [item["result"] for item in self.items(measure, **asked)]

    def dump(self) -> dict[str, list[bytes]]:
        """Return all rows of the views."""
        with closing(sqlite3.connect(self.log.path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            rows = {
                name: connection.execute(f'SELECT * FROM "{name}"').fetchall()  # noqa: S608
                for (name,) in tables.fetchall()
            }
        return {name: sorted(repr(row).encode() for row in found) for name, found in rows.items()}

    def close(self) -> None:
        self.log.close()


def summed(items: Sequence[Item]) -> tuple[int, int]:
    """Recount a list as an auditor would."""
    return sum(i["numerator"] for i in items), sum(i["denominator"] for i in items)


def named(marker: Fields, occurrence: int = 1) -> str:
    """Return how the occurrence of a marker is named."""
    return f"{id_of(marker)}~{occurrence}"


def verdict(deployment: str, result: str, **more: object) -> Fields:
    advice = {"pass": "promote", "fail": "roll_back", "inconclusive": "extend"}[result]
    return {
        "deployment_id": deployment,
        "service": "checkout",
        "environment": "prod",
        "result": result,
        "advice": advice,
        "look": 1,
        "score": 50,
        "inputs_digest": digest_of("inputs"),
        "judge": "judge/1",
        **more,
    }


def decision(deployment: str, action: str, stage: str, **more: object) -> Fields:
    return {
        "action": action,
        "stage": stage,
        "environment": "prod",
        "service": "checkout",
        "actor": "policy",
        "deployment_id": deployment,
        **more,
    }


def moment(seconds: float) -> str:
    return format_instant(START_MS + round(1_000 * seconds))


def canary(phase: str, release: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    return ci(phase, release, weight=25, **more)


def tell_the_example(story: Story) -> None:
    """Tell the story that the docs count by hand."""
    v1, v2, v3, v4, v5 = (f"v{number}" for number in range(1, 6))
    # Day 0: v1 goes live. Its canary passed twice, and two promotions brought it there.
    story.say(canary("applied", v1), 0)
    story.judge(ci("applied", v1), "inconclusive", 5 * MINUTE)
    story.judge(ci("applied", v1), "pass", 10 * MINUTE)
    story.carry_out(ci("applied", v1), "promote", 10 * MINUTE)
    story.judge(ci("applied", v1), "pass", 20 * MINUTE)
    story.carry_out(ci("applied", v1), "promote", 20 * MINUTE)
    story.say(ci("applied", v1), 21 * MINUTE)
    # Day 1: the canary of v2 burns the budget and is rolled back within four minutes.
    story.say(canary("applied", v2), DAY)
    story.judge(ci("applied", v2), "fail", DAY + MINUTE, reasons=["burn"])
    story.carry_out(ci("applied", v2), "roll_back", DAY + 2 * MINUTE, 3 * MINUTE)
    story.say(canary("rolling_back", v2), DAY + 2 * MINUTE)
    story.say(canary("rolled_back", v2), DAY + 5 * MINUTE)
    # Day 2: v3 goes live by a person's promotion, and is rolled back an hour later; it takes long.
    story.say(ci("applied", v3), 2 * DAY)
    story.carry_out(ci("applied", v3), "promote", 2 * DAY)
    story.carry_out(ci("applied", v3), "roll_back", 2 * DAY + HOUR, 20 * MINUTE)
    story.say(ci("applied", v1, run="back"), 2 * DAY + HOUR + MINUTE)
    # Day 3: the pipeline of v4 fails. Day 4: v5 goes live, and its promotion is not a day old.
    story.say(ci("applying", v4), 3 * DAY)
    story.say(ci("failed", v4), 3 * DAY + MINUTE)
    story.say(ci("applied", v5), 4 * DAY + HOUR)
    story.carry_out(ci("applied", v5), "promote", 4 * DAY + HOUR)
