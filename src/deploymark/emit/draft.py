"""Turns what a caller says, and what CI says, into a flat marker that the server will take.

Checks what can be checked without the typed schema (`model.marker` needs msgspec): names, required
fields, closed vocabularies, the forms of digests, commits and times. The server has the last word.
The ids are derived here, so that the caller knows them at once, and are not written into the
marker: they follow from it (spec: identity). Pure; the number comes from the spool.
"""

import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple, NoReturn

from deploymark.errors import MarkerError, TooLargeError
from deploymark.model.canonical import encode
from deploymark.model.environment import is_production
from deploymark.model.ids import ids_of_marker, is_instance_end
from deploymark.model.instants import format_instant, parse_instant
from deploymark.model.vocabulary import Basis, EmitterKind, Kind, Phase, Strategy, Track

GIVEN_ID: Final = "/deployment_id"
"""The field at which a marker is refused that names its deployment and nothing else."""

PAYLOAD_BYTES: Final = 32_768
"""The largest payload that the server takes (`model.limits`)."""

Fields = dict[str, Any]

_FREE: Final = (
    "service environment phase kind deployment_id marker_id action version commit_hash repository"
    " ref build_id build_url release_id correlation_id owner change_tickets author approvers"
    " deployer change_type reason risk_flags flags key revision value direction attempt resources"
    " timestamp changes links labels details_digest"
)
_TARGET: Final = "cluster region zone node namespace workload instance instance_uid colour"
_ROLLOUT: Final = "strategy steps track weight previous_deployment_id rollback_of"

KNOWN: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(_FREE.split(), frozenset()),
    "artifact": frozenset({"name", "digest", "tag", "platforms"}),
    "target": frozenset(_TARGET.split()),
    "rollout": frozenset(_ROLLOUT.split()),
    "schema": frozenset({"requires", "provides", "step"}),
    "evidence": frozenset({"basis", "digest", "observer", "at"}),
    "emitter": frozenset({"kind", "id", "epoch", "sequence"}),
}
"""The fields of a marker and of the objects in it; empty where its inside is free or no object."""

_WORDS: Final[tuple[tuple[tuple[str, ...], frozenset[str]], ...]] = tuple(
    (path, frozenset(member.value for member in words))
    for path, words in (
        (("phase",), Phase),
        (("kind",), Kind),
        (("emitter", "kind"), EmitterKind),
        (("rollout", "strategy"), Strategy),
        (("rollout", "track"), Track),
        (("evidence", "basis"), Basis),
    )
)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"[0-9a-f]{7,64}")
_FAILURES: Final = frozenset({Phase.FAILED, Phase.ROLLING_BACK, Phase.ROLLED_BACK})
_NAME_BYTES: Final = 256
_SHOWN: Final = 60

URGENT, ORDINARY, EXPENDABLE = range(3)
"""Priorities: what is delivered first and given up last comes first."""


class Draft(NamedTuple):
    """A marker without its number.

    Attributes:
        fields: The flat marker; the caller of `numbered` has it for itself.
        deployment_id: Its `d-…` id, or the one that was given.
        marker_id: Its `m-…` id.
        priority: `URGENT`, `ORDINARY` or `EXPENDABLE`.
    """

    fields: Fields
    deployment_id: str
    marker_id: str
    priority: int

    def numbered(self, epoch: str, sequence: int) -> Fields:
        """Return the fields with the place of the marker in its emitter's numbering."""
        return {
            **self.fields,
            "emitter": {**self.fields["emitter"], "epoch": epoch, "sequence": sequence},
        }


def draft_marker(
    given: Mapping[str, Any], facts: Mapping[str, Any], emitter: Mapping[str, str], now_ms: int
) -> Draft:
    """Draft a marker.

    Args:
        given: What the caller says; it wins over `facts`. Null says nothing. `artifact` may be
            text (`artifact_of`), and the aliases of the specification are resolved.
        facts: What CI says, as flat-marker fields.
        emitter: `kind` and `id` of who speaks.
        now_ms: The time to claim when none is given.

    Raises:
        MarkerError: A field is unknown, missing or malformed; `field` points at it.
        IdError, InstantError, CanonicalError: By what is wrong.
    """
    fields = _merged(_resolved(given), facts)
    own = fields.get("emitter", {})
    if not isinstance(own, dict):
        _refuse(f"/emitter must be an object, not {_show(own)}.", "/emitter")
    for name in ("id", "epoch", "sequence"):
        if name in own:
            _refuse(
                f"/emitter/{name} belongs to the emitter, which numbers its markers.",
                f"/emitter/{name}",
                "Leave it out; give the id of the emitter where the emitter is made.",
            )
    fields["emitter"] = {**emitter, **own}
    if "timestamp" not in fields:
        fields["timestamp"] = format_instant(now_ms)
    _check(fields)
    deployment_id, marker_id = ids_of_marker(fields)
    return Draft(fields, deployment_id, marker_id, priority_of(fields))


