"""What was judged and decided about a deployment: verdicts and decisions, as they stand in the log.

They name their deployment themselves; nothing is joined here. What they make of its state is said
by `Proof`, and added up where it is asked (`proving`).
"""

import json
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from deploymark.model.entries import Decision, Verdict
from deploymark.model.ids import parse_occurrence
from deploymark.model.instants import format_instant
from deploymark.projections.logged import LoggedEntry

VERDICT, DECISION = "verdict", "decision"

GATE: Final = "gate"
GLASS: Final = "break_glass"
"""The action in the row of a gate that a person opened; those of its answers say `gate`."""

MAX_RULINGS: Final = 64
"""Verdicts, and decisions, that are listed with a deployment, the newest."""

MAX_ANSWERS: Final = 8
"""Answers of gates among its decisions: whoever asks often must not push the others out."""


class Proof(StrEnum):
    """What one ruling makes of the state of a deployment that runs."""

    VERIFIED = "verified"
    """A verdict that is a pass for the whole rollout: of the last step of its plan."""

    OPEN = "open"
    """Any other verdict: as long as it is the newest one, nothing is verified."""

    PROMOTED = "promoted"
    """A promotion that succeeded."""

    RETURNED = "returned"
    """A rollback that succeeded."""


_DEEDS: Final = {"promote": Proof.PROMOTED, "roll_back": Proof.RETURNED}


class RulingRow(NamedTuple):
    """One verdict or decision.

    Attributes:
        idx: Of its entry.
        type: `verdict` or `decision`.
        action: Of a decision, "" of a verdict; `GLASS` where a person opened a gate, so that these
            few are found among the many answers of gates.
        result: Of a verdict or a gate, "" of other decisions.
        deployment: The id that it names, perhaps an alias; "" when it is about none, as a freeze.
        occurrence: The one that it names; None for the deployment as such.
        principal: Who wrote it, as its leaf says: only the platform's own rulings are acted on.
        proves: What it makes of a state, None for nothing.
        document: JSON, as it is shown.
    """

    idx: int
    type: str
    action: str
    result: str
    deployment: str
    occurrence: int | None
    service: str | None
    environment: str
    principal: str
    proves: str | None
    document: str


def ruling_row(entry: LoggedEntry, said: Verdict | Decision) -> RulingRow:
    """Return the row of an entry.

    Raises:
        IdError: It names a deployment by what is no id.
    """
    named = said.deployment_id
    deployment, occurrence = ("", None) if named is None else parse_occurrence(named)
    stated = {name: value for name, value in msgspec.to_builtins(said).items() if value is not None}
    document = {
        "index": entry.index,
        "received_at": format_instant(entry.received_at_ms),
        **stated,
    }
    return RulingRow(
        idx=entry.index,
        type=VERDICT if isinstance(said, Verdict) else DECISION,
        action=_action(said),
        result=said.result or "",
        deployment=deployment,
        occurrence=occurrence,
        service=said.service,
        environment=said.environment,
        principal=entry.leaf.principal,
        proves=proof_of(said),
        document=json.dumps(document, separators=(",", ":")),
    )


def proof_of(said: Verdict | Decision) -> Proof | None:
    """Return what a ruling makes of the state of its deployment; None: nothing."""
    if isinstance(said, Verdict):
        whole = said.step is not None and said.step == said.steps
        return Proof.VERIFIED if whole and said.result == "pass" else Proof.OPEN
    if said.stage == "outcome" and said.outcome == "succeeded":
        return _DEEDS.get(said.action)
    return None


def _action(said: Verdict | Decision) -> str:
    if isinstance(said, Verdict):
        return ""
    return GLASS if said.action == GATE and said.break_glass else said.action


def is_about(row: Any, run: Any, names: set[str]) -> bool:  # noqa: ANN401 - rows of their tables
    """Tell whether a ruling is about a run that is known under these ids."""
    return (
        row.deployment in names
        and row.occurrence in (None, run.number)
        and row.service in (None, run.service)
        and row.environment == run.environment
    )
