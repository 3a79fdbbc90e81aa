"""What syncs of Argo CD's applications mean. Pure.

The body is ours: the template of the guide makes it. A sync is a deployment of the application's
service at the revision of its repository. Images are left out on purpose: while a sync runs, an
application still lists the old ones.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from deploymark.errors import DialectError
from deploymark.model.canonical import encode
from deploymark.model.limits import TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import mapped, names_deployment, unmapped
from deploymark.model.tolerant import bounded, commit_of, instant_of, text_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import ForeignRequest, Said, Translated

NAME: Final = "argocd_notifications"

_PHASES: Final = {
    "Running": Phase.APPLYING,
    "Terminating": Phase.APPLYING,
    "Succeeded": Phase.APPLIED,
    "Failed": Phase.FAILED,
    "Error": Phase.FAILED,
}
"""By the phase of the operation."""


def notified(request: ForeignRequest) -> Said:
    """Translate `POST /hooks/argocd`.

    Raises:
        DialectError: It names no application, or a phase that no operation has.
    """
    body = request.json()
    application = _value(body.get("application"))
    phase = _PHASES.get(text_of(body.get("phase")) or "")
    if application is None or phase is None:
        raise DialectError(
            "The body names no application, or no phase of its operation.",
            hint="Use the template of docs/howto/argocd.md.",
        )
    message = text_of(body.get("message")) or ""
    stated, guessed = _stated(body, phase), {"service": application}
    fields = mapped(message, (), request.mapping, stated=stated, guessed=guessed)
    fields |= _around(body, phase)
    kept = not names_deployment(fields)
    if kept:
        known = [application, text_of(body.get("revision")), phase.value, fields["timestamp"]]
        fields = unmapped(fields, application, sha256(encode(known)).hexdigest())
    fields["labels"] = _labels(body, application)
    note = "kept: it names no environment, or no revision"
    if not kept:
        note = f"{fields['phase']} in {fields['environment']}"
    return Said((Translated(fields, message, within=_value(body.get("project")) or ""),), note=note)


def _stated(body: Mapping[str, Any], phase: Phase) -> dict[str, str | None]:
    revision = text_of(body.get("revision"))
    commit = commit_of(revision) if revision and len(revision) in {40, 64} else None
    return {
        "service": text_of(body.get("service")),
        "environment": text_of(body.get("environment")),
        "phase": phase.value,
        "commit": commit,
        "version": text_of(body.get("version")) or (None if commit else revision),
        "repository": text_of(body.get("repository")),
        "deployer": text_of(body.get("initiated_by")),
        "cluster": text_of(body.get("cluster")),
        "namespace": text_of(body.get("namespace")),
    }


def _around(body: Mapping[str, Any], phase: Phase) -> dict[str, str | None]:
    ended = body.get("finished_at") if phase is not Phase.APPLYING else None
    return {
        "build_url": bounded(text_of(body.get("url")), TEXT_BYTES),
        "timestamp": instant_of(ended) or instant_of(body.get("started_at")),
    }


def _labels(body: Mapping[str, Any], application: str) -> dict[str, str]:
    said = {
        "argocd_application": application,
        "argocd_phase": body.get("phase"),
        "health": body.get("health"),
    }
    found = {name: _value(value) for name, value in said.items()}
    return {name: text for name, text in found.items() if text}


def _value(value: Any) -> str | None:  # noqa: ANN401 - any JSON value
    return bounded(text_of(value), VALUE_BYTES)
