"""The rules of occurrences beyond the worked examples: what is later, where, and whose it is."""

from collections.abc import Iterator

import pytest
from occurrence_script import Happened, Story, marker

A, B = "release-a", "release-b"


@pytest.fixture
def story() -> Iterator[Story]:
    with Story() as told:
        yield told
        assert told.log.faults() == []


def occurrences(*said: Happened) -> list[int]:
    assert [one.refused for one in said] == [""] * len(said)
    return [one.occurrence for one in said]


def test_the_same_unnumbered_words_a_quarter_of_an_hour_later_are_said_anew(story: Story) -> None:
    body = marker("planned")
    story.send(body, arrives="+0s")
    story.say("failed", at="+1m")
    again = story.send(body, arrives="+16m")
    assert not again.duplicate
    assert again.occurrence == 2


def test_an_http_retry_after_the_end_opens_nothing(story: Story) -> None:
    body = marker("applied", at="+0s", number=7)
    first = story.send(body, arrives="+1s")
    story.say("removed", at="+1m", number=8)
    again = story.send(body, arrives="+2d")
    assert again.duplicate
    assert again.index == first.index


def test_the_attempt_counts_whichever_marker_of_the_occurrence_said_it(story: Story) -> None:
    said = [
        story.say("failed", at="+0s", emitter="orchestrator"),
        story.say("running", at="+10s", uid="uid-1", attempt=1),
        story.say("applying", at="+20s", attempt=1),
    ]
    assert occurrences(*said) == [1, 1, 1]


def test_the_numbers_of_one_emitter_tell_what_came_after_another_release_went_live(
    story: Story,
) -> None:
    story.say("applied", at="+100s", release=A, number=0)
    story.say("applied", at="+110s", release=B, number=1)
    # The clock of this emitter was set back by ten seconds; its numbers were not.
    assert story.say("applied", at="+105s", arrives="+115s", release=A, number=2).occurrence == 2


def test_the_numbers_of_one_emitter_tell_what_came_before_another_release_went_live(
    story: Story,
) -> None:
    story.say("planned", at="+0s", release=A, number=0)
    story.say("applied", at="+10s", release=B, number=2)
    late = story.say("applying", at="+11m", arrives="+20s", release=A, number=1)
    assert late.occurrence == 1


def test_applied_counts_although_applying_again_was_heard_of_first(story: Story) -> None:
    story.say("applied", at="+0m", release=A)
    story.say("applying", at="+3m", release=B, emitter="orchestrator")
    story.say("applied", at="+2m", arrives="+10m", release=B, number=0)
    assert story.say("applied", at="+20m", release=A).occurrence == 2


def test_late_news_of_another_place_pulls_nothing_back_into_an_old_occurrence(
    story: Story,
) -> None:
    said = [
        story.say("planned", at="+1s", place="eu", number=1),
        story.say("failed", at="+1m", place="eu", number=2),
        story.say("planned", at="+2m", place="eu", number=3),
        story.say("planned", at="+0s", arrives="+3m", place="us", number=0),
        story.say("applying", at="+4m", place="eu", number=4),
    ]
    assert occurrences(*said) == [1, 1, 2, 1, 2]


def test_a_late_end_belongs_to_the_occurrence_that_stood_at_its_time(story: Story) -> None:
    said = [
        story.say("planned", at="+0s", number=0),
        story.say("failed", at="+10m", number=2),
        story.say("planned", at="+20m", number=3),
        story.say("rolling_back", at="+5m", arrives="+30m", number=1),
        story.say("running", at="+25m", arrives="+31m", uid="uid-1", by="agent", number=0),
    ]
    assert occurrences(*said) == [1, 1, 2, 1, 2]


def test_a_given_id_belongs_to_whoever_used_it_first(story: Story) -> None:
    story.say("applied", at="+0s", deployment_id="release-7", service="shop")
    for other in ({"service": "search"}, {"service": "shop", "environment": "staging"}):
        said = story.say("applied", at="+1m", deployment_id="release-7", **other)
        assert (said.refused, said.field) == ("marker_conflict", "/deployment_id")
    more = story.say("running", at="+2m", deployment_id="release-7", service="shop", uid="u")
    assert more.occurrence == 1


def test_a_plan_without_a_place_waits_only_for_the_places_that_were_named(story: Story) -> None:
    story.say("planned", at="+0s", release=A)
    story.say("applied", at="+1m", release=A, place="eu")
    story.say("applied", at="+1h", release=B, place="eu")
    assert story.say("applied", at="+2h", release=A, place="eu").occurrence == 2


def test_a_failure_without_a_place_ends_every_place_named(story: Story) -> None:
    for place in ("eu", "us"):
        story.say("applied", at="+0s", place=place)
    story.say("failed", at="+1h")
    assert story.say("applied", at="+2h", place="eu").occurrence == 2


