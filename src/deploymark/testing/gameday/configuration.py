"""What a server must be told of a game day's fleet, as a piece of its configuration file.

Expectations and deadlines are configuration, so a server finds what is missing only if it knows
what to expect. Written from the specification of the sections `services` and `policy.deadlines`.
"""

from collections.abc import Iterator, Sequence

from deploymark.testing.gameday.fleet import Lane, build_fleet
from deploymark.testing.gameday.timing import Timing


def configuration(seed: int, services: int, timing: Timing) -> str:
    """Return the TOML that a server needs for the fleet of a day.

    Args:
        seed: Of the day.
        services: How many it has.
        timing: Its pace.
    """
    return "\n".join([*_policy(timing), *_services(build_fleet(seed, services))])


def _policy(timing: Timing) -> Iterator[str]:
    yield "# Deadlines in seconds, compressed: only for a server that is there to be tested."
    yield "[policy.deadlines]"
    yield f"marker = {timing.marker_seconds:g}"
    yield f"intent = {timing.intent_seconds:g}"
    yield f"rollout = {timing.rollout_seconds:g}"
    yield f"silence = {timing.silence_seconds:g}"
    yield f"stale = {timing.stale_seconds:g}"
    yield ""


def _services(lanes: Sequence[Lane]) -> Iterator[str]:
    known = set()
    for lane in lanes:
        service = lane.service
        if service.name not in known:
            known.add(service.name)
            yield f"[services.{service.name}]"
            yield f'owner = "{service.owner}"'
            yield f'tier = "{service.tier}"'
            yield f'workloads = ["{service.workload}"]'
            yield ""
        clusters = ", ".join(f'"{site.cluster}"' for site in lane.sites)
        counts = ", ".join(f"{site.cluster} = {site.instances}" for site in lane.sites)
        yield f"[services.{service.name}.environments.{lane.environment}]"
        yield f"clusters = [{clusters}]"
        yield f"instances = {{ {counts} }}"
        yield ""
