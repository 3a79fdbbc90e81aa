"""A real Prometheus is asked everything that the dashboards for Grafana ask, and has an answer.

It scrapes a real server, to which a small story was told, and an application that knows nothing of
deployments. An hour of past, and single minutes of three weeks before, are filled in from what that
server says, with counts of measures for which the story is too short. Grafana is not run.
"""

import re
from collections.abc import Iterator
from itertools import count
from typing import NamedTuple
from urllib.request import urlopen

import pytest
from dashboards import choices, expressions, label_values, put_in, queries, series
from prometheus_server import (
    MISSING,
    PROMETHEUS,
    SECONDS,
    Sample,
    await_,
    fill,
    now,
    prometheus,
    serving,
    value_of,
)
from team import Json, Team
from telling import pod, say

from deploymark.model.instants import format_instant

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason=MISSING)

MINUTE, DAY = 60, 86_400
PAST = 70 * MINUTE
STABLE, CANARY = ("pod-1", "pod-2"), "pod-3"
MEASURED = {"M1": (9, 10), "M6": (3, 4), "M8": (95, 100), "M11": (1, 2), "M14": (4, 4)}
"""Numerator and denominator that the past has of measures, each week."""


class Asking(NamedTuple):
    """A Prometheus that knows the story.

    Attributes:
        url: Of it.
        at: The last second of the past that was filled in.
        stable, canary: Ids of deployments.
        live: When each deployment went live, in milliseconds, as its marker claims.
        begun: When the canary began.
    """

    url: str
    at: int
    stable: str
    canary: str
    live: set[int]
    begun: int


def tell(team: Team, at: int) -> tuple[str, str, set[int]]:
    """Tell of deployments around a second: two that run, one that failed, one taken back."""
    made = team.command(
        *("tokens", "new", "all", "--role", "emitter", "--service", "*"),
        *("--environment", "*", "--json"),
        role="admin",
    )
    team._tokens["ci"] = re.findall(r'"token": ?"([^"]+)"', made.stdout)[0]
    warm_up(team)
    live = {1_000 * (at - 40 * MINUTE), 1_000 * (at - 20 * MINUTE)}

    def deploy(phase: str, release: str, minutes: int, number: int, **more: object) -> str:
        told = say(
            team,
            phase,
            release,
            "ci",
            action="github/acme/shop/" + release,
            version=f"1.{ord(release)}",
            owner="team:shop",
            timestamp=format_instant(1_000 * (at - minutes * MINUTE)),
            emitter={"kind": "ci", "id": "ci-1", "epoch": "e-1", "sequence": number},
            **more,
        )
        return str(told["deployment_id"])

    stable = deploy("applied", "a", 40, 0)
    deploy("failed", "f", 30, 1)
    deploy("applied", "e", 20, 2, service="search")
    deploy("rolled_back", "e", 15, 3, service="search")
    on_its_way: Json = {"weight": 25, "strategy": "canary", "track": "canary"}
    canary = deploy("applied", "b", 10, 4, rollout=on_its_way)
    for name in STABLE:
        pod(team, name, "a", "stable")
    pod(team, CANARY, "b", "canary")
    # Something else runs as the stable release, and somebody hands in what is no marker.
    last = pod(team, "pod-4", "c", "stable", version="1.97")["index"]
    assert team.request("ci", "POST", "/v1/markers", {"service": "shop"})[0] >= 400
    team.markers(after=last)
    return stable, canary, live


def warm_up(team: Team) -> None:
    """Hand plans in until the server measures how late they come, as it does once it is up."""

    def is_measured() -> bool:
        numbered = {"kind": "ci", "id": "plan-1", "epoch": "e-1", "sequence": next(numbers)}
        action = f"github/acme/shop/plan-{numbered['sequence']}"
        claimed = format_instant(1_000 * now())
        say(team, "planned", "d", "ci", action=action, timestamp=claimed, emitter=numbered)
        return has(team, "deploymark_time_to_marker_seconds_count")

    numbers = count()
    await_(is_measured)


def has(team: Team, name: str) -> bool:
    """Tell whether the server exposes more than nothing under a name."""
    return dict(page_of(team)).get(name, 0) > 0


