"""What events of Flux mean. Pure.

A reconciliation of a Kustomization or a HelmRelease is a deployment of its name, in the
environment that the alert's metadata states. What reconciles anew without a change, and what fails
again and again, is told with every interval and stands once. Everything else that Flux tells, of
its sources above all, is kept as a change of the infrastructure.
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from deploymark.errors import DialectError
from deploymark.model.canonical import encode
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import mapped, names_deployment, unmapped
from deploymark.model.tolerant import bounded, commit_of, instant_of, member, text_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import ForeignRequest, Said, Translated

NAME: Final = "flux_events"

_DEPLOYING: Final = frozenset({"Kustomization", "HelmRelease"})
_PHASES: Final = {
    "Progressing": Phase.APPLYING,
    "ReconciliationSucceeded": Phase.APPLIED,
    "InstallSucceeded": Phase.APPLIED,
    "UpgradeSucceeded": Phase.APPLIED,
    "RollbackSucceeded": Phase.APPLIED,  # of the release to which Helm went back
    "UninstallSucceeded": Phase.REMOVED,
}
"""By the reason of an event; an error of any other is a failure."""

_WAITS: Final = frozenset({"DependencyNotReady", "RetryableError"})
"""Reasons of errors that are none yet."""

_ERROR: Final = "error"
_REVISION: Final = re.compile(
    r"(?:(?P<ref>[^@]*)@)?(?P<scheme>sha1|sha256):(?P<hash>[0-9a-f]{7,64})"
    r"|(?P<branch>.+)/(?P<commit>[0-9a-f]{40})"  # before Flux 2
)


def happened(request: ForeignRequest) -> Said:
    """Translate `POST /hooks/flux`.

    Raises:
        DialectError: It is no event of Flux.
    """
    body = request.json()
    kind = text_of(member(body, "involvedObject", "kind"))
    name = text_of(member(body, "involvedObject", "name"))
    if kind is None or name is None:
        raise DialectError("The body has no involvedObject with kind and name: is it from Flux?")
    message = text_of(body.get("message")) or ""
    phase = _phase(body) if kind in _DEPLOYING else None
    stated = {
        "phase": phase.value if phase else None,
        **(_revision(_of_metadata(body, "revision")) if phase else {}),
    }
    if phase and (commit := _origin(body)):
        stated["commit"] = commit  # of what was packed, where the source is an OCI artifact
    guessed = {"service": name} if phase else {}
    text, tags = message if phase else "", _tags(body)
    fields = mapped(text, tags, request.mapping, stated=stated, guessed=guessed)
    fields["timestamp"] = instant_of(body.get("timestamp"))
    within = "/".join(filter(None, (text_of(member(body, "involvedObject", "namespace")), name)))
    if phase is None or not names_deployment(fields):
        fields = unmapped(fields, f"flux-{kind}"[:VALUE_BYTES], _event(body))
    fields["labels"] = _labels(body, kind)
    marker = Translated(fields, message, within=within)
    note = f"{fields['phase']} in {fields['environment']}"
    return Said((marker,), note=note if "kind" not in fields else f"kept: {_why(phase, fields)}")


def _why(phase: Phase | None, fields: Mapping[str, Any]) -> str:
    if phase is None:
        return "it tells no deployment"
    missing = [name for name in ("service", "environment") if fields[name] == "unmapped"]
    return f"it names no {' and no '.join(missing) or 'revision'}"


def _phase(body: Mapping[str, Any]) -> Phase | None:
    reason = text_of(body.get("reason"))
    if body.get("severity") == _ERROR and reason not in _WAITS:
        return Phase.FAILED
    return _PHASES.get(reason or "")


def _revision(text: str | None) -> dict[str, str | None]:
    """Return commit, or version, of a revision such as `main@sha1:…`, `6.3.5` or `6.3.5@sha256:…`.

    The digest behind `sha256` is that of manifests or of a chart. It is no artifact of ours, which
    is an image that runs.
    """
    found = _REVISION.fullmatch(text or "")
    commit = found and (found["commit"] or (found["scheme"] == "sha1" and found["hash"]))
    if found and commit:
        return {"commit": commit_of(commit)}
    return {"version": text}


def _origin(body: Mapping[str, Any]) -> str | None:
    return _revision(_of_metadata(body, "originRevision")).get("commit")


def _of_metadata(body: Mapping[str, Any], wanted: str) -> str | None:
    """Return what metadata says under a name, whichever controller's prefix it has."""
    metadata = body.get("metadata")
    for name, value in metadata.items() if isinstance(metadata, Mapping) else ():
        if name.rpartition("/")[2] == wanted:
            return text_of(value)
    return None


def _tags(body: Mapping[str, Any]) -> list[str]:
    """Return what the alert's metadata states, as tags are written; names of Flux have a slash."""
    metadata = body.get("metadata")
    return [
        f"{name}:{text}"
        for name, value in (metadata.items() if isinstance(metadata, Mapping) else ())
        if "/" not in name and name != "revision" and (text := text_of(value))
    ]


def _event(body: Mapping[str, Any]) -> str:
    """Return a hash that is an event's own, however often it is told; Flux gives none an id."""
    told = [text_of(body.get(name)) for name in ("reason", "message")]
    about = [text_of(member(body, "involvedObject", name)) for name in ("namespace", "name")]
    return sha256(encode([*told, *about, _of_metadata(body, "revision")])).hexdigest()


def _labels(body: Mapping[str, Any], kind: str) -> dict[str, str]:
    said = {
        "flux_kind": kind,
        "flux_reason": body.get("reason"),
        "flux_revision": _of_metadata(body, "revision"),
        "controller": body.get("reportingController"),
        "severity": body.get("severity"),
    }
    found = {name: bounded(text_of(value), VALUE_BYTES) for name, value in said.items()}
    return {name: text for name, text in found.items() if text}
