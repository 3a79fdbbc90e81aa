"""The registry of deployments: its stores, its cache, its flushes and its way back from the log."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from occurrence_script import Happened, Story, tell, wait_until
from occurrence_strategies import Delivery, stories

from deploymark.errors import NotFoundError, StoreUnavailableError
from deploymark.ingest.authority import EntryAuthority, catch_up
from deploymark.ingest.registry import Registry
from deploymark.ports import ListedDeployment, Position, RegistryStore
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_registry import MemoryRegistryStore
from deploymark.storage.sqlite.registry import SqliteRegistryStore
from deploymark.storage.sqlite.state import StateFile
from deploymark.testing.registry_store import exercise_registry_store
from deploymark.testing.whole_log import ORIGIN, WholeLog, sample_marker, sign

PATIENCE_SECONDS = 0.2


class WatchedStore(MemoryRegistryStore):
    """Does something in the middle of a save, as another thread would."""

    def __init__(self) -> None:
        super().__init__()
        self.saves = 0
        self.meanwhile: Callable[[], None] | None = None

    def save(
        self, facts: Mapping[str, bytes], listed: Sequence[ListedDeployment], position: Position
    ) -> None:
        self.saves += 1
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        super().save(facts, listed, position)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RegistryStore]:
    if request.param == "memory":
        yield MemoryRegistryStore()
        return
    state = StateFile(tmp_path / "state.db")
    yield SqliteRegistryStore(state)
    state.close()


def test_the_memory_store_keeps_the_contract() -> None:
    store = MemoryRegistryStore()
    exercise_registry_store(lambda: store)


def test_the_sqlite_store_keeps_the_contract(tmp_path: Path) -> None:
    opened: list[StateFile] = []

    def reopened() -> SqliteRegistryStore:
        opened.append(StateFile(tmp_path / "state.db"))
        return SqliteRegistryStore(opened[-1])

    exercise_registry_store(reopened)
    for state in opened:
        state.close()


# Small caches ------------------------------------------------------------------------------------


def forgetful(story: Story, cached: int = 1) -> Registry:
    """Let a story go on with a registry that keeps next to nothing in memory."""
    registry = Registry(story.registry_store, cached=cached)
    catch_up(registry, story.store)
    story.log.registry = registry
    authority = story.log.sequencer._admission
    assert isinstance(authority, EntryAuthority)
    authority.registry = registry
    return registry


@settings(max_examples=40)
@given(deliveries=stories())
def test_a_small_cache_decides_the_same(deliveries: list[Delivery]) -> None:
    said = []
    with Story() as story:
        registry = forgetful(story, cached=8)
        for number, delivery in enumerate(deliveries):
            wait_until(story.clock, delivery.received_ms)
            said.append(story.send(delivery.body))
            if number % 3 == 0:
                registry.flush()
    assert said == tell(deliveries)


def crowd(story: Story, names: Iterator[int]) -> None:
    """Let so many others speak that a small cache forgets everything it may."""
    for _ in range(4):
        story.say("applied", service=f"other-{next(names)}")


def test_what_was_evicted_is_read_again() -> None:
    with Story() as story:
        registry = forgetful(story)
        names = count()
        said: list[Happened] = []
        for minute, phase in enumerate(("planned", "failed", "planned", "applied", "failed")):
            said.append(story.say(phase, at=f"+{minute}m"))
            registry.flush()
            crowd(story, names)
        assert [one.occurrence for one in said] == [1, 1, 2, 2, 2]


def test_what_was_never_flushed_is_not_forgotten() -> None:
    with Story() as story:
        forgetful(story)
        names = count()
        story.say("planned", at="+0m")
        crowd(story, names)
        story.say("failed", at="+1m")
        crowd(story, names)
        assert story.say("planned", at="+2m").occurrence == 2


# Flushing ----------------------------------------------------------------------------------------


def test_a_flush_that_fails_loses_nothing() -> None:
    store = WatchedStore()
    with Story(registry_store=store) as story:
        registry = forgetful(story)
        names = count()
        story.say("planned", at="+0m")
        story.say("failed", at="+1m")

        def others_speak_until_the_disk_is_full() -> None:
            crowd(story, names)
            raise StoreUnavailableError("No space is left.")

        store.meanwhile = others_speak_until_the_disk_is_full
        with pytest.raises(StoreUnavailableError):
            registry.flush()
        crowd(story, names)
        assert story.say("planned", at="+2m").occurrence == 2
        registry.flush()
        story.restart(store)
        assert story.say("applied", at="+3m").occurrence == 2


def test_a_flush_in_the_middle_of_admission_forgets_nothing() -> None:
    store = WatchedStore()
    with Story(registry_store=store) as story:
        registry = forgetful(story)
        names = count()
        story.say("planned", at="+0m")
        story.say("failed", at="+1m")
        said: list[Happened] = []

        def others_speak() -> None:
            crowd(story, names)
            said.append(story.say("planned", at="+2m"))

        store.meanwhile = others_speak
        registry.flush()
        crowd(story, names)
        said.append(story.say("failed", at="+3m"))
        assert [one.occurrence for one in said] == [2, 2]


def test_a_deployment_can_be_read_in_the_middle_of_its_flush() -> None:
    store = WatchedStore()
    with Story(registry_store=store) as story:
        deployment = story.say("planned").deployment
        found: list[str] = []

        def look() -> None:
            found.extend(record.id for record in story.log.registry.get(deployment))

        store.meanwhile = look
        story.log.registry.flush()
        assert found == [deployment]


def test_an_older_flush_that_ends_last_takes_nothing_back() -> None:
    store = WatchedStore()
    with Story(registry_store=store) as story:
        registry = forgetful(story)
        names = count()
        story.say("planned", at="+0m")
        newer = threading.Thread(target=registry.flush)

        def overtake() -> None:
            story.say("failed", at="+1m")
            newer.start()
            newer.join(PATIENCE_SECONDS)  # it may as well have to wait for this one

        store.meanwhile = overtake
        registry.flush()
        newer.join()
        registry.flush()
        crowd(story, names)
        assert story.say("planned", at="+2m").occurrence == 2
        again = Registry(store)
        catch_up(again, story.store)
        rebuilt = Registry(MemoryRegistryStore())
        catch_up(rebuilt, story.store)
        assert again.listed() == rebuilt.listed()


def test_a_flush_without_news_writes_nothing() -> None:
    store = WatchedStore()
    with Story(registry_store=store) as story:
        story.say("planned")
        story.log.registry.flush()
        before = store.saves
        story.log.registry.flush()
        assert store.saves == before


# Reading -----------------------------------------------------------------------------------------


def test_deployments_are_listed_in_pages_newest_first(store: RegistryStore) -> None:
    with Story(registry_store=store) as story:
        for number in range(7):
            story.say("applied", service=f"service-{number % 2}", release=f"r{number}")
        story.say("running", service="service-0", release="r0", uid="uid-1")
        registry = story.log.registry
        listed = registry.listed(limit=3)
        newest = [record.last_index for record in listed]
        while listed:
            listed = registry.listed(before=newest[-1], limit=3)
            newest += [record.last_index for record in listed]
        assert newest == [8, 7, 6, 5, 4, 3, 2]  # entry 1 is told of again by entry 8
        only = registry.listed(service="service-1", environment="prod")
        assert [record.last_index for record in only] == [6, 4, 2]
        assert registry.listed(service="service-1", environment="staging") == []


def test_a_deployment_is_found_by_each_of_its_ids(store: RegistryStore) -> None:
    with Story(registry_store=store, action="github/shop/1") as story:
        planned = story.say("planned", at="+0s", digest=False)
        applied = story.say("applied", at="+1m")
        assert planned.deployment != applied.deployment
        (one,) = story.log.registry.get(planned.deployment)
        assert story.log.registry.get(applied.deployment) == [one]
        assert {one.id, *one.aliases} == {planned.deployment, applied.deployment}
        assert one.last_index == applied.index


def test_an_id_that_nobody_used_is_not_found(store: RegistryStore) -> None:
    with Story(registry_store=store) as story, pytest.raises(NotFoundError):
        story.log.registry.get("d-unheard-of")


def test_what_was_refused_is_not_listed(store: RegistryStore) -> None:
    with Story(registry_store=store) as story:
        story.say("applied", commit_hash="a" * 40)
        assert story.say("applied", commit_hash="b" * 40).refused == "marker_conflict"
        (one,) = story.log.registry.listed()
        assert one.commit == "a" * 40


def test_code_and_configuration_of_one_given_id_are_two_records(store: RegistryStore) -> None:
    with Story(registry_store=store, deployment_id="release-7") as story:
        story.say("applied", at="+0s")
        story.say("applied", at="+1m", kind="config", key="settings", revision="2")
        kinds = [record.line.kind for record in story.log.registry.get("release-7")]
        assert sorted(kinds) == ["config", "deployment"]


# Back from the log -------------------------------------------------------------------------------


def tell_of_two_occurrences(story: Story) -> str:
    story.say("planned", at="+0m")
    story.say("failed", at="+1m")
    again = story.say("planned", at="+2m")
    story.log.registry.flush()
    return again.deployment


def test_a_restart_folds_only_what_is_missing(store: RegistryStore) -> None:
    with Story(registry_store=store) as story:
        tell_of_two_occurrences(story)
        assert catch_up(Registry(store), story.store) == 0
        story.say("applied", at="+4m")
        assert catch_up(Registry(store), story.store) == 1


def test_what_a_flush_was_ahead_of_is_not_folded_again(store: RegistryStore) -> None:
    with Story(registry_store=store) as story:
        first = story.say("planned", at="+0m")
        story.say("failed", at="+1m", place="eu")
        story.log.registry.flush()
        before = story.log.registry.get(first.deployment)
        store.save({}, [], Position(ORIGIN, 0, b""))  # the facts of both, at the position of none
        again = Registry(store)
        catch_up(again, story.store)
        assert again.get(first.deployment) == before


def test_a_restarted_registry_knows_the_same(store: RegistryStore) -> None:
    with Story(registry_store=store) as story:
        deployment = tell_of_two_occurrences(story)
        before = story.log.registry.get(deployment)
        again, rebuilt = Registry(store), Registry(MemoryRegistryStore())
        catch_up(again, story.store)
        catch_up(rebuilt, story.store)
        assert again.get(deployment) == rebuilt.get(deployment) == before
        assert again.position == rebuilt.position == story.log.registry.position


def test_a_store_of_another_log_is_rebuilt(store: RegistryStore) -> None:
    with WholeLog(MemoryLogStore(), origin="log.example/other", registry_store=store) as other:
        other.append(sign(sample_marker(1), other.admin))
        other.registry.flush()
        (foreign,) = other.registry.listed()
    with Story() as story:
        deployment = tell_of_two_occurrences(story)
        story.restart(store)
        assert [record.id for record in story.log.registry.listed()] == [deployment]
        with pytest.raises(NotFoundError):
            story.log.registry.get(foreign.id)
        assert story.say("failed", at="+5m").occurrence == 2


def test_a_store_that_is_ahead_of_its_log_is_rebuilt(store: RegistryStore) -> None:
    with Story(registry_store=store) as ahead:
        tell_of_two_occurrences(ahead)
    with Story(registry_store=store) as story:  # the same log, from before any of that
        assert story.log.registry.listed() == []
        assert story.say("planned", at="+9m").occurrence == 1


def test_a_store_of_a_log_with_another_history_is_rebuilt(store: RegistryStore) -> None:
    with Story(registry_store=store) as one:
        tell_of_two_occurrences(one)
    with Story() as story:
        for number in range(4):
            story.say("applied", at=f"+{number}m", release=f"r{number}")
        story.restart(store)
        assert len(story.log.registry.listed()) == 4
        assert story.say("planned", at="+9m", release="v1").occurrence == 1


def test_occurrences_are_counted_on_beyond_those_remembered_in_detail() -> None:
    with Story() as story:
        said = []
        for round_ in range(80):
            said.append(story.say("planned", at=f"+{2 * round_}m"))
            story.say("failed", at=f"+{2 * round_ + 1}m")
        assert [one.occurrence for one in said] == list(range(1, 81))
        story.restart()
        assert story.say("planned", at="+7h").occurrence == 81
