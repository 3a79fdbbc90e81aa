"""The bounds that the pages about the gate state are those of the code."""

import re

from deploymark.act.budgets import KEPT_MS
from deploymark.act.gate_book import ENTRIES_AT_ONCE, ENTRIES_PER_SECOND, SAME_MS
from deploymark.server.gate import LONGEST_WAIT
from deploymark.server.waiting import MOST_OF_ONE, MOST_WAITING
from generated_pages import DOCS

POLICY = (DOCS / "reference" / "policy.md").read_text(encoding="utf-8")
HOWTO = (DOCS / "howto" / "gate-a-pipeline.md").read_text(encoding="utf-8")


def test_the_bounds_of_the_gate_are_those_of_its_page() -> None:
    rows = re.findall(r"^\| (?:the same|entries|requests) .*? \| (.*) \|$", POLICY, re.MULTILINE)
    every = round(1 / ENTRIES_PER_SECOND)
    assert rows == [
        f"{SAME_MS // 60_000} minutes",
        f"{ENTRIES_AT_ONCE} at once, one more every {every} seconds",
        f"{MOST_WAITING}, of one caller {MOST_OF_ONE}",
    ]
    assert KEPT_MS == 60_000
    assert "A count is good for a minute." in POLICY
    assert f"`wait` (seconds, at most {LONGEST_WAIT})" in POLICY


def test_the_howto_says_the_same() -> None:
    assert f"waits up to {LONGEST_WAIT} seconds" in HOWTO
    assert f"at most {ENTRIES_AT_ONCE} entries at once" in HOWTO
