"""The names of things, derived from what they are: deployments, markers, keys and entries.

Derived, never random, so that a retry, another runner or another language gives the same id
(spec: identity, "Encoding", "deployment_id" and "marker_id"). Standard library only. Occurrences
are only *written* here (`id~2`); which one a marker belongs to is decided in the append.
"""

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from deploymark.errors import IdError
from deploymark.model.canonical import encode
from deploymark.model.vocabulary import Kind, Phase

_GIVEN = re.compile(r"[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?")
_OCCURRENCE = re.compile(r"[1-9][0-9]{0,8}")
_SHOWN = 80

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
# 26 characters of five bits hold 130 bits, so the first is at most 7; written two at a time.
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)
_PAIR_SHIFTS = tuple(range(120, -1, -10))
_PAIR_MASK = 0x3FF


def encode_id(prefix: str, array: Sequence[Any]) -> str:
    """Return the id of an identity array, for every kind of id alike.

    Args:
        prefix: With its dash, such as `d-`.
        array: What identifies the thing, its rule's version first; any JSON values.

    Returns:
        The prefix and 26 characters: the first 16 bytes of SHA-256 over the RFC 8785 form, as one
        big-endian integer in lower-case Crockford base32 (as ULID writes it).

    Raises:
        CanonicalError: The array has no canonical form.
    """
    number = int.from_bytes(sha256(encode(array)).digest()[:16], "big")
    return prefix + "".join([_PAIRS[number >> shift & _PAIR_MASK] for shift in _PAIR_SHIFTS])


def subject_of(fields: Mapping[str, Any]) -> str:
    """Return what a marker is about, as deployment_id uses it.

    Of a deployment: the artifact digest, else `commit:<hash>`, else `version:<string>`. Of any
    other kind: `<kind>:<key>=<revision, else value, else artifact digest>`.

    Args:
        fields: A flat marker; null and absent mean the same.

    Raises:
        IdError: The marker names none of them.
    """
    kind = fields.get("kind") or Kind.DEPLOYMENT
    digest = _inner(fields, "artifact", "digest")
    if kind == Kind.DEPLOYMENT:
        if digest is not None:
            return str(digest)
        if (commit := fields.get("commit_hash")) is not None:
            return f"commit:{commit}"
        if (version := fields.get("version")) is not None:
            return f"version:{version}"
        raise IdError(
            "The marker names no artifact digest, commit_hash or version.",
            hint="State at least one of them; a digest is best.",
        )
    key = fields.get("key")
    for content in (fields.get("revision"), fields.get("value"), digest):
        if key is not None and content is not None:
            return f"{kind}:{key}={content}"
    raise IdError(
        f"A {kind} marker needs `key` and one of `revision`, `value` or an artifact digest.",
        hint="Name what changed in `key` and what it became in `revision`.",
    )


def deployment_id(service: str, environment: str, subject: str, action: str) -> str:
    """Return the `d-…` id of one deployment.

    Args:
        service: Name of the service.
        environment: Name of the environment.
        subject: As `subject_of` gives it.
        action: The deploy action that all its jobs and retries share: CI provider, repository
            and run, without job and attempt; "" where there is none.
    """
    return encode_id("d-", ["deployment/1", service, environment, subject, action])


def discriminator(fields: Mapping[str, Any]) -> list[Any]:
    """Return what tells the markers of one deployment and phase apart (spec: "marker_id")."""
    target = fields.get("target") or {}
    phase = fields.get("phase")
    if phase == Phase.RUNNING or is_instance_end(fields):
        result = [target.get("instance_uid")]
    else:
        result = [
            target.get("cluster"),
            target.get("region"),
            target.get("namespace"),
            target.get("workload"),
            target.get("colour"),
        ]
        if phase != Phase.CUTOVER:
            result.append(_inner(fields, "rollout", "weight"))
    if (fields.get("kind") or Kind.DEPLOYMENT) != Kind.DEPLOYMENT:
        result += [fields.get("key"), fields.get("revision"), fields.get("direction")]
    return result


def is_instance_end(fields: Mapping[str, Any]) -> bool:
    """Tell whether a marker says that one instance is gone, and nothing about its deployment.

    Args:
        fields: A flat marker.
    """
    if fields.get("phase") != Phase.REMOVED:
        return False
    target = fields.get("target")
    return isinstance(target, Mapping) and target.get("instance_uid") is not None


