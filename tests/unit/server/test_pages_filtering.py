"""What people type into the filter of a page."""

import pytest

from deploymark.errors import RequestError
from deploymark.projections.broker.shown_state import ShownState
from deploymark.server.pages.filtering import MAX_CHARACTERS, MAX_WORDS, parse_filter

_UNDERSTOOD = {
    "svc:checkout": [("service", "checkout")],
    "service:checkout env:prod": [("service", "checkout"), ("environment", "prod")],
    "st:failed": [("state", "failed")],
    "st:Rolling-Back": [("state", "rolling_back")],
    "st:fail": [("state", "failed")],
    "kind:config": [("kind", "config")],
    "kind:flag": [("kind", "feature_flag")],
    "owner:ana cluster:eu-1": [("owner", "ana"), ("cluster", "eu-1")],
    'owner:"team one"': [("owner", "team one")],
    'owner:"team one': [("owner", "team"), ("text", "one")],
    "2.31 d-3th5": [("text", "2.31"), ("text", "d-3th5")],
    "sha256:4e16": [("text", "sha256:4e16")],
    "": [],
    "svc:": [],
}


@pytest.mark.parametrize(("q", "words"), _UNDERSTOOD.items())
def test_a_filter_is_understood(q: str, words: list[tuple[str, str]]) -> None:
    found = parse_filter(q)
    assert [(word.field, word.value) for word in found.words] == words
    assert found.shown().not_understood == ""


_WRONG = {
    "st:nothing": "nothing is no state",
    "st:ro": "ro is no state",  # rolling back, rolling out, rolled back
    "kind:x": "x is no kind",
    "team:ana": "There is no filter team:",
    "a " * (MAX_WORDS + 1): f"first {MAX_WORDS} words",
}


@pytest.mark.parametrize(("q", "said"), _WRONG.items())
def test_what_chooses_nothing_is_said(q: str, said: str) -> None:
    assert said in parse_filter(q).shown().not_understood


def test_words_of_a_field_widen_and_fields_narrow() -> None:
    query = parse_filter("svc:a svc:b env:prod st:failed x").query(1, 2)
    assert (query.service, query.environment) == (("a", "b"), ("prod",))
    assert (query.state, query.text) == ((ShownState.FAILED,), ("x",))
    assert (query.since_ms, query.until_ms) == (1, 2)


def test_nobody_types_so_much() -> None:
    with pytest.raises(RequestError):
        parse_filter("a" * (MAX_CHARACTERS + 1))
