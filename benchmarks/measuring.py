"""What every benchmark shares: rows with their goal and bare limit, medians, and how they print."""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Row:
    """One measured goal.

    Attributes:
        goal_name: What was measured.
        measured: The median.
        limit: The bare limit of this machine, from the same run.
        unit: Of both.
        goal: What the design asks for, in the unit, or as a ratio to the limit where it says so.
        met: Whether it was reached in this run.
        note: How it was measured.
    """

    goal_name: str
    measured: float
    limit: float
    unit: str
    goal: str
    met: bool
    note: str


def options(description: str) -> argparse.Namespace:
    """Read the flags that every benchmark has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under two minutes")
    parser.add_argument("--json", action="store_true", help="last line: one object, a row a goal")
    parser.add_argument("--soak", action="store_true", help="the largest sizes as well")
    parser.add_argument("--folder", default=".", help="disk to measure on (default: here)")
    return parser.parse_args()


def median_seconds(call: Callable[[], object], runs: int) -> float:
    """Return the median wall time of a call."""
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def machine() -> str:
    """Describe where this ran."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load {load}"
    )


def report(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print a table for people, and one JSON line when asked."""
    print(machine())
    width = max(len(row.goal_name) for row in rows)
    for row in rows:
        mark = "met   " if row.met else "MISSED"
        print(
            f"{row.goal_name:{width}}  {mark}  {row.measured:>12,.2f} {row.unit}"
            f"  (bare limit {row.limit:,.2f}; goal {row.goal})  {row.note}"
        )
    if as_json:
        named = {
            row.goal_name: {k: v for k, v in asdict(row).items() if k != "goal_name"}
            for row in rows
        }
        print(json.dumps(named))