def application(at: float, since: float) -> Iterator[tuple[str, float]]:
    """Yield series and values of the application: the canary fails half of the time.

    Args:
        at: The second.
        since: The second at which the canary began to be asked.
    """
    for name, rate in ((STABLE[0], 2), (STABLE[1], 2), (CANARY, 1)):
        place = f'cluster="eu-1",namespace="shop",pod="{name}"'
        began = since if name == CANARY else since - PAST
        served = max(0.0, rate * (at - began))
        for status, many in (("200", served), ("500", served if name == CANARY else 0)):
            if many == 0 and status == "500":
                continue
            labels = (
                f'{place},status="{status}",code="{status}",http_response_status_code="{status}"'
            )
            yield f"http_requests_total{{{labels}}}", many
            for metric in ("http_server_request_duration", "http_request_duration"):
                yield f"{metric}_seconds_count{{{labels}}}", many
                for bound in ("0.1", "+Inf"):
                    yield f'{metric}_seconds_bucket{{{labels},le="{bound}"}}', many
        container = f'{place},container="app"'
        yield f"container_cpu_usage_seconds_total{{{container}}}", served / 100
        yield f"process_cpu_seconds_total{{{place}}}", served / 100
        yield f"container_memory_working_set_bytes{{{container}}}", 1e8
        yield f"process_resident_memory_bytes{{{place}}}", 1e8
        image = f'image="shop:1",image_id="sha256:{name}"'
        yield f"kube_pod_container_info{{{container},{image}}}", 1
    waiting = 'cluster="eu-1",namespace="shop",pod="pod-5",container="app",reason="ErrImagePull"'
    yield f"kube_pod_container_status_waiting_reason{{{waiting}}}", 1


def page_of(team: Team) -> list[tuple[str, float]]:
    """Return what the server exposes."""
    with urlopen(f"{team.url}/metrics", timeout=SECONDS) as answer:  # noqa: S310 - our own address
        lines = answer.read().decode().splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return [(name, float(value)) for name, value in pairs]


def past(page: list[tuple[str, float]], at: int) -> Iterator[Sample]:
    """Yield the past of a page and of the application, up to a second."""
    history = [at - PAST + each for each in range(0, PAST + 1, 30)]
    history += [at - 7 * week * DAY - each for week in (1, 2, 3) for each in (240, 120, 0)]
    for second in sorted(history):
        for name, value in page:
            if "_timestamp_seconds{" in name and value > second:
                continue
            yield name, measured(name, value), float(second)
        yield 'deploymark_measure_seconds{measure="M11",quantile="0.5"}', 240.0, float(second)
        if second >= at - PAST:
            for name, value in application(second, at - 30 * MINUTE):
                yield name, value, float(second)


def measured(name: str, value: float) -> float:
    """Return what the past says instead of this."""
    for each, parts in MEASURED.items():
        for part, amount in zip(("numerator", "denominator"), parts, strict=True):
            if name == f'deploymark_measure_{part}{{measure="{each}"}}':
                return amount
    return 1_000.0 if name.startswith("deploymark_post_deploy_requests") else value


@pytest.fixture
def asking(team: Team) -> Iterator[Asking]:
    """A Prometheus that has the past, and has scraped the present twice."""
    at = now() - 6 * MINUTE
    stable, canary, live = tell(team, at)
    # What a week comes to is kept for some seconds.
    await_(lambda: has(team, 'deploymark_measure_denominator{measure="M7"}'))
    place = team.place / "prometheus"
    fill(place, past(page_of(team), at))

    def page() -> bytes:
        lines = application(now(), at - 30 * MINUTE)
        return "".join(f"{name} {value}\n" for name, value in lines).encode()

    with serving(page) as port:
        targets = [team.url.removeprefix("http://"), f"127.0.0.1:{port}"]
        with prometheus(place, targets) as url:
            for target in targets:
                scraped = f'count_over_time(up{{instance="{target}"}}[1m])'
                await_(lambda scraped=scraped: value_of(url, scraped) >= 3)  # type: ignore[misc]
            yield Asking(url, at, stable, canary, live, 1_000 * (at - 10 * MINUTE))


