"""What the simulated fleet reports over OTLP in two days: requests, saturation, traces, logs.

Pure. Its JSON is built here as exporters write it. Points are further apart the older they are.
"""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import cos, pi, sqrt
from typing import Any, Final, NamedTuple

from deploymark.model.vocabulary import CONFIRMS_ITSELF, Kind
from deploymark.testing.gameday.deploy import What
from deploymark.testing.simulation.history import History, Told
from deploymark.testing.simulation.services import ENVIRONMENT

METRICS, TRACES, LOGS = "/v1/metrics", "/v1/traces", "/v1/logs"
KEPT_SECONDS: Final = 47 * 3_600 + 1_800
LIVE_STEP: Final = 15

_STEPS: Final = ((2 * 3_600, 15), (6 * 3_600 + 1_800, 30), (KEPT_SECONDS, 240))
"""How far apart points are, up to how long ago."""

_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_STEEPNESS: Final = 3.0
_SLOWER: Final = 4.0
_DAY_S: Final = 86_400
_AT_ONCE: Final = 250
_DELTA: Final = 1
_SERVER, _ERROR = 2, 2
_SEVERITY_ERROR: Final = 17
_TRACES: Final = 24
_LOGS: Final = 12
_ROUTES: Final = ("GET /basket", "POST /orders", "GET /orders/{id}")

Body = tuple[str, bytes]
"""Where it goes, and JSON."""


class _Arm(NamedTuple):
    """A deployment that answers a share of the requests of its service for a while."""

    told: Told
    since_s: float
    until_s: float
    share: float


def reports(seed: int, past: History) -> Iterator[Body]:
    """Yield what was reported up to the end of a history, each service for itself.

    Args:
        seed: The same seed, the same counts.
        past: What ran.
    """
    for arms in _arms(past):
        chance = _chance(seed, arms[0].told.service.name)
        for arm in arms:
            yield from _measured(chance, arm, past.until_s)
    for arms in _arms(past):
        newest = arms[-1].told
        if newest.errors > newest.service.errors:
            chance = _chance(seed, f"traces of {newest.service.name}")
            for arm in arms[-2:]:
                yield from _traced(chance, arm)


def reported_since(seed: int, past: History, since_s: float, until_s: float) -> Iterator[Body]:
    """Yield what is reported of what stands at the end of a history, while it stands.

    Args:
        seed: As of `reports`.
        past: What ran.
        since_s: From when, in seconds since the epoch.
        until_s: Until when.
    """
    for arms in _arms(past):
        for arm in arms:
            if arm.until_s == past.until_s:
                chance = _chance(seed, f"{arm.told.service.name}/{since_s}")
                times = [(since_s, until_s)]
                yield METRICS, _metrics(arm.told, _points(chance, arm, times))


def _chance(seed: int, name: str) -> random.Random:
    return random.Random(f"load/{seed}/{name}")  # noqa: S311 - a plan, no secret


def _arms(past: History) -> list[list[_Arm]]:
    """Return who answers requests when, by service; what ended before it is kept is left out."""
    found: list[list[_Arm]] = []
    for name in sorted({each.service.name for each in past.told}):
        live = [
            (each, _live_s(each, past.until_s))
            for each in past.told
            if each.service.name == name
            and each.deploy.line.kind is Kind.DEPLOYMENT
            and not each.deploy.fails
        ]
        begun = [(each, at) for each, at in live if at is not None]
        whole = [(each, at) for each, at in begun if each.stops is None]
        ends = [at for _, at in whole[1:]] + [past.until_s]
        arms = [_Arm(each, at, end, 1.0) for (each, at), end in zip(whole, ends, strict=True)]
        arms += [_Arm(each, at, past.until_s, 0.05) for each, at in begun if each.stops is not None]
        oldest = past.until_s - KEPT_SECONDS
        found.append([arm for arm in arms if arm.until_s > oldest])
    return found


def _live_s(told: Told, until_s: float) -> float | None:
    """Return when the first instance of a deploy that is said to run was up."""
    before = until_s if told.stops is None else told.stops
    began = [each.at for each in told.deploy.steps if each.what is What.STARTED]
    return next((at for at in sorted(began) if at < before), None)


def _measured(chance: random.Random, arm: _Arm, now_s: float) -> Iterator[Body]:
    times = list(_times(max(arm.since_s, now_s - KEPT_SECONDS), arm.until_s, now_s))
    for first in range(0, len(times), _AT_ONCE):
        points = _points(chance, arm, times[first : first + _AT_ONCE])
        yield METRICS, _metrics(arm.told, points)


