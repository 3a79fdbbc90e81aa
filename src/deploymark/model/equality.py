"""When two markers under one dedupe key say the same (spec: identity, "Equality").

Equal significant fields: a duplicate, the first stands and `ignored` tells what else differed.
Other significant fields: a conflict, and `differing` names them. Everything that is not
significant is descriptive. Standard library only; it looks at no log.

Names are those of the flat marker, with a dot for inner fields: `artifact.digest`. Null, absent
and an empty list or object say the same: nothing. "" is a value.
"""

from collections.abc import Mapping
from typing import Any

from deploymark.model.vocabulary import Kind, Phase

_PLACE = ("target.cluster", "target.region", "target.namespace", "target.workload")
_ALWAYS = ("service", "environment", "kind", "phase", "artifact.digest")
_SIGNIFICANT = (
    *_ALWAYS,
    "version",
    "commit_hash",
    "repository",
    *_PLACE,
    "schema",
    "flags",
    "resources",
    "risk_flags",
    # What a change of another kind sets, as the digest is what a deployment sets.
    "value",
)
# These describe several things at once; each inner field is compared on its own.
_COMPOSITE = frozenset({"artifact", "target", "rollout", "emitter", "evidence"})
_IDS = frozenset({"deployment_id", "marker_id"})


def significant(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the significant fields that a marker states, by dotted name.

    Of a marker about one instance (`running`, or `removed` with an instance uid) only what
    identifies the instance (its uid, else its name) and the digest counts, beside service,
    environment, kind and phase.

    Args:
        fields: A flat marker as plain values, aliases resolved.
    """
    stated = _flat(fields)
    return {name: stated[name] for name in _significant_names(stated) if name in stated}


def differing(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the significant fields in which two markers differ, sorted; empty: a duplicate."""
    return _differences(significant(first), significant(second))


def ignored(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """Return the descriptive fields in which two markers differ, sorted: the first stands."""
    descriptions = []
    for fields in (first, second):
        stated = _flat(fields)
        dropped = {*_significant_names(stated), *_IDS}
        descriptions.append({name: stated[name] for name in stated if name not in dropped})
    return _differences(*descriptions)


def _significant_names(stated: Mapping[str, Any]) -> tuple[str, ...]:
    has_uid, phase = "target.instance_uid" in stated, stated.get("phase")
    if phase != Phase.RUNNING and not (phase == Phase.REMOVED and has_uid):
        return _SIGNIFICANT
    instance = "instance_uid" if has_uid else "instance"
    return (*_ALWAYS, f"target.{instance}")


def _differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return sorted(name for name in {*first, *second} if first.get(name) != second.get(name))


def _flat(fields: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {"kind": Kind.DEPLOYMENT.value}
    for name, value in fields.items():
        stated = _stated(value)
        if stated is None:
            continue
        if name in _COMPOSITE and isinstance(stated, dict):
            result.update({f"{name}.{inner}": part for inner, part in stated.items()})
        else:
            result[name] = stated
    return result


def _stated(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value without the parts that say nothing, or None when nothing is left."""
    match value:
        case Mapping():
            parts = {name: _stated(part) for name, part in value.items()}
            return {name: part for name, part in parts.items() if part is not None} or None
        case list() | tuple():
            return [_stated(part) for part in value] or None
        case _:
            return value
