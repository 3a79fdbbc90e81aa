"""What Prometheus writes is read exactly, and what is no whole answer is none."""

import json
import math
from typing import Any

import msgspec
import pytest

from deploymark.errors import CountsUnavailableError, QueryError
from deploymark.integrations.prometheus.answer import Series, read_answer, read_refusal
from deploymark.integrations.prometheus.histogram import classic, native, whole
from deploymark.integrations.prometheus.question import Selector, in_cohort
from deploymark.model.histogram import difference
from deploymark.ports import Cohort


def answer(*results: dict[str, Any], **more: Any) -> bytes:  # noqa: ANN401 - any field
    data = {"resultType": "matrix", "result": list(results)}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def read(*results: dict[str, Any], **more: Any) -> list[Series]:  # noqa: ANN401 - any field
    return read_answer(answer(*results, **more))


def test_values_are_exact_and_what_is_no_number_is_missing() -> None:
    values = [[1.5, "9007199254740991"], [2, "NaN"], [3, "+Inf"], [4.001, "0.25"]]
    (found,) = read({"metric": {"pod": "a"}, "values": values})
    assert found.labels == {"pod": "a"}
    assert found.values == {1_500: 2**53 - 1, 4_001: 0.25}


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Please log in</html>",
        b"",
        b"{}",
        b'{"status":"success"}',
        b'{"status":"error","data":{"resultType":"matrix","result":[]}}',
        b'{"status":"success","data":{"resultType":"vector","result":[]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{}}',
        answer({"metric": {}, "values": [[1, "many"]]}),
        answer({"metric": {}, "values": [[1, 2]]}),
        answer({"metric": {}, "values": [[2, "1"], [1, "2"]]}),
        answer({"metric": {}, "values": [[1, "1"], [1, "2"]]}),
    ],
)
def test_what_is_no_answer_is_not_read(content: bytes) -> None:
    with pytest.raises(msgspec.MsgspecError):
        read_answer(content)


@pytest.mark.parametrize(
    "more", [{"warnings": ["store-3 is away"]}, {"isPartial": True}], ids=["Thanos", "Victoria"]
)
def test_a_partial_answer_is_none(more: dict[str, Any]) -> None:
    with pytest.raises(CountsUnavailableError, match="not whole"):
        read(**more)
    assert read(warnings=[], isPartial=False) == []


def test_a_refusal_says_what_kind_it_is_and_no_more_than_fits() -> None:
    told = {"status": "error", "errorType": "timeout", "error": "x" * 5_000}
    assert read_refusal(json.dumps(told).encode()) == ("timeout", "x" * 300)


def test_counts_are_whole_or_nothing_that_counts() -> None:
    assert whole(7.0, "a") == 7
    for value in (0.5, -1.0, 2.0**53 + 2):
        with pytest.raises(QueryError, match="counts nothing"):
            whole(value, "a")


def buckets(**held: dict[int, float]) -> list[Series]:
    return [Series({"le": le.lstrip("b").replace("_", ".")}, by, {}) for le, by in held.items()]


def test_a_classic_histogram_is_made_of_its_buckets() -> None:
    series = buckets(b1={1: 3, 2: 4}, b0_5={1: 1, 2: 1}, bInf={1: 3, 2: 9})
    found = classic(series, "seconds")
    assert {at: (each.bounds, each.counts) for at, each in found.items()} == {
        1: ((0.5, 1.0), (1, 2, 0)),
        2: ((0.5, 1.0), (1, 3, 5)),
    }


def test_what_is_no_state_of_a_histogram_is_left_out() -> None:
    falling = buckets(b1={1: 3, 2: 3}, b0_5={1: 4, 2: 2}, bInf={1: 4, 2: 4})
    assert list(classic(falling, "seconds")) == [2]
    cut = buckets(b1={1: 3, 2: 3}, bInf={1: 4})
    assert list(classic(cut, "seconds")) == [1]
    for le in ("", "NaN", "fast"):
        with pytest.raises(QueryError):
            classic([Series({"le": le}, {1: 1.0}, {})], "seconds")


