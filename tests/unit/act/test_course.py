"""How far a rollout has come, as the entries about it say."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from deploymark.act.course import POLICY, Asked, Course, fold, is_news
from deploymark.model.entries import Decision, Verdict
from deploymark.model.instants import format_instant

NAME = "d-1~1"
BEGAN = Course(NAME, "checkout", "prod", since_ms=1_000)
START = 1_795_000_000_000
DIGEST = "sha256:" + "0" * 64

Ruled = tuple[int, str, Verdict | Decision]


def _at(index: int) -> str:
    return format_instant(START + index * 1_000)


def _said(action: str, stage: str = "decided", actor: str = POLICY, **more: Any) -> Decision:  # noqa: ANN401 - fields of a decision
    fields = {"environment": "prod", "service": "checkout", "deployment_id": NAME, **more}
    said = {"action": action, "stage": stage, "actor": actor, "timestamp": _at(0), **fields}
    return msgspec.convert(said, Decision)


def _look(number: int, step: int | None = 1, advice: str = "extend") -> Verdict:
    said = {
        "deployment_id": NAME,
        "service": "checkout",
        "environment": "prod",
        "result": "fail" if advice in ("pause", "roll_back") else "inconclusive",
        "advice": advice,
        "look": number,
        "score": 50,
        "inputs_digest": f"sha256:{number:064}",
        "judge": "deploymark/1",
        "timestamp": _at(0),
        "step": step,
        "plan_digest": DIGEST,
    }
    return msgspec.convert(said, Verdict)


def _story(*said: Verdict | Decision) -> list[Ruled]:
    """Return entries 10, 11 and so on."""
    return [(index, _at(index), each) for index, each in enumerate(said, start=10)]


def _outcome(action: str, of: int, outcome: str = "succeeded") -> Decision:
    return _said(action, "outcome", outcome=outcome, decision_index=of)


SHIFT = _said("shift", step=1, weight=10.0)
SHIFTED = (SHIFT, _said("shift", "executed", decision_index=10), _outcome("shift", 10))

STORIES: dict[str, tuple[tuple[Verdict | Decision, ...], dict[str, Any]]] = {
    "nothing was said": ((), {"step": 0, "newest": -1, "pending": None}),
    "a shift that was decided is pending": ((SHIFT,), {"step": 0, "weight": 0.0, "newest": 10}),
    "a shift that was executed has not succeeded yet": (SHIFTED[:2], {"step": 0}),
    "a shift that succeeded leads to its step, since it was executed": (
        SHIFTED,
        {"step": 1, "weight": 10.0, "pending": None, "since_ms": START + 11_000},
    ),
    "a shift that failed leads nowhere": (
        (SHIFT, _outcome("shift", 10, "failed")),
        {"step": 0, "pending": None, "failed": 11, "unknown": None},
    ),
    "a shift of which nobody knows leads nowhere": (
        (SHIFT, _outcome("shift", 10, "unknown")),
        {"step": 0, "pending": None, "failed": None, "unknown": 11},
    ),
    "who resumes lets what failed be tried again": (
        (SHIFT, _outcome("shift", 10, "failed"), _said("resume", actor="ada")),
        {"failed": None, "paused": None},
    ),
    "the outcome of another deed ends nothing": (
        (SHIFT, _outcome("shift", 9)),
        {"step": 0, "failed": None},
    ),
    "an outcome that comes twice counts once": (
        (*SHIFTED, _outcome("shift", 10, "failed")),
        {"step": 1, "failed": None, "pending": None},
    ),
    "looks of a step are kept in their order": (
        (*SHIFTED, _look(1), _look(2)),
        {"plan_digest": DIGEST},
    ),
    "looks of another step are not its own": ((*SHIFTED, _look(1, step=2)), {"looks": ()}),
    "the next step begins without looks": (
        (*SHIFTED, _look(1), _said("shift", step=2, weight=25.0), _outcome("shift", 14)),
        {"step": 2, "weight": 25.0, "looks": (), "plan_digest": "", "overruled": ""},
    ),
    "a pause holds": ((*SHIFTED, _said("pause")), {"paused": 13, "paused_by": POLICY}),
    "a pause that was refused does not": (
        (*SHIFTED, _said("pause", "outcome", outcome="failed", decision_index=3)),
        {"paused": None, "paused_by": ""},
    ),
    "who resumes overrules the verdict that stood": (
        (*SHIFTED, _look(1, advice="pause"), _said("pause"), _said("resume", actor="ada")),
        {"paused": None, "paused_by": "", "overruled": "pause"},
    ),
    "a promoted rollout has ended": (
        (*SHIFTED, _said("promote", weight=100.0), _outcome("promote", 13)),
        {"ended": "promoted", "weight": 100.0, "ended_ms": START + 14_000},
    ),
    "a rollout that was rolled back has ended": (
        (*SHIFTED, _said("roll_back", weight=0.0), _outcome("roll_back", 13)),
        {"ended": "rolled_back", "weight": 0.0},
    ),
    "what a person asks for waits": (
        (_said("promote", "approved", actor="ada"),),
        {"asked": (Asked(10, _said("promote", "approved", actor="ada")),), "ended": ""},
    ),
    "a decision that names a request answers it": (
        (
            _said("promote", "approved", actor="ada"),
            _said("promote", actor="ada", decision_index=10),
        ),
        {"asked": ()},
    ),
    "a refusal answers it too": (
        (_said("promote", "approved", actor="ada"), _outcome("promote", 10, "failed")),
        {"asked": (), "failed": None, "pending": None},
    ),
    "an approval is no request": ((_said("approve", "approved", actor="ada"),), {"asked": ()}),
    "what the controller cannot answer is no request": (
        (_said("quarantine", "approved", actor="ada"),),
        {"asked": ()},
    ),
    "an adoption changes nothing": ((_said("adopt", actor="ada"),), {"step": 0, "newest": 10}),
}


@pytest.mark.parametrize("what", STORIES)
def test_a_story_leads_where_it_leads(what: str) -> None:
    said, expected = STORIES[what]
    course = fold(BEGAN, _story(*said))
    assert {name: getattr(course, name) for name in expected} == expected


def test_an_approval_counts_for_the_step_it_names_or_the_one_that_is() -> None:
    said = (*SHIFTED, _said("approve", "approved", "ada"), _said("approve", "approved", step=2))
    agreed = fold(BEGAN, _story(*said)).agreed
    assert [(each.step, each.by) for each in agreed] == [(1, "ada"), (2, POLICY)]


def test_the_looks_of_a_step_that_was_begun_again_are_the_later_ones() -> None:
    course = fold(BEGAN, _story(*SHIFTED, _look(1), _look(2), _look(1)))
    assert [each.index for each in course.looks] == [15]


def test_a_deed_that_was_executed_says_so() -> None:
    pending = fold(BEGAN, _story(*SHIFTED[:2])).pending
    assert pending is not None
    assert (pending.index, pending.executed, pending.executed_ms) == (10, 11, START + 11_000)


_SAID = st.one_of(
    st.builds(
        _said,
        st.sampled_from(["shift", "promote", "roll_back", "pause", "resume", "approve", "adopt"]),
        st.sampled_from(["decided", "approved", "executed"]),
        decision_index=st.none() | st.integers(10, 20),
        step=st.none() | st.integers(1, 3),
        weight=st.none() | st.sampled_from([10.0, 25.0]),
    ),
    st.builds(
        _outcome,
        st.sampled_from(["shift", "promote", "roll_back", "pause"]),
        st.integers(10, 20),
        st.sampled_from(["succeeded", "failed", "unknown"]),
    ),
    st.builds(_look, st.integers(1, 3), st.sampled_from([None, 1, 2])),
)


@given(st.lists(_SAID, max_size=12), st.data())
def test_a_fold_in_any_batches_comes_to_the_same(
    said: list[Verdict | Decision], data: st.DataObject
) -> None:
    story = _story(*said)
    whole = fold(BEGAN, story)
    cut = data.draw(st.integers(0, len(story)))
    assert fold(fold(BEGAN, story[:cut]), story[cut:]) == whole
    one_by_one = BEGAN
    for each in story:
        one_by_one = fold(one_by_one, [each])
    assert structs.asdict(one_by_one) == structs.asdict(whole)


def _is_news(seen: int, *said: Verdict | Decision) -> bool:
    return is_news([(index, each) for index, _, each in _story(*said)], seen)


def test_looks_that_say_what_the_last_one_said_are_no_news() -> None:
    said = (_said("shift"), _look(1), _look(2), _look(3))
    assert not _is_news(11, *said)
    assert not _is_news(13, *said)


@pytest.mark.parametrize(
    "later",
    [_said("pause"), _look(3, advice="pause"), _look(1, step=2)],
    ids=["deed", "word", "step"],
)
def test_a_decision_another_advice_and_another_step_are_news(later: Verdict | Decision) -> None:
    assert _is_news(12, _said("shift"), _look(1), _look(2), later)
    assert not _is_news(13, _said("shift"), _look(1), _look(2), later)


def test_a_first_look_is_news_and_so_is_what_is_none_of_its_entries() -> None:
    assert _is_news(10, _said("shift"), _look(1))
    assert _is_news(99, _said("shift"))
    assert _is_news(9, _said("shift"))
    assert _is_news(-1, _said("shift"))
    assert not _is_news(-1)
