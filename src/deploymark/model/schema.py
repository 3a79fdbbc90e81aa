"""The JSON Schemas of every format, for editors, other languages and `GET /v1/schema`.

Generated from the Structs that decode, so that the two cannot drift, then given what types cannot
say: which field a kind of marker needs, and the names accepted as aliases. A schema counts
characters where the decoder counts bytes, and cannot compare two fields; it accepts a little more
than the decoder, never less.

Upcasting (`VERSIONS`) and the contract check (`check_markers`) are reached from here too.
"""

from copy import deepcopy
from functools import cache
from typing import Any

import msgspec

from deploymark.errors import NotFoundError, SchemaVersionError
from deploymark.model.contract import Problem, check_markers
from deploymark.model.entries import READERS
from deploymark.model.leaf import Leaf
from deploymark.model.limits import Digest, Name, Names
from deploymark.model.marker import Marker, Statement
from deploymark.model.versions import VERSIONS, Versions
from deploymark.model.vocabulary import Kind, Phase, Strategy

__all__ = ["VERSIONS", "Problem", "Versions", "check_markers", "schema", "schemas"]

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ID = "https://deploymark.dev/schema/{name}/{version}"
_NO_NUL = "^[^\\u0000]*$"
_NOT_NULL: Schema = {"not": {"type": "null"}}


def schema(name: str, version: int) -> Schema:
    """Return the JSON Schema (draft 2020-12) of a format.

    Args:
        name: `marker`, `statement`, `leaf`, or the name of an entry such as `key`.
        version: From 1.

    Raises:
        NotFoundError: No such format.
        SchemaVersionError: No such version of it.
    """
    known = _schemas()
    if (name, version) in known:
        return deepcopy(known[name, version])
    versions = [other for format_name, other in known if format_name == name]
    if not versions:
        names = ", ".join(sorted({format_name for format_name, _ in known}))
        raise NotFoundError(f"There is no schema {name!r}.", hint=f"Schemas: {names}.")
    raise SchemaVersionError(f"{name}/{version} is not known; the newest is {max(versions)}.")


def schemas() -> dict[tuple[str, int], Schema]:
    """Return every JSON Schema by (name, version), for the registry to list."""
    return deepcopy(_schemas())


@cache
def _schemas() -> dict[tuple[str, int], Schema]:
    structs: dict[str, type[msgspec.Struct]] = {
        "marker": Marker,
        "statement": Statement,
        "leaf": Leaf,
        **{name: reader.struct for name, reader in READERS.items()},
    }
    return {(name, 1): _generate(name, 1, struct) for name, struct in structs.items()}


def _generate(name: str, version: int, struct: type[msgspec.Struct]) -> Schema:
    result = msgspec.json.schema(struct)
    definitions: dict[str, Schema] = result.get("$defs", {})
    for definition in definitions.values():
        enrich = _ENRICHMENTS.get(definition.get("title", ""))
        if enrich is not None:
            enrich(definition)
        if "description" in definition:
            definition["description"] = " ".join(definition["description"].split("\n\n")[0].split())
    if name != "leaf":  # whose strings the log wrote itself
        _forbid_nul(result)
    return {
        "$schema": DIALECT,
        "$id": _ID.format(name=name, version=version),
        "title": f"{name}/{version}",
        **result,
    }


def _forbid_nul(part: Any) -> None:  # noqa: ANN401 - any part of a schema
    if isinstance(part, dict):
        names = part.get("propertyNames")
        free = [part] if part.get("type") == "string" else []
        for text in (*free, *([names] if isinstance(names, dict) else [])):
            if not text.keys() & {"pattern", "enum", "const"}:
                text["pattern"] = _NO_NUL
    for inner in part.values() if isinstance(part, dict) else part if _is_list(part) else ():
        _forbid_nul(inner)


def _is_list(part: object) -> bool:
    return isinstance(part, list)


# What types cannot say ---------------------------------------------------------------------------


def _stated(*names: str) -> Schema:
    return {"required": list(names), "properties": dict.fromkeys(names, _NOT_NULL)}


def _unstated(*names: str) -> Schema:
    return {"properties": {name: {"type": "null"} for name in names}}


