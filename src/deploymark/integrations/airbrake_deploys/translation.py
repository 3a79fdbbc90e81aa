"""What a deploy of Airbrake means. Pure."""

from typing import Final

from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, subject_of
from deploymark.model.tolerant import bounded, text_of
from deploymark.ports import (
    ForeignRequest,
    Said,
    Translated,
)

NAME: Final = "airbrake_deploys"


def deployed(request: ForeignRequest) -> Said:
    """Translate a deploy: the service is the token's, else the repository, else the project."""
    body = request.form or request.json()
    repository = bounded(text_of(body.get("repository")), VALUE_BYTES)
    service = (repository or "").rstrip("/").rpartition("/")[2].removesuffix(".git")
    project = f"project-{request.path['id']}"
    nowhere = {
        "service": bounded(service or project, VALUE_BYTES) or UNMAPPED,
        "environment": UNMAPPED,
    }
    said = subject_of(text_of(body.get("revision")))
    fields = marker_of(
        "",
        (),
        request.received_ms,
        request.mapping,
        key=NAME,
        guessed=nowhere,
        stated={
            "environment": text_of(body.get("environment")),
            "deployer": text_of(body.get("username")),
            "repository": repository,
            **said,
            "version": text_of(body.get("version")) or said.get("version"),
        },
    )
    return Said((Translated(fields, within=request.path["id"]),))
