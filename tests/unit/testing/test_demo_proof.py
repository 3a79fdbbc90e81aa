"""The demonstration's last steps notice what does not follow, and a log that is damaged."""

import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from deploymark.act.course import Course
from deploymark.act.plan import MetricPlan, RolloutPlan
from deploymark.act.verdicts import Arms, Verdicts
from deploymark.errors import JudgeError
from deploymark.ingest.callers import PLATFORM
from deploymark.ingest.intake import Intake
from deploymark.ports import Cell, Cohort, CohortCounts, MetricQuery
from deploymark.runtime.acting import evidence_of
from deploymark.runtime.compose import init_log, open_log, platform_signer
from deploymark.runtime.system import SystemClock
from deploymark.testing.clock import START_MS
from deploymark.testing.demo.proof import audit, judge_again

PLAN = RolloutPlan(
    metrics=(MetricPlan(name="errors"),),
    look_seconds=1,
    bucket_seconds=1,
    warmup_seconds=0,
    block_seconds=(1,),
    history_seconds=10,
)
COURSE = Course("d-new~1", "shop", "demo", step=1, since_ms=START_MS)
ARMS = Arms(
    Cohort("shop", "demo", ("d-new",)),
    Cohort("shop", "demo", ("d-old",)),
    Cohort("shop", "demo", ("d-old",)),
)


class Counted:
    """A source in which every second of the canary has more errors."""

    name = "telemetry"
    lag_ms = 0

    def count(
        self,
        cohort: Cohort,
        metrics: Sequence[MetricQuery],
        since_ms: int,
        until_ms: int,
        bucket_ms: int,
    ) -> CohortCounts:
        events = 40 if "d-new" in cohort.deployments else 2
        cells = tuple(
            Cell(f"{cohort.deployments[0]}-{replica}", at_ms, 100, events)
            for at_ms in range(since_ms, until_ms, bucket_ms)
            for replica in range(2)
        )
        return CohortCounts({metric.name: cells for metric in metrics})


def judged(path: Path, *, lie: str = "") -> int:
    """Write a log with a verdict, whose result may be a lie; return its index."""
    init_log(path, "log.example/demo")
    with open_log(path) as log:
        intake = Intake(
            log.receiver, platform_signer(log.data, None), SystemClock(), secrets.token_bytes
        )

        def say_with(kind: str, payload: bytes, content: bytes) -> int:
            if lie:
                payload = payload.replace(b'"result":"fail"', f'"result":"{lie}"'.encode())
            return intake.say_with(kind, payload, content, PLATFORM).index

        verdicts = Verdicts(
            lambda content: intake.keep_evidence(content, PLATFORM),
            say_with,
            evidence_of(log.store),
        )
        taken = verdicts.look(COURSE, PLAN, Counted(), ARMS, START_MS + 5_000)
        assert taken.judgement.result == "fail"
        intake.close()
        log.publisher.publish()
    return taken.idx


def test_a_verdict_that_follows_comes_out_the_same(tmp_path: Path) -> None:
    index = judged(tmp_path / "data")
    judgement, (look,) = judge_again(tmp_path / "data", index)
    assert (judgement.result, judgement.look) == ("fail", 1)
    assert look.until_ms - look.since_ms == 5_000
    assert audit(tmp_path / "data") == (index + 1, [])


def test_a_verdict_that_does_not_follow_is_noticed(tmp_path: Path) -> None:
    index = judged(tmp_path / "data", lie="pass")
    with pytest.raises(JudgeError, match="does not come out the same"):
        judge_again(tmp_path / "data", index)


def test_what_is_no_verdict_is_refused(tmp_path: Path) -> None:
    judged(tmp_path / "data")
    with pytest.raises(JudgeError, match="The entry 0 is no verdict"):
        judge_again(tmp_path / "data", 0)


def test_a_damaged_log_is_noticed(tmp_path: Path) -> None:
    judged(tmp_path / "data")
    with closing(sqlite3.connect(tmp_path / "data" / "log.db")) as database, database:
        database.execute("DROP TRIGGER entry_is_fixed")
        database.execute("UPDATE entry SET leaf_hash = zeroblob(32) WHERE idx = 0")
    _, faults = audit(tmp_path / "data")
    assert faults
