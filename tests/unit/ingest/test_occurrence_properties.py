"""What holds for occurrences in every story, whoever tells it and however it arrives."""

import copy
import json
from collections.abc import Sequence

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st
from occurrence_reference import Reference
from occurrence_script import Happened, Story, tell, wait_until
from occurrence_strategies import Delivery, manners, stories

from deploymark.errors import StoreUnavailableError
from deploymark.ports import Position
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_registry import MemoryRegistryStore
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import ORIGIN

EXAMPLES = settings(max_examples=40, phases=set(Phase) - {Phase.explain})


START = Position(ORIGIN, 0, b"")


def nothing_refused(said: Sequence[Happened]) -> None:
    assert [one.refused for one in said] == [""] * len(said)


def _line(delivery: Delivery, happened: Happened, allowed: set[int]) -> str:
    said = delivery.said
    at = (said.claimed_ms - 1_795_000_000_000) // 1_000
    got = f"{happened.occurrence}{' again' if happened.duplicate else ''} of {sorted(allowed)}"
    who = f"{said.identity} attempt {said.attempt} {said.emission}"
    return f"{said.release} {said.phase} {said.place!r} {said.weight} at {at}: {got} ({who})"


@settings(max_examples=150, phases=set(Phase) - {Phase.explain})
@given(deliveries=stories(manners(mixed_places=False)))
def test_every_decision_is_one_that_the_specification_allows(
    deliveries: list[Delivery],
) -> None:
    said = tell(deliveries)
    nothing_refused(said)
    reference = Reference()
    so_far: list[str] = []
    for delivery, happened in zip(deliveries, said, strict=True):
        known = reference.known(delivery.said)
        if known is not None:
            assert happened.duplicate
            assert happened.occurrence == known
            continue
        allowed = reference.answers(delivery.said, delivery.received_ms)
        event(f"{len(allowed)} answers allowed")
        so_far.append(_line(delivery, happened, allowed))
        assert happened.occurrence in allowed, "\n".join(so_far)
        reference.hear(delivery.said, happened.occurrence)
        stands = reference.standing(delivery.said, happened.occurrence)
        assert happened.duplicate == (stands is not None)
        if not happened.duplicate:
            reference.take(delivery.said, delivery.received_ms, happened.occurrence)


@EXAMPLES
@given(deliveries=stories())
def test_occurrences_are_counted_without_a_gap(deliveries: list[Delivery]) -> None:
    said = tell(deliveries)
    nothing_refused(said)
    highest: dict[str, int] = {}
    for happened in said:
        known = highest.get(happened.deployment, 0)
        assert 1 <= happened.occurrence <= known + 1
        highest[happened.deployment] = max(known, happened.occurrence)


@EXAMPLES
@given(
    deliveries=stories(manners(all_numbered=True)),
    copies=st.lists(st.tuples(st.integers(0, 11), st.integers(0, 12)), min_size=1, max_size=6),
)
def test_a_marker_sent_again_is_a_duplicate_and_changes_nothing_after_it(
    deliveries: list[Delivery], copies: list[tuple[int, int]]
) -> None:
    plain = tell(deliveries)
    first = {delivery.said.emission: n for n, delivery in reversed(list(enumerate(deliveries)))}
    sequence: list[tuple[int, bool]] = [(n, False) for n in range(len(deliveries))]
    for which, where in copies:
        position = next(i for i, one in enumerate(sequence) if one == (which % len(plain), False))
        sequence.insert(min(len(sequence), position + 1 + where), (which % len(plain), True))
    received = [deliveries[0].received_ms]
    told = []
    for number, is_copy in sequence:
        if not is_copy:
            received.append(deliveries[number].received_ms)
        delivery = deliveries[number]
        told.append(Delivery(delivery.said, delivery.body, received[-1]))
    for (number, is_copy), happened in zip(sequence, tell(told), strict=True):
        if not is_copy:
            assert happened == plain[number]
        else:
            original = plain[first[deliveries[number].said.emission]]
            assert happened.duplicate
            assert (happened.index, happened.occurrence) == (original.index, original.occurrence)


RESTARTS = {
    "with what it had flushed": "flushed",
    "with nothing remembered": "empty",
    "with a memory that lags": "lagging",
    "with facts that are ahead of their position": "ahead",
}


@pytest.mark.parametrize("memory", RESTARTS.values(), ids=RESTARTS)
@EXAMPLES
@given(deliveries=stories(), cut=st.integers(1, 11), lag=st.integers(1, 11))
def test_a_restart_decides_everything_after_it_the_same(
    memory: str, deliveries: list[Delivery], cut: int, lag: int
) -> None:
    cut %= len(deliveries)
    kept: list[MemoryRegistryStore] = [MemoryRegistryStore()]
    positions: list[Position] = []

    def remember(story: Story) -> None:
        story.log.registry.flush()
        kept.append(copy.deepcopy(kept[0]))
        if (position := kept[0].position()) is not None:
            positions.append(position)

    def restart(story: Story) -> None:
        if memory == "flushed":
            story.log.registry.flush()
            story.restart(kept[0])
        elif memory == "lagging":
            story.restart(kept[-1])
        elif memory == "ahead":
            # A flush in the middle of a group saves all its facts, at the position of one entry.
            story.log.registry.flush()
            kept[0].save({}, [], positions[0] if positions else START)
            story.restart(kept[0])
        else:
            story.restart(MemoryRegistryStore())

    interruptions = {max(0, cut - lag): remember, cut: restart}
    assert tell(deliveries, interruptions, kept[0]) == tell(deliveries)


