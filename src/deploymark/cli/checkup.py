"""What a check of `deploymark doctor` finds: one remark, fine, worth a look, or wrong."""

from enum import StrEnum
from typing import NamedTuple


class Finding(StrEnum):
    """How good or bad it is."""

    FINE = "fine"
    ADVICE = "advice"
    WRONG = "wrong"


class Remark(NamedTuple):
    """What one check found.

    Attributes:
        finding: How good or bad it is.
        says: What was found.
        hint: What to do, "" when nothing.
    """

    finding: Finding
    says: str
    hint: str = ""


def fine(says: str) -> Remark:
    """Return that all is well."""
    return Remark(Finding.FINE, says)


def advice(says: str, hint: str) -> Remark:
    """Return that something works, and should be looked at before others rely on it."""
    return Remark(Finding.ADVICE, says, hint)


def wrong(says: str, hint: str) -> Remark:
    """Return that something does not work."""
    return Remark(Finding.WRONG, says, hint)
