"""How the main questions to the broker slow down as the log grows.

Run alone: `python benchmarks/reads.py [--quick] [--json] [--soak]`. The same questions are asked
of views over 10,000 markers and over a million (--quick: 50,000; --soak: ten million as well),
warm. The bare limit of each is what it costs at the smallest size: their factor is what counts.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from fleet import Fleet, written_log
from measuring import Row, median_seconds, options, report

from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.questions import (
    CoverageQuery,
    DeploymentQuery,
    FindingQuery,
    InstanceQuery,
)
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.database import Views, open_views
from deploymark.projections.runner import Runner
from deploymark.testing.meter import ListMeter

SMALLEST = 10_000
MOST_FACTOR = 2.0
_RUNS = 31


def views_over(folder: Path, count: int) -> Views:
    """Return views that have read a fleet's log of so many markers."""
    with closing(written_log(folder / f"log-{count}.db", Fleet(), count)) as store:
        views = open_views(folder / f"views-{count}.db")
        Runner(store, views, [BrokerView()], ListMeter()).catch_up()
    return views


def questions(query: BrokerQuery) -> dict[str, Callable[[], object]]:
    """Return the main questions, about the newest things there are."""
    # A service with a pipeline, the newest release of which runs.
    states = ("running", "verified", "complete")
    running = DeploymentQuery(service=("service-001",), state=states, limit=1)
    name = query.deployments(running).items[0]["deployment_id"]
    asked = InstanceQuery(deployment_id=(name,))
    if not query.instances(asked).items:
        raise SystemExit(f"{name} has no instances.")
    return {
        "newest deployments": lambda: query.deployments(DeploymentQuery()),
        "one deployment by its id": lambda: query.deployment(name),
        "open findings": lambda: query.findings(FindingQuery()),
        "instances of a deployment": lambda: query.instances(asked),
        "coverage of a service": lambda: query.coverage(CoverageQuery(service=("service-001",))),
    }


def measured(folder: Path, count: int) -> dict[str, float]:
    """Return the median milliseconds of each question over a log of so many markers."""
    views = views_over(folder, count)
    asked = questions(BrokerQuery(views))
    found = {}
    for name, ask in asked.items():
        ask()
        found[name] = median_seconds(ask, _RUNS) * 1e3
    views.close()
    return found


def rows(folder: Path, sizes: list[int]) -> Iterator[Row]:
    """Compare each size with the smallest."""
    small = measured(folder, SMALLEST)
    for size in sizes:
        for name, took in measured(folder, size).items():
            factor = took / small[name]
            note = f"factor {factor:.2f}; limit: the same at {SMALLEST:,}"
            goal = f"<= {MOST_FACTOR:g} x limit"
            met = factor <= MOST_FACTOR
            yield Row(f"{name}, {size:,} markers", took, small[name], "ms", goal, met, note)


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    sizes = [50_000] if chosen.quick else [1_000_000]
    if chosen.soak:
        sizes.append(10_000_000)
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        found = list(rows(Path(folder), sizes))
    report(found, as_json=chosen.json)


if __name__ == "__main__":
    main()
