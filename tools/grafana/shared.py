"""What the dashboards share: how one chooses, the lines at deployments, measures, and requests."""

from typing import Final

from deploymark.projections.measures import MEASURES
from grafana.board import (
    choice_variable,
    datasource_variable,
    label_variable,
    marker_annotation,
    text_variable,
)
from grafana.panels import (
    GREEN,
    RED,
    Json,
    Look,
    Panel,
    Steps,
    Target,
    graph,
    measure_text,
    stat,
    target_steps,
)
from grafana.queries import HERE, error_share, latency, lines, requests, share

GOOD_AT_NONE: Final[Steps] = ((None, GREEN), (1, RED))
LEGEND: Final = "{{service}} {{track}} {{deployment_id}}~{{occurrence}}"
KNOWN: Final = '{__name__=~"deploymark_info|deploymark_deployment_timestamp_seconds"'
"""Everything that says of a deployment that it is one; the brace stays open for more matchers."""

MOMENT_COLUMNS: Final = {
    "Value": "when",
    "event": "event",
    "service": "service",
    "environment": "environment",
    "version": "version",
    "owner": "owner",
    "deployment_id": "deployment_id",
    "occurrence": "occurrence",
}


def variables(*more: Json) -> list[Json]:
    """Return the choices of a dashboard: whose numbers, of what, and where deploymark is."""
    return [
        datasource_variable(),
        label_variable("environment", "Environment", f"label_values({KNOWN}}}, environment)"),
        label_variable(
            "service",
            "Service",
            f'label_values({KNOWN},environment=~"$environment"}}, service)',
        ),
        *more,
        text_variable("deploymark_url", "deploymark", "http://127.0.0.1:8420"),
    ]


def cluster_variable() -> Json:
    """Return the choice of clusters, where instances are looked at."""
    return label_variable("cluster", "Cluster", f"label_values(deploymark_info{{{HERE}}}, cluster)")


def names_of_metrics() -> list[Json]:
    """Return how the metrics of requests are called, and joined."""
    return [
        choice_variable(
            "join",
            "Join on",
            "Labels that an application's metrics share with deploymark_info. With several clusters"
            " in one Prometheus, the one with `cluster`.",
            "namespace, pod",
            "cluster, namespace, pod",
        ),
        choice_variable(
            "requests",
            "Requests",
            "A counter of requests.",
            "http_server_request_duration_seconds_count",
            "http_requests_total",
            "http_request_duration_seconds_count",
        ),
        choice_variable(
            "status",
            "Status label",
            "The label of that counter that has the HTTP status.",
            "http_response_status_code",
            "status",
            "code",
        ),
        choice_variable(
            "duration",
            "Durations",
            "The buckets of a histogram of seconds.",
            "http_server_request_duration_seconds_bucket",
            "http_request_duration_seconds_bucket",
        ),
    ]


def names_of_resources() -> list[Json]:
    """Return how the metrics of resources and images are called."""
    processors = ('container_cpu_usage_seconds_total{container!=""}', "process_cpu_seconds_total")
    memory = ('container_memory_working_set_bytes{container!=""}', "process_resident_memory_bytes")
    return [
        choice_variable("cpu", "CPU", "A counter of seconds.", *processors),
        choice_variable("memory", "Memory", "A gauge of bytes.", *memory),
        choice_variable(
            "images",
            "Images",
            "What says the image of each container, of kube-state-metrics.",
            "kube_pod_container_info",
        ),
        choice_variable(
            "waiting",
            "Waiting",
            "What says why a container waits, of kube-state-metrics.",
            "kube_pod_container_status_waiting_reason",
        ),
    ]


def annotations(where: str, step: str) -> list[Json]:
    """Return lines at what happened to deployments."""
    return [
        marker_annotation("Began", "super-light-blue", lines("begun", where), step),
        marker_annotation("Went live", "blue", lines("live", where), step),
        marker_annotation("Failed", "red", lines("failed", where), step),
        marker_annotation("Rolled back", "orange", lines("rolled_back", where), step),
    ]


def measure(name: str, page: str, note: str = "", size: tuple[int, int] = (4, 4)) -> Panel:
    """Return a measure that is a share, beside its target."""
    return stat(
        MEASURES[name].title,
        f"{measure_text(name)}{note}",
        Target(share(name), name),
        page=page,
        unit="percentunit",
        steps=target_steps(name),
        size=size,
    )


def red(page: str) -> list[Panel]:
    """Return rate, errors and duration of requests, by deployment."""
    joined = " Of every instance that deploymark_info knows, by its deployment."
    return [
        graph(
            "Requests by deployment",
            f"Requests a second.{joined}",
            Target(requests(), LEGEND),
            page=page,
            look=Look(unit="reqps", links=True),
            size=(8, 9),
        ),
        graph(
            "Errors by deployment",
            f"The share of requests that were answered with a status of 500 or more.{joined}",
            Target(error_share(), LEGEND),
            page=page,
            look=Look(unit="percentunit", links=True),
            size=(8, 9),
        ),
        graph(
            "Latency by deployment, 95th percentile",
            f"So long at most took 95 of 100 requests, as far as the buckets tell.{joined}",
            Target(latency(0.95), LEGEND),
            page=page,
            look=Look(unit="s", links=True),
            size=(8, 9),
        ),
    ]
