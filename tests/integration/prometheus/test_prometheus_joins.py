"""What a real Prometheus knows of gaps, resets and labels, and which pods are whose.

All histories lie side by side in one Prometheus; each has a service of its own.
"""

from collections.abc import Iterator, Sequence

import pytest
from prometheus_server import MISSING, PROMTOOL, Sample, fill, prometheus

from deploymark.errors import CountsUnavailableError, QueryError
from deploymark.integrations.prometheus.client import PrometheusClient, PrometheusSettings
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.ports import Cohort, CohortCounts, MetricQuery

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason=MISSING)

START_S = 1_795_000_020
STEP_S = 5
ERRORS = MetricQuery("errors", "events", "requests_total", 'requests_total{code="500"}')
Values = Sequence[float | None]


def written(name: str, **labels: str) -> str:
    """Return a series as Prometheus writes it; labels that are empty are not there."""
    said = ",".join(f'{label}="{value}"' for label, value in labels.items() if value)
    return f"{name}{{{said}}}"


def rising(pod: str, values: Values, begins: int = 0, **labels: str) -> Iterator[Sample]:
    """Tell the requests of a pod, scrape by scrape; None is a scrape that was missed."""
    said = {"namespace": "shop", "pod": pod, "job": "shop", "code": "200", **labels}
    for number, value in enumerate(values, begins):
        if value is not None:
            yield written("requests_total", **said), value, START_S + number * STEP_S


def runs(
    pod: str,
    service: str,
    deployment: str = "d-one",
    scrapes: int = 90,
    begins: int = 0,
    **labels: str,
) -> Iterator[Sample]:
    """Tell what runs in a pod, scrape by scrape."""
    said = {"namespace": "shop", "pod": pod, "service": service, "environment": "prod", **labels}
    for number in range(begins, scrapes):
        series = written("deploymark_info", deployment_id=deployment, **said)
        yield series, 1, START_S + number * STEP_S


def told() -> Iterator[Sample]:
    """Tell all histories."""
    steady = [10 * number for number in range(12)]
    yield from runs("gap-1", "gap")
    # Two missed scrapes, then more than five minutes of them.
    yield from rising("gap-1", [0, 10, 20, None, None, 50, 60, *[None] * 70, 5_000, 5_010])
    yield from runs("reset-1", "reset")
    yield from rising("reset-1", [100, 110, 4, 5, 3, 3, 9])
    yield from runs("odd-1", "odd")
    yield from rising("odd-1", [0, 10, float("nan"), float("inf"), 40, 50])
    yield from runs("new-1", "new")
    yield from rising("new-1", steady)
    yield from rising("new-1", [3, 5, 5, 6], begins=4, code="500")
    yield from runs("labelled-1", "labelled")
    yield from rising("labelled-1", steady[:5])
    # All series get a label at once: they are no new requests.
    yield from rising("labelled-1", [55, 65, 75], begins=5, node="n-1")
    # A pod of two deployments for a while, and one that a sidecar shares.
    yield from runs("torn-1", "torn", "d-one", scrapes=6)
    yield from runs("torn-1", "torn", "d-two", begins=4)
    yield from runs("torn-1", "proxy", "d-other")
    yield from rising("torn-1", steady)
    for occurrence in ("1", "2"):
        yield from runs("twice-1", "twice", occurrence=occurrence)
    yield from rising("twice-1", steady)
    yield from rising("twice-1", steady, instance="sidecar")
    for pod, track in (("track-1", "stable"), ("track-2", "baseline")):
        yield from runs(pod, "track", track=track)
        yield from rising(pod, steady if track == "stable" else steady[::-1][:1] * 9)
    for cluster in ("eu", "us"):
        yield from runs("same-1", "cluster", f"d-{cluster}", cluster=cluster)
        yield from rising("same-1", steady if cluster == "eu" else [0] * 12, cluster=cluster)
    yield from runs("bare-1", "bare", namespace="")
    yield from rising("bare-1", steady, namespace="")
    yield from rising("homeless-1", steady)
    yield from runs("unfit-1", "unfit")
    for number, value in enumerate([0, 30, 60]):
        failed = written("failed_total", namespace="shop", pod="unfit-1")
        yield failed, value, START_S + number * STEP_S
    yield from rising("unfit-1", steady)
    yield from runs("half-1", "half")
    yield from rising("half-1", [0.5, 1.5])
    yield from runs("exact-1", "exact")
    yield from rising("exact-1", [2**53 - 3, 2**53 - 1])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    place = tmp_path_factory.mktemp("prometheus")
    fill(place, told())
    with prometheus(place, options=("--query.lookback-delta=4s",)) as address:
        yield address


