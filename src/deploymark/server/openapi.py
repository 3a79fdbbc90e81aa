"""The OpenAPI 3.1 document of a table of operations. Pure."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from deploymark.model.envelope import Envelope
from deploymark.model.schema import schema
from deploymark.server.answer import PROBLEM as PROBLEM_TYPE
from deploymark.server.operation import Media, Operation, Parameter, Reply
from deploymark.server.pages.shapes_boot import Boot
from deploymark.server.problems import HEAD_TOO_LARGE
from deploymark.server.shapes import PROBLEM

Schema = dict[str, Any]

_VERSION = "3.1.0"
_CONVERTER = re.compile(r":path\}")
_ALWAYS = (400, 406, 421, HEAD_TOO_LARGE, 500)
_OF_CALLERS = (401, 403, 429, 503)
TAGS = {
    "markers": "What was deployed, and by whom.",
    "entries": "Everything in the log.",
    "details": "Longer or personal text beside the log, erasable.",
    "deployments": "What the markers add up to.",
    "rollouts": "What is rolled out, what is asked of it, and whether a pipeline may go on.",
    "pages": "What the web page shows, as documents.",
    "telemetry": "What running software reports (OpenTelemetry).",
    "formats": "The formats on the wire.",
    "access": "Tokens, sessions and keys.",
    "log": "The log as a static site (c2sp.org/tlog-tiles).",
    "operation": "The server itself.",
}
_PHRASES = {
    400: "The request is malformed.",
    401: "Nobody known stands behind the request.",
    403: "The caller, or the key, may not do or say this.",
    404: "Nothing stands there.",
    406: "The client accepts no type that this answers in.",
    408: "The body did not arrive in time.",
    409: "Another content stands under this identity.",
    413: "Too large.",
    415: "Not a type or encoding that this takes.",
    421: "This server does not answer to that name.",
    422: "The body says what may not be said.",
    431: "The head of the request, or its query, is too long.",
    429: "Too often; Retry-After says when.",
    500: "The service failed.",
    503: "Not now; Retry-After says when.",
}


def document_of(operations: Sequence[Operation]) -> Schema:
    """Return the document, as a value to be encoded."""
    schemas = _Schemas()
    paths: dict[str, Schema] = {}
    for operation in operations:
        path = _CONVERTER.sub("}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": _VERSION,
        "info": {
            "title": "deploymark",
            "version": "1",
            "description": "Deployment markers that are true.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": told} for name, told in TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": schemas.named,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "deploymark_session"},
            },
        },
    }


def problem_statuses(operation: Operation) -> list[int]:
    """Return the statuses of problems that an operation may answer with."""
    by_access = () if operation.access.public else _OF_CALLERS
    return sorted({*_ALWAYS, *by_access, *operation.problems})


class _Schemas:
    """Collects named schemas; all references point to where they end up."""

    def __init__(self) -> None:
        self.named: dict[str, Schema] = {"Problem": PROBLEM}
        known = [self.add_known(name, schema(name, 1)) for name in ("marker", "statement")]
        envelope = self._generated(Envelope)
        self._generated(Boot)  # no operation answers it: it stands in the HTML of every page
        one = {"anyOf": [*known, envelope]}
        self.named["HandedIn"] = {
            "anyOf": [*one["anyOf"], {"type": "array", "items": one, "minItems": 1}]
        }

    def of(self, media: Media) -> Schema | None:
        """Return the schema of a body."""
        match media.schema:
            case None:
                return None
            case "handed_in":
                return {"$ref": "#/components/schemas/HandedIn"}
            case dict() as shape:
                return shape
            case kind:
                return self._generated(kind)

    def add_known(self, name: str, found: Schema) -> Schema:
        """Take over a JSON Schema of the log; its definitions become components."""
        definitions = found.pop("$defs", {})
        for unwanted in ("$schema", "$id"):
            found.pop(unwanted, None)
        prefix = name.capitalize()
        for part, definition in definitions.items():
            self.named[f"{prefix}.{part}"] = _moved(definition, prefix)
        self.named[prefix] = _moved(found, prefix)
        return {"$ref": f"#/components/schemas/{prefix}"}

    def _generated(self, kind: Any) -> Schema:  # noqa: ANN401 - a type expression
        (made,), components = msgspec.json.schema_components(
            [kind], ref_template="#/components/schemas/{name}"
        )
        for name, told in components.items():
            if self.named.setdefault(name, told) != told:
                raise ValueError(f"Two types are called {name}.")
        return made


def _moved(part: Any, prefix: str) -> Any:  # noqa: ANN401 - any part of a schema
    if isinstance(part, list):
        return [_moved(each, prefix) for each in part]
    if not isinstance(part, dict):
        return part
    return {
        name: value.replace("#/$defs/", f"#/components/schemas/{prefix}.")
        if name == "$ref"
        else _moved(value, prefix)
        for name, value in part.items()
    }


def _operation(operation: Operation, schemas: _Schemas) -> Schema:
    told: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "description": f"{operation.description} For: {operation.access.sentence()}.".strip(),
        "tags": [operation.tag],
        "security": _security(operation),
        "responses": {
            **{str(status): _reply(reply, schemas) for status, reply in operation.replies.items()},
            **_problems(operation),
        },
    }
    if operation.parameters:
        told["parameters"] = [_parameter(each) for each in operation.parameters]
    if operation.body:
        told["requestBody"] = {
            "required": True,
            "content": _content(operation.body, schemas),
        }
    return told


def _security(operation: Operation) -> list[Schema]:
    access = operation.access
    if access.public:
        return []
    known: list[Schema] = [{"token": []}, {"session": []}]
    return [*known, {}] if access.described and access.anonymous else known


def _reply(reply: Reply, schemas: _Schemas) -> Schema:
    told: Schema = {"description": reply.description}
    if reply.media:
        told["content"] = _content(reply.media, schemas)
    return told


def _content(media: Iterable[Media], schemas: _Schemas) -> Schema:
    found = {each.type.partition(";")[0]: schemas.of(each) for each in media}
    return {kind: {} if made is None else {"schema": made} for kind, made in found.items()}


def _problems(operation: Operation) -> Schema:
    reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        str(status): {"description": _PHRASES[status], "content": {PROBLEM_TYPE: reference}}
        for status in problem_statuses(operation)
        if status not in operation.replies
    }


def _parameter(parameter: Parameter) -> Schema:
    made = msgspec.json.schema(parameter.type)
    for definition in made.pop("$defs", {}).values():
        made = definition  # an enum stands alone
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "required": parameter.required or parameter.place == "path",
        "schema": {"type": "array", "items": made} if parameter.many else made,
    }
