"""The deployment that is selected: what it is, who spoke of it, what one may do about it."""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import NotFoundError
from deploymark.model.vocabulary import EmitterKind, Role
from deploymark.projections.broker.marks import MarkRow
from deploymark.projections.broker.marks_query import MarkQuery
from deploymark.projections.broker.questions import named
from deploymark.projections.broker.shown_state import RANK, ShownState
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.chips import Bench, mark_id
from deploymark.server.pages.shapes import ActionName, ActionOffer, Selected, Source

_OVER: Final = (
    ShownState.COMPLETE,
    ShownState.SUPERSEDED,
    ShownState.ROLLED_BACK,
    ShownState.REMOVED,
)

Item = Mapping[str, Any]


def run_of(asked: Asked, name: str) -> tuple[Item, MarkRow]:
    """Return a deployment with all that the broker knows of it, and how it is drawn.

    Args:
        asked: The look.
        name: `d-…`, `d-…~2`, or an alias.

    Raises:
        NotFoundError: There is none.
        QueryError: The name is no id.
        StoreUnavailableError: The views are being built, or their medium refuses.
    """
    named(name)
    item = asked.parts.broker.deployment(name)
    return item, mark_of(asked, item)


def mark_of(asked: Asked, item: Item) -> MarkRow:
    """Return how a deployment is drawn.

    Raises:
        NotFoundError: It is gone since.
    """
    identity = (item["service"], item["environment"], item["deployment_id"], item["occurrence"])
    for mark in asked.sources.marks.named([identity]):
        if (mark.kind, mark.kind_key == "") == (item["kind"], not item["key"]):
            return mark
    raise NotFoundError(f"No deployment {item['deployment_id']!r} is known.")


def name_before(asked: Asked, item: Item, mark: MarkRow) -> str | None:
    """Return what ran before a deployment, None where nothing did or nobody knows.

    What its markers name, or what the broker saw it take the place of; else the newest of the same
    service there that had gone live when it came, and has neither failed nor been taken back. So
    beside a canary stands what it is compared with.
    """
    if item["previous_deployment_id"] is not None:
        return str(item["previous_deployment_id"])
    if mark.kind_key:
        return None
    query = MarkQuery(
        service=(mark.service,),
        environment=(mark.environment,),
        kind=(mark.kind,),
        until_ms=mark.at_ms,
        limit=BEFORE,
    )
    good = (
        each
        for each in asked.sources.marks.listed(query).rows
        if each.live and each.rank not in _NO_GOOD and mark_id(each) != mark_id(mark)
    )
    return next((mark_id(each) for each in good if not each.kind_key), None)


BEFORE: Final = 16
"""Deployments that are looked through for what ran before one."""

_NO_GOOD: Final = frozenset(
    RANK[state] for state in (ShownState.FAILED, ShownState.ROLLED_BACK, ShownState.REMOVED)
)


def selected_of(asked: Asked, bench: Bench, name: str) -> Selected:
    """Return a deployment as it is selected; raises as `run_of`."""
    item, mark = run_of(asked, name)
    return selection(asked, bench, item, mark)


def selection(asked: Asked, bench: Bench, item: Item, mark: MarkRow) -> Selected:
    """Return a deployment as it is selected."""
    bench.read([mark])
    chip = bench.chip(mark, deltas=True)
    return Selected(
        chip=chip,
        artifact=item["artifact"],
        digest=item["digest"],
        commit_hash=item["commit_hash"],
        owner=item["owner"],
        tickets=list(item["change_tickets"]),
        strategy=item["strategy"],
        previous=name_before(asked, item, mark),
        opened_at=item["opened_at"],
        live_at=item["live_at"],
        ended_at=item["ended_at"],
        sources=_sources(item),
        actions=offers_of(asked, bench, item, mark),
        confirm=mark.service,
    )


def _sources(item: Item) -> list[Source]:
    told: Item = item["sources"]
    return [
        Source(kind.value, kind in told, told[kind]["last_at"] if kind in told else None)
        for kind in EmitterKind
    ]


def offers_of(asked: Asked, bench: Bench, item: Item, mark: MarkRow) -> list[ActionOffer]:
    """Return what the caller could ask for, each with why not."""
    standing = bench.standing(mark)
    why_none = _why_none(asked, item, mark)
    refused = {} if why_none else _refused(asked, mark)
    newest = None if standing is None else standing.rollout["newest_index"]
    state = bench.state(mark)
    offers = []
    for action in ActionName:
        why_not = why_none or _why_not(action, state, is_rolling=standing is not None)
        why_not = why_not or refused.get(action.value)
        offers.append(ActionOffer(action, why_not is None, why_not, newest))
    return offers


def _why_none(asked: Asked, item: Item, mark: MarkRow) -> str | None:
    if not asked.caller.has(Role.OPERATOR):
        return "This needs the role operator; ask an administrator for a token that has it."
    if item["kind"] != "deployment":
        return "Only deployments are rolled out by a plan."
    if asked.parts.rollouts is None:
        return "This server rolls nothing out."
    if (mark.service, mark.environment) not in asked.sources.look_seconds:
        return (
            f"{mark.service} in {mark.environment} has no rollout plan:"
            f" add [rollouts.{mark.service}.{mark.environment}] to the configuration."
        )
    return None


def _refused(asked: Asked, mark: MarkRow) -> Mapping[str, str]:
    """Return what the answer to `POST /v1/actions` would be, as far as it would be no."""
    rollouts = asked.parts.rollouts
    if rollouts is None:
        return {}
    scope = mark.service, mark.environment
    try:
        return rollouts.refused(mark_id(mark), scope, asked.caller.principal)
    except NotFoundError as error:
        return {action.value: error.message for action in ActionName}


def _why_not(action: ActionName, state: ShownState, *, is_rolling: bool) -> str | None:
    if action is ActionName.ROLL_BACK:
        if state in _OVER:
            return f"It is {state.value.replace('_', ' ')} already."
        return "It is being rolled back." if state is ShownState.ROLLING_BACK else None
    if not is_rolling:
        return "It is not being rolled out."
    if action is ActionName.RESUME and state is not ShownState.PAUSED:
        return "It is not paused."
    if action is ActionName.PAUSE and state is ShownState.PAUSED:
        return "It is paused already."
    return None
