"""An id of derived form that somebody else gave first: whom it follows from is not kept out."""

import json

from occurrence_script import Happened, Story

from deploymark.ingest.authority import catch_up
from deploymark.ingest.registry import Registry
from deploymark.ingest.registry_facts import MAX_RECORDS
from deploymark.model.ids import deployment_id
from deploymark.storage.memory_registry import MemoryRegistryStore

OWN = deployment_id("pay", "prod", "version:9", "run-1")
RUN = {"service": "pay", "environment": "prod", "version": "9", "action": "run-1"}


def _say(story: Story, minute: int, **fields: object) -> Happened:
    said = {"environment": "prod", "version": "9", "emitter": {"kind": "ci"}, **fields}
    return story.send(json.dumps(said).encode(), arrives=f"+{minute}m")


def _squat(story: Story, minute: int, phase: str = "applied", service: str = "evil") -> Happened:
    return _say(story, minute, service=service, phase=phase, deployment_id=OWN)


def _rebuilt(story: Story) -> Registry:
    again = Registry(MemoryRegistryStore())
    catch_up(again, story.store)
    return again


def test_whom_an_id_follows_from_has_it_whoever_came_first() -> None:
    with Story() as story:
        assert _squat(story, 0).occurrence == 1
        assert _squat(story, 1, "failed").occurrence == 1
        assert _squat(story, 2, "planned").occurrence == 2
        own = _say(story, 3, phase="applied", **RUN)
        assert (own.refused, own.deployment, own.occurrence) == ("", OWN, 3)
        assert _say(story, 4, phase="failed", **RUN).occurrence == 3
        assert _say(story, 5, phase="planned", **RUN).occurrence == 4
        assert _squat(story, 6, "failed").refused == "marker_conflict"
        assert _rebuilt(story).get(OWN) == story.log.registry.get(OWN)


def test_what_follows_from_its_own_marker_belongs_to_it_at_once() -> None:
    with Story() as story:
        assert _say(story, 0, phase="planned", **RUN).occurrence == 1
        assert _squat(story, 1).refused == "marker_conflict"


def test_an_id_of_no_derived_form_belongs_to_whom_gave_it_first() -> None:
    with Story() as story:
        named = {"phase": "applied", "deployment_id": "release-7"}
        assert not _say(story, 0, service="evil", **named).refused
        assert _say(story, 1, service="pay", **named).refused == "marker_conflict"


def test_an_action_does_not_join_an_id_that_others_use() -> None:
    # Its occurrence would be counted there as in the first one, which somebody else has already.
    digest = {"artifact": {"digest": f"sha256:{'a' * 64}"}}
    later = deployment_id("pay", "prod", digest["artifact"]["digest"], "run-1")
    with Story() as story:
        _say(story, 0, service="evil", phase="applied", deployment_id=later)
        assert _say(story, 1, phase="planned", **RUN).occurrence == 1
        applied = _say(story, 2, phase="applied", **RUN, **digest)
        assert (applied.refused, applied.deployment, applied.occurrence) == ("", later, 2)


def test_ids_of_one_action_take_no_number_that_another_service_has_under_one_of_them() -> None:
    digest = {"artifact": {"digest": f"sha256:{'a' * 64}"}}
    with Story() as story:
        _say(story, 0, phase="planned", **RUN, **digest)
        given = {**RUN, "deployment_id": OWN, "version": None, "commit_hash": "c" * 40}
        assert _say(story, 1, phase="applying", **given).occurrence == 1
        assert _squat(story, 2).occurrence == 2
        assert _say(story, 3, phase="failed", **RUN, **digest).occurrence == 1
        assert _say(story, 40, phase="planned", **RUN, **digest).occurrence == 3
        assert _say(story, 41, phase="applied", **given).occurrence == 3
        assert story.log.faults() == []


def test_however_many_others_gave_the_id_its_own_is_found() -> None:
    with Story() as story:
        for number in range(MAX_RECORDS + 2):
            _squat(story, number, service=f"evil-{number}")
        own = _say(story, 100, phase="planned", **RUN)
        assert own.occurrence == MAX_RECORDS + 3
        assert _say(story, 101, phase="applied", **RUN).occurrence == own.occurrence
        assert len(story.log.registry.get(OWN)) == MAX_RECORDS
