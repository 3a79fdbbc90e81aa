"""Reads what the HTTP API of Prometheus answers to a range query. Pure.

The format is the one of `/api/v1/query_range` (Prometheus HTTP API, "Range queries" and "Native
histograms"). What is not of that form is no answer; what is cut short says so in `warnings`
(Thanos, Mimir) or `isPartial` (VictoriaMetrics), and is none either.
"""

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import msgspec
from msgspec import Struct

from deploymark.decoding import json_decoder
from deploymark.errors import CountsUnavailableError

_SHOWN: Final = 300


class Native(Struct, frozen=True):
    """A native histogram at one instant.

    Attributes:
        count: How many observations, as text.
        sum: Their sum, as text.
        buckets: Those with observations: which ends are closed (0: the right one), left and right
            end, and how many; all but the first as text.
    """

    count: str
    sum: str
    buckets: list[tuple[int, str, str, str]] = []


class _Result(Struct, frozen=True):
    metric: dict[str, str]
    values: list[tuple[float, str]] = []
    histograms: list[tuple[float, Native]] = []


class _Data(Struct, frozen=True, rename="camel"):
    result_type: str
    result: list[_Result]


class _Answer(Struct, frozen=True, rename="camel"):
    status: str
    data: _Data
    warnings: list[str] | None = None
    is_partial: bool = False


class _Refusal(Struct, frozen=True, rename="camel"):
    status: str
    error: str = ""
    error_type: str = ""


class Series(Struct, frozen=True):
    """One series, as it was at each instant.

    Attributes:
        labels: All of them, the name among them.
        values: By instant in milliseconds; what was NaN or infinite is not there.
        natives: Of a native histogram, by instant.
    """

    labels: Mapping[str, str]
    values: dict[int, float]
    natives: dict[int, Native]


_ANSWER: Final = json_decoder(_Answer)
_REFUSAL: Final = json_decoder(_Refusal)


def read_answer(content: bytes) -> list[Series]:
    """Return the series of an answer.

    Raises:
        CountsUnavailableError: It says itself that it is not whole.
        msgspec.MsgspecError: It is no answer of Prometheus.
    """
    answer = _ANSWER.decode(content)
    if answer.status != "success" or answer.data.result_type != "matrix":
        raise msgspec.ValidationError("it is no matrix")
    if answer.warnings or answer.is_partial:
        said = (answer.warnings or ["isPartial"])[0][:_SHOWN]
        raise CountsUnavailableError(f"The answer of Prometheus is not whole: {said}")
    return [_series(each) for each in answer.data.result]


def read_refusal(content: bytes) -> tuple[str, str]:
    """Return kind and message of an answer that is an error."""
    refusal = _REFUSAL.decode(content)
    return refusal.error_type[:_SHOWN], refusal.error[:_SHOWN]


def _series(result: _Result) -> Series:
    for points in (result.values, result.histograms):
        # Out of order, a counter would seem to begin anew.
        if any(not earlier[0] < later[0] for earlier, later in pairwise(points)):
            raise msgspec.ValidationError("its times do not rise")
    values = {}
    for seconds, text in result.values:
        value = _number(text)
        if math.isfinite(value):
            values[_ms(seconds)] = value
    natives = {_ms(seconds): native for seconds, native in result.histograms}
    return Series(result.metric, values, natives)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise msgspec.ValidationError(f"{text[:_SHOWN]!r} is no number") from None


def _ms(seconds: float) -> int:
    return round(seconds * 1_000)
