"""What a deployment of DevLake means. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.model.limits import CHANGES, TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, subject_of
from deploymark.model.tolerant import bounded, instant_of, milliseconds_of, text_of
from deploymark.model.vocabulary import Phase
from deploymark.ports import (
    ForeignRequest,
    Said,
    Translated,
)

NAME: Final = "devlake_webhook"


def deployed(request: ForeignRequest) -> Said:
    """Translate a deployment: each of its commits is one of the service that the repository names.

    A deployment that lists no commits has them at its top, as older senders do.
    """
    body = request.json()
    listed = body.get("deploymentCommits")
    held = listed if isinstance(listed, list) else ()
    commits = [each for each in held if isinstance(each, Mapping)]
    markers: list[Translated] = []
    for each in commits[:CHANGES] or [body]:
        markers += _markers(request, {**body, **{k: v for k, v in each.items() if v is not None}})
    return Said(tuple(markers))


def _markers(request: ForeignRequest, said: Mapping[str, Any]) -> list[Translated]:
    began, ended = (
        milliseconds_of(said.get("startedDate")),
        milliseconds_of(said.get("finishedDate")),
    )
    repository = bounded(text_of(said.get("repoUrl")), VALUE_BYTES)
    service = (repository or "").rstrip("/").rpartition("/")[2].removesuffix(".git")
    text = text_of(said.get("displayTitle")) or text_of(said.get("name")) or ""
    nowhere = {"service": service or UNMAPPED, "environment": UNMAPPED}
    fields = marker_of(
        text,
        (),
        ended or began or request.received_ms,
        request.mapping,
        key=NAME,
        guessed=nowhere,
        stated={
            "environment": text_of(said.get("environment")),
            "run": text_of(said.get("id")),
            "repository": repository,
            "ref": text_of(said.get("refName")),
            **subject_of(text_of(said.get("commitSha"))),
        },
    )
    fields["build_url"] = bounded(text_of(said.get("url")), TEXT_BYTES)
    if message := (text_of(said.get("commitMsg")) or "").partition("\n")[0]:
        fields["changes"] = [{"title": bounded(message, TEXT_BYTES)}]
    failed = (text_of(said.get("result")) or "").upper() in {"FAILURE", "FAILED"}
    last = Phase.FAILED if failed else Phase.APPLIED
    marks: list[tuple[Phase, int | None]] = [(last, ended or began)]
    if began and ended and began < ended:
        marks.insert(0, (Phase.APPLYING, began))
    return [
        Translated(
            {**fields, "phase": phase.value, "timestamp": instant_of(at)},
            text,
            within=request.path["id"],
        )
        for phase, at in marks
    ]
