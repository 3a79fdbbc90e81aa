"""Says how a game day went: a table for people, plain values for a file."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final

from deploymark.testing.gameday.game import Result
from deploymark.testing.gameday.player import Sent
from deploymark.testing.gameday.score import Verdict

COLUMNS: Final = ("fault", "injected", "found", "median", "slowest", "limit")

Json = dict[str, Any]


def rows(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each kind of fault: how many were found, how soon, and the limit."""
    by_fault: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_fault[verdict.injection.fault].append(verdict)
    for fault, same in sorted(by_fault.items()):
        times = [each.seconds for each in same if each.seconds is not None and each.answers]
        limits = [answer.limit_seconds for each in same for answer in each.answers]
        yield (
            fault,
            str(len(same)),
            str(sum(each.found for each in same)),
            f"{median(times):.1f} s" if times else "",
            f"{max(times):.1f} s" if times else "",
            f"{max(limits):.0f} s" if limits else "no finding",
        )


def complaints(result: Result) -> Iterator[str]:
    """Yield a sentence for everything that was not as it must be."""
    for verdict in result.verdicts:
        if not verdict.found:
            yield f"{_where(verdict)}: {'; '.join(_reasons(verdict))}"
    for shown in result.false_findings:
        content = shown.content
        about = content.get("deployment_id") or content.get("about")
        lane = f"{content.get('service')}/{content.get('environment')}"
        yield f"false finding {shown.code} on {lane}, {about}: {content.get('message')}"
    for line in result.untrue:
        yield f"not true: {line}"
    for each in result.wrong_answers:
        yield _answer(each)


def _reasons(verdict: Verdict) -> Iterator[str]:
    for each in verdict.answers:
        if each.seconds is None:
            yield f"{each.what}: not seen within {each.limit_seconds:.0f} s"
        elif not each.holds:
            yield f"{each.what}: after {each.seconds:.1f} s, not {each.limit_seconds:.0f} s"
    yield from verdict.faults


def _where(verdict: Verdict) -> str:
    deploy, record = verdict.injection.deploy, verdict.injection.record
    name = "" if record is None else f" {record.id}"
    return f"{verdict.injection.fault} on {deploy.lane.key} ({deploy.shape}){name}"


def _answer(sent: Sent) -> str:
    message = sent.message
    wanted = " or ".join(map(str, sorted(message.answers)[:2]))
    return (
        f"answered {sent.status} {sent.code}, not {wanted}: {message.phase} of "
        f"{message.emitter.id} about {message.fields['service']}/{message.fields['environment']}"
    )


def as_json(result: Result) -> Json:
    """Return everything as JSON values."""
    day = result.day
    return {
        "day": day.name,
        "seed": day.seed,
        "compression": day.timing.compression,
        "deployments": len(day.world.deploys),
        "messages": result.sent,
        "slipped_seconds": round(result.slipped_seconds, 3),
        "won": result.is_won,
        "faults": [_verdict(each) for each in result.verdicts],
        "false_findings": [each.content for each in result.false_findings],
        "untrue": result.untrue,
        "wrong_answers": [_answer(each) for each in result.wrong_answers],
    }


def _verdict(verdict: Verdict) -> Json:
    injection = verdict.injection
    deploy = injection.deploy
    return {
        "fault": injection.fault,
        "service": deploy.lane.service.name,
        "environment": deploy.lane.environment,
        "shape": deploy.shape.value,
        "deployment_id": None if injection.record is None else injection.record.id,
        "found": verdict.found,
        "seconds": verdict.seconds,
        "wanted": [
            {
                "what": each.what,
                "seconds": each.seconds,
                "limit_seconds": each.limit_seconds,
                "finding": each.shown,
            }
            for each in verdict.answers
        ],
        "wrong": verdict.faults,
    }
