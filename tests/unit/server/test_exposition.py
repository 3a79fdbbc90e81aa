"""The part of the metrics that is counted from the views."""

import pytest
from door_samples import Door, marker

from deploymark.errors import StoreUnavailableError
from deploymark.model.difference import Difference, Tally
from deploymark.model.proportion import Proportion
from deploymark.model.vocabulary import Role
from deploymark.projections.broker.census import Census, Running
from deploymark.projections.broker.moments import Moment
from deploymark.projections.measures import DeltaReading, Reading, Spread
from deploymark.server.exposition import Exposition
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

CENSUS = Census(
    as_of=1,
    findings={("digest_mismatch", "critical", True): 2, ("flag_stale", "info", False): 1},
    instances={"confirmed": 5, "unproven": 0, "mismatched": 1},
    running=[
        Running("d-one", "1", "checkout", "prod", "canary", "eu", "shop", "checkout-1"),
        Running("", "", 'a"b', "c\\d", "", "", "", "e\nf"),
    ],
    beyond=3,
    shadowed=1,
    covered=Proportion(5, 6),
    moments=[Moment("d-one", "1", "checkout", "prod", "true", "live", "2.31", "team:a", 1_500)],
    unlisted=7,
)


class Counted:
    """Counts as the census does, how often too, or refuses."""

    def __init__(self) -> None:
        self.times = 0
        self.refuses = False
        self.compares = True

    def census(self) -> Census:
        self.times += 1
        if self.refuses:
            raise StoreUnavailableError("The views are being built from the log.")
        return CENSUS

    def readings(self) -> dict[str, Reading]:
        times = Reading(Proportion(1, 2), 0, 0, Spread(30.5, None, 600))
        return {"M10": Reading(CENSUS.covered, 0, START_MS - 1_500), "M11": times}

    def delta(self) -> DeltaReading | None:
        if not self.compares:
            return None
        difference = Difference(Tally(4, 1_000, 1_000), Tally(16.5, 900, 900))
        return DeltaReading(difference, 2, {"not_over": 1}, 0, 0)


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
def meter() -> ListMeter:
    return ListMeter()


@pytest.fixture
def exposition(door: Door, counted: Counted, meter: ListMeter) -> Exposition:
    return Exposition(
        counted,
        door.log.view,
        door.views,
        clock=door.log.clock,
        meter=meter,
    )


def test_findings_instances_and_measures_are_told(exposition: Exposition) -> None:
    lines = exposition().decode().splitlines()
    for line in (
        'deploymark_findings_open{code="digest_mismatch",severity="critical",production="true"} 2',
        'deploymark_findings_open{code="flag_stale",severity="info",production="false"} 1',
        'deploymark_instances{status="confirmed"} 5',
        'deploymark_instances{status="unproven"} 0',
        'deploymark_info_omitted{reason="beyond"} 3',
        'deploymark_info_omitted{reason="shadowed"} 1',
        (
            'deploymark_deployment_timestamp_seconds{deployment_id="d-one",occurrence="1",'
            'service="checkout",environment="prod",production="true",event="live",version="2.31",'
            'owner="team:a"} 1.5'
        ),
        "deploymark_deployment_timestamps_omitted 7",
        'deploymark_measure_numerator{measure="M10"} 5',
        'deploymark_measure_denominator{measure="M10"} 6',
        'deploymark_measure_target{measure="M10"} 1.0',
        'deploymark_measure_age_seconds{measure="M10"} 1.5',
        'deploymark_measure_seconds{measure="M11",quantile="0.5"} 30.5',
        'deploymark_post_deploy_errors{window="before"} 4',
        'deploymark_post_deploy_errors{window="after"} 16.5',
        'deploymark_post_deploy_requests{window="before"} 1000',
        'deploymark_post_deploy_requests{window="after"} 900',
        'deploymark_post_deploy_deployments{result="counted"} 2',
        'deploymark_post_deploy_deployments{result="not_over"} 1',
        "deploymark_view_lag_seconds 0.0",
        "# TYPE deploymark_info gauge",
    ):
        assert line in lines, line


