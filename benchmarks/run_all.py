"""Runs every benchmark and writes what was measured, where and when, into the docs.

Run by `make bench`. A number stands in the docs only if this program saw it.
"""

import json
import math
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from measuring import machine

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "benchmarks.md"
_HEAD = """\
# Benchmarks

Written by `make bench`; each benchmark measures the bare limit of the machine in the same run.
Medians, on an otherwise idle machine as far as the load tells. A goal that was missed says so.

Measured {day} on {machine}.

"""
_MINE = {"fleet.py", "judge_rivals.py", "loading.py", "measuring.py", Path(__file__).name}


def measure(script: Path, arguments: list[str]) -> dict[str, dict[str, Any]]:
    """Run one benchmark and return its rows by goal."""
    command = [sys.executable, str(script), "--json", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    *lines, last = done.stdout.strip().split("\n")
    print("\n".join(lines))
    rows: dict[str, dict[str, Any]] = json.loads(last)
    return rows


def table(name: str, rows: dict[str, dict[str, Any]]) -> str:
    """Return the rows of one benchmark as a Markdown table."""
    lines = [
        f"## {name}\n",
        "| what | measured | bare limit | goal | met | how |",
        "|---|---|---|---|---|---|",
    ]
    for goal, row in rows.items():
        limit = f"{row['limit']:,.1f}" if row["limit"] else "none"
        met = "yes" if row["met"] else "**no**"
        # The goals of shares are hundredths of a percent.
        digits = 2 if row["unit"] == "%" else 1
        measured = f"{row['measured']:,.{digits}f} {row['unit']}"
        if math.isnan(row["measured"]):
            measured = "not measured"
        lines.append(f"| {goal} | {measured} | {limit} | {row['goal']} | {met} | {row['note']} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all, then write the page."""
    here = machine()
    scripts = [each for each in sorted(HERE.glob("*.py")) if each.name not in _MINE]
    tables = [table(each.stem, measure(each, sys.argv[1:])) for each in scripts]
    day = datetime.now(UTC).strftime("%Y-%m-%d")  # noqa: TID251 - a benchmark asks the real clock
    PAGE.write_text(_HEAD.format(day=day, machine=here) + "\n".join(tables), encoding="utf-8")
    print(f"Written: {PAGE}")


if __name__ == "__main__":
    main()
