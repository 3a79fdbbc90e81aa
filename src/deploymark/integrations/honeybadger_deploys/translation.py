"""What a deploy of Honeybadger means. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, subject_of
from deploymark.model.tolerant import bounded, text_of
from deploymark.ports import (
    ForeignRequest,
    Said,
    Translated,
)

NAME: Final = "honeybadger_deploys"


def deployed(request: ForeignRequest) -> Said:
    """Translate a deploy: the service is the token's, else the repository."""
    body = _said(request)
    repository = bounded(text_of(body.get("repository")), VALUE_BYTES)
    service = (repository or "").rstrip("/").rpartition("/")[2].removesuffix(".git")
    nowhere = {"service": service or UNMAPPED, "environment": UNMAPPED}
    fields = marker_of(
        "",
        (),
        request.received_ms,
        request.mapping,
        key=NAME,
        guessed=nowhere,
        stated={
            "environment": text_of(body.get("environment")),
            "deployer": text_of(body.get("local_username")),
            "repository": repository,
            **subject_of(text_of(body.get("revision"))),
        },
    )
    return Said((Translated(fields),))


def _said(request: ForeignRequest) -> Mapping[str, Any]:
    """Return the deploy: `deploy[revision]` of a form, or `deploy` of JSON."""
    if request.form:
        return {
            name.removeprefix("deploy[").removesuffix("]"): text
            for name, text in request.form.items()
        }
    body = request.json()
    found = body.get("deploy")
    return found if isinstance(found, Mapping) else body
