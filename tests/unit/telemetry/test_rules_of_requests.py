"""What counts as a request and as an error, and how many one sampled span stands for."""

from typing import Any

import pytest

from deploymark.telemetry.limits import MOST_WEIGHT
from deploymark.telemetry.requests import (
    HTTP,
    MESSAGING,
    OTHER,
    RPC,
    is_error,
    protocol_of,
)
from deploymark.telemetry.sampling import weight_of

WEIGHTS = {
    "": 1.0,
    "vendor=x": 1.0,
    "ot=th:0": 1.0,
    "ot=th:8": 2.0,
    "ot=th:c": 4.0,
    "rojo=1, ot=rv:abc;th:c": 4.0,
    "ot=th:fd70a4": pytest.approx(100, rel=1e-4),
    "ot=th:ffffffffffffff": MOST_WEIGHT,
    "ot=th:": 1.0,
    "ot=th:zz": 1.0,
    "ot=th:C": 1.0,
    "ot=th:123456789abcdef": 1.0,
    "other=th:8": 1.0,
}


@pytest.mark.parametrize("state", WEIGHTS)
def test_a_sampled_span_stands_for(state: str) -> None:
    assert weight_of(state) == WEIGHTS[state]


ERRORS: dict[str, tuple[str, dict[str, Any], bool]] = {
    "an internal error of HTTP": (HTTP, {"http.response.status_code": 500}, True),
    "the old name of the status": (HTTP, {"http.status_code": 503}, True),
    "a status as text": (HTTP, {"http.response.status_code": "502"}, True),
    "a client's mistake": (HTTP, {"http.response.status_code": 404, "error.type": "404"}, False),
    "an exception without a status": (HTTP, {"error.type": "ValueError"}, True),
    "a truth value as status": (HTTP, {"http.response.status_code": True}, False),
    "gRPC INTERNAL": (RPC, {"rpc.grpc.status_code": 13}, True),
    "gRPC NOT_FOUND": (RPC, {"rpc.grpc.status_code": 5, "error.type": "5"}, False),
    "gRPC by name": (RPC, {"rpc.response.status_code": "UNAVAILABLE"}, True),
    "gRPC by another name": (RPC, {"rpc.response.status_code": "NOT_FOUND"}, False),
    "nothing said": (HTTP, {}, False),
}


@pytest.mark.parametrize("case", ERRORS.values(), ids=ERRORS.keys())
def test_what_is_an_error(case: tuple[str, dict[str, Any], bool]) -> None:
    protocol, attributes, failed = case
    assert is_error(protocol, attributes) is failed


def test_the_protocol_of_a_span() -> None:
    assert protocol_of({"http.request.method": "GET"}) == HTTP
    assert protocol_of({"http.method": "GET"}) == HTTP
    assert protocol_of({"rpc.system": "grpc"}) == RPC
    assert protocol_of({"messaging.system": "kafka"}) == MESSAGING
    assert protocol_of({}) == OTHER
