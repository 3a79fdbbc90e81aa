"""How a test says what the broker should know, and that the order of arrival changes nothing.

`shape` brings a deployment into a form that one line can state; `expected` states it. What the
specification leaves open stands here once, under a name, so that an answer is changed in one
place.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from difflib import unified_diff
from itertools import islice, permutations
from random import Random
from typing import Any

from broker_reading import Broker, Item, portrait
from broker_world import Said, World

from deploymark.ingest.authority import marker_fields
from deploymark.model.filing import MARKER_TYPES
from deploymark.model.leaf import decode_leaf
from deploymark.model.vocabulary import AMENDMENT, DECISION, FINDING, RETRACTION, VERDICT

LIVE = "running"
"""The state of what was applied everywhere, before any instance was heard of."""

EXPLICIT, EXTERNAL, DIGEST, COMMIT, VERSION = "explicit", "external", "digest", "commit", "version"
UNPLANNED, DERIVED = "unplanned", "derived"
"""The rules by which evidence joins, in their order; then: it made a deployment of its own, and it
is no evidence, because its own id was derived.
"""

FROM_ENTRIES = frozenset(
    {
        "artifact_unresolved",
        "clock_skew",
        "correlation_ambiguous",
        "digest_mismatch",
        "marker_conflict",
        "unplanned_change",
    }
)
"""Findings that follow from entries alone; whatever else is open depends on the time."""

_ORDERS, _ALL_ORDERS_OF = 4, 3


def shape(record: Item, world: World) -> dict[str, Any]:
    """Return what a test states of a deployment."""
    rules = {rule: number for rule, number in record["rules"].items() if rule != DERIVED}
    phases = _phases(world)
    for each in record["joins"]:
        assert each["rule"] in record["rules"]
        assert each["index"] in phases
    sources = {kind: said["markers"] for kind, said in record["sources"].items()}
    first = record["occurrence"] == 1
    return {
        "id": record["deployment_id"],
        "aliases": sorted(record["aliases"]),
        "state": stage(record["state"]),
        "occurrences": {each["occurrence"]: stage(each["state"]) for each in record["occurrences"]},
        "places": places_of(record),
        # How often each spoke is stated where the deployment happened once.
        "sources": sources if first else dict.fromkeys(sources),
        # Single instances tell their rule themselves; the record of thousands counts them.
        "joins": rules if first else {},
        "redeploy": record["redeploy"],
        "unplanned": record["unplanned"],
        "rollback_of": _plain(record["rollback_of"]),
    }


def expected(
    said: Said | str,
    state: str,
    *,
    sources: Mapping[str, int],
    places: Mapping[str, str] | None = None,
    occurrences: Sequence[str] = (),
    joins: Mapping[int, str] | None = None,
    **more: Any,  # noqa: ANN401 - the rest of `shape`
) -> dict[str, Any]:
    """Return the shape that a deployment should have.

    Args:
        said: One of its markers, or its id.
        state: Of its latest occurrence.
        sources: Who spoke of it, and how often.
        places: The state of each place, by its name.
        occurrences: The state of each, when there is more than one.
        joins: By which rule each piece of evidence joined, by its index.
        more: aliases, redeploy, unplanned, rollback_of.
    """
    first = len(occurrences) <= 1
    return {
        "id": said if isinstance(said, str) else said.deployment,
        "aliases": [],
        "state": state,
        "occurrences": dict(enumerate(occurrences or [state], start=1)),
        "places": dict(places or {}),
        "sources": dict(sources) if first else dict.fromkeys(sources),
        "joins": dict(Counter((joins or {}).values())) if first else {},
        "redeploy": False,
        "unplanned": False,
        "rollback_of": None,
        **more,
    }


def stage(state: str) -> str:
    """Return a state; what runs may be known to run as it should, which is asked elsewhere."""
    return LIVE if state in {"verified", "complete"} else state


def ids(broker: Broker, **filters: str) -> set[str]:
    """Return the ids of all deployments that are listed."""
    listed = broker.deployments(**filters)
    found = {each["deployment_id"] for each in listed}
    assert len(found) == len(listed), "a deployment is listed twice"
    return found


def places_of(record: Item) -> dict[str, str]:
    """Return the state of each place by its name; the one without a name is nobody's place."""
    names = ("cluster", "region", "namespace", "workload")
    return {
        "/".join(place[name] for name in names if place[name]): place["state"]
        for place in record["places"]
        if any(place[name] for name in names)
    }


