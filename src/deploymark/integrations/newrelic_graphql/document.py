"""Reads the two mutations out of a GraphQL document, and shapes answers as it asks. Pure.

There is no schema behind it: arguments are taken as they come, and a field that is asked for and
not known is null.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    ValueNode,
    parse,
    value_from_ast_untyped,
)
from msgspec import Struct

from deploymark.errors import DialectError

MAX_TOKENS: Final = 4_000
"""Of a document; clients send some hundred."""

MAX_FIELDS: Final = 16
"""Mutations in one document."""

_MAX_DEPTH: Final = 16


class Asked(Struct, frozen=True):
    """One field of a mutation.

    Attributes:
        name: Of the field.
        key: Under which the answer is wanted.
        arguments: With variables filled in.
        shape: What is wanted of the answer; None for a value without parts.
    """

    name: str
    key: str
    arguments: Mapping[str, Any]
    shape: "Shape | None"


class Shape(Struct, frozen=True):
    """Parts of an answer that are wanted: for each key the field, and what is wanted of it."""

    parts: tuple[tuple[str, str, "Shape | None"], ...]


def read_mutation(body: Mapping[str, Any]) -> list[Asked]:
    """Return the fields of the mutation in a request.

    Args:
        body: `query`, `variables` and `operationName`.

    Raises:
        DialectError: It is no document, has no such operation, or asks for too much.
    """
    query, variables = body.get("query"), body.get("variables")
    if not isinstance(query, str):
        raise DialectError("The request has no `query`.")
    try:
        document = parse(query, max_tokens=MAX_TOKENS, no_location=True)
        operation = _operation(document, body.get("operationName"))
        known = {**_defaults(operation), **(variables if isinstance(variables, Mapping) else {})}
        fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        fields = list(_fields(operation.selection_set, fragments))
        return [_asked(each, known, fragments) for each in fields[:MAX_FIELDS]]
    except GraphQLError as error:
        raise DialectError(f"The query is no GraphQL: {error.message}") from None
    except RecursionError:
        raise DialectError("The query is nested too deeply.") from None


def shaped(value: Any, shape: Shape | None) -> Any:  # noqa: ANN401 - any JSON value
    """Return of a value what is wanted."""
    if shape is None or value is None:
        return value
    if isinstance(value, list):
        return [shaped(each, shape) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {key: shaped(value.get(name), inner) for key, name, inner in shape.parts}


Fragments = Mapping[str, FragmentDefinitionNode]


def _operation(document: DocumentNode, name: object) -> OperationDefinitionNode:
    for each in document.definitions:
        if not isinstance(each, OperationDefinitionNode):
            continue
        if name and (each.name is None or each.name.value != name):
            continue
        if each.operation is not OperationType.MUTATION:
            raise DialectError("Only mutations are answered here, and no questions.")
        return each
    raise DialectError("The document has no such operation.")


def _defaults(operation: OperationDefinitionNode) -> dict[str, Any]:
    return {
        each.variable.name.value: value_from_ast_untyped(each.default_value)
        for each in operation.variable_definitions or ()
        if each.default_value is not None
    }


def _fields(
    selected: SelectionSetNode | None, fragments: Fragments, depth: int = 0
) -> Iterator[FieldNode]:
    """Return the fields of a selection, those of its fragments among them."""
    if depth > _MAX_DEPTH:
        raise DialectError("The query is nested too deeply.")
    for each in () if selected is None else selected.selections:
        match each:
            case FieldNode():
                yield each
            case InlineFragmentNode():
                yield from _fields(each.selection_set, fragments, depth + 1)
            case FragmentSpreadNode() if each.name.value in fragments:
                fragment = fragments[each.name.value]
                yield from _fields(fragment.selection_set, fragments, depth + 1)


def _asked(field: FieldNode, known: Mapping[str, Any], fragments: Fragments) -> Asked:
    arguments = {each.name.value: _value(each.value, known) for each in field.arguments or ()}
    return Asked(field.name.value, _key(field), arguments, _shape(field, fragments, 0))


def _shape(field: FieldNode, fragments: Fragments, depth: int) -> Shape | None:
    if field.selection_set is None:
        return None
    inner = list(_fields(field.selection_set, fragments, depth))
    return Shape(
        tuple((_key(each), each.name.value, _shape(each, fragments, depth + 1)) for each in inner)
    )


def _key(field: FieldNode) -> str:
    return (field.alias or field.name).value


def _value(node: ValueNode, known: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    return value_from_ast_untyped(node, dict(known))
