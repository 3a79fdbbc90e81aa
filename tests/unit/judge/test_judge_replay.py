"""A verdict follows from what was kept of it, bit for bit."""

import msgspec
import pytest
from rollouts import ERRORS, LATENCY, MEMORY, WARM, error_looks, gauges, latencies, look

from deploymark.errors import JudgeError
from deploymark.judge import replay as replays
from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Events, Look, Tally
from deploymark.judge.placebo import COLD_START, Placebo, Spread, Watch
from deploymark.judge.plan import Plan
from deploymark.judge.replay import digest_of, head_of, replay, text_of
from deploymark.judge.verdict import Judgement
from deploymark.model.canonical import encode

PLAN = Plan((ERRORS, LATENCY, MEMORY))
CLUMPED = Placebo(
    {**WARM.spreads, "errors": Spread(("all", "clumps"), (7.3, 1.1), (0.01, 0.002), 1.0)},
    Watch(86_400),
    4,
)


def _looks() -> list[Look]:
    found = []
    for number, each in enumerate(error_looks((0.02, 0.01), (300, 700), 12)):
        seen = dict(each.seen)
        errors = seen["errors"]
        assert isinstance(errors, Events)
        canary, control = errors.canary, errors.control
        cells = ((100, 0), (200, canary.events))
        seen["errors"] = Events(
            Tally(300, canary.events, cells), Tally(700, control.events, ((700, control.events),))
        )
        seen["latency"] = latencies((9, 5, 3, 1, 0, number), (90, 50, 30, 10, 1, 0))
        seen["memory"] = gauges((1.5 + number, 2.5), (float("nan"), 2.0), (None, 1.0), (3.0, 1e-7))
        found.append(look(number, **seen))
    return found


def _judged(placebo: Placebo, looks: list[Look]) -> list[Judgement]:
    assessment = Assessment(PLAN, placebo)
    return [assessment.take(each) for each in looks]


@pytest.mark.parametrize("placebo", [WARM, COLD_START, CLUMPED], ids=["warm", "cold", "clumped"])
def test_every_verdict_replays_from_its_texts_bit_for_bit(placebo: Placebo) -> None:
    looks = _looks()
    for count, verdict in enumerate(_judged(placebo, looks), start=1):
        head = text_of(head_of(PLAN, placebo, looks[:count]))
        texts = [text_of(each) for each in looks[:count]]
        again = replay(head, texts)
        assert again == verdict
        assert msgspec.json.encode(again) == msgspec.json.encode(verdict)


def test_texts_survive_a_round_trip_through_any_json_reader() -> None:
    looks = _looks()
    head = text_of(head_of(PLAN, CLUMPED, looks))
    texts = [text_of(each) for each in looks]
    again = [encode(msgspec.json.decode(text)) for text in (head, *texts)]
    assert again == [head, *texts]
    assert replay(again[0], again[1:]) == _judged(CLUMPED, looks)[-1]


def test_other_counts_another_order_or_fewer_looks_are_noticed() -> None:
    looks = _looks()
    head = text_of(head_of(PLAN, WARM, looks))
    texts = [text_of(each) for each in looks]
    changed = texts[0].replace(b'"trials":300', b'"trials":301')
    for other in (texts[1:], texts[::-1], [changed, *texts[1:]], []):
        with pytest.raises(JudgeError, match="not those"):
            replay(head, other)


def test_other_formulas_are_not_replayed_by_these(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = _looks()
    head = text_of(head_of(PLAN, WARM, looks))
    monkeypatch.setattr(replays, "JUDGE", "deploymark/2")
    with pytest.raises(JudgeError, match="deploymark/1"):
        replay(head, [text_of(each) for each in looks])


def test_what_is_no_head_is_refused() -> None:
    with pytest.raises(JudgeError, match="cannot be read"):
        replay(b"{}", [])
    with pytest.raises(JudgeError, match="cannot be kept"):
        text_of(head_of(Plan((ERRORS,), look_seconds=2**60), WARM, []))


def test_a_head_whose_placebo_cannot_be_is_refused() -> None:
    looks = _looks()
    head = head_of(PLAN, Placebo({"errors": Spread()}, Watch(86_400), 4), looks)
    with pytest.raises(JudgeError, match="errors"):
        replay(text_of(head), [text_of(each) for each in looks])


def test_a_digest_is_that_of_the_text() -> None:
    digest = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert digest_of(b"") == digest
