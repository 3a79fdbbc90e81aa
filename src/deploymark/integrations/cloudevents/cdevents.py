"""What CDEvents of services, environments and incidents mean, in the versions 0.3 to 0.5. Pure.

`service.deployed`, `.upgraded` and `.rolledback` say what runs now: a deployment is applied. The
chain of an event is the action, as all events of one pipeline share it. `service.removed` names no
artifact, so the deployment that it ends must be looked up. Incidents are entries of their own.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from deploymark.integrations.cloudevents.envelope import CloudEvent
from deploymark.model.limits import TEXT_BYTES, VALUE_BYTES
from deploymark.model.tolerant import bounded, commit_of, digest_of, member, text_of
from deploymark.model.vocabulary import Phase

APPLIED: Final = frozenset({"service.deployed", "service.upgraded", "service.rolledback"})
REMOVED: Final = "service.removed"

_TYPE: Final = re.compile(r"dev\.cdevents\.(?P<subject>[a-z]+)\.(?P<predicate>[a-z]+)\..+")
_INCIDENT: Final = {"detected": "opened", "reported": "opened", "resolved": "resolved"}
_GIVEN: Final = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_WHOLE_COMMIT: Final = 40


def kind_of(event: CloudEvent) -> str | None:
    """Return what happened, such as `service.deployed`; None of what is none of CDEvents."""
    found = _TYPE.fullmatch(event.type)
    return f"{found['subject']}.{found['predicate']}" if found else None


def stated(event: CloudEvent) -> dict[str, str | None]:
    """Return the fields that an event of a service or an environment states."""
    content = member(event.data, "subject", "content")
    chain = text_of(member(event.data, "context", "chainId"))
    about_environment = (kind_of(event) or "").startswith("environment.")
    return {
        "service": None if about_environment else last_part(_subject(event)),
        "environment": _environment(content) or (_subject(event) if about_environment else None),
        "run": f"cdevents:{chain}" if chain else None,
        **artifact_of(text_of(member(content, "artifactId"))),
    }


def phase_of(kind: str) -> Phase:
    """Return the phase that an event of a service or an environment says."""
    return Phase.REMOVED if kind == REMOVED else Phase.APPLIED


def artifact_of(purl: str | None) -> dict[str, str | None]:
    """Return artifact, version and commit of a package URL; what is none is a version.

    Source: github.com/package-url/purl-spec; of the type `oci` the version is a digest, and the
    qualifier `repository_url` the image's whole name.
    """
    if purl is None or not purl.startswith("pkg:"):
        return {"version": purl}
    path, _, qualifiers = purl.removeprefix("pkg:").partition("#")[0].partition("?")
    name, _, version = path.partition("@")
    said = dict(parse_qsl(qualifiers))
    version = unquote(version)
    digest = digest_of(version)
    commit = commit_of(version) if len(version) >= _WHOLE_COMMIT else None
    named = said.get("repository_url") or unquote(name).partition("/")[2]
    return {
        "image": named if digest else None,
        "digest": digest,
        "image_tag": said.get("tag") if digest else None,
        "version": None if digest or commit else version or purl,
        "commit": commit,
    }


def incident_of(event: CloudEvent, kind: str, at: str, unique: str) -> dict[str, Any] | None:
    """Return the fields of an incident's entry; None of an event that says nothing of one.

    Args:
        event: The event.
        kind: As `kind_of` says.
        at: When it happened, or else came.
        unique: What stands for an id that is none here.
    """
    action = _INCIDENT.get(kind.removeprefix("incident."))
    if not kind.startswith("incident.") or action is None:
        return None
    content = member(event.data, "subject", "content")
    own = text_of(member(event.data, "subject", "id")) or ""
    service = last_part(text_of(member(content, "service", "id")))
    said = {
        "action": action,
        "incident_id": own if _GIVEN.fullmatch(own) else f"i-{unique[:32]}",
        "timestamp": at,
        "services": [service] if service else None,
        "environment": _environment(content),
        "severity": bounded(text_of(member(event.data, "customData", "severity")), VALUE_BYTES),
        "title": bounded(text_of(member(content, "description")), TEXT_BYTES),
        "started_at": at if kind == "incident.detected" else None,
        "resolved_at": at if action == "resolved" else None,
        "links": _links(content) or None,
    }
    return {name: value for name, value in said.items() if value is not None}


def last_part(name: str | None) -> str | None:
    """Return `myapp` of `service/myapp`."""
    return bounded((name or "").rstrip("/").rpartition("/")[2], VALUE_BYTES) or None


def _subject(event: CloudEvent) -> str | None:
    named = text_of(member(event.data, "subject", "id")) or event.subject
    return bounded(named or None, VALUE_BYTES)


def _environment(content: Any) -> str | None:  # noqa: ANN401 - any JSON value
    said = member(content, "environment")
    named = member(said, "id") or member(said, "name") if isinstance(said, Mapping) else said
    return bounded(text_of(named), VALUE_BYTES)


def _links(content: Any) -> list[dict[str, str]]:  # noqa: ANN401 - any JSON value
    said = (("ticket", "ticketURI"), ("artifact", "artifactId"))
    return [
        {"rel": rel, "href": bounded(address, TEXT_BYTES) or ""}
        for rel, name in said
        if (address := text_of(member(content, name)))
    ]
