"""The operations of the gate: a part of the table in `operations`."""

from typing import Final, Literal

from deploymark.model.limits import DeploymentName, Name
from deploymark.server import gate
from deploymark.server.answer import JSON
from deploymark.server.operation import (
    BODY_PROBLEMS,
    READER,
    Media,
    Operation,
    Parameter,
    in_json,
)
from deploymark.server.shapes import GATE as ANSWER

_Flag = Literal["true", "false"]
_SAID: Final = (
    "An answer stands in the log as `decision_index`; the same answer on the same grounds has the "
    "same entry for five minutes. It is null for a dry run, for what nobody ever spoke of, and "
    "while the views are behind. 429 when a caller's answers have become as many entries as they "
    "may."
)

GATE: Final = (
    Operation(
        "GET",
        "/v1/gate",
        "show_gate",
        "Tell whether a pipeline may go on, as things are now.",
        "rollouts",
        READER,
        gate.show_gate,
        {200: in_json("The answer.", ANSWER)},
        parameters=(
            Parameter("service", Name, "Of this service.", required=True),
            Parameter("environment", Name, "In this environment.", required=True),
            Parameter(
                "deployment_id",
                DeploymentName,
                "Deployment, `d-…` or `d-…~2`; the one that opened last when left out.",
            ),
            Parameter("explain", _Flag, "List every rule with what it looked at."),
            Parameter("dry_run", _Flag, "Do not log the answer."),
        ),
        problems=(404, 503),
        description=_SAID,
    ),
    Operation(
        "POST",
        "/v1/gate",
        "ask_gate",
        "Wait until a pipeline may go on, or may not.",
        "rollouts",
        READER,
        gate.ask_gate,
        {200: in_json("The answer.", ANSWER)},
        body=(Media(JSON, gate.GateRequest),),
        problems=(404, *BODY_PROBLEMS, 503),
        description=f"With `wait` it answers `inconclusive` only after so many seconds. {_SAID}",
    ),
)
