"""The routes of Grafana's annotations, and the few words with which it answers."""

from collections.abc import Sequence
from typing import Final

from deploymark.integrations.grafana_annotations.translation import (
    NAME,
    added,
    asked,
    changed,
    found,
    graphite_added,
    patched,
    removed,
    shown,
)
from deploymark.ports import (
    BASIC,
    BEARER,
    Change,
    Dialect,
    DialectRecords,
    ForeignReply,
    ForeignRequest,
    Read,
    Refusal,
    Route,
    Said,
    Told,
    Write,
    in_json,
)

_CREDENTIALS: Final = (BEARER, BASIC)


def _added(_: ForeignRequest, __: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"message": "Annotation added", "id": told[0].index})


def _graphite_added(_: ForeignRequest, __: Said, told: Sequence[Told]) -> ForeignReply:
    return in_json({"message": "Graphite annotation added", "id": told[0].index})


def _updated(request: ForeignRequest, _: Said, __: Sequence[Told]) -> ForeignReply:
    verb = "updated" if request.method == "PUT" else "patched"
    return in_json({"message": f"Annotation {verb}"})


def _deleted(_: ForeignRequest, __: Said, ___: Sequence[Told]) -> ForeignReply:
    return in_json({"message": "Annotation deleted"})


def _list(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json([shown(record) for record in asked(request, records)])


def _show(request: ForeignRequest, records: DialectRecords) -> ForeignReply:
    return in_json(shown(found(request, records)))


def refuse(refusal: Refusal) -> ForeignReply:
    """Say an error as Grafana does."""
    return in_json({"message": refusal.message, "messageId": refusal.code}, refusal.status)


DIALECT: Final = Dialect(
    NAME,
    "Grafana annotations",
    (
        Route(
            "POST", "/api/annotations/graphite", "Add an annotation in Graphite's form.",
            Write(graphite_added, _graphite_added), _CREDENTIALS,
        ),
        Route(
            "POST", "/api/annotations", "Add an annotation.",
            Write(added, _added), _CREDENTIALS,
        ),
        Route("GET", "/api/annotations", "Find annotations.", Read(_list), _CREDENTIALS),
        Route("GET", "/api/annotations/{id}", "Show one.", Read(_show), _CREDENTIALS),
        Route(
            "PUT", "/api/annotations/{id}", "Replace text, tags and times.",
            Change(changed, _updated), _CREDENTIALS,
        ),
        Route(
            "PATCH", "/api/annotations/{id}", "Change some of them.",
            Change(patched, _updated), _CREDENTIALS,
        ),
        Route(
            "DELETE", "/api/annotations/{id}", "Take one back.",
            Change(removed, _deleted), _CREDENTIALS,
        ),
    ),
    refuse,
    guide="grafana-annotations",
)  # fmt: skip
"""The table."""