def _when(name: str, value: object, then: Schema) -> Schema:
    """Return a rule that holds where the field has this very value."""
    return {
        "if": {"required": [name], "properties": {name: {"const": value}}},
        "then": then,
    }


def _enrich_marker(definition: Schema) -> None:
    alias = "Accepted on input; stored markers and new senders use {}."
    definition["properties"] |= {
        "artifact_digest": _alias(Digest | None, alias.format("artifact.digest")),
        "change_ticket": _alias(Name | Names | None, alias.format("change_tickets")),
        "rollout_strategy": _alias(Strategy | None, alias.format("rollout.strategy")),
    }
    digest: Schema = {"anyOf": [_stated("artifact_digest"), _stated("artifact")]}
    digest["anyOf"][1]["properties"] = {"artifact": {"type": "object"} | _stated("digest")}
    # An instance may know its deployment and nothing else.
    confirmation = _stated("phase", "deployment_id")
    confirmation["properties"]["phase"] = {"const": Phase.RUNNING.value}
    definition["allOf"] = [
        {
            # A marker without kind is a deployment; `properties` holds for an absent field.
            "if": {"properties": {"kind": {"const": Kind.DEPLOYMENT.value}}},
            "then": {"anyOf": [digest, _stated("version"), _stated("commit_hash"), confirmation]},
            "else": {
                "allOf": [
                    _stated("key"),
                    {"anyOf": [_stated("revision"), _stated("value"), digest]},
                ]
            },
        },
        _when("kind", Kind.SECRET_VERSION.value, _unstated("value")),
    ]


def _alias(kind: Any, description: str) -> Schema:  # noqa: ANN401 - a type expression
    result = msgspec.json.schema(kind)
    for name, definition in result.pop("$defs", {}).items():
        reference = {"$ref": f"#/$defs/{name}"}
        result["anyOf"] = [
            definition if choice == reference else choice for choice in result["anyOf"]
        ]
    return {**result, "description": description, "deprecated": True}


def _enrich_statement(definition: Schema) -> None:
    definition["description"] = (
        "An in-toto Statement v1 about one artifact, with a marker as predicate. The subject"
        " repeats the predicate's artifact digest (sha256) or, without one, its commit (gitCommit)."
    )


def _enrich_subject(definition: Schema) -> None:
    digest = definition["properties"]["digest"]
    digest["anyOf"] = [{"required": ["sha256"]}, {"required": ["gitCommit"]}]


def _enrich_key(definition: Schema) -> None:
    definition["allOf"] = [
        _when("action", "registered", _stated("public_key", "scope")),
        _when("action", "registered", _unstated("successor_of", "distrust_from")),
        _when("action", "rotated", _stated("public_key", "successor_of")),
        _when("action", "rotated", _unstated("distrust_from")),
        _when("action", "revoked", _unstated("public_key", "scope", "successor_of")),
    ]


def _enrich_decision(definition: Schema) -> None:
    definition["allOf"] = [
        _when("stage", "outcome", _stated("outcome")),
        _when("break_glass", value=True, then=_stated("reason")),
    ]


def _enrich_detail(definition: Schema) -> None:
    definition["allOf"] = [_when("action", "stored", _stated("size", "erasable"))]


def _enrich_leaf(definition: Schema) -> None:
    # A leaf has one spelling only: every field, a repeat only where there was one.
    properties = definition["properties"]
    definition["required"] = [name for name in properties if name != "repeat"]
    definition["additionalProperties"] = False
    properties["repeat"] = {"type": "integer", "minimum": 1, "maximum": 2**53 - 1}
    properties["v"] = {"const": 1}


def _close(definition: Schema) -> None:
    definition["required"] = list(definition["properties"])
    definition["additionalProperties"] = False


_ENRICHMENTS = {
    "Marker": _enrich_marker,
    "Statement": _enrich_statement,
    "Subject": _enrich_subject,
    "KeyEntry": _enrich_key,
    "Decision": _enrich_decision,
    "DetailEntry": _enrich_detail,
    "Leaf": _enrich_leaf,
    "Envelope": _close,
    "Signature": _close,
}
