"""How each kind of deploy goes: its steps in simulated seconds, and what they do to instances.

Pure but for the instances, whose ends it writes down. Times are those of an ordinary rollout: a
pod is up after twenty seconds, the old one ends ten seconds later.
"""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import ceil
from typing import Final

from deploymark.testing.gameday.deploy import Deploy, Instance, Shape, Step, What
from deploymark.testing.gameday.fleet import NAMESPACE, Site

CANARY_WEIGHTS: Final = (5, 25, 100)

_BEGIN, _SITE, _UP, _DOWN, _SETTLE, _STAGGER = 20.0, 10.0, 20.0, 10.0, 15.0, 40.0


def roll_out(deploy: Deploy, starts: float, standing: Sequence[Instance]) -> None:
    """Give a deploy its steps, start its instances and end those that it replaces.

    Args:
        deploy: Gets `steps` and `born`.
        starts: The simulated second at which it begins.
        standing: The instances that run on its lane.
    """
    steps = [Step(starts, What.INTENDED)]
    if deploy.shape is not Shape.FLAG:
        steps.append(Step(starts + _BEGIN, What.BEGUN))
    if deploy.shape is Shape.ABANDONED:
        deploy.steps = tuple(steps)
        return
    begun = starts + _BEGIN
    for number, site in enumerate(deploy.lane.sites):
        delay = _STAGGER * number if deploy.shape is Shape.MULTI_CLUSTER else 0.0
        old = [each for each in standing if each.site == site]
        steps += _on_site(deploy, site, begun + delay + _SITE, old)
    last = max(step.at for step in steps)
    steps.append(Step(last + _SETTLE, _end_of(deploy.shape)))
    deploy.steps = tuple(sorted(steps, key=lambda step: step.at))
    for step in deploy.steps:
        if step.what is What.ENDED and step.instance is not None:
            step.instance.ended = step.at


def _end_of(shape: Shape) -> What:
    match shape:
        case Shape.FAILING:
            return What.FAILED
        case Shape.CANARY | Shape.BLUE_GREEN:
            return What.PROMOTED
        case _:
            return What.DONE


def _on_site(deploy: Deploy, site: Site, at: float, old: Sequence[Instance]) -> Iterator[Step]:
    match deploy.shape:
        case Shape.FLAG | Shape.MIGRATION:
            return
        case Shape.CONFIG:
            yield Step(at + _UP, What.APPLIED, site)
        case Shape.FAILING:
            yield from _fails(deploy, site, at)
        case Shape.CANARY:
            yield from _canary(deploy, site, at, old)
        case Shape.BLUE_GREEN:
            yield from _blue_green(deploy, site, at, old)
        case _:
            yield from _rolling(deploy, site, at, old)


def _rolling(deploy: Deploy, site: Site, at: float, old: Sequence[Instance]) -> Iterator[Step]:
    yield Step(at, What.SITE_BEGUN, site)
    for replaced, number in zip_longest(old, range(site.instances)):
        at += _UP
        if number is not None:
            yield Step(at, What.STARTED, site, _start(deploy, site, number, at))
        if replaced is not None:
            yield Step(at + _DOWN, What.ENDED, site, replaced)
    yield Step(at + _SETTLE, What.APPLIED, site)


def _canary(deploy: Deploy, site: Site, at: float, old: Sequence[Instance]) -> Iterator[Step]:
    yield Step(at, What.SITE_BEGUN, site)
    begun = 0
    for weight in CANARY_WEIGHTS:
        wanted = ceil(site.instances * weight / 100)
        for number in range(begun, wanted):
            at += _UP
            new = _start(deploy, site, number, at)
            new.track = "canary" if weight < CANARY_WEIGHTS[-1] else "stable"
            yield Step(at, What.STARTED, site, new)
        begun = max(begun, wanted)
        at += _SETTLE
        yield Step(at, What.APPLIED, site, weight=weight)
    for replaced in old:
        at += _DOWN
        yield Step(at, What.ENDED, site, replaced)


def _blue_green(deploy: Deploy, site: Site, at: float, old: Sequence[Instance]) -> Iterator[Step]:
    yield Step(at, What.SITE_BEGUN, site)
    for number in range(site.instances):
        new = _start(deploy, site, number, at + _UP + number)
        new.colour = deploy.colour
        yield Step(new.started, What.STARTED, site, new)
    at += _UP + site.instances + _SETTLE
    yield Step(at, What.APPLIED, site)
    yield Step(at + _SETTLE, What.CUT_OVER, site)
    for replaced in old:
        at += _DOWN
        yield Step(at + _SETTLE, What.ENDED, site, replaced)


def _fails(deploy: Deploy, site: Site, at: float) -> Iterator[Step]:
    """Start one instance on the first site only, find it broken and end it again."""
    if site != deploy.lane.sites[0]:
        return
    yield Step(at, What.SITE_BEGUN, site)
    new = _start(deploy, site, 0, at + _UP)
    yield Step(at + _UP, What.STARTED, site, new)
    yield Step(at + _UP + _SETTLE, What.ENDED, site, new)
    yield Step(at + _UP + _SETTLE + 1, What.FAILED_HERE, site)


def _start(deploy: Deploy, site: Site, number: int, at: float) -> Instance:
    service = deploy.lane.service.name
    name = f"{service}-{deploy.number}-{site.cluster}-{number}"
    zone = site.zones[number % len(site.zones)]
    instance = Instance(
        uid=f"{deploy.release.name.partition('/')[0]}:{name}:{deploy.lane.environment}",
        name=f"pod/{NAMESPACE}/{name}",
        site=site,
        zone=zone,
        node=f"node-{site.cluster}-{zone}",
        deploy=deploy,
        started=at,
    )
    deploy.born.append(instance)
    return instance
