"""Every metric that the code counts is explained in the docs, and nothing else is."""

import re

from deploymark.server.metrics import _TOLD, PREFIX
from generated_pages import ROOT

_NAME = re.compile(rf"{PREFIX}[a-z_]+(?:_total|_seconds)\b")


def _counted() -> set[str]:
    files = (ROOT / "src" / "deploymark").rglob("*.py")
    found = {name for each in files for name in _NAME.findall(each.read_text(encoding="utf-8"))}
    return found | {PREFIX + name for name in _TOLD}


def _explained() -> set[str]:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(rf"`({PREFIX}[a-z_]+)", row.split("|")[1])}


def test_every_metric_is_explained_and_nothing_else() -> None:
    assert _explained() == _counted()
