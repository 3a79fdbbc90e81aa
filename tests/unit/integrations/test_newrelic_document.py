"""What is read out of a GraphQL document, whatever somebody puts into one."""

import pytest

from deploymark.errors import DialectError
from deploymark.integrations.newrelic_graphql.document import (
    MAX_FIELDS,
    MAX_TOKENS,
    read_mutation,
    shaped,
)


def test_variables_and_their_defaults_fill_arguments() -> None:
    query = "mutation($a: X, $b: X = [1, {c: THIS}]) { one: f(x: {a: $a, b: $b, d: null}) }"
    [asked] = read_mutation({"query": query, "variables": {"a": {"deep": True}}})
    assert (asked.name, asked.key, asked.shape) == ("f", "one", None)
    assert asked.arguments == {"x": {"a": {"deep": True}, "b": [1, {"c": "THIS"}], "d": None}}


def test_an_answer_has_the_shape_that_was_asked_for() -> None:
    query = """
    mutation { f { id ... on X { renamed: name } ...more } }
    fragment more on X { inner { id } list { id } unknown { id } }
    """
    [asked] = read_mutation({"query": query})
    answer = {"id": 1, "name": "n", "inner": {"id": 2, "more": 3}, "list": [{"id": 4}], "left": 5}
    assert shaped(answer, asked.shape) == {
        "id": 1,
        "renamed": "n",
        "inner": {"id": 2},
        "list": [{"id": 4}],
        "unknown": None,
    }


def test_the_operation_that_is_named_counts() -> None:
    query = "mutation One { f } mutation Two { g } query Three { h }"
    assert [each.name for each in read_mutation({"query": query})] == ["f"]
    asked = read_mutation({"query": query, "operationName": "Two"})
    assert [each.name for each in asked] == ["g"]
    with pytest.raises(DialectError, match="Only mutations"):
        read_mutation({"query": query, "operationName": "Three"})


@pytest.mark.parametrize(
    "query",
    [
        None,
        "",
        "mutation {",
        "mutation { f { ...a } } fragment a on X { b { ...a } c { ...a } d { ...a } }",
        "mutation { ...a } fragment a on X { ...a }",
        "mutation { f" + "{ f" * 1_000 + "}" * 1_001,
        "mutation { " + "f " * (MAX_FIELDS + 1) + "}",
        "mutation { f(x: [" + "1 " * MAX_TOKENS + "]) }",
        "fragment a on X { b }",
    ],
    ids=[
        "nothing",
        "an empty text",
        "half a document",
        "a fragment that grows",
        "a fragment that names itself",
        "one that is deep",
        "too many mutations",
        "too many words",
        "no operation",
    ],
)
def test_what_cannot_be_answered_is_refused(query: str | None) -> None:
    with pytest.raises(DialectError):
        read_mutation({"query": query})
