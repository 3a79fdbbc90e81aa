"""What holds whole services up, whichever deployment one looks at: freezes, sources that are away.

A deployment's own reason stands on its chip; these stand in lines of their own, because whoever
does not know of them waits for what cannot happen. Everything here was said by `act.rollouts`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from deploymark.model.instants import format_instant
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.shapes import Notice, NoticeKind

_LIFT: Final = (
    "Nothing is done by itself there. Decide by hand, or lift it with `deploymark freeze --lift`."
)
_AWAY: Final = (
    "No look finds anything out until it answers, so no canary goes on by itself. See whether it"
    " runs and whether this server reaches it, or decide by hand."
)

Item = Mapping[str, Any]


def notices_of(asked: Asked, concerns: Callable[[str, str], bool]) -> list[Notice]:
    """Return what holds services up, each thing once, what is longest so first.

    Args:
        asked: The look.
        concerns: Tells whether a service in an environment is looked at.
    """
    found: dict[tuple[str, ...], Notice] = {}
    for rollout in asked.rollouts():
        if concerns(rollout["service"], rollout["environment"]):
            for notice in (*_freezes(rollout), *_silence(rollout, asked.now_ms)):
                found.setdefault((notice.kind, notice.sentence), notice)
    return sorted(found.values(), key=lambda each: (each.since_at is None, each.since_at or ""))


def _freezes(rollout: Item) -> Iterable[Notice]:
    for each in rollout["frozen"]:
        services = "Everything" if each["service"] == "*" else each["service"]
        where = "everywhere" if each["environment"] == "*" else f"in {each['environment']}"
        why = (each["reason"] or "no reason given").rstrip(".")
        said = f"{services} {where} is frozen by {each['by']}: {why}."
        yield Notice(NoticeKind.FREEZE, said, _LIFT, each.get("since"))


def _silence(rollout: Item, now_ms: int) -> Iterable[Notice]:
    if rollout.get("silence"):
        silent_ms = rollout.get("silent_ms")
        since = None if silent_ms is None else format_instant(now_ms - silent_ms)
        yield Notice(NoticeKind.SOURCE, rollout["silence"], _AWAY, since)