def found(broker: Broker, **filters: str) -> set[tuple[str, str | None]]:
    """Return code and deployment of the open findings that follow from entries alone."""
    return {
        (each["code"], _plain(each["deployment_id"]))
        for each in broker.findings(state="open", **filters)
        if each["code"] in FROM_ENTRIES
    }


def finding(broker: Broker, code: str, **filters: str) -> Item:
    """Return the one finding with a code."""
    (only,) = broker.findings(code=code, **filters)
    assert only["severity"] in {"info", "warning", "critical"}
    assert only["message"]
    assert only["remedy"]
    return only


def instances(broker: Broker, **filters: str) -> dict[str, tuple[str, int, str, str]]:
    """Return deployment, occurrence, rule and status of each instance, by its uid."""
    return {
        each["instance_uid"]: (
            each["deployment_id"],
            each["occurrence"],
            each["rule"],
            each["status"],
        )
        for each in broker.instances(**filters)
    }


def counts(coverage: Item) -> tuple[int | None, int, int]:
    """Return how many instances were expected, are confirmed, and are mismatched."""
    return coverage["expected"], coverage["confirmed"], coverage["mismatched"]


# Order -------------------------------------------------------------------------------------------


def order_does_not_matter(world: World) -> None:
    """Hold the views to the same answers for the same leaves in any other order.

    Findings and corrections name entries by their indexes, which only hold in one order; a log that
    has some is followed in batches instead. Verdicts and decisions keep their order: only the
    platform writes them, one after the other, and the newest speaks.
    """
    bodies = world.leaves()
    if any(_type_of(body) in (AMENDMENT, FINDING, RETRACTION) for body in bodies):
        followed, replayed = world.read(batches=range(len(bodies))), world.read()
        assert followed.dump() == replayed.dump()
        return
    first, others = bodies[:1], bodies[1:]  # the log's own key
    as_told = portrait(world.read_log(bodies), _names(bodies))
    for order in _orders(others):
        whole = [*first, *_rulings_in_order(order, others)]
        _equal(portrait(world.read_log(whole), _names(whole)), as_told)


def arrival_does_not_matter(world: World, told: Sequence[Said]) -> None:
    """Deliver everything late and in other orders; equal decisions must give equal answers.

    Only for stories in which every emitter numbers its markers: then admission believes the times
    that late markers claim. Where the order changes an occurrence, the specification says so.
    """
    bodies = [each.body for each in told]
    in_order = _delivered(world, bodies)
    assert in_order is not None
    decided, answers = in_order
    random = Random(len(bodies))
    for _ in range(_ORDERS):
        again = _delivered(world, random.sample(bodies, len(bodies)))
        if again is not None and again[0] == decided:
            _equal(again[1], answers)


def _equal(one: str, other: str) -> None:
    lines = unified_diff(other.splitlines(), one.splitlines(), "in order", "otherwise", lineterm="")
    assert one == other, "\n".join(lines)


def _delivered(world: World, bodies: Sequence[bytes]) -> tuple[set[str], str] | None:
    end = world.clock.now_ms() / 1_000
    with World(world.settings) as late:
        began = late.clock.now_ms() / 1_000
        for number, body in enumerate(bodies):
            if late.send(body, at=end - began + number).refused:
                return None
        leaves = late.leaves()
        decided = set(_names(leaves).values())
        return decided, portrait(late.read(), _names(leaves), received=False)


def _orders(bodies: Sequence[bytes]) -> list[Sequence[bytes]]:
    if len(bodies) <= _ALL_ORDERS_OF:
        return [list(order) for order in islice(permutations(bodies), 1, None)]
    random = Random(len(bodies))
    shuffled: list[Sequence[bytes]] = [random.sample(bodies, len(bodies)) for _ in range(_ORDERS)]
    return [*shuffled, bodies[::-1]]


def _rulings_in_order(order: Sequence[bytes], bodies: Sequence[bytes]) -> list[bytes]:
    rulings = iter([body for body in bodies if _type_of(body) in (VERDICT, DECISION)])
    return [next(rulings) if _type_of(body) in (VERDICT, DECISION) else body for body in order]


def _type_of(body: bytes) -> str:
    return decode_leaf(body).dsse.payloadType


def _names(bodies: Sequence[bytes]) -> dict[int, str]:
    return {index: decode_leaf(body).dedupe for index, body in enumerate(bodies)}


def _phases(world: World) -> dict[int, str]:
    leaves = (decode_leaf(body) for body in world.leaves())
    return {
        index: marker_fields(leaf)["phase"]
        for index, leaf in enumerate(leaves)
        if leaf.dsse.payloadType in MARKER_TYPES
    }


def _plain(name: str | None) -> str | None:
    return None if name is None else name.partition("~")[0]