def source(url: str, **settings: object) -> PrometheusCounts:
    usual = {"url": url, "scrape_seconds": STEP_S, "look_back_seconds": 400}
    return PrometheusCounts("prom-1", PrometheusSettings(**{**usual, **settings}))  # type: ignore[arg-type]


def counted(
    counts: PrometheusCounts,
    service: str,
    deployment: str = "d-one",
    *,
    track: str | None = None,
    metric: MetricQuery = ERRORS,
    scrapes: tuple[int, int] = (0, 90),
) -> CohortCounts:
    cohort = Cohort(service, "prod", (deployment,), None, track)
    since_ms, until_ms = ((START_S + number * STEP_S) * 1_000 for number in scrapes)
    return counts.count(cohort, [metric], since_ms, until_ms, STEP_S * 1_000)


def trials(found: CohortCounts) -> dict[int, int]:
    """Return what was counted by number of the scrape that saw it, replicas together."""
    sums: dict[int, int] = {}
    for cell in found.cells["errors"]:
        number = (cell.at_ms // 1_000 - START_S) // STEP_S + 1
        sums[number] = sums.get(number, 0) + cell.trials
    return sums


def test_what_came_in_a_gap_counts_where_it_was_seen_and_is_lost_in_a_long_one(url: str) -> None:
    counts = source(url)
    assert trials(counted(counts, "gap")) == {1: 10, 2: 10, 5: 30, 6: 10, 78: 10}
    # Wherever a window ends, nothing counts twice and nothing is missed.
    for cut in range(1, 8):
        one, other = (
            trials(counted(counts, "gap", scrapes=each)) for each in ((0, cut), (cut, 90))
        )
        assert one | other == trials(counted(counts, "gap"))
        assert not one.keys() & other.keys()


def test_a_counter_that_shrank_began_anew(url: str) -> None:
    assert trials(counted(source(url), "reset")) == {1: 10, 2: 4, 3: 1, 4: 3, 6: 6}


def test_values_that_are_no_numbers_are_missing(url: str) -> None:
    assert trials(counted(source(url), "odd")) == {1: 10, 4: 30, 5: 10}


def test_the_first_errors_beside_requests_count_in_full(url: str) -> None:
    found = counted(source(url), "new")
    bad = {
        (cell.at_ms // 1_000 - START_S) // STEP_S + 1: cell.events for cell in found.cells["errors"]
    }
    assert {number: events for number, events in bad.items() if events} == {4: 3, 5: 2, 7: 1}
    assert trials(found)[4] == 13


@pytest.fixture(scope="module")
def relabelled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Prometheus that still shows old series, as it does for a while, when others appear."""
    place = tmp_path_factory.mktemp("prometheus")
    fill(place, told())
    with prometheus(place) as address:
        yield address


def test_series_with_another_label_do_not_count_again(relabelled: str) -> None:
    counts = source(relabelled)
    assert trials(counted(counts, "labelled")) == {1: 10, 2: 10, 3: 10, 4: 10, 6: 10, 7: 10}


def test_a_pod_of_two_deployments_counts_for_neither(url: str) -> None:
    counts = source(url)
    first, second = (trials(counted(counts, "torn", each)) for each in ("d-one", "d-two"))
    assert first == {1: 10, 2: 10, 3: 10}
    assert second == dict.fromkeys(range(7, 12), 10)
    # Another service in the same pod takes nothing away.
    assert trials(counted(counts, "proxy", "d-other")) == dict.fromkeys(range(1, 12), 10)


def test_two_samples_of_one_pod_count_once_and_its_containers_together(url: str) -> None:
    found = counted(source(url), "twice")
    assert trials(found) == dict.fromkeys(range(1, 12), 20)
    assert {cell.replica for cell in found.cells["errors"]} == {"shop/twice-1"}


def test_a_track_chooses_pods(url: str) -> None:
    counts = source(url)
    assert len(trials(counted(counts, "track", track="stable"))) == 11
    assert trials(counted(counts, "track", track="baseline")) == {}
    assert len(trials(counted(counts, "track"))) == 11


def test_pods_of_one_name_in_two_clusters_need_the_cluster_in_the_join(url: str) -> None:
    # Without it nobody knows whose they are.
    assert counted(source(url), "cluster", "d-eu").cells == {"errors": ()}
    apart = source(url, join=("cluster", "namespace", "pod"))
    found = counted(apart, "cluster", "d-eu")
    assert trials(found) == dict.fromkeys(range(1, 12), 10)
    assert {cell.replica for cell in found.cells["errors"]} == {"eu/shop/same-1"}
    assert counted(apart, "cluster", "d-us").cells == {"errors": ()}


def test_an_instance_without_a_namespace_is_a_replica_too(url: str) -> None:
    found = counted(source(url), "bare")
    assert {cell.replica for cell in found.cells["errors"]} == {"bare-1"}
    assert trials(found) == dict.fromkeys(range(1, 12), 10)


def test_there_are_never_more_events_than_trials(url: str) -> None:
    unfit = MetricQuery("errors", "events", "requests_total", "failed_total")
    found = counted(source(url), "unfit", metric=unfit).cells["errors"]
    assert [(cell.trials, cell.events) for cell in found[:3]] == [(10, 10), (10, 10), (10, 0)]


def test_only_replicas_that_came_while_one_looked_are_young(url: str) -> None:
    counts = source(url, look_back_seconds=50)
    assert counted(counts, "new", scrapes=(5, 8)).born_ms == {"shop/new-1": START_S * 1_000}
    assert counted(counts, "new", scrapes=(10, 12)).born_ms == {}


def test_where_nobody_says_what_runs_nothing_can_be_seen(url: str) -> None:
    assert counted(source(url), "nothing").cells == {}
    assert counted(source(url, info="other_info"), "gap").cells == {}
    unknown = MetricQuery("errors", "events", "other_total", "other_total")
    assert counted(source(url), "gap", metric=unknown).cells == {}
    assert counted(source(url), "gap", "d-none").cells == {"errors": ()}


def test_counters_are_exact_and_whole(url: str) -> None:
    assert trials(counted(source(url), "exact")) == {1: 2}
    with pytest.raises(QueryError, match=r"0\.5"):
        counted(source(url), "half")


def test_a_counter_is_no_histogram(url: str) -> None:
    wrong = MetricQuery("latency", "latency", "requests_total")
    with pytest.raises(QueryError, match="no histogram"):
        counted(source(url), "gap", metric=wrong)


def test_a_question_that_fails_for_its_data_may_succeed_later_and_nonsense_never(url: str) -> None:
    client = PrometheusClient("prom-1", PrometheusSettings(url=url))
    instant = (START_S * 1_000, START_S * 1_000, 1_000)
    with pytest.raises(CountsUnavailableError, match="422 execution"):
        client.ask("requests_total * on (namespace) requests_total", *instant)
    with pytest.raises(QueryError, match="400 bad_data"):
        client.ask("sum(", *instant)
