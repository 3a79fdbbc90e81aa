"""D2, on call: is it a deployment, which one, whose, and how bad.

What Prometheus has no numbers of is said in words, with the page of deploymark that shows it; a
graph that can only be empty is left out.
"""

from grafana.board import Title, dashboard
from grafana.panels import (
    GREEN,
    ORANGE,
    RED,
    URL,
    Look,
    Rows,
    Target,
    graph,
    row,
    stat,
    table,
    target_steps,
    text,
)
from grafana.queries import HERE, IN_CLUSTER, error_delta, happened, info, moments, total
from grafana.shared import (
    GOOD_AT_NONE,
    LEGEND,
    MOMENT_COLUMNS,
    annotations,
    cluster_variable,
    measure,
    names_of_metrics,
    red,
    variables,
)


def oncall() -> str:
    """Return D2: is it a deployment, which one, whose, and how bad."""
    page = "oncall"
    findings = "deploymark_findings_open"
    critical = 'severity="critical",production="true"'
    canaries = info(f'{IN_CLUSTER},track="canary"')
    panels = [
        row("Is it a deployment?"),
        stat(
            "Since the last deployment",
            "How long ago a deployment of these services last went live, in the last week.",
            Target(f"time() - max({moments('live')})", "ago"),
            page=page,
            unit="s",
        ),
        stat(
            "Went live, 24 h",
            "Deployments of these services that first went live in the last 24 hours.",
            Target(happened("live", HERE), "live"),
            page=page,
        ),
        stat(
            "Failed or rolled back, 24 h",
            "Deployments of these services that failed before they were live, and that were rolled"
            " back, in the last 24 hours.",
            Target(happened("failed", HERE), "failed"),
            Target(happened("rolled_back", HERE), "rolled back"),
            page=page,
            steps=GOOD_AT_NONE,
        ),
        stat(
            "Critical findings, production",
            "Open findings of severity `critical` in production, of all services:"
            " `GET /v1/findings` names which, and what to do.",
            Target(
                f"{total(findings, critical)} or 0 * max(deploymark_view_lag_seconds)",
                "open",
            ),
            page=page,
            steps=GOOD_AT_NONE,
        ),
        stat(
            "Instances that run something else",
            "Running instances, of all services, whose digest is not that of their deployment.",
            Target(total("deploymark_instances", 'status="mismatched"'), "mismatched"),
            page=page,
            steps=GOOD_AT_NONE,
        ),
        stat(
            "What deploymark does not see yet",
            "For how long the oldest entry of the log waits that the views have not seen.",
            Target("max(deploymark_view_lag_seconds)", "lag"),
            page=page,
            unit="s",
            steps=((None, GREEN), (10, ORANGE), (60, RED)),
        ),
        row("Which, and whose?"),
        table(
            "What happened to deployments",
            "Deployments that began, went live, failed or were rolled back in the window, the"
            " latest first. `begun` is left out where another event has the same time.",
            Target(f"({moments()} > ${{__from:date:seconds}}) * 1000", "{{deployment_id}}"),
            page=page,
            rows=Rows(MOMENT_COLUMNS, units={"when": "dateTimeAsIso"}, newest="when"),
        ),
        row("Where?"),
        graph(
            "Running instances by deployment",
            "Instances that run, as deploymark_info says, by service, track and deployment.",
            Target(f"count by (service, track, deployment_id, occurrence) ({info()})", LEGEND),
            page=page,
            look=Look(stacked=True, links=True),
        ),
        graph(
            "Canaries that run",
            "Instances on the track `canary`, by service; 0 when there are none.",
            Target(
                f"count by (service) ({canaries}) or 0 * count by (service) ({info()})",
                "{{service}}",
            ),
            page=page,
        ),
        row("How bad?"),
        *red(page),
        graph(
            "Post-deploy error delta by service",
            "The share of requests that failed in the last 30 minutes, minus that of the 30 minutes"
            " before, of services of which a deployment went live in the last hour. Half an hour"
            " after that it compares the 30 minutes after with those before, as M4 does; earlier it"
            " holds some of both. Counted by Prometheus from the pods of now and then; the line is"
            " the target of M4. Without deployments it is empty.",
            Target(error_delta(), "{{service}} in {{environment}}"),
            page=page,
            look=Look(unit="percentunit", steps=target_steps("M4")),
        ),
        graph(
            "Open findings",
            "Open findings by code and severity, of all services.",
            Target(f"{total(findings, '', 'code, severity')}", "{{code}} ({{severity}})"),
            page=page,
            look=Look(stacked=True),
        ),
        stat(
            "Rollouts at work",
            "Services and environments whose rollout is being taken further, and those that"
            " wait for a worker.",
            Target("max(deploymark_rollout_lanes_busy)", "at work"),
            Target("max(deploymark_rollout_lanes_waiting)", "waiting"),
            page=page,
            size=(6, 5),
        ),
        measure("M6", page, " Of the last week.", (6, 5)),
        text(
            "Canary scores and rollbacks at work",
            "Prometheus has no scores of canaries, and does not know which hosts a rollback has"
            f" reached: they are on the [on-call page]({URL}/oncall), with who owns the deployment"
            " and the buttons. `GET /v1/rollouts` lists what is at work.",
            page=page,
        ),
    ]
    return dashboard(
        Title(
            page,
            "deploymark: on call",
            "Is it a deployment, which one, whose, and how bad?",
            since="now-6h",
            refresh="30s",
        ),
        panels,
        variables(cluster_variable(), *names_of_metrics()),
        annotations(HERE, "60s"),
    )
