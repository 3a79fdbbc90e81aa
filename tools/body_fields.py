"""Tables of the fields of JSON bodies, and limits in words, for the page of the HTTP interface.

They are made from the schemas of the OpenAPI document, so that both say the same. What a table
cannot hold (which fields depend on which) stands in docs/formats.
"""

from collections.abc import Iterator
from typing import Any

Schema = dict[str, Any]

_NAMES = {"string": "text", "integer": "whole number", "boolean": "true or false"}
_HUGE = 2**53 - 1
"""Beyond this no limit is worth a word: it is where JSON's whole numbers end."""


def fields_table(schema: Schema, components: dict[str, Schema]) -> list[str]:
    """Return the lines of a table of all fields of an object, those of its parts included.

    Args:
        schema: Of the object.
        components: Named schemas, to which `$ref` leads.
    """
    rows = [
        f"| `{name}` | {kind} | {'yes' if required else ''} | {limits} |"
        for name, kind, required, limits in _rows(schema, components, "")
    ]
    return ["| field | type | required | limits |", "|---|---|---|---|", *rows, ""]


def limits_of(schema: Schema) -> str:
    """Say in words what the type of one text or number does not."""
    said = [
        _range(schema, "minLength", "maxLength", "character"),
        _range(schema, "minItems", "maxItems", "item"),
        _range(schema, "minProperties", "maxProperties", "pair"),
        _between(schema),
        "" if "enum" not in schema else ", ".join(f"`{each}`" for each in schema["enum"]),
        schema["description"] if "pattern" in schema and "description" in schema else "",
    ]
    default = schema.get("default")
    if default not in (None, "", [], ()):
        shown = ", ".join(map(str, default)) if isinstance(default, list | tuple) else default
        said.append(f"`{shown}` when left out")
    return "; ".join(filter(None, said))


def type_of(schema: Schema) -> str:
    """Say what kind of value it is."""
    if schema.get("type") == "array":
        inner = type_of(schema["items"])
        return f"list of {inner}s" if inner in {"object", "number"} else f"list of {inner}"
    if schema.get("type") == "object" and "additionalProperties" in schema:
        return "map to text" if schema["additionalProperties"] else "object"
    kind = str(schema.get("type", "string"))
    return _NAMES.get(kind, kind)


def _rows(
    schema: Schema, components: dict[str, Schema], prefix: str
) -> Iterator[tuple[str, str, bool, str]]:
    schema = _resolved(schema, components)
    for name, part in schema["properties"].items():
        if part.get("deprecated"):
            continue
        found = _resolved(part, components)
        item = _resolved(found["items"], components) if "items" in found else {}
        told = {**found, "items": item} if item else found
        limits = [limits_of(told), f"each {limits_of(item)}" if item and limits_of(item) else ""]
        full = f"{prefix}{name}"
        yield full, type_of(told), name in schema["required"], "; ".join(filter(None, limits))
        # A marker within a statement has its own table.
        if name != "predicate" and "properties" in (item or found):
            yield from _rows(item or found, components, f"{full}{'[]' if item else ''}.")


def _resolved(schema: Schema, components: dict[str, Schema]) -> Schema:
    """Return what a schema says when it is not null, with its default."""
    found = schema
    while "type" not in found and ("$ref" in found or "anyOf" in found):
        if "anyOf" in found:
            found = [each for each in found["anyOf"] if each.get("type") != "null"][-1]
        else:
            found = components[found["$ref"].rpartition("/")[2]]
    return {**found, "default": schema.get("default")}


def _range(schema: Schema, least: str, most: str, unit: str) -> str:
    low, high = schema.get(least, 0), schema.get(most)
    if high is None:
        return ""
    plural = "" if high == 1 else "s"
    if low == high:
        return f"exactly {high:,} {unit}{plural}"
    return f"{low:,} to {high:,} {unit}{plural}" if low else f"at most {high:,} {unit}{plural}"


def _between(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1
    if low is None:
        return ""
    return f"from {low:,}" if high is None or high >= _HUGE else f"{low:,} to {high:,}"
