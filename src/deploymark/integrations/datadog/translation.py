"""DORA deployments, and the images in which their commits are. Pure.

A deployment is known by its commit, until somebody tells the image that was built from it for this
service: from then on its markers carry the digest, too. Both share the action, so that broker and
reader see one deployment, whichever was told first.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.errors import DialectError, NotFoundError
from deploymark.model.instants import format_instant
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, mapped, marker_of, subject_of
from deploymark.model.tolerant import (
    bounded,
    digest_of,
    flag_of,
    milliseconds_of,
    number_of,
    text_of,
    texts_of,
)
from deploymark.model.vocabulary import Kind, Phase
from deploymark.ports import (
    Amended,
    DialectRecords,
    ForeignRequest,
    Record,
    RecordQuery,
    Said,
    Scalar,
    Translated,
)

NAME: Final = "datadog"
DEPLOYMENT: Final = "deployment"
IMAGE: Final = "image"

_FAILURE_LABEL: Final = "change_failure"
_LOOKED_AT: Final = 200
_TOLD_AGAIN: Final = (
    "service", "environment", "version", "commit_hash", "repository", "owner", "action", "target",
)  # fmt: skip


def deployed_alone(request: ForeignRequest) -> Said | None:
    """Translate `POST /api/v2/dora/deployment`; None when its commit may be in a known image."""
    said = _deployed(request, {})
    return said if _commit_of(said) is None else None


def deployed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `POST /api/v2/dora/deployment` with a commit."""
    said = _deployed(request, {})
    commit = _commit_of(said)
    service = str(said.markers[0].fields["service"])
    query = RecordQuery(sort=IMAGE, within=commit, service=service, limit=1)
    images = records.search(query)
    return _deployed(request, images[0].fields.get("artifact") or {}) if images else said


def _deployed(request: ForeignRequest, artifact: Mapping[str, str]) -> Said:
    said = attributes_of(request.json())
    git = _inside(said, "git")
    tags = texts_of(said.get("custom_tags"))
    began, ended = milliseconds_of(said.get("started_at")), milliseconds_of(said.get("finished_at"))
    commit = subject_of(text_of(git.get("commit_sha"))).get("commit")
    stated = {
        "service": text_of(said.get("service")),
        "environment": text_of(said.get("env")),
        "version": text_of(said.get("version")),
        "commit": commit,
        "repository": text_of(git.get("repository_url")),
        "owner": text_of(said.get("team")),
        "run": text_of(said.get("id")) or (f"commit:{commit}" if commit else None),
    }
    at_ms = began or ended or request.received_ms
    fields = marker_of("", tags, at_ms, request.mapping, key=NAME, stated=stated)
    if artifact and "artifact" not in fields:
        fields["artifact"] = dict(artifact)
    marks: list[tuple[str, int | None]] = [(Phase.APPLIED.value, ended or began)]
    if began and ended and began < ended:
        marks.insert(0, (Phase.APPLYING.value, began))
    return Said(
        tuple(
            Translated(
                {**fields, "phase": phase, "timestamp": format_instant(at) if at else None},
                tags=tags,
                sort=DEPLOYMENT,
            )
            for phase, at in marks
        )
    )


def changed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `PATCH /api/v2/dora/deployments/{id}`: whether it was a failure."""
    failure = flag_of(attributes_of(request.json()).get(_FAILURE_LABEL))
    record = found(request, records, DEPLOYMENT)
    if failure is None:
        return Said()
    changes: dict[str, Scalar] = {f"/labels/{_FAILURE_LABEL}": str(failure).lower()}
    return Said(amendments=(Amended(record, changes),))


def removed(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `DELETE /api/v2/dora/deployment/{id}`."""
    return Said(retractions=(found(request, records, DEPLOYMENT),))


def image_built(request: ForeignRequest, records: DialectRecords) -> Said:
    """Translate `POST /api/v2/ci/deployments/correlate-image`: an image holds a commit.

    Deployments of the commit that were told already are told again with the digest.

    Raises:
        DialectError: Commit or image are not said.
    """
    said = attributes_of(request.json())
    commit = subject_of(text_of(said.get("commit_sha"))).get("commit")
    image = text_of(said.get("image"))
    if commit is None or image is None:
        raise DialectError("An image is joined to a commit by `image` and `commit_sha`.")
    artifact = artifact_of(image)
    named = mapped(image, (), request.mapping)
    service = named.get("service") or artifact["name"].rpartition("/")[2]
    fields: dict[str, Any] = {
        "kind": Kind.INFRASTRUCTURE.value,
        "phase": Phase.APPLIED.value,
        "service": service,
        "environment": named.get("environment", UNMAPPED),
        "key": IMAGE,
        "revision": artifact.get("digest") or bounded(image, VALUE_BYTES),
        "commit_hash": commit,
        "repository": bounded(text_of(said.get("repository_url")), VALUE_BYTES),
        "artifact": artifact,
    }
    markers = [Translated(fields, sort=IMAGE, within=commit)]
    if "digest" in artifact:
        query = RecordQuery(sort=DEPLOYMENT, service=service, limit=_LOOKED_AT)
        told = (each for each in records.search(query) if each.fields.get("commit_hash") == commit)
        markers += [_completed(each, artifact) for each in told if not _has_digest(each)]
    return Said(tuple(markers))


def _completed(record: Record, artifact: Mapping[str, str]) -> Translated:
    fields = {name: record.fields.get(name) for name in _TOLD_AGAIN}
    last = record.events[-1]
    fields |= {
        "phase": last.phase,
        "artifact": dict(artifact),
        "timestamp": format_instant(last.at_ms),
    }
    return Translated(fields, tags=record.tags, sort=DEPLOYMENT)


def artifact_of(image: str) -> dict[str, str]:
    """Return name, tag and digest of an image, as far as its reference says them."""
    name, at, digest = image.partition("@")
    head, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:  # the colon of a port
        head, tag = name, ""
    found = {"name": bounded(head, VALUE_BYTES) or UNMAPPED}
    if tag:
        found["tag"] = bounded(tag, VALUE_BYTES) or ""
    if known := digest_of(digest) if at else None:
        found["digest"] = known
    return found


def found(request: ForeignRequest, records: DialectRecords, *sorts: str) -> Record:
    """Return the record that the address names; NotFoundError when there is none of the sort."""
    index = number_of(request.path["id"])
    record = None if index is None else records.find(index)
    if record is None or record.sort not in sorts:
        raise NotFoundError("Not found.", hint="It was never there, or taken back.")
    return record


def attributes_of(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return `data.attributes` of a body; {} where it has none."""
    return _inside(_inside(body, "data"), "attributes")


def _inside(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}


def _commit_of(said: Said) -> str | None:
    commit: str | None = said.markers[0].fields.get("commit_hash")
    return commit


def _has_digest(record: Record) -> bool:
    return "digest" in (record.fields.get("artifact") or {})