def test_each_running_instance_has_a_sample_with_its_labels_escaped(exposition: Exposition) -> None:
    lines = exposition().decode().splitlines()
    assert [line for line in lines if line.startswith("deploymark_info{")] == [
        (
            'deploymark_info{deployment_id="",occurrence="",service="a\\"b",environment="c\\\\d",'
            'track="",cluster="",namespace="",pod="e\\nf"} 1'
        ),
        (
            'deploymark_info{deployment_id="d-one",occurrence="1",service="checkout",'
            'environment="prod",track="canary",cluster="eu",namespace="shop",pod="checkout-1"} 1'
        ),
    ]


def test_what_is_not_known_has_no_sample(exposition: Exposition, counted: Counted) -> None:
    counted.compares = False
    page = exposition().decode()
    assert 'quantile="0.95"' not in page
    assert "post_deploy" not in page


def test_the_lag_is_how_long_the_oldest_unseen_entry_waits(
    door: Door, exposition: Exposition
) -> None:
    door.post(marker(1))
    door.views.seen = 1
    door.log.clock.advance(7.5)
    assert "deploymark_view_lag_seconds 7.5" in exposition().decode().splitlines()


def test_many_scrapers_cost_as_much_as_one(
    door: Door, exposition: Exposition, counted: Counted
) -> None:
    pages = [exposition() for _ in range(20)]
    assert (counted.times, len(set(pages))) == (1, 1)
    door.log.clock.advance(2)
    exposition()
    assert counted.times == 2


def test_what_cannot_be_counted_is_left_out_and_counted(
    exposition: Exposition, counted: Counted, meter: ListMeter
) -> None:
    counted.refuses = True
    page = exposition().decode()
    assert "deploymark_info" not in page
    assert 'deploymark_measure_numerator{measure="M10"} 5' in page
    assert meter.counts["deploymark_measuring_failures_total{code=store_unavailable}"] == 1


def test_the_page_of_metrics_ends_with_it() -> None:
    with Door(exposition=lambda: b"deploymark_view_lag_seconds 1\n") as door:
        page = door.ask("GET", "/metrics", Role.READER).body
    assert page.endswith(b"\ndeploymark_view_lag_seconds 1\n")
    assert b"deploymark_log_size" in page


def test_slis_are_as_fresh_as_is_asked_for(door: Door) -> None:
    door.post(marker(1))
    nothing: dict[str, object] = {"environment": [], "since": None}
    assert door.ask("GET", "/v1/slis", Role.READER).json == {"items": [{**nothing, "after": -1}]}
    (item,) = door.ask("GET", "/v1/slis?after=1", Role.READER).json["items"]
    assert item == {**nothing, "after": 1}
    assert door.ask("GET", "/v1/slis?after=9", Role.READER).status == 400


def test_slis_are_of_the_environments_and_the_time_that_are_asked_for(door: Door) -> None:
    asked = "environment=eu&environment=us&since=2026-11-23T00:00:00Z"
    (item,) = door.ask("GET", f"/v1/slis?{asked}", Role.READER).json["items"]
    assert item == {"environment": ["eu", "us"], "since": "2026-11-23T00:00:00Z", "after": -1}
    assert door.ask("GET", "/v1/slis?limit=3", Role.READER).status == 400


def test_what_a_measure_counts_is_listed_a_page_at_a_time(door: Door) -> None:
    asked = "limit=3&environment=eu&until=2026-11-23T00:00:00Z"
    assert door.ask("GET", f"/v1/slis/M1/items?{asked}", Role.READER).json == {
        "items": [{"environment": ["eu"], "limit": 3, "until": "2026-11-23T00:00:00Z"}],
        "next_cursor": "next",
        "as_of": 7,
    }
    assert door.ask("GET", "/v1/slis/M2/items", Role.READER).status == 404
    assert door.ask("GET", "/v1/slis/M1/items?after=9", Role.READER).status == 400
