"""The operations on rollouts: a part of the table in `operations`."""

from typing import Annotated, Final

from msgspec import Meta

from deploymark.act.rollouts import ActionRequest
from deploymark.model.limits import Name
from deploymark.server import rollouts
from deploymark.server.answer import JSON
from deploymark.server.operation import (
    ALL_ITEMS,
    BODY_PROBLEMS,
    OPERATOR,
    READER,
    Media,
    Operation,
    Parameter,
    in_json,
)
from deploymark.server.parameters import INDEX

ROLLOUTS: Final = (
    Operation(
        "GET",
        "/v1/rollouts",
        "list_rollouts",
        "List what is rolled out by a plan.",
        "rollouts",
        READER,
        rollouts.list_rollouts,
        {200: ALL_ITEMS},
        parameters=(
            Parameter("service", Name, "Only of this service."),
            Parameter("environment", Name, "Only in this environment."),
        ),
        problems=(404, 503),
    ),
    Operation(
        "GET",
        "/v1/rollouts/{id}",
        "show_rollout",
        "Show one rollout: its step, its looks, what was decided, what it waits for.",
        "rollouts",
        READER,
        rollouts.show_rollout,
        {200: in_json("The rollout.", {"type": "object"})},
        parameters=(
            Parameter("id", Annotated[str, Meta(max_length=80)], "`d-…`, or `d-…~2`.", "path"),
        ),
        problems=(404, 503),
    ),
    Operation(
        "GET",
        "/v1/verdicts/{index}/evidence",
        "show_evidence",
        "Show what a verdict rests on, so that it can be judged again.",
        "rollouts",
        READER,
        rollouts.show_evidence,
        {200: in_json("Basis and looks.", {"type": "object"})},
        parameters=(INDEX,),
        problems=(404, 503),
    ),
    Operation(
        "POST",
        "/v1/actions",
        "act",
        "Ask for an action on a rollout, or stop automation.",
        "rollouts",
        OPERATOR,
        rollouts.act,
        {202: in_json("It stands in the log, and is answered there.", {"type": "object"})},
        body=(Media(JSON, ActionRequest),),
        problems=(404, 409, *BODY_PROBLEMS, 503),
        description=(
            "promote, pause, resume, roll_back and approve are asked of a rollout and answered by "
            "a decision that names the request; freeze, unfreeze, quarantine, release and adopt "
            "hold at once. `expected_index` is the newest entry of the rollout that was seen: 409 "
            "when there is news since, and a look that says what the last one said is none. The "
            "answer's `remark` says what is odd about the request: "
            "an environment that nobody knows, a freeze that was none, an approval of what is "
            "paused."
        ),
    ),
)
