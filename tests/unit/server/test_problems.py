"""Errors as problem+json: every class has a status, and nothing of this host gets out."""

import concurrent.futures
import logging

import pytest
from door_samples import Door, Reply, marker

from deploymark import errors
from deploymark.errors import DeploymarkError
from deploymark.ingest.submission import Submission
from deploymark.model.vocabulary import Role
from deploymark.server.parts import Outcome
from deploymark.server.problems import documented, page_of, problem, problem_answer, status_of

HIDDEN = "/var/lib/deploymark/log.db"


class BrokenIntake:
    """Fails as a whole, now or later."""

    def __init__(self, error: Exception, *, later: bool) -> None:
        self._error = error
        self._later = later

    def submit(self, _: list[Submission]) -> concurrent.futures.Future[list[Outcome]]:
        if not self._later:
            raise self._error
        future: concurrent.futures.Future[list[Outcome]] = concurrent.futures.Future()
        future.set_exception(self._error)
        return future


def _post(error: Exception, *, later: bool = True) -> Reply:
    with Door(intake=BrokenIntake(error, later=later)) as door:
        return door.post(marker(1))


@pytest.mark.parametrize("code", documented())
def test_every_code_has_a_status_and_a_page(code: str) -> None:
    each = documented()[code]
    assert 400 <= status_of(each.__new__(each)) <= 599
    assert f"({code})" in page_of(code)


def test_the_families_are_told_apart() -> None:
    for each in documented().values():
        status = status_of(each.__new__(each))
        if issubclass(each, errors.BrokenError):
            assert status == 500
        if issubclass(each, errors.UnavailableError):
            # What is not published yet is not there yet: nothing of the server's is amiss.
            assert status in {408, 429, 500, 503} or each is errors.NotPublishedError
        if status in {408, 429, 503}:
            assert each.retryable, "a client must try these again"


_STATUSES = {
    "bad_request": 400,
    "bad_query": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "bad_signature": 403,
    "key_untrusted": 403,
    "marker_unsigned": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "not_acceptable": 406,
    "request_timeout": 408,
    "marker_conflict": 409,
    "too_large": 413,
    "unsupported_media_type": 415,
    "unknown_host": 421,
    "bad_marker": 422,
    "bad_envelope": 422,
    "unknown_schema_version": 422,
    "secret_refused": 422,
    "personal_data_refused": 422,
    "rate_limited": 429,
    "log_busy": 503,
    "store_unavailable": 503,
    "log_broken": 500,
    "log_rolled_back": 500,
    "bad_data_directory": 500,
}


@pytest.mark.parametrize(("code", "status"), _STATUSES.items())
def test_a_code_keeps_its_status(code: str, status: int) -> None:
    each = documented()[code]
    assert status_of(each.__new__(each)) == status


def test_a_refusal_tells_what_was_wrong_and_where() -> None:
    told = problem(errors.MarkerError("/service is missing.", hint="Name it.", field="/service"))
    assert told == {
        "type": "/problems/bad_marker",
        "title": "Bad marker",
        "status": 422,
        "detail": "/service is missing.",
        "code": "bad_marker",
        "field": "/service",
        "hint": "Name it.",
        "retryable": False,
    }


@pytest.mark.parametrize("later", [True, False], ids=["later", "at once"])
@pytest.mark.parametrize(
    "error",
    [
        errors.StoreUnavailableError(f"{HIDDEN} is full.", hint=f"Empty {HIDDEN}."),
        errors.LogBrokenError(f"{HIDDEN} does not add up."),
        errors.DataDirectoryError(f"{HIDDEN} is gone."),
        RuntimeError(f"nobody foresaw {HIDDEN}"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_what_fails_tells_nothing_of_this_host(
    error: Exception, *, later: bool, caplog: pytest.LogCaptureFixture
) -> None:
    reply = _post(error, later=later)
    assert reply.status >= 500
    assert HIDDEN.encode() not in reply.body
    assert b"Traceback" not in reply.body
    assert reply.json["incident"]
    assert reply.json["code"] == getattr(error, "code", "unexpected")
    # Once, with what a person needs to find it.
    (record,) = caplog.records
    assert vars(record)["incident"] == reply.json["incident"]
    assert (record.exc_info is not None) == (not isinstance(error, DeploymarkError))


def test_a_busy_log_says_when_to_come_back() -> None:
    reply = _post(errors.LogBusyError("The queue is full."))
    assert (reply.status, reply.headers["retry-after"]) == (503, "1")
    assert reply.json["retryable"] is True


def test_a_limit_says_when_to_come_back() -> None:
    answer = problem_answer(errors.RateLimitedError("Too many.", retry_after_s=7))
    assert answer.status == 429
    assert (b"retry-after", b"7") in answer.headers


def test_a_401_asks_for_a_token(door: Door) -> None:
    assert door.ask("GET", "/v1/markers").headers["www-authenticate"].startswith("Bearer")


def test_refusals_are_not_logged(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "deploymark")
    assert door.post({}).status == 422
    assert door.ask("GET", "/v1/markers/99", Role.READER).status == 404
    assert caplog.records == []


def test_the_page_of_a_problem_explains_it(door: Door) -> None:
    page = door.ask("GET", "/problems/marker_conflict")
    assert b"HTTP 409" in page.body
    assert b"The first one stands." in page.body
    assert door.ask("GET", "/problems/nix").status == 404
