"""D1, for somebody who answers for it: how deploying goes, over four weeks."""

from deploymark.projections.measures import MEASURES
from grafana.board import Title, dashboard
from grafana.panels import (
    GREEN,
    RED,
    URL,
    Look,
    Rows,
    Target,
    graph,
    measure_text,
    row,
    stat,
    table,
    target_steps,
    text,
)
from grafana.queries import (
    HERE,
    PRODUCTION,
    four_weeks,
    happened,
    measure_part,
    moments,
    post_deploy_delta,
    share,
)
from grafana.shared import annotations, measure, variables


def executive() -> str:
    """Return D1: how deploying goes, over four weeks."""
    page = "exec"
    chosen = f"{PRODUCTION},{HERE}"
    wrong = f'event=~"failed|rolled_back",{chosen}'
    week = " Of the last week, in production."
    panels = [
        row("Deploying, in production"),
        stat(
            "Success rate, four weeks",
            f"{measure_text('M1')} The counts of four weeks, of 7 days each, added up: as it was"
            " counted at the end of each week. Weeks that Prometheus has nothing of are left out.",
            Target(four_weeks("M1"), "M1"),
            page=page,
            unit="percentunit",
            steps=target_steps("M1"),
            size=(6, 5),
        ),
        measure("M1", page, week, (6, 5)),
        stat(
            "Deployments a day",
            "Deployments that settled in the last week, divided by 7 (DORA: deployment frequency).",
            Target(f"{measure_part('denominator', 'M1')} / 7", "a day"),
            page=page,
            size=(6, 5),
        ),
        stat(
            "Went live, 24 h",
            "Deployments that first went live in the last 24 hours.",
            Target(happened("live", chosen), "live"),
            page=page,
            size=(6, 5),
        ),
        graph(
            "Deployments by day",
            "What happened to deployments in production in the 24 hours before each point, by"
            " event: one that went live and was rolled back is in both. Of at most 1,000"
            " deployments that settled last; `deploymark_deployment_timestamps_omitted` counts"
            " the others.",
            *(
                Target(happened(event, chosen), words, interval="1d")
                for event, words in (
                    ("live", "went live"),
                    ("failed", "failed"),
                    ("rolled_back", "rolled back"),
                )
            ),
            page=page,
            look=Look(bars=True),
        ),
        table(
            "Owners, the last week",
            "Deployments in production by owner: how many went live, and how many failed or were"
            " rolled back. Of the 1,000 deployments of the last week that settled last.",
            Target(f"count by (owner) ({moments('live', chosen)})", "{{owner}}"),
            Target(
                f"count by (owner) ({moments('', wrong)})",
                "{{owner}}",
            ),
            page=page,
            rows=Rows(
                {"owner": "owner", "Value #A": "went live", "Value #B": "went wrong"},
                newest="went wrong",
            ),
            size=(12, 8),
        ),
        row("DORA"),
        stat(
            "Change failure rate",
            "Deployments that failed or were rolled back, of those of the last week (1 - M1).",
            Target(f"1 - {share('M1')}", "failures"),
            page=page,
            unit="percentunit",
            steps=((None, GREEN), (1 - MEASURES["M1"].target + 1e-9, RED)),
            size=(6, 5),
        ),
        stat(
            "Time to restore, by rolling back",
            "The median time from the first failing verdict to a rollback that succeeded (M11), of"
            " the last week.",
            Target('max(deploymark_measure_seconds{measure="M11",quantile="0.5"})', "median"),
            page=page,
            unit="s",
            size=(6, 5),
        ),
        text(
            "Incidents, MTTC, MTTR and lead time",
            "Prometheus has no numbers of incidents, of how long it took to find their cause (MTTC)"
            " or to repair them (MTTR), and none of the time from a commit to its deployment. The"
            f" [executive page]({URL}/exec) says what is known of them, and of what it is known.",
            page=page,
        ),
        row("Measures and their targets"),
        measure("M7", page, week),
        measure("M6", page, week),
        measure("M11", page, week),
        measure("M14", page, week),
        stat(
            MEASURES["M9"].title,
            f"{measure_text('M9')} The number of them.{week}",
            Target(measure_part("numerator", "M9"), "breaches"),
            page=page,
            steps=target_steps("M9"),
        ),
        stat(
            MEASURES["M4"].title,
            f"{measure_text('M4')} Of all services; a report, never a gate.{week}",
            Target(post_deploy_delta(), "M4"),
            page=page,
            unit="percentunit",
            steps=target_steps("M4"),
        ),
        measure("M10", page, " Now.", (6, 4)),
        measure("M3", page, "", (6, 4)),
        measure("M8", page, " Of the last day.", (6, 4)),
        measure("M2", page, " Since the server started.", (6, 4)),
        graph(
            "Measures over time",
            "Every measure that is a share, as it was at each point; without what nothing was"
            " counted for.",
            Target(
                "max by (measure) (deploymark_measure_numerator)"
                " / (max by (measure) (deploymark_measure_denominator) > 0)",
                "{{measure}}",
                interval="1h",
            ),
            page=page,
            look=Look(unit="percentunit", top=1),
            size=(24, 8),
        ),
    ]
    return dashboard(
        Title(
            page,
            "deploymark: executive",
            "How deploying goes: success, frequency, failures, and whether the record is whole.",
            since="now-30d",
            refresh="",
        ),
        panels,
        variables(),
        annotations(chosen, "1h"),
    )
