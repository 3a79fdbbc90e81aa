"""D3: one deployment, where it runs, what it does and uses, beside the others of its service."""

from typing import Final

from grafana.board import Title, dashboard, label_variable
from grafana.panels import (
    GREEN,
    RED,
    URL,
    Look,
    Rows,
    Target,
    graph,
    row,
    stat,
    table,
    text,
)
from grafana.queries import (
    HERE,
    IN_CLUSTER,
    by_deployment,
    info,
    moments,
)
from grafana.shared import (
    GOOD_AT_NONE,
    KNOWN,
    LEGEND,
    MOMENT_COLUMNS,
    annotations,
    cluster_variable,
    names_of_metrics,
    names_of_resources,
    red,
    variables,
)

_CHOSEN: Final = 'deployment_id=~"$deployment_id"'
_THIS: Final = f"{IN_CLUSTER},{_CHOSEN}"


def debug() -> str:
    """Return D3: one deployment, beside what runs with it."""
    page = "debug"
    panels = [
        row("The deployment"),
        stat(
            "Instances that run it",
            "Instances of this deployment that run now, in all of its occurrences.",
            Target(f"count({info(_THIS)}) or 0 * max(deploymark_view_lag_seconds)", "instances"),
            page=page,
        ),
        table(
            "What happened to it",
            "When it began, went live, failed or was rolled back, in the last week.",
            Target(f"{moments('', _CHOSEN)} * 1000", "{{event}}"),
            page=page,
            rows=Rows(MOMENT_COLUMNS, units={"when": "dateTimeAsIso"}, newest="when"),
            size=(20, 6),
        ),
        graph(
            "Running instances by deployment",
            "Instances of these services that run, by track and deployment: who came and went.",
            Target(f"count by (service, track, deployment_id, occurrence) ({info()})", LEGEND),
            page=page,
            look=Look(stacked=True),
            size=(24, 7),
        ),
        row("What it does, beside the others of these services"),
        *red(page),
        row("What it uses"),
        graph(
            "CPU by deployment",
            "Cores, of the containers of each deployment together.",
            Target(by_deployment("rate(${cpu:raw}[$__rate_interval])"), LEGEND),
            page=page,
            look=Look(unit="short"),
        ),
        graph(
            "Memory by deployment",
            "Bytes, of the containers of each deployment together.",
            Target(by_deployment("${memory:raw}"), LEGEND),
            page=page,
            look=Look(unit="bytes"),
        ),
        row("Its pods"),
        table(
            "Instances",
            "Each instance of this deployment that runs: its place and its track.",
            Target(
                "max by (service, environment, track, cluster, namespace, pod, deployment_id,"
                f" occurrence) (deploymark_info{{{_THIS}}})",
                "{{pod}}",
            ),
            page=page,
            rows=Rows(
                {
                    name: name
                    for name in (
                        *("pod", "namespace", "cluster", "track", "service", "environment"),
                        *("deployment_id", "occurrence"),
                    )
                }
            ),
            size=(12, 8),
        ),
        table(
            "Images that run",
            "The image and its digest of each container of this deployment, as the cluster says it."
            " The digest of the marker is on the debug page.",
            Target(
                f"max by (${{join:raw}}, container, image, image_id) (${{images:raw}})"
                f" * on (${{join:raw}}) group_left (deployment_id, occurrence) {info(_THIS)}",
                "{{pod}}",
            ),
            page=page,
            rows=Rows(
                {
                    name: name
                    for name in (
                        *("pod", "container", "image", "image_id"),
                        *("deployment_id", "occurrence"),
                    )
                }
            ),
            size=(12, 8),
        ),
        stat(
            "Containers that cannot get their image",
            "Containers in the namespaces of these services that wait for an image. They do not"
            " run, so that deploymark_info does not know them.",
            Target(f"count({_pulls()}) or 0 * count({info()})", "waiting"),
            page=page,
            steps=GOOD_AT_NONE,
        ),
        table(
            "Which, and why",
            "Containers that wait for their image, with the reason. None is good.",
            Target(_pulls(), "{{pod}}"),
            page=page,
            rows=Rows({name: name for name in ("namespace", "pod", "container", "reason")}),
            size=(20, 6),
        ),
        row("What deploymark was told, of all services"),
        graph(
            "From the time of a marker until the log has it",
            "The 95th percentile of the markers that came; the line is the target of M2.",
            Target(
                "histogram_quantile(0.95, sum by (le)"
                " (rate(deploymark_time_to_marker_seconds_bucket[$__rate_interval])))",
                "95th percentile",
            ),
            page=page,
            look=Look(unit="s", steps=((None, GREEN), (60, RED))),
            size=(8, 7),
        ),
        graph(
            "Markers over HTTP",
            "Items handed in a second, by what became of them: new, duplicates, and the codes of"
            " refusals.",
            Target(
                "sum by (outcome) (rate(deploymark_marker_items_total[$__rate_interval]))",
                "{{outcome}}",
            ),
            page=page,
            size=(8, 7),
        ),
        stat(
            "Markers that never came",
            "Numbers that emitters are known to have given, and that did not come (M3):"
            " `GET /v1/emitters` names them.",
            Target("max(deploymark_markers_emitted - deploymark_markers_received)", "lost"),
            page=page,
            steps=GOOD_AT_NONE,
            size=(8, 7),
        ),
        text(
            "Traces, logs and proofs",
            "Prometheus has no traces, no lines of logs and no signatures: the"
            f" [debug page]({URL}/debug?dep=${{deployment_id}}~${{occurrence}}) has the slowest"
            " spans of this deployment beside the others, lines of the logs, the digests wanted and"
            " running, and the proof of its markers."
            f" The [audit page]({URL}/audit) has the state of the log.",
            page=page,
            size=(24, 4),
        ),
    ]
    return dashboard(
        Title(
            page,
            "deploymark: debug a deployment",
            "One deployment: where it runs, what it does and uses, beside the others.",
            since="now-6h",
            refresh="1m",
        ),
        panels,
        variables(
            cluster_variable(),
            label_variable(
                "deployment_id",
                "Deployment",
                f"label_values({KNOWN},{HERE}}}, deployment_id)",
                many=False,
            ),
            label_variable(
                "occurrence",
                "Occurrence",
                f'label_values({KNOWN},deployment_id="$deployment_id"}}, occurrence)',
                many=False,
            ),
            *names_of_metrics(),
            *names_of_resources(),
        ),
        annotations(HERE, "60s"),
    )


def _pulls() -> str:
    """Return the containers that wait for an image."""
    reasons = "ErrImagePull|ImagePullBackOff|ErrImageNeverPull|InvalidImageName"
    waiting = (
        f'max by (namespace, pod, container, reason) (${{waiting:raw}}{{reason=~"{reasons}"}})'
    )
    return f"({waiting} > 0 and on (namespace) deploymark_info{{{IN_CLUSTER}}})"
