"""What a person should know who freezes or thaws a place: whether it is one. Pure.

What nobody knows yet may be frozen all the same, before the first deployment comes.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from deploymark.act.gather import freezes_of
from deploymark.act.plan import Scope
from deploymark.projections.broker.rolling import Ruled


def remark_on(
    place: tuple[str | None, str], known: Iterable[Scope], orders: Iterable[Ruled], *, lifts: bool
) -> str:
    """Return what is odd about freezing or thawing a place, "" when nothing is.

    Args:
        place: Service, None for every one, and environment, `*` for every one.
        known: Services and environments that have a plan, or in which something stands.
        orders: Freezes and thaws among others, in the order of the log, before this one.
        lifts: It is thawed.
    """
    service, environment = place
    if lifts:
        return _not_frozen(service or "*", environment, orders)
    scopes = list(known)
    environments = sorted({each[1] for each in scopes})
    if environment not in ("*", *environments):
        return _unknown(environment, environments)
    services = sorted({each[0] for each in scopes if environment in ("*", each[1])})
    if service not in (None, "*", *services):
        return _unknown(str(service), services)
    return ""


def _unknown(name: str, names: list[str]) -> str:
    close = get_close_matches(name, names, n=1)
    meant = f"; did you mean {close[0]}?" if close else "."
    return f"Nothing is known of {name} here{meant}"


def _not_frozen(service: str, environment: str, orders: Iterable[Ruled]) -> str:
    standing, _ = freezes_of(orders)
    inside = [
        each
        for each in standing
        if service in ("*", each.service) and environment in ("*", each.environment)
    ]
    around = [
        each
        for each in standing
        if each not in inside
        and each.service in ("*", service)
        and each.environment in ("*", environment)
    ]
    if around:
        wide = around[0]
        what = "everything" if wide.service == "*" else wide.service
        where = "everywhere" if wide.environment == "*" else f"in {wide.environment}"
        return f"It is frozen still: {wide.by} froze {what} {where}."
    return "" if inside else "It was not frozen."