def values_of(asking: Asking, at: float) -> dict[str, str]:
    """Return what the variables are at first, with the canary chosen where one is."""
    found = {name: options[0] for name, options in choices().items()}
    found |= dict.fromkeys(("service", "environment", "cluster"), ".*")
    found |= {"deployment_id": asking.canary, "occurrence": "1"}
    return found | {"__rate_interval": "2m", "__from": str(round(at - 6 * 60 * MINUTE))}


@pytest.mark.long
def test_everything_that_the_dashboards_ask_has_an_answer(asking: Asking) -> None:
    everything_has_an_answer(asking)
    what_happened_is_shown(asking)


def everything_has_an_answer(asking: Asking) -> None:
    """See that each expression is understood, and shows something."""
    # 1. Every expression is understood, now and in the past, and shows something in one of them.
    moments = (asking.at, now())
    silent = []
    for name, expr, labels in expressions():
        found = [
            each
            for at in moments
            for each in series(asking.url, put_in(expr, values_of(asking, at)), at)
        ]
        if not found:
            silent.append(name)
        shown = {label for each, _ in found for label in each}
        assert labels <= shown, (name, labels - shown)
    assert not silent, "\n".join(silent)

    # 2. So is every one with each other choice of the names of metrics and of the join.
    for variable, options in choices().items():
        for option in options[1:]:
            for name, expr, _ in expressions():
                if f"${{{variable}:raw}}" in expr:
                    asked = put_in(expr, values_of(asking, asking.at) | {variable: option})
                    assert series(asking.url, asked, asking.at), (name, option)

    # 3. There is something to choose for each variable that asks for it.
    chosen = values_of(asking, asking.at)
    for name, selector, label in queries():
        assert label_values(asking.url, put_in(selector, chosen), label), name


def what_happened_is_shown(asking: Asking) -> None:
    """See that the answers are those of the story."""
    asked = {each.name: each.expr for each in expressions()}

    def shown(name: str, at: float, *labels: str) -> dict[tuple[str, ...], float]:
        found = series(asking.url, put_in(asked[name], values_of(asking, at)), at)
        return {tuple(each.get(label, "") for label in labels): value for each, value in found}

    # 1. A line is drawn when it happened, not when it was scraped.
    for board in ("oncall", "debug", "executive"):
        await_(lambda board=board: shown(f"{board}: Went live", now()))  # type: ignore[misc]
        lines = shown(f"{board}: Went live", now(), "deployment_id")
        assert set(lines.values()) == {float(each) for each in asking.live}
        taken_back = shown(f"{board}: Rolled back", now(), "service", "owner")
        assert taken_back == {("search", "team:shop"): 1_000 * (asking.at - 15 * MINUTE)}
        assert shown(f"{board}: Failed", now(), "service").keys() == {("shop",)}
        began = shown(f"{board}: Began", now(), "deployment_id")
        assert began == {(asking.canary,): asking.begun}

    # 2. Requests and errors of an application that knows no deployment are of one.
    by = ("deployment_id", "track")
    stable, canary = (asking.stable, "stable"), (asking.canary, "canary")
    requests = shown("oncall: Requests by deployment A", asking.at, *by)
    assert requests == {stable: pytest.approx(4), canary: pytest.approx(2)}
    errors = shown("oncall: Errors by deployment A", asking.at, *by)
    assert errors == {stable: 0, canary: pytest.approx(0.5)}

    # 3. The share of errors rose when the canary came: 1 of 6 requests a second.
    delta = shown("oncall: Post-deploy error delta by service A", asking.at, "service")
    assert delta == {("shop",): pytest.approx(1 / 6, abs=0.01)}

    # 4. Four weeks are added up; where nothing was counted now, nothing is said.
    (weeks,) = shown("executive: Success rate, four weeks A", asking.at).values()
    assert weeks == pytest.approx(36 / 40)
    assert shown("executive: Canary pass rate A", asking.at) == {(): 0.75}
    assert shown("executive: Canary pass rate A", now()) == {}

    # 5. Who did what, and what is wrong.
    assert shown("executive: Owners, the last week B", now(), "owner") == {("team:shop",): 2}
    assert shown("oncall: Failed or rolled back, 24 h B", now()) == {(): 1}
    assert shown("oncall: Critical findings, production A", now()) == {(): 1}
    assert shown("debug: Instances that run it A", now()) == {(): 1}
    assert shown("debug: Which, and why A", now(), "pod") == {("pod-5",): 1}
