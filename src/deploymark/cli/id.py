"""`deploymark id`: the deployment id that the markers of this run will have."""

import argparse
from typing import Any

from deploymark.cli.marker_flags import (
    add_marker_flags,
    emitter_of,
    marker_fields,
)
from deploymark.cli.output import Output


def add_parser(commands: Any, sentence: str) -> None:  # noqa: ANN401 - argparse has no name
    """Add `deploymark id`."""
    parser = commands.add_parser(
        "id",
        help=sentence,
        description="Prints the deployment id that markers with these flags have in this CI run: "
        "the same for every job and retry of it. Nothing is sent.",
    )
    add_marker_flags(parser)
    parser.add_argument("--json", action="store_true", help="answer in JSON")
    parser.set_defaults(run=_id, url=None, sign=None, budget=0.0)


def _id(options: argparse.Namespace, output: Output) -> int:
    fields = marker_fields(options)
    draft = emitter_of(options, fields).draft("planned", **fields)
    output.say(
        draft.deployment_id,
        {
            "deployment_id": draft.deployment_id,
            "service": draft.fields["service"],
            "environment": draft.fields["environment"],
            "action": draft.fields.get("action"),
        },
    )
    return 0
