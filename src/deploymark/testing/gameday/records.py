"""Holds the records of a server against the truth, deployment by deployment, instance by instance.

Pure. Says what differs in words, nothing where all is true.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from deploymark.errors import InstantError
from deploymark.model.instants import parse_instant
from deploymark.testing.gameday.deploy import Instance
from deploymark.testing.gameday.truth import Record

Json = dict[str, Any]

_OPENED_WITHIN_MS: Final = 5_000


def differences(record: Record, shown: Json, opened_ms: int | None) -> Iterator[str]:
    """Yield what a deployment's record says that is not true.

    Args:
        record: What it must say.
        shown: What the server says.
        opened_ms: The real time at which it opened; None compares none.
    """
    deploy = record.deploy
    wanted = {
        "service": deploy.lane.service.name,
        "environment": deploy.lane.environment,
        "kind": deploy.line.kind.value,
        "key": deploy.line.key,
        "digest": record.digest,
        "commit_hash": record.commit,
        "version": record.version,
        "occurrence": record.occurrence,
        "unplanned": record.unplanned,
    }
    for name, value in wanted.items():
        if value is not None and shown.get(name) != value:
            yield f"{name} is {shown.get(name)!r}, not {value!r}"
    if shown.get("state") not in record.states:
        yield f"state is {shown.get('state')!r}, not {' or '.join(sorted(record.states))}"
    yield from _source_differences(record, shown)
    if opened_ms is not None:
        yield from _opening_differences(shown, opened_ms)
    if record.instances is not None:
        yield from _coverage_differences(record.instances, shown)


def _source_differences(record: Record, shown: Json) -> Iterator[str]:
    sources: Mapping[str, Json] = shown.get("sources") or {}
    if record.sources is not None and set(sources) != record.sources:
        yield f"sources are {sorted(sources)}, not {sorted(record.sources)}"
    missing = shown.get("missing_sources")
    if record.missing is not None and set(missing or ()) != record.missing:
        yield f"missing sources are {missing}, not {sorted(record.missing)}"
    for kind, most in record.most:
        counted = (sources.get(kind) or {}).get("markers") or 0
        if counted > most:
            yield f"{counted} markers of {kind} are counted, and {most} were made"


def _opening_differences(shown: Json, opened_ms: int) -> Iterator[str]:
    try:
        told_ms = parse_instant(str(shown.get("opened_at")))
    except InstantError:
        yield f"opened_at is {shown.get('opened_at')!r}"
        return
    if abs(told_ms - opened_ms) > _OPENED_WITHIN_MS:
        yield f"opened_at is {(told_ms - opened_ms) / 1_000:+.1f} s off"


def _coverage_differences(instances: int, shown: Json) -> Iterator[str]:
    coverage = shown.get("coverage") or {}
    wanted = {"expected": instances, "confirmed": instances, "mismatched": 0}
    for name, value in wanted.items():
        if coverage.get(name) != value:
            yield f"coverage.{name} is {coverage.get(name)!r}, not {value}"
    if shown.get("binding") != "observed":
        yield f"binding is {shown.get('binding')!r}, not 'observed'"


def instance_differences(truth: Instance, shown: Json | None, deployment_id: str) -> Iterator[str]:
    """Yield what a server says of a running instance that is not true.

    Args:
        truth: The instance.
        shown: What the server says; None when it does not know it.
        deployment_id: Of its deployment, as the server names it.
    """
    if shown is None:
        yield "is not known"
        return
    lane = truth.deploy.lane
    wanted = {
        "service": lane.service.name,
        "environment": lane.environment,
        "cluster": truth.site.cluster,
        "region": truth.site.region,
        "zone": truth.zone,
        "deployment_id": deployment_id,
        "occurrence": truth.deploy.occurrence,
        "status": "confirmed",
        "digest": truth.deploy.release.digest,
    }
    for name, value in wanted.items():
        if shown.get(name) != value:
            yield f"{name} is {shown.get(name)!r}, not {value!r}"