def marker_id(deployment: str, fields: Mapping[str, Any]) -> str:
    """Return the `m-…` id of a marker; with occurrence and repeat it is the dedupe key.

    Args:
        deployment: The deployment id, given or derived.
        fields: A flat marker.
    """
    return encode_id(
        "m-",
        [
            "marker/1",
            deployment,
            fields.get("kind") or Kind.DEPLOYMENT,
            fields.get("phase"),
            _inner(fields, "emitter", "kind"),
            discriminator(fields),
        ],
    )


def ids_of_marker(fields: Mapping[str, Any]) -> tuple[str, str]:
    """Return (deployment_id, marker_id) of a flat marker.

    A `deployment_id` that the marker carries stands, in lower case. The deploy action comes from
    the marker's own field `action` and from nothing else; without it the action is "". The
    marker_id is always derived; one that the marker carries must be the same, so that nobody can
    occupy the identity of somebody else's marker.

    Args:
        fields: Plain values under the names of the flat marker (aliases resolved).

    Raises:
        IdError: The marker identifies nothing, or an id that it carries is wrong.
    """
    given = fields.get("deployment_id")
    if given is None:
        deployment = deployment_id(
            fields.get("service") or "",
            fields.get("environment") or "",
            subject_of(fields),
            fields.get("action") or "",
        )
    else:
        deployment = check_given_id(given, field="/deployment_id")
    derived = marker_id(deployment, fields)
    carried = fields.get("marker_id")
    if carried is not None and str(carried).lower() != derived:
        raise IdError(
            f"The marker carries marker_id {_short(str(carried))}; its content gives {derived}.",
            hint="Leave marker_id out: it follows from the other fields.",
            field="/marker_id",
        )
    return deployment, derived


def key_id(algorithm: str, public_key: bytes) -> str:
    """Return the `k-…` id of a public key, as in the DSSE `keyid`.

    Args:
        algorithm: Such as `ed25519`.
        public_key: The raw public key (32 bytes for Ed25519).
    """
    return encode_id("k-", ["key/1", algorithm, public_key.hex()])


def entry_id(payload_type: str, payload: bytes) -> str:
    """Return the `e-<name>-…` id of an entry that is no marker: its type and exact bytes.

    The name of the type stands in the id, so that people can read it and a store can find all
    entries of one type, keys above all, without reading the others.
    """
    name = payload_type.removeprefix("application/vnd.deploymark.").partition(".")[0]
    return encode_id(f"e-{name}-", ["entry/1", payload_type, sha256(payload).hexdigest()])


def check_given_id(text: str, *, field: str = "") -> str:
    """Return a caller-given id in lower case, fit for a Kubernetes label and a URL segment.

    Args:
        text: What the caller gave.
        field: JSON Pointer to it, for the refusal.

    Raises:
        IdError: Not `[a-z0-9]([-a-z0-9_.]{0,61}[a-z0-9])?` after lower-casing.
    """
    # Lower-casing first would turn U+212A (the Kelvin sign) into a harmless k.
    lowered = text.lower() if text.isascii() else text
    if _GIVEN.fullmatch(lowered) is None:
        raise IdError(f"{_short(text)} is not an id ({len(text)} characters).", field=field)
    return lowered


def format_occurrence(identifier: str, occurrence: int) -> str:
    """Return `id~2`, the name of one occurrence of a deployment, counted from 1."""
    return f"{identifier}~{occurrence}"


def parse_occurrence(text: str) -> tuple[str, int | None]:
    """Read `id~2` or `id` wherever a deployment can be named.

    Returns:
        The id in lower case and the occurrence; None means the latest.

    Raises:
        IdError: The id or the number behind `~` is malformed.
    """
    identifier, mark, number = text.partition("~")
    if not mark:
        return check_given_id(identifier), None
    if _OCCURRENCE.fullmatch(number) is None:
        raise IdError(
            f"{_short(text)} does not name an occurrence.",
            hint="Occurrences are written id~1, id~2, …; the plain id is the latest.",
        )
    return check_given_id(identifier), int(number)


def _inner(fields: Mapping[str, Any], outer: str, name: str) -> Any:  # noqa: ANN401 - JSON value
    part = fields.get(outer)
    return None if part is None else part.get(name)


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "…")