ENDINGS = {
    "it failed": {"phase": "failed"},
    "it was rolled back": {"phase": "rolled_back"},
    "it was removed": {"phase": "removed"},
    "another one became live": {"phase": "applied", "release": B},
    "another one was promoted": {"phase": "promoted", "release": B},
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("place", [None, "eu"], ids=["without a place", "in one place"])
def test_running_the_old_job_again_is_the_next_occurrence_after(
    story: Story, ending: dict[str, str], place: str | None
) -> None:
    first = story.say("applied", at="+0s", release=A, place=place)
    story.say(**{"at": "+1h", "release": A, "place": place, **ending})  # type: ignore[arg-type]
    again = story.say("applied", at="+2h", release=A, place=place)
    third = story.say("applied", at="+3h", release=A, place=place)
    assert occurrences(first, again) == [1, 2]
    assert third.index == again.index


@pytest.mark.parametrize("phase", ["planned", "applying", "applied"])
def test_a_ci_retry_while_open_or_live_is_the_same_deployment(story: Story, phase: str) -> None:
    first = story.say(phase, at="+0s")
    retried = story.say(phase, at="+20h")
    assert retried.duplicate
    assert retried.index == first.index


def test_what_was_promoted_after_it_failed_is_live_again(story: Story) -> None:
    story.say("planned", at="+0s", attempt=1)
    story.say("failed", at="+1m", emitter="orchestrator")
    promoted = story.say("promoted", at="+2m", attempt=1)
    applying = story.say("applying", at="+3m", emitter="orchestrator")
    assert occurrences(promoted, applying) == [1, 1]


def test_an_instance_that_is_gone_does_not_end_its_deployment(story: Story) -> None:
    story.say("applied", at="+0s")
    gone = story.say("removed", at="+1m", uid="uid-1", emitter="runtime")
    other = story.say("removed", at="+1m", uid="uid-2", emitter="runtime")
    again = story.say("applied", at="+2m", attempt=2, emitter="ci")
    assert occurrences(gone, other, again) == [1, 1, 1]
    assert gone.marker != other.marker


def test_what_an_orchestrator_says_does_not_end_the_deployment_that_it_carries_out(
    story: Story,
) -> None:
    said = [
        story.say("planned", at="+0s", release=A, action="run-1"),
        story.say("applied", at="+10s", release=A, emitter="orchestrator"),
        story.say("applied", at="+20s", release=A, action="run-1"),
        story.say("planned", at="+60s", release=B, action="run-2"),
        story.say("applied", at="+70s", release=B, emitter="orchestrator"),
        story.say("applied", at="+80s", release=B, action="run-2", attempt=2),
        story.say("applied", at="+65s", release=B, action="run-2", place="eu-1"),
    ]
    assert occurrences(*said) == [1] * 7


def test_an_orchestrator_that_returns_to_a_release_says_so_again(story: Story) -> None:
    story.say("applied", at="+10s", release=A, emitter="orchestrator")
    story.say("applied", at="+70s", release=B, emitter="orchestrator")
    back = story.say("applied", at="+90s", release=A, emitter="orchestrator")
    assert (back.occurrence, back.duplicate) == (2, False)


def test_a_release_that_an_orchestrator_undid_can_be_deployed_again(story: Story) -> None:
    story.say("applied", at="+0h", release=A, action="run-1")
    story.say("applied", at="+1h", release=B, action="run-2")
    story.say("applied", at="+2h", release=A, emitter="orchestrator")
    again = story.say("applied", at="+3h", release=B, action="run-2", attempt=2)
    assert (again.occurrence, again.duplicate) == (2, False)


def test_a_plan_that_was_made_before_another_release_went_live_is_over_however_late_it_comes(
    story: Story,
) -> None:
    story.say("applied", at="+10s", release=A, number=4)
    late = story.say("planned", at="+20s", release=B, number=0)
    assert late.occurrence == 1
    assert story.say("planned", at="+30s", release=B, number=5).occurrence == 2


def test_late_news_of_an_occurrence_does_not_end_the_one_that_came_after_it(story: Story) -> None:
    said = [
        story.say("failed", at="+0s", place="us", attempt=1),
        story.say("planned", at="+20s", place="eu", emitter="orchestrator"),
        # Attempt 1 was over: this is news of the first occurrence, which goes live in a place
        # where the second is only planned. The second stands all the same.
        story.say("applied", at="+40s", place="eu", attempt=1),
        story.say("planned", at="+60s", place="eu", attempt=1),
    ]
    assert occurrences(*said) == [1, 2, 1, 2]
