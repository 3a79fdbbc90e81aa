"""The score finds every mistake that is planted in what a perfect server would show."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from deploymark.model.instants import format_instant
from deploymark.testing.clock import START_MS
from deploymark.testing.gameday.plan import Day, Size, plan_day
from deploymark.testing.gameday.records import differences, instance_differences
from deploymark.testing.gameday.score import Scorer, Shown, Verdict
from deploymark.testing.gameday.truth import Record
from deploymark.testing.gameday.witnesses import identify

SOON_MS = 700

Board = dict[str, Shown]


@cache
def the_day() -> Day:
    """Return the day, which is planned by who needs it first: not by every worker."""
    return plan_day(Size(deployments=150, faults=42, services=15), seed=3, name="day")


def real_ms(at: float) -> int:
    return START_MS + int(at * 1_000 / the_day().timing.compression)


def principal(caller: str) -> str:
    return f"token:day-{caller}"


def scorer_of(day: Day | None = None) -> Scorer:
    day = day or the_day()
    faulty = {each.deploy.number for each in day.injections}
    healthy = [identify(each) for each in day.world.deploys if each.number not in faulty]
    return Scorer(day.injections, day.timing, real_ms, principal, healthy)


def perfect_board() -> Iterator[tuple[str, Shown]]:
    """Yield what must be found, as a server that finds it at once would show it."""
    for number, injection in enumerate(the_day().injections):
        lane = injection.deploy.lane
        for place, wanted in enumerate(injection.findings):
            assert injection.record is not None
            about = wanted.emitter or ""
            if wanted.caller is not None:
                about = principal(wanted.caller)
            elif wanted.names:
                about = wanted.names[0]
            at_ms = real_ms(wanted.since) + SOON_MS
            content = {
                "id": f"f-{number}-{place}",
                "code": min(wanted.codes).value,
                "severity": wanted.severity or "warning",
                "state": "closed",
                "service": lane.service.name,
                "environment": lane.environment,
                "deployment_id": None if about.startswith("token:") else injection.record.id,
                "about": about,
                "message": "In words.",
                "opened_at": format_instant(at_ms),
            }
            yield f"f-{number}-{place}", Shown(content, at_ms, at_ms)


@pytest.fixture
def board() -> Board:
    return dict(perfect_board())


def judged(board: Board) -> Scorer:
    scorer = scorer_of()
    end_ms = max(real_ms(each.ends) for each in the_day().world.deploys) + 600_000
    scorer.look(board, end_ms)
    for verdict in scorer.verdicts:  # of what records must show, another test speaks
        for each, answer in zip(verdict.injection.wanted, verdict.answers, strict=True):
            if each in verdict.injection.degradations:
                scorer.seen(answer, each, real_ms(each.since) + SOON_MS)
    scorer.close(board)
    assert scorer.is_decided(end_ms)
    return scorer


def missed(scorer: Scorer) -> list[Verdict]:
    return [each for each in scorer.verdicts if not each.found]


def one_of(fault: str, board: Board) -> str:
    """Return the name of a finding that a kind of fault must have."""
    number = next(n for n, each in enumerate(the_day().injections) if each.fault == fault)
    name = f"f-{number}-0"
    assert name in board
    return name


def changed(shown: Shown, **content: Any) -> Shown:  # noqa: ANN401 - JSON values
    return replace(shown, content={**shown.content, **content})


def test_a_perfect_server_is_found_perfect(board: Board) -> None:
    scorer = judged(board)
    assert missed(scorer) == []
    assert scorer.unexplained(board) == []
    times = [verdict.seconds for verdict in scorer.verdicts]
    assert all(each is not None and each <= SOON_MS / 1_000 for each in times)


def test_a_server_that_says_nothing_has_missed_everything_that_has_a_finding() -> None:
    with_findings = [each for each in the_day().injections if each.findings]
    assert len(missed(judged({}))) == len(with_findings)


PLANTED: dict[str, Callable[[Shown], Shown | None]] = {
    "a finding that never came": lambda _: None,
    "a finding of another code": lambda shown: changed(shown, code="flag_stale"),
    "a finding about another deployment": lambda shown: changed(
        shown, deployment_id=identify(the_day().world.deploys[0]), service="gameday-999", about=""
    ),
    "a finding that came too late": lambda shown: replace(
        shown, first_ms=shown.first_ms + 120_000, changed_ms=shown.first_ms + 120_000
    ),
}


@pytest.mark.parametrize("mistake", PLANTED)
@pytest.mark.parametrize(
    "fault", ["CI lost", "wrong digest", "silent zone", "lost intent", "tag without digest"]
)
def test_a_fault_is_missed_by(fault: str, mistake: str, board: Board) -> None:
    name = one_of(fault, board)
    planted = PLANTED[mistake](board.pop(name))
    if planted is not None:
        board[name] = planted
    (verdict,) = missed(judged(board))
    assert verdict.injection.fault == fault


def test_a_mismatch_must_name_the_instance(board: Board) -> None:
    name = one_of("wrong digest", board)
    board[name] = changed(board[name], about="some instance")
    assert [each.injection.fault for each in missed(judged(board))] == ["wrong digest"]


def test_what_is_only_declared_is_no_alarm(board: Board) -> None:
    name = one_of("declared only", board)
    board[name] = changed(board[name], severity="critical")
    assert [each.injection.fault for each in missed(judged(board))] == ["declared only"]


def test_what_was_resolved_must_have_closed(board: Board) -> None:
    name = one_of("tag without digest", board)
    board[name] = changed(board[name], state="open")
    (verdict,) = missed(judged(board))
    assert verdict.faults == ["artifact_unresolved is still open at the end"]


def test_a_forgery_must_be_told_about_its_caller(board: Board) -> None:
    for name, shown in board.items():
        if shown.code == "marker_forged":
            board[name] = changed(shown, about="token:somebody")
    assert {each.injection.fault for each in missed(judged(board))} == {"forged"}


def _healthy() -> Record:
    return next(each for each in the_day().records if each.deploy.fault is None and each.instances)


FALSE: dict[str, Callable[[], dict[str, Any]]] = {
    "on a deployment without a fault": lambda: {
        "code": "digest_mismatch",
        "deployment_id": _healthy().id,
        "service": _healthy().deploy.lane.service.name,
        "environment": _healthy().deploy.lane.environment,
    },
    "on a service that is not there": lambda: {
        "code": "unplanned_change",
        "service": "gameday-999",
        "environment": "gameday-prod",
        "deployment_id": None,
    },
    "of a code that its fault does not bring about": lambda: {
        "code": "config_drift",
        "deployment_id": identify(the_day().injections[0].deploy),
    },
}


@pytest.mark.parametrize("where", FALSE)
def test_a_finding_is_false(where: str, board: Board) -> None:
    board["made-up"] = Shown(
        {"id": "made-up", "state": "closed", **FALSE[where]()}, START_MS, START_MS
    )
    scorer = judged(board)
    assert missed(scorer) == []
    assert [each.content["id"] for each in scorer.unexplained(board)] == ["made-up"]


def test_it_waits_until_everything_was_seen_or_is_too_late(board: Board) -> None:
    scorer = scorer_of()
    last_ms = max(real_ms(each.since) for one in the_day().injections for each in one.degradations)
    assert not scorer.is_decided(last_ms)
    scorer.look(board, last_ms + 600_000)
    assert not scorer.is_decided(last_ms)  # the records have not been looked at
    assert scorer.is_decided(last_ms + 600_000)


def test_records_are_looked_at_only_while_it_matters() -> None:
    scorer = scorer_of()
    wanted = [each for one in the_day().injections for each in one.degradations]
    for each in wanted:
        open_now = [found for _, _, found in scorer.open_degradations(real_ms(each.since) + 1)]
        assert each in open_now
    assert scorer.open_degradations(real_ms(0) - 1) == []


# Records -----------------------------------------------------------------------------------------


def perfect_record(record: Record) -> dict[str, Any]:
    deploy = record.deploy
    return {
        "deployment_id": record.id,
        "occurrence": record.occurrence,
        "service": deploy.lane.service.name,
        "environment": deploy.lane.environment,
        "kind": deploy.line.kind.value,
        "key": deploy.line.key,
        "digest": record.digest,
        "commit_hash": record.commit,
        "version": record.version,
        "state": min(record.states),
        "unplanned": False,
        "sources": {kind: {"markers": 1} for kind in record.sources or ()},
        "missing_sources": [],
        "opened_at": format_instant(START_MS),
        "coverage": {"expected": record.instances, "confirmed": record.instances, "mismatched": 0},
        "binding": "observed",
    }


def test_a_true_record_has_no_difference() -> None:
    for record in the_day().records:
        if record.deploy.fault is None:
            assert list(differences(record, perfect_record(record), START_MS)) == []


WRONG: dict[str, dict[str, Any]] = {
    "another digest": {"digest": "sha256:00"},
    "another occurrence": {"occurrence": 9},
    "a state that it does not have": {"state": "failed"},
    "an intent that it had": {"unplanned": True},
    "a witness that never spoke": {"sources": {"proxy": {"markers": 1}}},
    "a witness missing that spoke": {"missing_sources": ["ci"]},
    "a marker counted twice": {
        "sources": {k: {"markers": 99} for k in ("ci", "orchestrator", "runtime")}
    },
    "a beginning ten minutes off": {"opened_at": format_instant(START_MS + 600_000)},
    "no beginning": {"opened_at": None},
    "an instance too few": {"coverage": {"expected": 1, "confirmed": 0, "mismatched": 0}},
    "an unproven binding": {"binding": "unproven"},
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_record_is_not_true_with(mistake: str) -> None:
    record = _healthy()
    shown = {**perfect_record(record), **WRONG[mistake]}
    assert list(differences(record, shown, START_MS))


def test_an_instance_must_be_known_and_bound_to_its_deployment() -> None:
    deploy = _healthy().deploy
    truth = deploy.born[0]
    shown = {
        "instance_uid": truth.uid,
        "service": deploy.lane.service.name,
        "environment": deploy.lane.environment,
        "cluster": truth.site.cluster,
        "region": truth.site.region,
        "zone": truth.zone,
        "deployment_id": identify(deploy),
        "occurrence": deploy.occurrence,
        "status": "confirmed",
        "digest": deploy.release.digest,
    }
    assert list(instance_differences(truth, shown, identify(deploy))) == []
    assert list(instance_differences(truth, None, identify(deploy))) == ["is not known"]
    for name in shown.keys() - {"instance_uid"}:
        (line,) = instance_differences(truth, {**shown, name: "other"}, identify(deploy))
        assert line.startswith(name)
