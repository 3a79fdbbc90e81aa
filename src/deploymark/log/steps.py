"""What a check reports: numbered steps, each with its own result."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """How a step ended."""

    HOLDS = "holds"
    FAILS = "fails"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, slots=True)
class Step:
    """One finished step of an audit or a verification.

    Attributes:
        number: Its place in the order, from 1.
        name: What was checked.
        detail: What was found, or how much was checked.
        faults: What did not add up, one sentence each.
        unchecked: Why it could not be checked, "" when it was.
    """

    number: int
    name: str
    detail: str
    faults: tuple[str, ...] = ()
    unchecked: str = ""

    @property
    def result(self) -> Result:
        """How the step ended."""
        if self.faults:
            return Result.FAILS
        return Result.UNCHECKED if self.unchecked else Result.HOLDS


def verdict(steps: Iterable[Step]) -> Result:
    """Return the result of all steps together: one failure fails, one gap leaves it undecided."""
    results = {step.result for step in steps}
    for result in (Result.FAILS, Result.UNCHECKED):
        if result in results:
            return result
    return Result.HOLDS


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: 1 fault, 2 faults."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
