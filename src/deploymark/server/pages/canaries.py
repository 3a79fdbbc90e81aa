"""Rollouts by steps and rollbacks under way, as their controller and their verdicts tell them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from deploymark.errors import DeploymarkError
from deploymark.model.instants import format_instant, parse_instant
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.questions import InstanceQuery
from deploymark.projections.broker.run_book import Told
from deploymark.projections.broker.shown_state import ShownState
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Bench, Rolling, mark_id, standing_of
from deploymark.server.pages.selection import name_before
from deploymark.server.pages.shapes import Bands, Canary, LookResult, ScorePoint
from deploymark.server.pages.shapes_oncall import Rollback

CANARIES: Final = 4
ROLLBACKS: Final = 4
POINTS: Final = 120
HOSTS: Final = 8
INSTANCES: Final = 1_000

BANDS: Final = Bands(fails_at=0.0, passes_at=100.0)
"""The judge's score reaches its ends when something is proven (`judge.verdict.score`)."""

T = TypeVar("T")


class Some(NamedTuple, Generic[T]):
    """The first of some, and how many there are."""

    items: list[T]
    total: int


def canaries_of(
    asked: Asked, bench: Bench, rolling: Rolling, marks: Sequence[MarkRow]
) -> Some[Canary]:
    """Return the rollouts by steps among these runs and those that controllers know."""
    names = []
    for service, environment, name in rolling:
        identity, _, number = name.partition("~")
        names.append((service, environment, identity, int(number or 1)))
    known = {mark_id(mark): mark for mark in asked.sources.marks.named(names)}
    for mark in marks:
        if standing_of(mark, rolling)[0] in (ShownState.CANARY, ShownState.PAUSED):
            known.setdefault(mark_id(mark), mark)
    shown = [
        mark
        for mark in known.values()
        if standing_of(mark, rolling)[0] in (ShownState.CANARY, ShownState.PAUSED)
    ]
    shown.sort(key=lambda mark: -mark.at_ms)
    bench.read(shown[:CANARIES])
    found = [canary_of(asked, bench, mark) for mark in shown[:CANARIES]]
    return Some([each for each in found if each is not None], len(shown))


def canary_of(asked: Asked, bench: Bench, mark: MarkRow) -> Canary | None:
    """Return a rollout by steps with its newest looks; None of what is not known."""
    told = bench.told(mark)
    if told is None:
        return None
    looks, total = asked.sources.book.looks(told.document, POINTS)
    standing, looked_at = bench.standing(mark), asked.sources.look_seconds
    rollout: Mapping[str, Any] = {} if standing is None else standing.rollout
    newest = looks[0] if looks else None
    return Canary(
        chip=bench.chip(mark),
        planned=standing is not None or (mark.service, mark.environment) in looked_at,
        step=rollout.get("step") or (newest or {}).get("step"),
        steps=list(rollout.get("steps", ())),
        weight=rollout.get("weight"),
        points=[_point(look) for look in reversed(looks)],
        points_total=total,
        bands=BANDS,
        next_look_at=_next(asked, mark, newest) if standing is not None else None,
        verdict=None if newest is None else LookResult(newest["result"]),
        reason=None if standing is None else standing.reason,
    )


def _point(look: Mapping[str, Any]) -> ScorePoint:
    at_ms = parse_instant(look["received_at"])
    return ScorePoint(at_ms, look["score"], LookResult(look["result"]))


def _next(asked: Asked, mark: MarkRow, newest: Mapping[str, Any] | None) -> str | None:
    """Return when the next look is due; one that is overdue comes any moment."""
    seconds = asked.sources.look_seconds.get((mark.service, mark.environment))
    if newest is None or seconds is None:
        return None
    due_ms = parse_instant(newest["timestamp"]) + 1_000 * seconds
    return format_instant(max(due_ms, asked.now_ms))


def rollbacks_of(
    asked: Asked, bench: Bench, rolling: Rolling, marks: Sequence[MarkRow]
) -> Some[Rollback]:
    """Return the rollbacks under way among these runs."""
    shown = [mark for mark in marks if standing_of(mark, rolling)[0] is ShownState.ROLLING_BACK]
    bench.read(shown[:ROLLBACKS])
    return Some([_rollback(asked, bench, mark) for mark in shown[:ROLLBACKS]], len(shown))


def _rollback(asked: Asked, bench: Bench, mark: MarkRow) -> Rollback:
    told = bench.told(mark)
    standing = bench.standing(mark)
    to = None if standing is None else standing.rollout["target_deployment_id"]
    if to is None and told is not None:
        to = name_before(asked, told.document, mark)
    left = _instances(asked, mark_id(mark))
    back = None if to is None else _instances(asked, to)
    total = None if back is None else len(back) + len(left)
    return Rollback(
        chip=bench.chip(mark),
        to=to,
        to_version=None if to is None else _version(asked, to),
        hosts_done=None if back is None or not total else len(back),
        hosts_total=total or None,
        hosts=left[:HOSTS],
        began_at=_began(mark, told),
    )


def _began(mark: MarkRow, told: Told | None) -> str:
    phases: Mapping[str, str] = {} if told is None else told.document["phases"]
    return phases.get("rolling_back") or format_instant(mark.at_ms)


def _instances(asked: Asked, name: str) -> list[str]:
    """Return the names of the instances that run a deployment, the first thousand."""
    query = InstanceQuery(deployment_id=(name,), limit=INSTANCES)
    try:
        found = asked.parts.broker.instances(query).items
    except DeploymarkError:  # a target may be named by what is no id
        return []
    return [item["instance"] or item["instance_uid"] for item in found]


def _version(asked: Asked, name: str) -> str | None:
    try:
        item = asked.parts.broker.deployment(name)
    except DeploymarkError:
        return None
    said = item["version"] or item["tag"] or item["commit_hash"] or item["digest"]
    return None if said is None else str(said)