def body_of(fields: Fields) -> bytes:
    """Return the canonical bytes of a flat marker that goes unsigned.

    Raises:
        CanonicalError: It has no canonical form.
        TooLargeError: It is larger than the server takes.
    """
    body = encode(fields)
    if len(body) > PAYLOAD_BYTES:
        raise TooLargeError(
            f"The marker has {len(body)} bytes; the limit is {PAYLOAD_BYTES}.",
        )
    return body


def priority_of(fields: Mapping[str, Any]) -> int:
    """Return how important a marker is when not all can be kept (spec: "Sequence accounting")."""
    phase = fields.get("phase")
    if phase in _FAILURES or is_production(str(fields.get("environment", ""))):
        return URGENT
    return EXPENDABLE if phase == Phase.RUNNING else ORDINARY


def artifact_of(text: str) -> Fields:
    """Read an artifact as people write it.

    Args:
        text: `sha256:…`, `name@sha256:…`, `name:tag@sha256:…`, `name:tag` or `name`.

    Raises:
        MarkerError: A digest that is none.
    """
    name, at, digest = text.rpartition("@")
    if not at:
        name, digest = ("", text) if text.startswith("sha256:") else (text, "")
    if (at or digest) and _DIGEST.fullmatch(digest) is None:
        _refuse(
            f"/artifact names {_show(digest)}, which is no digest.",
            "/artifact/digest",
            "A digest is sha256: and 64 lower-case hexadecimal digits.",
        )
    # The port of a registry stands before the last slash, a tag behind it.
    before, slash, last = name.rpartition("/")
    plain, _, tag = last.partition(":")
    parts = {"name": before + slash + plain, "tag": tag, "digest": digest}
    return {part: value for part, value in parts.items() if value}


def _resolved(given: Mapping[str, Any]) -> Fields:
    """Drop nulls, read short forms, and put aliases where they belong."""
    fields: Fields = {}
    for name, value in given.items():
        if value is None:
            continue
        if isinstance(value, Mapping):
            fields[name] = {inner: part for inner, part in value.items() if part is not None}
        elif name == "artifact" and isinstance(value, str):
            fields[name] = artifact_of(value)
        else:
            fields[name] = value.value if isinstance(value, StrEnum) else value
    if "artifact_digest" in fields:
        _place(fields, "artifact", "digest", fields.pop("artifact_digest"))
    if "rollout_strategy" in fields:
        _place(fields, "rollout", "strategy", fields.pop("rollout_strategy"))
    if "change_ticket" in fields:
        ticket = fields.pop("change_ticket")
        tickets = [ticket] if isinstance(ticket, str) else ticket
        if fields.setdefault("change_tickets", tickets) != tickets:
            _refuse("/change_ticket and /change_tickets differ.", "/change_ticket")
    return fields


def _place(fields: Fields, outer: str, inner: str, value: object) -> None:
    part = fields.setdefault(outer, {})
    if isinstance(part, dict) and part.setdefault(inner, value) != value:
        _refuse(
            f"/{outer}_{inner} says {_show(value)}, /{outer}/{inner} says {_show(part[inner])}.",
            f"/{outer}_{inner}",
            f"Send only /{outer}/{inner}.",
        )


def _merged(given: Fields, facts: Mapping[str, Any]) -> Fields:
    if not facts:
        return given
    fields = {**facts, **given}
    for name, value in facts.items():
        said = given.get(name)
        if isinstance(value, Mapping) and isinstance(said, Mapping):
            fields[name] = {**value, **said}
    return {name: value for name, value in fields.items() if value is not None}


