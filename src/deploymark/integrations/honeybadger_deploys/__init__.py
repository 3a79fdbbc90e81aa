"""Senders of Honeybadger deploys. Source: docs.honeybadger.io/api/reporting-deployments.

The route, and what a deploy means.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from deploymark.model.limits import VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, TextMapping, marker_of, subject_of
from deploymark.model.tolerant import bounded, text_of
from deploymark.ports import (
    Carrier,
    Dialect,
    ForeignReply,
    ForeignRequest,
    Refusal,
    Route,
    Said,
    Token,
    Told,
    Translated,
    Write,
    in_json,
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
        request.mapping.over(TextMapping(defaults=nowhere)),
        key=NAME,
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


def _deployed(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({"status": "OK"}, 201)


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Honeybadger does."""
    return in_json({"errors": refusal.message}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Honeybadger deploys",
    (
        Route(
            "POST", "/v1/deploys", "Tell a deploy.",
            Write(deployed, _deployed),
            (Token(Carrier.HEADER, "x-api-key"), Token(Carrier.BODY, "api_key")),
        ),
    ),
    refuse,
    guide="error-trackers",
)  # fmt: skip
"""The table."""