# As Prometheus 2.42 writes it: schema 1, so bounds are powers of the root of two.
NATIVE: dict[str, Any] = {
    "metric": {"pod": "a"},
    "histograms": [
        [
            1.0,
            {
                "count": "12",
                "sum": "9.5",
                "buckets": [
                    [3, "-2.938735877055719e-39", "2.938735877055719e-39", "2"],
                    [0, "0.5", "0.7071067811865475", "3"],
                    [0, "1.414213562373095", "2", "7"],
                ],
            },
        ],
        [
            2.0,
            {
                "count": "15",
                "sum": "11",
                "buckets": [
                    [3, "-2.938735877055719e-39", "2.938735877055719e-39", "2"],
                    [0, "0.25", "0.5", "1"],
                    [0, "0.5", "1", "4"],
                    [0, "1", "2", "8"],
                ],
            },
        ],
    ],
}


def test_a_native_histogram_is_read_on_the_common_grid_through_a_change_of_its_schema() -> None:
    (series,) = read(NATIVE)
    assert series.values == {}
    states = native(series.natives.items(), "seconds")
    assert [state.total for state in states.values()] == [12, 15]
    fine, coarse = states[1_000], states[2_000]
    assert math.sqrt(0.5) in fine.bounds
    below = {bound: sum(fine.counts[: place + 1]) for place, bound in enumerate(fine.bounds)}
    assert (below[0.5], below[1.0], below[2.0]) == (2, 5, 12)
    came = difference(coarse, fine)
    assert came is not None
    assert came.total == 3
    counted = dict(zip(came.bounds, came.counts, strict=False))
    assert {bound: count for bound, count in counted.items() if count} == {0.5: 1, 1: 1, 2: 1}


@pytest.mark.parametrize(
    "bucket", [[0, "0.5", "0.6", "1"], [0, "0.5", "+Inf", "1"], [0, "0.5", "1", "0.5"]]
)
def test_native_buckets_that_cannot_be_compared_are_refused(bucket: list[Any]) -> None:
    state = {"count": "1", "sum": "1", "buckets": [bucket]}
    (series,) = read({"metric": {}, "histograms": [[1, state]]})
    with pytest.raises(QueryError):
        native(series.natives.items(), "seconds")


# Questions ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("requests_total", "requests_total{}"),
        (' a:b { code =~ "5..", path!="/\\"}" , } ', 'a:b{code =~ "5..", path!="/\\"}"}'),
        ("requests_total{}", "requests_total{}"),
    ],
)
def test_selectors_of_raw_series_are_taken(text: str, shown: str) -> None:
    assert str(Selector(text)) == shown
    assert str(Selector(str(Selector(text)))) == shown
    assert str(Selector(text).named("other")).startswith("other{")
    assert str(Selector(text).narrowed('le="1"')).endswith('le="1"}')


@pytest.mark.parametrize(
    "text",
    [
        *("", "rate(a[5m])", "a[5m]", "a offset 5m", "a + b", "a{x=1}", 'a{x="1"', 'a{x="1"} or b'),
        *("{x='1'}", 'a{x="\n"}', "sum(a)", "1", 'a{x="1"}}', "a # b", "a @ 5"),
    ],
)
def test_anything_else_is_no_selector(text: str) -> None:
    with pytest.raises(QueryError, match="no selector"):
        Selector(text)


def test_names_cannot_leave_their_quotes() -> None:
    odd = Cohort('a"b\\c\nd', "prod", ("d-1.x", 'd"|.*'), None, "canary")
    assert in_cohort("up", odd, "info", ("pod",)) == (
        '(up) and on (pod) info{service="a\\"b\\\\c\\nd", environment="prod", '
        'deployment_id=~"d-1\\\\.x|d\\\\\\"\\\\|\\\\.\\\\*", track="canary"}'
        ' unless on (pod) info{service="a\\"b\\\\c\\nd", environment="prod", '
        'deployment_id!~"d-1\\\\.x|d\\\\\\"\\\\|\\\\.\\\\*"}'
    )