@pytest.mark.parametrize("at", [At.BEFORE_APPEND, At.AFTER_APPEND])
@EXAMPLES
@given(deliveries=stories(), broken=st.sets(st.integers(0, 11), min_size=1, max_size=4))
def test_a_commit_that_failed_decides_the_same_when_it_is_tried_again(
    at: At, deliveries: list[Delivery], broken: set[int]
) -> None:
    plain = tell(deliveries)
    store = FaultyLogStore(MemoryLogStore())
    with Story(store) as story:
        for number, delivery in enumerate(deliveries):
            wait_until(story.clock, delivery.received_ms)
            failed = number in broken and not plain[number].duplicate
            if failed:
                store.fail(at)
                with pytest.raises(StoreUnavailableError):
                    story.send(delivery.body)
            again = story.send(delivery.body)
            written_before = failed and at is At.AFTER_APPEND
            assert again.duplicate == (plain[number].duplicate or written_before)
            assert _decided(again) == _decided(plain[number])
        assert story.log.faults() == []


@EXAMPLES
@given(
    deliveries=stories(manners(all_numbered=True)),
    cuts=st.sets(st.integers(1, 20)),
    failing=st.sampled_from((None, At.BEFORE_APPEND, At.AFTER_APPEND, At.FIND)),
)
def test_a_batch_decides_as_one_by_one(
    deliveries: list[Delivery], cuts: set[int], failing: At | None
) -> None:
    now_ms = max(delivery.received_ms for delivery in deliveries)
    bodies = [delivery.body for delivery in deliveries]
    alone = tell([Delivery(d.said, d.body, now_ms) for d in deliveries])
    assert _in_batches(bodies, now_ms, []) == alone
    edges = [cut for cut in sorted(cuts) if cut < len(bodies)]
    assert _in_batches(bodies, now_ms, edges) == alone
    if failing is not None:
        retried = _in_batches(bodies, now_ms, edges, failing)
        assert [_decided(one) for one in retried] == [_decided(one) for one in alone]


def _in_batches(
    bodies: Sequence[bytes], now_ms: int, edges: Sequence[int], failing: At | None = None
) -> list[Happened]:
    store = FaultyLogStore(MemoryLogStore())
    said: list[Happened] = []
    with Story(store) as story:
        wait_until(story.clock, now_ms)
        for start, end in zip([0, *edges], [*edges, len(bodies)], strict=True):
            if failing is not None:
                store.fail(failing)
                try:
                    story.send_all(bodies[start:end])
                except StoreUnavailableError:
                    store.heal()
            store.heal()
            said += story.send_all(bodies[start:end])
    return said


def _decided(happened: Happened) -> tuple[int, int, int]:
    return (happened.index, happened.occurrence, happened.repeat)


@EXAMPLES
@given(
    one=stories(service="checkout"),
    other=stories(service="search"),
    environment=st.booleans(),
)
def test_two_services_never_influence_each_other(
    one: list[Delivery],
    other: list[Delivery],
    environment: bool,  # noqa: FBT001 - drawn
) -> None:
    if environment:
        other = [_elsewhere(delivery, "checkout", "staging") for delivery in other]
    # Their own emitters: the number of one is never that of the other.
    other = [_other_emitter(delivery) for delivery in other]
    both = sorted([*one, *other], key=lambda delivery: delivery.received_ms)
    told = list(zip(both, tell(both), strict=True))
    for part in (one, other):
        alone = tell(part)
        together = [happened for delivery, happened in told if any(delivery is d for d in part)]
        assert [_apart(h) for h in together] == [_apart(h) for h in alone]


def _elsewhere(delivery: Delivery, service: str, environment: str) -> Delivery:
    fields = json.loads(delivery.body) | {"service": service, "environment": environment}
    return Delivery(delivery.said, json.dumps(fields).encode(), delivery.received_ms)


def _other_emitter(delivery: Delivery) -> Delivery:
    fields = json.loads(delivery.body)
    if "id" in fields["emitter"]:
        fields["emitter"]["id"] += "-of-another"
    return Delivery(delivery.said, json.dumps(fields).encode(), delivery.received_ms)


def _apart(happened: Happened) -> tuple[str, int, int, bool, str]:
    return (
        happened.marker,
        happened.occurrence,
        happened.repeat,
        happened.duplicate,
        happened.refused,
    )