def _check(fields: Fields) -> None:
    for name, value in fields.items():
        inner = KNOWN.get(name)
        if inner is None:
            _refuse_unknown(name, "", KNOWN)
        if inner:
            if not isinstance(value, dict):
                _refuse(f"/{name} must be an object, not {_show(value)}.", f"/{name}")
            if not inner.issuperset(value):
                _refuse_unknown(min(map(str, value.keys() - inner)), f"/{name}", inner)
    for name in ("service", "environment", "phase"):
        _check_name(fields, name)
    for path, words in _WORDS:
        outer = fields.get(path[0])
        value = outer.get(path[1]) if len(path) > 1 and outer is not None else outer
        if value is not None and not (isinstance(value, str) and value in words):
            _refuse_word(value, "/" + "/".join(path), words)
    _check_subject(fields)
    _check_forms(fields)


def _check_subject(fields: Fields) -> None:
    """Refuse what a given id alone identifies: the server would, when the caller has gone."""
    of_instance = fields["phase"] == Phase.RUNNING or is_instance_end(fields)
    is_code = fields.get("kind", Kind.DEPLOYMENT) == Kind.DEPLOYMENT
    if of_instance or not is_code or fields.get("deployment_id") is None:
        return  # without an id there is none to derive, and `ids` says so
    digest = (fields.get("artifact") or {}).get("digest")
    if all(each is None for each in (digest, fields.get("version"), fields.get("commit_hash"))):
        _refuse(
            f"{GIVEN_ID} does not say what is deployed, and /artifact/digest, /version and "
            "/commit_hash are all missing.",
            GIVEN_ID,
            "Say at least one of them of the same deployment; a digest is best.",
        )


def _check_name(fields: Fields, name: str) -> None:
    value = fields.get(name)
    if value is None:
        _refuse(f"/{name} is missing.", f"/{name}", f"The field `{name}` is required.")
    if not isinstance(value, str) or not value:
        _refuse(f"/{name} must be text that is not empty, not {_show(value)}.", f"/{name}")
    if len(value) > _NAME_BYTES or len(value.encode(errors="replace")) > _NAME_BYTES:
        raise TooLargeError(
            f"/{name} has {len(value.encode(errors='replace'))} bytes; the limit is {_NAME_BYTES}.",
            field=f"/{name}",
        )


def _check_forms(fields: Fields) -> None:
    for name in ("deployment_id", "action"):
        if not isinstance(fields.get(name, ""), str):
            _refuse(f"/{name} must be text, not {_show(fields[name])}.", f"/{name}")
    digest = (fields.get("artifact") or {}).get("digest")
    if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        _refuse(
            f"/artifact/digest must be `sha256:` and 64 lower-case hexadecimal digits, "
            f"not {_show(digest)}.",
            "/artifact/digest",
        )
    commit = fields.get("commit_hash")
    if commit is not None and not (isinstance(commit, str) and _COMMIT.fullmatch(commit)):
        _refuse(
            f"/commit_hash must be 7 to 64 lower-case hexadecimal digits, not {_show(commit)}.",
            "/commit_hash",
        )
    timestamp = fields["timestamp"]
    if not isinstance(timestamp, str):
        _refuse(f"/timestamp must be text, not {_show(timestamp)}.", "/timestamp")
    parse_instant(timestamp)


def _refuse_unknown(name: str, place: str, known: Iterable[str]) -> NoReturn:
    homes = [f"/{outer}/{name}" for outer, inner in KNOWN.items() if name in inner]
    near = homes[0] if homes and not place else _nearest(name, known)
    _refuse(
        f"{place}/{name[:_SHOWN]} is not a known field.",
        f"{place}/{name[:_SHOWN]}",
        (f"Did you mean `{near}`? " if near else "") + "Free pairs belong in `labels`.",
    )


def _refuse_word(value: object, place: str, words: Iterable[str]) -> NoReturn:
    near = _nearest(str(value), words)
    _refuse(
        f"{place} must be one of {', '.join(sorted(words))}, not {_show(value)}.",
        place,
        f"Did you mean `{near}`?" if near else "",
    )


def _nearest(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only to refuse

    return next(iter(get_close_matches(name[:_SHOWN], sorted(known), n=1, cutoff=0.5)), "")


def _refuse(message: str, field: str, hint: str = "") -> NoReturn:
    raise MarkerError(message, hint=hint, field=field)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
