"""The gate as a dialect sees it: what it is asked, and what it answered.

Deciding is not here; `judge.gate` does that, and every answer stands in the log.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

from msgspec import Struct


class GateState(StrEnum):
    """What the gate says, and what each thing says that it looked at."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class GateRule(Struct, frozen=True):
    """One thing that an answer rests on.

    Attributes:
        name: `policy:<rule>`, `verdict`, `error_budget`, `rollout` or `break_glass`.
        state: What it says.
        reason: In a sentence.
        counts: It bears on the answer; a warning and what was overridden do not.
    """

    name: str
    state: GateState
    reason: str = ""
    counts: bool = True


class Gated(Struct, frozen=True):
    """An answer that stands in the log.

    Attributes:
        index: Its entry.
        state: The answer.
        service, environment: That were asked about.
        deployment_id: `d-…~1`; None when none was found.
        rules: What it rests on.
    """

    index: int
    state: GateState
    service: str
    environment: str
    deployment_id: str | None
    rules: Sequence[GateRule] = ()


class DialectGate(Protocol):
    """The gate as one caller may ask it; waits for the disk.

    Both methods raise `StoreUnavailableError` while the views have not seen the whole log, and
    `RateLimitedError` when the caller's answers have become as many entries as they may.
    """

    def ask(self, service: str, environment: str, version: str | None) -> Gated:
        """Return whether something may go on, and write that down.

        Args:
            service: Its name.
            environment: Its name.
            version: Version, commit or id of the deployment; None for the one that opened last.

        Raises:
            NotFoundError: Nobody ever spoke of it.
        """
        ...

    def again(self, index: int) -> Gated:
        """Return an answer that stands in the log, and ask anew while it is inconclusive.

        Raises:
            NotFoundError: There is no such answer.
        """
        ...
