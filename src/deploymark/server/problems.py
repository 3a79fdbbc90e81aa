"""Every error as RFC 9457 `application/problem+json`, and the pages under `/problems/`.

An error's class decides the status; its code is the last part of `type`. A 5xx tells a stranger
the code and what to do, never the message, which may name files and addresses of this host.
"""

import inspect
import math
from typing import Any

from deploymark import errors
from deploymark.errors import BrokenError, DeploymarkError, RefusedError, UnavailableError
from deploymark.server.answer import PROBLEM, Answer, encode_json, headers_of

SERVER_FAULT = 500

STATUS: dict[type[DeploymarkError], int] = {
    DeploymarkError: 500,
    # The input: malformed, of a wrong shape, or saying what may not be said.
    RefusedError: 400,
    errors.UsageError: 400,
    errors.RequestError: 400,
    errors.BodyError: 422,
    errors.CanonicalError: 422,
    errors.InstantError: 422,
    errors.IdError: 422,
    errors.MarkerError: 422,
    errors.SchemaVersionError: 422,
    errors.EnvelopeError: 422,
    errors.NoteError: 422,
    errors.ProofError: 422,
    errors.PolicyError: 422,
    errors.SecretRefusedError: 422,
    errors.PersonalDataRefusedError: 422,
    errors.TokenError: 422,
    errors.TooLargeError: 413,
    errors.ConflictError: 409,
    errors.ActionRefusedError: 409,
    errors.StaleActionError: 409,
    errors.NotFoundError: 404,
    errors.NotPublishedError: 404,  # with Retry-After: it will stand there in a moment
    errors.MethodError: 405,
    errors.NotAcceptableError: 406,
    errors.MediaTypeError: 415,
    errors.HostError: 421,
    # Authority: 401 asks for a token; whoever signed may not say this; the caller may not.
    errors.UnauthenticatedError: 401,
    errors.IdentityRefusedError: 400,  # RFC 6749, section 5.2: not a matter of the request's header
    errors.ForbiddenError: 403,
    errors.UnsignedRefusedError: 403,
    errors.SignatureError: 403,
    errors.KeyUntrustedError: 403,
    # This host: nothing that a client sent.
    errors.KeyFileError: 500,
    errors.DataDirectoryError: 500,
    errors.ExtraMissingError: 500,
    errors.WitnessConfigurationError: 500,
    BrokenError: 500,
    UnavailableError: 503,
    errors.UnexpectedError: 500,
    errors.SlowRequestError: 408,
    errors.RateLimitedError: 429,
}
"""HTTP status by class; a class without a row has that of the class that it derives from."""

HEAD_TOO_LARGE = 431
"""Answered by the protocol, before there is a request that a problem could be about."""

_UNSAID = "The service could not do this; its own log says why."
_RETRY_SECONDS = 1
_HEADERS = headers_of(PROBLEM)


def status_of(error: DeploymarkError) -> int:
    """Return the HTTP status of an error."""
    return next(STATUS[each] for each in type(error).__mro__ if each in STATUS)


def problem(error: DeploymarkError, incident: str = "") -> dict[str, Any]:
    """Return the problem object of an error, without anything that tells of this host.

    Args:
        error: What went wrong.
        incident: Under which the server's log tells more, for those it tells about.
    """
    status = status_of(error)
    hidden = status >= SERVER_FAULT
    told: dict[str, Any] = {
        "type": f"/problems/{error.code}",
        "title": title_of(error.code),
        "status": status,
        "detail": _UNSAID if hidden else error.message,
        "code": error.code,
        "field": error.field,
        "hint": error.default_hint if hidden else error.hint,
        "retryable": error.retryable,
    }
    return {**told, "incident": incident} if incident else told


def title_of(code: str) -> str:
    """Return the short name of a kind of problem."""
    return code.replace("_", " ").capitalize()


def problem_answer(
    error: DeploymarkError, incident: str = "", more: tuple[tuple[bytes, bytes], ...] = ()
) -> Answer:
    """Return an error as a whole answer, with the headers that its status demands."""
    told = problem(error, incident)
    status = told["status"]
    headers = [*_HEADERS, *more]
    if status == 401:  # noqa: PLR2004 - RFC 9110 demands the header with this very status
        headers.append((b"www-authenticate", b'Bearer realm="deploymark"'))
    if status in {429, 503} or isinstance(error, errors.NotPublishedError):
        headers.append((b"retry-after", b"%d" % retry_seconds(error)))
    return Answer(status, encode_json(told), tuple(headers))


def retry_seconds(error: DeploymarkError) -> int:
    """Return after how many seconds it is worth trying again."""
    asked = getattr(error, "retry_after_s", _RETRY_SECONDS)
    return max(_RETRY_SECONDS, math.ceil(asked))


def documented() -> dict[str, type[DeploymarkError]]:
    """Return every class of the error tree by its code."""
    return {
        each.code: each
        for each in vars(errors).values()
        if inspect.isclass(each) and issubclass(each, DeploymarkError)
    }


def page_of(code: str) -> str:
    """Return what there is to know about a kind of problem, for a person.

    Raises:
        NotFoundError: No error has this code.
    """
    each = documented().get(code)
    if each is None:
        raise errors.NotFoundError(
            f"No problem has the code {code[:64]!r}.", hint="docs/reference/errors.md lists all."
        )
    meaning = " ".join(inspect.cleandoc(each.__doc__ or "").split())
    again = (
        "The same call may succeed later."
        if each.retryable
        else "The same request will be refused again."
    )
    status = next(STATUS[base] for base in each.__mro__ if base in STATUS)
    lines = [f"{title_of(code)} ({code}), HTTP {status}", "", meaning, again]
    if each.default_hint:
        lines += ["", each.default_hint]
    return "\n".join(lines) + "\n"
