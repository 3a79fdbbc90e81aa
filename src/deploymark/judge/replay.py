"""A verdict with all that it rests on, so that anyone can judge again and compare. Pure.

The inputs are written as canonical JSON (RFC 8785). A *head* holds plan and placebos, and names
each look by its digest, so a look is stored once however many verdicts rest on it. The same inputs
give the same verdict bit for bit; logarithms are rounded before they decide, because processors
differ in their last bit.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from math import isfinite
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from deploymark.decoding import decode_json
from deploymark.errors import CanonicalError, JudgeError
from deploymark.judge.assessment import Assessment
from deploymark.judge.counts import Gauges, Look
from deploymark.judge.placebo import Placebo
from deploymark.judge.plan import Plan
from deploymark.judge.verdict import Judgement
from deploymark.model.canonical import encode

JUDGE: Final = "deploymark/1"
"""Name and version of the formulas; changed with every change that changes a verdict."""


class Head(Struct, frozen=True):
    """What one verdict rests on.

    Attributes:
        judge: Name and version of the formulas.
        plan: Of the rollout.
        placebo: What placebos taught before it began.
        looks: Digests of the looks, in their order.
    """

    judge: str
    plan: Plan
    placebo: Placebo
    looks: tuple[str, ...]


def text_of(value: Look | Head) -> bytes:
    """Return the canonical text of a look or a head, to be stored by its digest.

    Raises:
        JudgeError: It holds a number that JSON has not, other than in a gauge.
    """
    try:
        return encode(msgspec.to_builtins(_without_nan(value)))
    except CanonicalError as error:
        raise JudgeError(f"This cannot be kept: {error.message}") from None


def digest_of(text: bytes) -> str:
    """Return the digest that a text is stored by."""
    return f"sha256:{sha256(text).hexdigest()}"


def head_of(plan: Plan, placebo: Placebo, looks: Iterable[Look]) -> Head:
    """Return the head of the verdict on these looks."""
    return Head(JUDGE, plan, placebo, tuple(digest_of(text_of(look)) for look in looks))


def replay(head: bytes, looks: Sequence[bytes]) -> Judgement:
    """Judge again from stored texts.

    Args:
        head: Canonical text of a `Head`.
        looks: Canonical texts of its looks, in its order.

    Raises:
        JudgeError: A text cannot be read, is not the one that the head names, is of other
            formulas, holds what cannot be, or there is no look.
    """
    read = _read(head, Head)
    if read.judge != JUDGE:
        raise JudgeError(
            f"The verdict was made by {read.judge}, this is {JUDGE}.",
            hint="Replay it with the release that made it.",
        )
    if not looks or tuple(map(digest_of, looks)) != read.looks:
        raise JudgeError("The looks are not those that the verdict rests on.", field="/looks")
    assessment = Assessment(read.plan, read.placebo)
    for text in looks:
        assessment.learn(_read(text, Look))
    return assessment.judgement()


def replay_step(basis: bytes, looks: Sequence[bytes]) -> Judgement:
    """Judge again from what is kept of one step of a rollout.

    Args:
        basis: Canonical text of the step's `Head`, which was written before its first look and
            so names none.
        looks: Canonical texts of its looks, in their order.

    Raises:
        JudgeError: As `replay`.
    """
    whole = structs.replace(_read(basis, Head), looks=tuple(map(digest_of, looks)))
    return replay(text_of(whole), looks)


def _read(text: bytes, kind: type[Any]) -> Any:  # noqa: ANN401 - of the kind that is asked for
    try:
        return decode_json(text, kind)
    except msgspec.MsgspecError as error:
        raise JudgeError(f"A stored {kind.__name__.lower()} cannot be read: {error}.") from None


def _without_nan(value: Look | Head) -> Look | Head:
    """Return a look with None for what a gauge could not read."""
    if isinstance(value, Head):
        return value
    seen = {
        name: Gauges(tuple((_finite(one), _finite(other)) for one, other in each.pairs))
        if isinstance(each, Gauges)
        else each
        for name, each in value.seen.items()
    }
    return msgspec.structs.replace(value, seen=seen)


def _finite(number: float | None) -> float | None:
    return number if number is not None and isfinite(number) else None
