"""Writes the dashboards for Grafana under deploy/grafana: what three pages show, from Prometheus.

`panels` and `board` are the words, `queries` the expressions; `generated_pages` writes the files
with the pages of docs/.
"""

import pathlib
from typing import Final

from grafana.debug import debug
from grafana.executive import executive
from grafana.oncall import oncall

PLACE: Final = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "grafana"


def dashboards() -> dict[pathlib.Path, str]:
    """Return every dashboard with its file."""
    return {
        PLACE / "oncall.json": oncall(),
        PLACE / "executive.json": executive(),
        PLACE / "debug.json": debug(),
    }
