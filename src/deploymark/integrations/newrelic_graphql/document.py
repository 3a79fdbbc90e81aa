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

MAX_SELECTIONS: Final = 400
"""Fields and fragments, each as often as it is used."""


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
        asked = _Reader(known, fragments).asked(operation.selection_set)
    except GraphQLError as error:
        raise DialectError(f"The query is no GraphQL: {error.message}") from None
    except RecursionError:
        raise DialectError("The query is nested too deeply.") from None
    if len(asked) > MAX_FIELDS:
        raise DialectError(f"One request holds at most {MAX_FIELDS} mutations.")
    return asked


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


class _Reader:
    """Follows fragments, which may name themselves and each other, within a bound."""

    def __init__(self, known: Mapping[str, Any], fragments: Fragments) -> None:
        self._known = known
        self._fragments = fragments
        self._left = MAX_SELECTIONS

    def asked(self, selected: SelectionSetNode) -> list[Asked]:
        """Return the fields of a mutation."""
        return [
            Asked(
                each.name.value,
                _key(each),
                {given.name.value: self._value(given.value) for given in each.arguments or ()},
                self._shape(each),
            )
            for each in self._fields(selected)
        ]

    def _fields(self, selected: SelectionSetNode) -> Iterator[FieldNode]:
        """Return the fields of a selection, those of its fragments among them."""
        for each in selected.selections:
            self._left -= 1
            if self._left < 0:
                raise DialectError(f"The query asks for more than {MAX_SELECTIONS} fields.")
            match each:
                case FieldNode():
                    yield each
                case InlineFragmentNode():
                    yield from self._fields(each.selection_set)
                case FragmentSpreadNode() if each.name.value in self._fragments:
                    yield from self._fields(self._fragments[each.name.value].selection_set)

    def _shape(self, field: FieldNode) -> Shape | None:
        if field.selection_set is None:
            return None
        parts = (
            (_key(each), each.name.value, self._shape(each))
            for each in self._fields(field.selection_set)
        )
        return Shape(tuple(parts))

    def _value(self, node: ValueNode) -> Any:  # noqa: ANN401 - any JSON value
        return value_from_ast_untyped(node, dict(self._known))


def _key(field: FieldNode) -> str:
    return (field.alias or field.name).value
