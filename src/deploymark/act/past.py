"""What was done, what failed and what is frozen, as far as it bears on a rollout. Pure.

What lies ahead of this clock counts as of now: a clock that was set back makes nothing long ago.
"""

from collections.abc import Iterator
from typing import Final

from deploymark.act.facts import Act, Facts, Freeze
from deploymark.crypto.scope import matches
from deploymark.model.instants import format_instant
from deploymark.ports import Deed

ONCE_IN_MS: Final = 86_400_000
"""One automatic rollback of a service in an environment within this time."""

COOL_DOWN_MS: Final = 1_800_000
"""After a rollback, whoever asked for it, nothing of that service is changed for this long."""

SHARED_SERVICES: Final = 3
"""So many services that fail…"""

SHARED_MS: Final = 900_000
"""…within this time have a cause in common."""


def repeats(facts: Facts, deed: Deed) -> Iterator[str]:
    """Yield which rollback of the service was too lately for this deed."""
    rollout = facts.rollout
    this = facts.done(deed)
    # What makes room for a newer deployment is no second judgement.
    once = deed is Deed.ROLL_BACK and not rollout.superseded_by
    for act in facts.history or ():
        same = (act.service, act.environment) == (rollout.service, rollout.environment)
        # One that was refused changed nothing, and one that made room was no judgement.
        passed_over = act is this or act.superseded or act.outcome == "failed"
        if not same or act.deed is not Deed.ROLL_BACK or passed_over:
            continue
        age = facts.now_ms - act.at_ms
        at = format_instant(act.at_ms)
        if once and act.automatic and age < ONCE_IN_MS:
            yield f"It was rolled back automatically at {at}: once in 24 hours is enough."
        elif age < COOL_DOWN_MS:
            yield f"It was rolled back at {at}: for 30 minutes a person decides."


def is_quarantined(facts: Facts) -> bool:
    """Tell whether what is released was put away."""
    return facts.rollout.pair in (facts.quarantine or ())


def returns_to_failed(facts: Facts) -> bool:
    """Tell whether the release to return to was put away."""
    target = facts.target.pair if facts.target else None
    if target is None or target not in (facts.quarantine or ()):
        return False
    # Cutting back between colours of one digest returns to where it came from, not to a failure.
    pair = facts.rollout.pair
    same = pair is not None and pair.digest == target.digest
    return not (same and facts.plan.strategy == "blue_green")


def is_frozen_by(freeze: Freeze, facts: Facts) -> bool:
    """Tell whether a freeze is about this rollout now."""
    rollout = facts.rollout
    return (
        matches(freeze.service, rollout.service)
        and matches(freeze.environment, rollout.environment)
        and (freeze.until_ms is None or facts.now_ms < freeze.until_ms)
    )


def failing_together(facts: Facts) -> tuple[str, ...]:
    """Return the services of the environment that share a cause of failure, () when none do."""
    since = max(facts.now_ms - SHARED_MS, facts.thawed_ms)
    found = {
        each.service
        for each in facts.failures or ()
        if each.environment == facts.rollout.environment and each.at_ms > since
    }
    return tuple(sorted(found)) if len(found) >= SHARED_SERVICES else ()


def is_under_way_elsewhere(act: Act, facts: Facts) -> bool:
    """Tell whether an act changes another service of the environment, or may yet be undone."""
    rollout = facts.rollout
    if act.environment != rollout.environment or act.service == rollout.service:
        return False
    if act.outcome in ("", "unknown"):
        return True
    return act.deed is Deed.ROLL_BACK and act.outcome == "succeeded" and act.recovered is None
