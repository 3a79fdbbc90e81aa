"""The shapes of answers, as JSON Schemas for OpenAPI."""

from typing import Any

Shape = dict[str, Any]

SCHEMA = "application/schema+json"


def _object(required: str, **properties: Shape) -> Shape:
    return {"type": "object", "required": required.split(), "properties": properties}


_TEXT: Shape = {"type": "string"}
_MAYBE_TEXT: Shape = {"type": ["string", "null"]}
_COUNT: Shape = {"type": "integer", "minimum": 0}
_FLAG: Shape = {"type": "boolean"}
_TEXTS: Shape = {"type": "array", "items": _TEXT}
_THING: Shape = {"type": "object"}

PROBLEM = _object(
    "type title status detail code field hint retryable",
    type=_TEXT | {"description": "Where the kind of problem is explained."},
    title=_TEXT,
    status=_COUNT,
    detail=_TEXT,
    code=_TEXT | {"description": "Stable; docs/reference/errors.md lists all."},
    field=_TEXT | {"description": "JSON Pointer to what was refused, or empty."},
    hint=_TEXT | {"description": "What to do now."},
    retryable=_FLAG | {"description": "The same call may succeed later."},
    incident=_TEXT | {"description": "Under which the server's log tells more."},
)
ACKNOWLEDGEMENT = _object(
    "index received_at duplicate ignored",
    index=_COUNT,
    received_at=_TEXT,
    duplicate=_FLAG,
    ignored=_TEXTS | {"description": "Descriptive fields that differ from the first, not kept."},
    marker_id=_TEXT,
    deployment_id=_TEXT,
    entry_id=_TEXT,
    occurrence=_COUNT,
    repeat=_COUNT,
    receipt=_TEXT,
    status=_COUNT | {"description": "Within a batch: 201 new, 200 known."},
)
BATCH = _object(
    "results",
    results={"type": "array", "items": {"anyOf": [ACKNOWLEDGEMENT, PROBLEM]}},
)
GATE = _object(
    "decision reasons decision_index service environment deployment_id rollout as_of",
    decision={"enum": ["pass", "fail", "inconclusive"]},
    reasons={
        "type": "array",
        "items": _object(
            "about answer counts reason",
            about=_TEXT | {"description": "`policy:<rule>`, `verdict`, `rollout` and others."},
            answer={"enum": ["pass", "fail", "unknown"]},
            counts=_FLAG | {"description": "It bears on the decision."},
            reason=_TEXT,
        ),
    },
    decision_index={"type": ["integer", "null"], "description": "The entry that says so."},
    service=_TEXT,
    environment=_TEXT,
    deployment_id=_MAYBE_TEXT | {"description": "Null when none was found."},
    rollout=_MAYBE_TEXT | {"description": "How far it has come; null when that is not known."},
    as_of=_COUNT,
    rules={"type": "array", "items": _THING, "description": "With `explain`."},
)
ENTRY = _object(
    "index type received_at principal assurance key_id ids occurrence repeat",
    index=_COUNT,
    type=_TEXT,
    received_at=_TEXT,
    principal=_TEXT,
    assurance=_TEXT,
    key_id=_TEXT,
    ids={"type": "object", "additionalProperties": _TEXT},
    occurrence=_COUNT,
    repeat=_COUNT,
    marker=_THING | {"description": "The flat marker, of a marker."},
    entry=_THING | {"description": "The fields, of any other entry."},
    retracted={
        "type": ["object", "null"],
        "description": "The retraction that took it back; left out on the stream.",
    },
    amendments={
        "type": ["array", "null"],
        "items": _THING,
        "description": "In the order of the log, with `not_taken_over` where one changes nothing; "
        "null while views are built.",
    },
    amended=_THING | {"description": "The flat marker with the newest values, once amended."},
)
PAGE = _object(
    "items next_cursor as_of",
    items={"type": "array", "items": ENTRY},
    next_cursor=_MAYBE_TEXT,
    as_of=_COUNT | {"description": "How many entries of the log the view had seen."},
)
FOUND = _object(
    "items next_cursor as_of",
    items={"type": "array", "items": _THING},
    next_cursor=_MAYBE_TEXT,
    as_of=_COUNT | {"description": "How many entries of the log the broker had seen."},
)
ITEMS = _object(
    "items",
    items={"type": "array", "items": _THING},
    next_cursor=_MAYBE_TEXT,
)
EMITTERS = _object(
    "items punctuality",
    items={"type": "array", "items": _THING} | {"description": "By principal, id and epoch."},
    punctuality={
        "description": "By id, service and environment; null while the views are being built.",
        "type": ["object", "null"],
        "required": ["items", "known", "as_of"],
        "properties": {
            "items": {"type": "array", "items": _THING},
            "known": _COUNT | {"description": "How many there are; the last 1,000 are shown."},
            "as_of": _COUNT,
        },
    },
)
DETAIL = _object(
    "digest size index received_at",
    digest=_TEXT,
    size=_COUNT,
    index=_COUNT,
    received_at=_TEXT,
)
SESSION = _object(
    "principal roles",
    principal=_TEXT,
    roles=_TEXTS,
    csrf_token=_TEXT,
    expires_at=_TEXT,
)
NEW_TOKEN = _object("token id name roles", token=_TEXT, id=_TEXT, name=_TEXT, roles=_TEXTS)
EXCHANGE = _object(
    "grant_type subject_token subject_token_type",
    grant_type={"const": "urn:ietf:params:oauth:grant-type:token-exchange"},
    subject_token=_TEXT,
    subject_token_type={
        "enum": [
            "urn:ietf:params:oauth:token-type:jwt",
            "urn:ietf:params:oauth:token-type:id_token",
        ]
    },
)
EXCHANGED = _object(
    "access_token issued_token_type token_type expires_in principal",
    access_token=_TEXT,
    issued_token_type=_TEXT,
    token_type={"const": "Bearer"},
    expires_in=_COUNT,
    principal=_TEXT,
)
OAUTH_ERROR = _object(
    "error error_description",
    error=_TEXT,
    error_description=_TEXT,
    error_uri=_TEXT,
    code=_TEXT,
)
ABOUT = _object("name openapi", name=_TEXT, openapi=_TEXT)
