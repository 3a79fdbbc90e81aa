"""Deployments are listed in pages and shown by any name, as admission knows them."""

import json
from typing import Any

import pytest
from occurrence_script import Story

from deploymark.errors import IdError, NotFoundError, UsageError
from deploymark.ingest.deployments import Deployments

PAGES = 3


def deployments(story: Story) -> Deployments:
    return Deployments(story.log.registry)


def test_pages_follow_each_other_and_show_each_deployment_once() -> None:
    with Story() as story:
        said = [story.say("applied", service=f"service-{n}").deployment for n in range(8)]
        found: list[str] = []
        cursor = None
        while True:
            page, cursor = deployments(story).list(None, None, cursor, PAGES)
            found += [view["deployment_id"] for view in page]
            if cursor is None:
                break
        assert found == said[::-1]


def test_a_deployment_that_is_told_of_while_pages_are_turned_is_not_shown_again() -> None:
    with Story() as story:
        for number in range(5):
            story.say("planned", service=f"service-{number}")
        first, cursor = deployments(story).list(None, None, None, 2)
        story.say("applied", at="+1m", service="service-0")  # the oldest becomes the newest
        second, cursor = deployments(story).list(None, None, cursor, 2)
        rest, cursor = deployments(story).list(None, None, cursor, 2)
        shown = [view["service"] for view in (*first, *second, *rest)]
        assert shown == ["service-4", "service-3", "service-2", "service-1"]
        assert cursor is None


def test_a_deployment_that_is_told_of_while_a_page_is_made_does_not_turn_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Story() as story:
        for number in range(4):
            story.say("planned", service=f"service-{number}")
        listed = story.registry_store.listed

        def meanwhile(*asked: Any) -> Any:  # noqa: ANN401 - passed on
            rows = listed(*asked)
            story.say("applied", at="+1m", service="service-2")  # the last one of the page
            return rows

        with monkeypatch.context() as patched:
            patched.setattr(story.registry_store, "listed", meanwhile)
            first, cursor = deployments(story).list(None, None, None, 2)
        second, _ = deployments(story).list(None, None, cursor, 2)
        shown = [view["service"] for view in (*first, *second)]
        assert shown == ["service-3", "service-2", "service-1", "service-0"]


def test_lists_are_narrowed_by_service_and_environment() -> None:
    with Story() as story:
        for number in range(6):
            story.say("applied", service=f"service-{number % 2}", environment=f"e{number % 3}")
        narrowed, cursor = deployments(story).list("service-1", "e0", None, 10)
        assert [(v["service"], v["environment"]) for v in narrowed] == [("service-1", "e0")]
        assert cursor is None
        assert deployments(story).list("service-9", None, None, 10) == ([], None)


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "\N{ARABIC-INDIC DIGIT ONE}", "1 "])
def test_a_cursor_of_somebody_else_is_refused(cursor: str) -> None:
    with Story() as story, pytest.raises(UsageError) as caught:
        deployments(story).list(None, None, cursor, 10)
    assert caught.value.field == "/cursor"


@pytest.mark.parametrize("cursor", ["0", "9" * 18, "9" * 5_000])
def test_any_number_is_a_cursor(cursor: str) -> None:
    with Story() as story:
        story.say("applied")
        page, _ = deployments(story).list(None, None, cursor, 10)
        assert len(page) == (0 if cursor == "0" else 1)


def test_a_deployment_is_shown_with_its_occurrences_and_where_they_stand() -> None:
    with Story() as story:
        for minute, phase in enumerate(("planned", "applied", "removed")):
            story.say(phase, at=f"+{minute}m")
        happened = story.say("planned", at="+3m")
        view = deployments(story).get(happened.deployment)
        json.dumps(view)
        assert (view["occurrence"], view["phase"]) == (2, "planned")
        assert [each["occurrence"] for each in view["occurrences"]] == [1, 2]
        first, second = view["occurrences"]
        assert first["ended_at"] is not None
        assert second["ended_at"] is None
        one = deployments(story).get(f"{happened.deployment}~1")
        assert one["occurrences"] == [first]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("d-unheard-of", NotFoundError),
        ("", IdError),
        ("not an id", IdError),
        ("d-x~0", IdError),
        ("x" * 5_000, IdError),
    ],
)
def test_what_is_not_there_is_not_found_and_what_is_no_name_is_refused(
    name: str, error: type[Exception]
) -> None:
    with Story() as story, pytest.raises(error):
        deployments(story).get(name)


def test_an_occurrence_that_never_was_is_not_found() -> None:
    with Story() as story:
        happened = story.say("applied")
        with pytest.raises(NotFoundError, match="no occurrence 7"):
            deployments(story).get(f"{happened.deployment}~7")