def _times(since_s: float, until_s: float, now_s: float) -> Iterator[tuple[float, float]]:
    at = since_s
    while at < until_s:
        step = min(step for ago, step in _STEPS if now_s - at <= ago)
        # Counters are reported at full steps, whenever the process began.
        end = min((at // step + 1) * step, until_s)
        yield at, end
        at = end


class _Points(NamedTuple):
    requests: list[dict[str, Any]]
    saturation: list[dict[str, Any]]


def _points(chance: random.Random, arm: _Arm, times: Sequence[tuple[float, float]]) -> _Points:
    found = _Points([], [])
    service = arm.told.service
    for since_s, until_s in times:
        # Fewest at night, and some chance.
        day = 1.0 - 0.35 * cos(2 * pi * ((until_s % _DAY_S) / _DAY_S - 0.1))
        wanted = service.rate * arm.share * day * (until_s - since_s)
        count = _about(chance, wanted)
        bad = min(count, _about(chance, count * arm.told.errors))
        span = (since_s, until_s)
        found.requests.append(_counted(200, count - bad, service.seconds, span))
        if bad:
            found.requests.append(_counted(500, bad, service.seconds * _SLOWER, span))
        busy = min(0.95, max(0.05, 0.22 + 0.25 * day + chance.gauss(0, 0.015)))
        found.saturation.append({"timeUnixNano": _nano(until_s), "asDouble": round(busy, 4)})
    return found


def _about(chance: random.Random, mean: float) -> int:
    """Return a count with about that mean, spread as counts are."""
    return max(0, round(chance.gauss(mean, sqrt(mean)))) if mean > 0 else 0


def _counted(status: int, count: int, seconds: float, span: tuple[float, float]) -> dict[str, Any]:
    counts = _spread(count, seconds)
    return {
        "startTimeUnixNano": _nano(span[0]),
        "timeUnixNano": _nano(span[1]),
        "count": str(count),
        "sum": round(count * seconds * 1.1, 6),
        "bucketCounts": [str(each) for each in counts],
        "explicitBounds": _BOUNDS,
        "attributes": _pairs({"http.request.method": "GET", "http.response.status_code": status}),
    }


def _spread(count: int, seconds: float) -> list[int]:
    """Return a count over the buckets of a histogram, about log-logistic around the middle."""
    shares = [1 / (1 + (seconds / bound) ** _STEEPNESS) for bound in _BOUNDS]
    edges = [0, *(round(count * share) for share in shares), count]
    return [later - earlier for earlier, later in pairwise(edges)]


def _metrics(told: Told, points: _Points) -> bytes:
    histogram = {"aggregationTemporality": _DELTA, "dataPoints": points.requests}
    found: list[dict[str, Any]] = [
        {"name": "http.server.request.duration", "unit": "s", "histogram": histogram},
        {
            "name": "process.cpu.utilization",
            "unit": "1",
            "gauge": {"dataPoints": points.saturation},
        },
    ]
    return _request("resourceMetrics", "scopeMetrics", "metrics", told, found)


def _traced(chance: random.Random, arm: _Arm) -> Iterator[Body]:
    """Yield some traces of the last minutes of a deployment, and what it logs where they fail."""
    spans: list[dict[str, Any]] = []
    logs: list[dict[str, Any]] = []
    since_s = max(arm.since_s, arm.until_s - 1_200)
    for _ in range(_TRACES):
        at = chance.uniform(since_s, arm.until_s)
        bad = chance.random() < min(0.9, arm.told.errors * 10)
        seconds = arm.told.service.seconds * (_SLOWER if bad else 1.0) * chance.uniform(0.5, 3.0)
        trace = f"{chance.getrandbits(128):032x}"
        spans.append(_span(chance, trace, at, seconds, bad=bad))
        if bad and len(logs) < _LOGS:
            logs.append(
                {
                    "timeUnixNano": _nano(at),
                    "severityNumber": _SEVERITY_ERROR,
                    "body": {
                        "stringValue": "The payment provider answered 502 and was not retried."
                    },
                    "traceId": trace,
                }
            )
    yield TRACES, _request("resourceSpans", "scopeSpans", "spans", arm.told, spans)
    if logs:
        yield LOGS, _request("resourceLogs", "scopeLogs", "logRecords", arm.told, logs)


def _span(
    chance: random.Random, trace: str, at: float, seconds: float, *, bad: bool
) -> dict[str, Any]:
    status = 500 if bad else 200
    span: dict[str, Any] = {
        "traceId": trace,
        "spanId": f"{chance.getrandbits(64) or 1:016x}",
        "name": chance.choice(_ROUTES),
        "kind": _SERVER,
        "startTimeUnixNano": _nano(at - seconds),
        "endTimeUnixNano": _nano(at),
        "attributes": _pairs({"http.request.method": "GET", "http.response.status_code": status}),
    }
    return {**span, "status": {"code": _ERROR}} if bad else span


def _request(whole: str, scoped: str, name: str, told: Told, items: Sequence[Any]) -> bytes:
    said = {
        "service.name": told.service.name,
        "service.version": told.deploy.release.version,
        "deployment.environment.name": ENVIRONMENT,
        "deployment.id": told.id,
        "service.instance.id": told.deploy.born[0].uid,
        # Instances speak for themselves, and not now of what ran long ago.
        CONFIRMS_ITSELF: "true",
    }
    scopes = [{"scope": {"name": "deploymark.simulation"}, name: items}]
    resource = {"attributes": _pairs(said)}
    return json.dumps({whole: [{"resource": resource, scoped: scopes}]}).encode()


def _pairs(said: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "key": key,
            "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
        }
        for key, value in said.items()
    ]


def _nano(seconds: float) -> str:
    return str(int(seconds * 1_000) * 1_000_000)
