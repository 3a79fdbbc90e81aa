"""Ten conditions that must all hold before anything is changed automatically. Pure."""

from deploymark.act.facts import Facts
from deploymark.model.entries import GuardResult
from deploymark.ports import Deed


def check_guards(facts: Facts, deed: Deed) -> tuple[GuardResult, ...]:
    """Return what every guard says about a deed, in their order; none is left out."""
    raise NotImplementedError
