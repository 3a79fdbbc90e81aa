"""What commands that emit markers say about each, and with which code they end.

What became of a marker is a result, on stdout; when it was required and is not in the log, that is
an error as well.
"""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.cli.output import Output, plain
from deploymark.emit.emitter import Marked, State
from deploymark.errors import DeploymarkError, ServerUnavailableError

DONE, NO, UNAVAILABLE, NOT_ALLOWED = 0, 1, 69, 77
_LOOK: Final = "`deploymark doctor` looks for the cause."
_AGAIN: Final = (
    "It is tried again, at first after a minute and later once an hour, when something is marked "
    "here; `deploymark flush` tries it at once, and lists what is left."
)
_NOT_ALLOWED: Final = frozenset(
    {
        "unauthenticated",
        "identity_refused",
        "forbidden",
        "key_untrusted",
        "bad_signature",
        "marker_unsigned",
    }
)


def conclude(
    output: Output, phase: str, fields: dict[str, Any], marked: Marked, *, required: bool
) -> int:
    """Say what became of a marker, and return the exit code that says the same.

    Args:
        output: Where to.
        phase: Its phase.
        fields: What else it said.
        marked: What became of it.
        required: It has to be in the log.

    Returns:
        0 unless it was required.
    """
    _say(output, phase, fields, marked)
    if not required or marked.state is State.DELIVERED:
        return DONE
    return fail(output, "The marker is not in the log", marked)


def fail(output: Output, what: str, marked: Marked) -> int:
    """Say that a marker that was required is not in the log; return the exit code for it.

    Args:
        output: Where to.
        what: What that means, as the beginning of a sentence.
        marked: What became of the marker.
    """
    code = say_why(output, f"{what}: {marked.reason}", marked.answer, _LOOK)
    return NO if marked.state is State.REFUSED and code != NOT_ALLOWED else code


def say_why(output: Output, said: str, problem: Mapping[str, Any], otherwise: str) -> int:
    """Say as an error why the server did not take markers; return 77 or 69.

    Args:
        output: Where to.
        said: What is the matter; the hint of the problem is not said twice when it holds it.
        problem: What the server answered about them; empty without an answer.
        otherwise: The hint where the problem has none.
    """
    code, hint = str(problem.get("code", "")), str(problem.get("hint") or "")
    if hint:
        said = said.replace(f" {hint}", "")
    kind = DeploymarkError if code else ServerUnavailableError
    output.error(kind(said, hint=hint or otherwise), code=code)
    return NOT_ALLOWED if code in _NOT_ALLOWED else UNAVAILABLE


def _say(output: Output, phase: str, fields: dict[str, Any], marked: Marked) -> None:
    answer = marked.answer
    record = {
        "phase": phase,
        "state": marked.state.value,
        "deployment_id": answer.get("deployment_id") or marked.deployment_id,
        "marker_id": answer.get("marker_id") or marked.marker_id,
        "epoch": marked.epoch,
        "sequence": marked.number,
        **{name: answer[name] for name in ("index", "occurrence", "duplicate") if name in answer},
    }
    if marked.reason:
        record["reason"] = marked.reason
    if "code" in answer:
        record["code"] = answer["code"]
    output.say(plain(_sentence(phase, fields, marked)), record)


def _sentence(phase: str, fields: dict[str, Any], marked: Marked) -> str:
    what = f"{phase} {fields.get('service', '')} in {fields.get('environment', '')}"
    name = marked.answer.get("deployment_id") or marked.deployment_id
    match marked.state:
        case State.DELIVERED:
            occurrence = marked.answer.get("occurrence", 1)
            again = f", occurrence {occurrence}" if occurrence > 1 else ""
            known = " (known already)" if marked.answer.get("duplicate") else ""
            return f"{what}: {name}{again}, entry {marked.answer.get('index')}{known}"
        case State.SPOOLED:
            reason = marked.reason or "not delivered yet."
            again = f" {_AGAIN}" if marked.answer.get("code") in _NOT_ALLOWED else ""
            return f"{what}: {name}, kept in the spool: {reason}{again}"
        case State.REFUSED:
            return f"{what}: refused: {_refusal(marked)}"
        case State.LOST:
            return f"{what}: lost: {marked.reason}"


def _refusal(marked: Marked) -> str:
    hint = marked.answer.get("hint")
    field = marked.answer.get("field")
    place = f" ({field})" if field else ""
    return f"{marked.reason}{place}" + (f" {hint}" if hint else "")
