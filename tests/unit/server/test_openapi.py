"""The OpenAPI document: valid, whole, and the same as the table."""

import json
from typing import Any

import pytest
from door_samples import marker
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from deploymark.model.schema import schema
from deploymark.server.answer import encode_json
from deploymark.server.openapi import document_of, problem_statuses
from deploymark.server.operations import OPERATIONS
from deploymark.server.problems import HEAD_TOO_LARGE, STATUS

DOCUMENT: dict[str, Any] = json.loads(encode_json(document_of(OPERATIONS)))


def test_the_document_is_openapi_3_1() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_every_operation_stands_in_it() -> None:
    told = {
        (method.upper(), path): operation["operationId"]
        for path, methods in DOCUMENT["paths"].items()
        for method, operation in methods.items()
    }
    assert told == {(each.method, each.path.replace(":path", "")): each.name for each in OPERATIONS}


def test_every_reference_leads_somewhere() -> None:
    text = json.dumps(DOCUMENT)
    for part in text.split('"$ref": "')[1:]:
        target = part.partition('"')[0]
        assert target.startswith("#/components/schemas/"), target
        assert target.rpartition("/")[2] in DOCUMENT["components"]["schemas"], target


def test_every_status_of_a_problem_is_one_that_problems_have() -> None:
    known = {*STATUS.values(), HEAD_TOO_LARGE}
    for each in OPERATIONS:
        assert set(problem_statuses(each)) <= known, each.name


def test_every_operation_and_parameter_is_explained() -> None:
    for each in OPERATIONS:
        assert each.summary.endswith("."), each.name
        for parameter in each.parameters:
            assert parameter.description.endswith("."), parameter.name


@pytest.mark.parametrize("value", [marker(1), [marker(1)], {"service": "x"}, 7, []])
def test_its_schema_of_markers_is_the_one_of_the_model(value: object) -> None:
    body = DOCUMENT["paths"]["/v1/markers"]["post"]["requestBody"]["content"]
    shape = {**body["application/json"]["schema"], "components": DOCUMENT["components"]}
    accepted = Draft202012Validator(shape).is_valid(value)
    one = value[0] if isinstance(value, list) and value else value
    assert accepted == Draft202012Validator(schema("marker", 1)).is_valid(one)
