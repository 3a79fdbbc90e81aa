"""Writes the PromQL that is asked. Pure.

Selectors come from the plan of a rollout, names from the log: the first are checked to be plain
selectors of raw series, the second are quoted.
"""

import re
from collections.abc import Sequence
from typing import Final

from deploymark.errors import QueryError
from deploymark.ports import Cohort

_MATCHER: Final = r'\s*[a-zA-Z_][a-zA-Z0-9_]*\s*(?:=~|!~|!=|=)\s*"(?:[^"\\\n]|\\.)*"\s*'
_SELECTOR: Final = re.compile(
    rf"\s*([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{{({_MATCHER}(?:,{_MATCHER})*,?\s*)?\}})?\s*"
)


class Selector:
    """A selector of raw series: a name, and matchers of labels.

    Args:
        text: As the plan has it.

    Raises:
        QueryError: It is something else; rates and sums are no raw counters.
    """

    def __init__(self, text: str) -> None:
        found = _SELECTOR.fullmatch(text)
        if found is None:
            raise QueryError(
                f"{text!r} is no selector of a raw series.",
                hint='Name a counter and labels, like http_requests_total{code=~"5.."}; no '
                "functions and no ranges.",
                field="/metrics",
            )
        self.name = found[1]
        self._matchers = (found[2] or "").strip().rstrip(",").rstrip()

    def __str__(self) -> str:
        return f"{self.name}{{{self._matchers}}}"

    def named(self, name: str) -> "Selector":
        """Return the selector of another metric with the same labels."""
        return Selector(f"{name}{{{self._matchers}}}")

    def narrowed(self, matcher: str) -> "Selector":
        """Return the selector with one more matcher."""
        return Selector(f"{self.name}{{{', '.join(filter(None, (self._matchers, matcher)))}}}")


def in_cohort(expression: str, cohort: Cohort, info: str, join: Sequence[str]) -> str:
    """Return the series of an expression at the instants when their pod was of a cohort.

    Args:
        expression: A vector whose series have the labels of the join.
        cohort: Whose.
        info: The metric that says what runs where.
        join: The labels that both have.
    """
    ids = _either(cohort.deployments)
    mine = f"deployment_id=~{ids}"
    if cohort.track is not None:
        mine += f", track={_quoted(cohort.track)}"
    on = f"on ({', '.join(join)})"
    whose = _whose(cohort)
    return (
        f"({expression}) and {on} {info}{{{whose}, {mine}}}"
        f" unless {on} {info}{{{whose}, deployment_id!~{ids}}}"
    )


def anywhere(selector: Selector, cohort: Cohort, info: str) -> str:
    """Return one series while a selector sees anything, and deploymark tells what runs."""
    return f"group({selector}) and group({info}{{{_whose(cohort)}}})"


def _whose(cohort: Cohort) -> str:
    return f"service={_quoted(cohort.service)}, environment={_quoted(cohort.environment)}"


def _either(texts: Sequence[str]) -> str:
    """Return a pattern that matches these texts and no other (RE2; PromQL anchors it)."""
    return _quoted("|".join(re.sub(r"([^A-Za-z0-9_-])", r"\\\1", each) for each in texts))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
