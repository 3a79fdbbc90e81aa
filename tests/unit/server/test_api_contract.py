"""Whatever the OpenAPI document allows, and much that it does not, against a running server.

schemathesis makes the requests. Another server is tested by overriding the fixture `contract`.
"""

import json
from collections.abc import Iterator

import pytest
import requests
import schemathesis
from door_samples import TIMEOUT_SECONDS, Door, marker, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from deploymark.model.vocabulary import Role
from deploymark.server.answer import encode_json
from deploymark.server.listening import LOOPBACK
from deploymark.server.openapi import document_of
from deploymark.server.operations import OPERATIONS
from deploymark.server.problems import HEAD_TOO_LARGE

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
EXAMPLES = 12  # for each operation and mode

_API = schemathesis.openapi.from_dict(json.loads(encode_json(document_of(OPERATIONS))))
# A stream has no end; what it answers is shown elsewhere.
_ASKED = [each for each in OPERATIONS if each.name != "follow"]
_POSITIVE, _NEGATIVE = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
_CASES = [(each.name, _POSITIVE) for each in _ASKED] + [
    (each.name, _NEGATIVE)
    for each in _ASKED
    # Where nothing can be said, nothing can be said wrongly.
    if any(parameter.place != "header" for parameter in each.parameters)
    or (each.body and each.tag != "telemetry")
]


@pytest.fixture(scope="module")
def contract() -> Iterator[tuple[str, str]]:
    """Return the URL of a server and the token of an administrator."""
    with Door() as door, serving(door) as port:
        door.post([marker(n) for n in range(3)])
        door.log.publish()
        yield f"http://{LOOPBACK}:{port}", door.tokens[Role.ADMIN]


@pytest.fixture(scope="module")
def session(contract: tuple[str, str]) -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {contract[1]}"
        yield session


@pytest.mark.parametrize(("name", "mode"), _CASES)
def test_the_server_answers_as_its_document_says(
    name: str,
    mode: schemathesis.GenerationMode,
    contract: tuple[str, str],
    session: requests.Session,
) -> None:
    asked = next(each for each in _ASKED if each.name == name)
    operation = _API[asked.path.replace(":path", "")][asked.method]

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def answers(data: st.DataObject) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        answer = case.call(base_url=contract[0], session=session, timeout=TIMEOUT_SECONDS)
        if answer.status_code == HEAD_TOO_LARGE:
            return  # refused before its words were looked at, which schemathesis does not expect
        case.validate_response(answer, checks=CHECKS)

    answers()
