"""How the gate is asked and answers in Datadog's words. Pure.

An evaluation is an entry of the log, and its UUID holds the index. While the answer is inconclusive
the evaluation is in progress, and every look at it asks the gate anew.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from deploymark.errors import DialectError, NotFoundError
from deploymark.model.limits import VALUE_BYTES
from deploymark.model.tolerant import bounded, text_of
from deploymark.ports import (
    DialectGate,
    ForeignReply,
    ForeignRequest,
    Gated,
    GateState,
    in_json,
)

NAME: Final = "datadog_gate"

_EVALUATION = re.compile(r"00000000-0000-8000-8000-([0-9a-f]{12})")
_STATUS: Final = {
    GateState.PASS: "pass",
    GateState.FAIL: "fail",
    GateState.INCONCLUSIVE: "in_progress",
}


def begun(request: ForeignRequest, gate: DialectGate) -> ForeignReply:
    """Answer `POST /api/v2/deployments/gates/evaluation`.

    Raises:
        DialectError: Service or environment are not said.
    """
    asked = _attributes(request.json())
    service, environment, version = (
        bounded(text_of(asked.get(name)), VALUE_BYTES) for name in ("service", "env", "version")
    )
    if service is None or environment is None:
        raise DialectError("The gate is asked for a `service` in an `env`.")
    identity = evaluation_of(gate.ask(service, environment, version).index)
    data = {
        "id": identity,
        "type": "deployment_gates_evaluation_response",
        "attributes": {"evaluation_id": identity},
    }
    return in_json({"data": data}, 202)


def answered(request: ForeignRequest, gate: DialectGate) -> ForeignReply:
    """Answer `GET /api/v2/deployments/gates/evaluation/{id}`.

    Raises:
        NotFoundError: The id is none that was given.
    """
    named = _EVALUATION.fullmatch(request.path["id"].lower())
    if named is None:
        raise NotFoundError("There is no such evaluation.", hint="It begins with a POST.")
    told = gate.again(int(named[1], 16))
    data = {
        "id": request.path["id"],
        "type": "deployment_gates_evaluation_result_response",
        "attributes": _shown(request, told),
    }
    return in_json({"data": data})


def evaluation_of(index: int) -> str:
    """Return the UUID by which clients know an entry."""
    return f"00000000-0000-8000-8000-{index:012x}"


def _shown(request: ForeignRequest, told: Gated) -> dict[str, Any]:
    return {
        "dry_run": False,
        "evaluation_id": request.path["id"],
        "evaluation_url": f"{request.origin}/v1/entries/{told.index}",
        "gate_id": str(uuid5(NAMESPACE_URL, f"{told.environment}/{told.service}")),
        "gate_status": _STATUS[told.state],
        "rules": [
            {
                "name": each.name,
                "status": _STATUS[each.state],
                "reason": each.reason,
                "dry_run": not each.counts,
            }
            for each in told.rules
        ],
    }


def _attributes(body: Mapping[str, Any]) -> Mapping[str, Any]:
    data = body.get("data")
    attributes = data.get("attributes") if isinstance(data, Mapping) else None
    return attributes if isinstance(attributes, Mapping) else {}
