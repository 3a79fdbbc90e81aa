"""Finds markers that tell nothing new: two systems for one event, a marker for every push.

Pure; judges what a server listed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from deploymark.model.instants import parse_instant

View = Mapping[str, Any]

_SAME_MS: Final = 60_000
_FINISHED_MS: Final = 3_600_000
_ENOUGH: Final = 5
# Each instance says these for itself.
_OF_INSTANCES: Final = frozenset({"running"})


def doubled(views: Sequence[View]) -> Iterator[str]:
    """Yield a sentence for each two emitters of one kind that mark the same events.

    A deploy that CI intends and an orchestrator confirms is said twice on purpose; twice by two CI
    systems within a minute is not.

    Args:
        views: Markers, as the server lists them.
    """
    events: dict[tuple[str, ...], list[tuple[int, str]]] = defaultdict(list)
    for view in views:
        marker, emitter = view["marker"], view["marker"].get("emitter") or {}
        if marker["phase"] not in _OF_INSTANCES and emitter.get("id"):
            what = (_place(marker), marker["phase"], _subject(marker), emitter.get("kind", ""))
            events[what].append((parse_instant(view["received_at"]), emitter["id"]))
    pairs: Counter[tuple[str, str, str]] = Counter()
    for (place, *_), said in events.items():
        said.sort()
        for (earlier_ms, first), (later_ms, second) in pairwise(said):
            if first != second and later_ms - earlier_ms <= _SAME_MS:
                one, other = sorted((first, second))
                pairs[place, one, other] += 1
    for (place, one, other), times in pairs.most_common():
        yield f"{one} and {other} both mark {place}, {times} times within a minute."


def unfinished(views: Sequence[View], now_ms: int) -> Iterator[str]:
    """Yield a sentence for each service of which most planned deployments never went on.

    Args:
        views: Markers, as the server lists them.
        now_ms: What was planned within the last hour may yet go on.
    """
    planned: dict[str, set[str]] = defaultdict(set)
    went_on: set[str] = set()
    for view in views:
        marker, deployment = view["marker"], view["ids"].get("deployment_id", "")
        if marker["phase"] != "planned":
            went_on.add(deployment)
        elif now_ms - parse_instant(view["received_at"]) > _FINISHED_MS:
            planned[_place(marker)].add(deployment)
    for place, deployments in sorted(planned.items()):
        idle = len(deployments - went_on)
        if idle >= _ENOUGH and 2 * idle > len(deployments):
            yield f"Of {len(deployments)} planned deployments of {place}, {idle} never went on."


def _place(marker: View) -> str:
    return f"{marker['service']} in {marker['environment']}"


def _subject(marker: View) -> str:
    digest = (marker.get("artifact") or {}).get("digest")
    return str(digest or marker.get("commit_hash") or marker.get("version") or "")
