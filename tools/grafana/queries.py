"""The expressions of the dashboards for Grafana, in PromQL with Grafana's variables.

Metrics of deploymark stand by their names; those of applications are named by variables, because
everybody's are called otherwise. What belongs to which deployment is told by the join with
`deploymark_info` (docs: Scrape with Prometheus).
"""

from typing import Final

HERE: Final = 'service=~"$service",environment=~"$environment"'
IN_CLUSTER: Final = f'{HERE},cluster=~"$cluster"'
PRODUCTION: Final = 'production="true"'

_DEPLOYMENT: Final = "service, track, deployment_id, occurrence"
_MOMENT: Final = "deployment_id, occurrence, service, environment, version, owner, event"
_RATED: Final = "$__rate_interval"
_LATE_SECONDS: Final = 21_600
"""How much later than it happened a moment may come to be known, and still be drawn."""


def info(where: str = IN_CLUSTER, offset: str = "") -> str:
    """Return what runs: one series for each instance, however often deploymark is scraped."""
    kept = f"${{join:raw}}, {_DEPLOYMENT}, environment"
    return f"max by ({kept}) (deploymark_info{{{where}}}{offset})"


def by_deployment(samples: str, by: str = _DEPLOYMENT, offset: str = "") -> str:
    """Return samples of applications, added up by what deploymark knows of their instances."""
    told = by.removeprefix("le, ")
    seen = info(offset=offset)
    return f"sum by ({by}) ({samples} * on (${{join:raw}}) group_left ({told}) {seen})"


def requests() -> str:
    """Return requests a second of each deployment."""
    return by_deployment(f"rate(${{requests:raw}}[{_RATED}])")


def error_share(by: str = _DEPLOYMENT, window: str = _RATED, offset: str = "") -> str:
    """Return the share of requests that failed; nothing where there were none."""
    failed = f'rate(${{requests:raw}}{{${{status:raw}}=~"5.."}}[{window}]{offset})'
    every = by_deployment(f"rate(${{requests:raw}}[{window}]{offset})", by, offset)
    return f"({by_deployment(failed, by, offset)} or 0 * {every}) / ({every} > 0)"


def latency(quantile: float) -> str:
    """Return how long requests took, in the unit of the histogram."""
    by = f"le, {_DEPLOYMENT}"
    counted = by_deployment(f"rate(${{duration:raw}}[{_RATED}])", by)
    return f"histogram_quantile({quantile}, {counted})"


def error_delta() -> str:
    """Return by how much the share of failed requests rose in half an hour, where it was deployed.

    Half an hour after a deployment went live this is M4 of it; before that, both halves hold
    requests of the old one.
    """
    by = "service, environment"
    live = f'deploymark_deployment_timestamp_seconds{{event="live",{HERE}}}'
    lately = f"(time() - max by ({by}) ({live}) < 3600)"
    before = error_share(by, "30m", " offset 30m")
    return f"({error_share(by, '30m')} - {before}) and on ({by}) {lately}"


def moments(event: str = "", where: str = HERE) -> str:
    """Return the times of what happened to deployments, in seconds.

    Args:
        event: `begun`, `live`, `failed`, `rolled_back`; "" for all of them.
        where: Matchers.
    """
    named = f'event="{event}",' if event else ""
    return f"max by ({_MOMENT}) (deploymark_deployment_timestamp_seconds{{{named}{where}}})"


def lines(event: str, where: str = HERE) -> str:
    """Return the times of what happened, in milliseconds, soon after it happened.

    A marker need not be told for a week: each sample of it would be one more point to load.
    """
    return f"({moments(event, where)} > time() - {_LATE_SECONDS}) * 1000"


def happened(event: str, where: str, days: int = 1) -> str:
    """Return to how many deployments it happened in the days before; 0 if to none."""
    counted = f"count({moments(event, where)} > time() - {days} * 86400)"
    return f"{counted} or 0 * max(deploymark_deployment_timestamps_omitted)"


def measure_part(part: str, measure: str) -> str:
    """Return the `numerator` or the `denominator` of a measure."""
    return f'max(deploymark_measure_{part}{{measure="{measure}"}})'


def share(measure: str) -> str:
    """Return a measure; nothing where nothing was counted, which is no perfect score."""
    return f"{measure_part('numerator', measure)} / ({measure_part('denominator', measure)} > 0)"


def four_weeks(measure: str) -> str:
    """Return a measure of a week over four of them: their counts, added up.

    Weeks that Prometheus knows nothing of add nothing.
    """

    def total(part: str) -> str:
        now = measure_part(part, measure)
        past = [now.replace("})", f"}} offset {days}d)") for days in (7, 14, 21)]
        return " + ".join((now, *(f"({each} or 0 * {now})" for each in past)))

    return f"({total('numerator')}) / (({total('denominator')}) > 0)"


def post_deploy_delta() -> str:
    """Return M4, over all services."""

    def failed(window: str) -> str:
        counts = [
            f'max(deploymark_post_deploy_{what}{{window="{window}"}})'
            for what in ("errors", "requests")
        ]
        return f"{counts[0]} / ({counts[1]} > 0)"

    return f"{failed('after')} - {failed('before')}"


def total(metric: str, where: str, by: str = "") -> str:
    """Return a gauge of deploymark, as one of its servers told it, added up over its labels."""
    kept = f" by ({by})" if by else ""
    return f"sum{kept} (max without (instance, job) ({metric}{{{where}}}))"
