"""How many spans one sampled span stands for. Pure.

OpenTelemetry, "TraceState: Probability Sampling": `tracestate: ot=th:c` says that traces whose
randomness lies below the threshold 0xc0000000000000 were dropped, so that one in four is left.
Nothing is made up for spans that say nothing: they count once.
"""

from typing import Final

from deploymark.telemetry.limits import MOST_WEIGHT

_VENDOR: Final = "ot="
_THRESHOLD: Final = "th:"
_DIGITS: Final = 14
_RANGE: Final = 16**_DIGITS


def weight_of(trace_state: str) -> float:
    """Return how many spans a span stands for, at most `MOST_WEIGHT`.

    Args:
        trace_state: The W3C `tracestate` of the span. What cannot be read says nothing.
    """
    if _THRESHOLD not in trace_state:
        return 1.0
    for entry in map(str.strip, trace_state.split(",")):
        if entry.startswith(_VENDOR):
            for part in entry.removeprefix(_VENDOR).split(";"):
                if part.startswith(_THRESHOLD):
                    return _weight(part.removeprefix(_THRESHOLD))
    return 1.0


def _weight(digits: str) -> float:
    if not 0 < len(digits) <= _DIGITS or not all(each in "0123456789abcdef" for each in digits):
        return 1.0
    dropped = int(digits.ljust(_DIGITS, "0"), 16)
    return min(_RANGE / (_RANGE - dropped), MOST_WEIGHT)
