"""What the registry keeps of one deployment or line is bounded; these say what gives way."""

import json

from occurrence_script import Happened, Story

from deploymark.ingest.authority import COMPARED
from deploymark.ingest.occurrences import MAX_ALIASES, MAX_CUTOVERS, MAX_SPOTS
from deploymark.ingest.registry_facts import MAX_OPEN, MAX_OPEN_SPOTS, Live, still_open
from deploymark.ingest.sighting import ANYWHERE, Place


def test_what_is_live_is_known_to_end_however_much_was_planned_since() -> None:
    with Story() as story:
        first = story.say("applied", at="+0m", release="first")
        for number in range(MAX_OPEN + 8):
            story.say("planned", at=f"+{number + 1}m", release=f"r{number}")
        story.say("applied", at="+3h", release="next")
        (record,) = story.log.registry.get(first.deployment)
        assert record.over


def test_of_what_was_only_planned_the_oldest_is_not_known_to_end() -> None:
    with Story() as story:
        planned = [
            story.say("planned", at=f"+{number}m", release=f"r{number}")
            for number in range(MAX_OPEN + 1)
        ]
        story.say("applied", at="+3h", release="next")
        records = [story.log.registry.get(each.deployment)[0] for each in planned]
        assert [record.over for record in records] == [False] + [True] * MAX_OPEN


def test_open_records_have_few_places_together() -> None:
    half = MAX_OPEN_SPOTS // 2
    records = {"live": half, "old": half, "older than new": 1, "new": half}
    live = (Live(ANYWHERE, 0, "live"),)
    assert still_open(records, live) == {"live": half, "new": half}
    assert still_open({"new": MAX_OPEN_SPOTS + 1}, ()) == {}


def test_a_place_too_many_stands_for_all_places() -> None:
    with Story() as story:
        said = story.say("planned", place="c0")
        for number in range(1, MAX_SPOTS + 9):
            story.say("planned", place=f"c{number}")
        (record,) = story.log.registry.get(said.deployment)
        assert record.spots == MAX_SPOTS + 1
        assert ANYWHERE in [spot.place for spot in record.occurrences[0].spots]


def test_old_occurrences_give_way_to_the_places_of_new_ones() -> None:
    with Story() as story:
        half = MAX_SPOTS // 2
        for again in range(3):
            for number in range(half):
                story.say("applied", at=f"+{2 * again}h", place=f"c{number}", attempt=again + 1)
            story.say("failed", at=f"+{2 * again + 1}h", attempt=again + 1)
        (record,) = story.log.registry.get(story.say("failed", at="+9h").deployment)
        assert [each.number for each in record.occurrences] == [3]
        assert Place("c0") in [spot.place for spot in record.occurrences[0].spots]
        assert story.say("planned", at="+9h", attempt=4).occurrence == 4


def test_an_id_too_many_of_one_action_is_a_deployment_of_its_own() -> None:
    with Story(action="run") as story:
        named = [f"name-{number}" for number in range(MAX_ALIASES + 2)]
        for name in named:
            story.say("planned", deployment_id=name)
        found = [story.log.registry.get(name)[0].id for name in named]
        assert found == [named[0]] * (MAX_ALIASES + 1) + [named[-1]]


def test_a_cutover_returns_after_many_others_and_once_too_many_it_does_not() -> None:
    with Story() as story:
        story.say("applied", at="+0s")

        def cut_over(number: int, colour: str, cluster: str) -> Happened:
            return story.say("cutover", at=f"+{number + 1}s", place=cluster, colour=colour)

        cut_over(0, "blue", "c")
        cut_over(1, "green", "c")
        for number in range(MAX_CUTOVERS - 2):
            cut_over(number + 2, "blue", f"c{number}")
        assert cut_over(200, "blue", "c").repeat == 1
        cut_over(201, "blue", "another")
        assert cut_over(202, "green", "c").duplicate  # the first one of it is forgotten


def _numbered(phase: str, sequence: int) -> bytes:
    emitter = {"kind": "ci", "id": "one", "epoch": "e", "sequence": sequence}
    said = {"service": "shop", "environment": "prod", "version": "1"}
    return json.dumps({**said, "phase": phase, "emitter": emitter}).encode()


def test_after_a_restart_a_number_is_known_again_if_it_is_not_too_old() -> None:
    with Story() as story:
        bodies = [
            _numbered(("applied", "failed")[number % 2], number)
            for number in range(2 * COMPARED + 2)
        ]
        said = [story.send(body, arrives=f"+{number}m") for number, body in enumerate(bodies)]
        story.restart()
        again = story.send(bodies[2])
        assert (again.duplicate, again.occurrence) == (True, said[2].occurrence)
        assert story.send(bodies[0]).occurrence != 0  # older: decided anew, never an error


def test_what_states_its_time_is_said_once() -> None:
    said = {"service": "shop", "environment": "prod", "version": "1", "emitter": {"kind": "ci"}}
    timed = json.dumps({**said, "phase": "applied", "timestamp": "2026-11-18T11:06:40Z"}).encode()
    with Story() as story:
        first = story.send(timed, arrives="+0m")
        story.send(json.dumps({**said, "phase": "rolled_back"}).encode(), arrives="+1m")
        again = story.send(timed, arrives="+2h")
        assert (again.duplicate, again.index) == (True, first.index)
