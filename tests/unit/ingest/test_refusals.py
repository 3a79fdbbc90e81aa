"""Refused attempts are all counted, and become few findings that the log takes."""

from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark import errors
from deploymark.ingest.callers import ANONYMOUS, LOCAL, Caller
from deploymark.ingest.refusals import (
    CODES,
    FINDINGS_PER_MINUTE,
    OTHER,
    PENDING_MINUTES,
    REMEMBERED_CONFLICTS,
    TELLINGS,
    Attempt,
    Refusals,
)
from deploymark.model.canonical import encode
from deploymark.model.entries import Finding, decode_entry
from deploymark.model.vocabulary import FINDING, FindingCode
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

MINUTE_MS = 60_000
DAY_MS = 86_400_000
FIRST_MS = START_MS // MINUTE_MS * MINUTE_MS
CI = Caller("token:ci", frozenset(), network="192.0.2.0/24")
FORGED = errors.SignatureError("The signature of evil<script> does not verify.")
CONFLICT = errors.ConflictError("Another content stands.")
MOST = sum(FINDINGS_PER_MINUTE.values()) + len(TELLINGS)


@pytest.fixture
def meter() -> ListMeter:
    return ListMeter()


@pytest.fixture
def refusals(meter: ListMeter) -> Refusals:
    return Refusals(meter)


def told(refusals: Refusals, now_ms: int | None = None) -> list[Finding]:
    findings = []
    for payload in refusals.due(now_ms):
        assert encode(msgspec.json.decode(payload)) == payload
        finding = decode_entry(payload, FINDING)
        assert isinstance(finding, Finding)
        findings.append(finding)
    return findings


def pair(number: int) -> tuple[str, str]:
    return f"sha256:{0:064x}", f"sha256:{number + 1:064x}"


def stranger(network: str) -> Caller:
    return Caller("", frozenset(), network=network)


# What is told ----------------------------------------------------------------------------------


def test_a_minute_of_one_caller_is_one_finding(refusals: Refusals) -> None:
    for second in (3, 1, 2):
        about = Attempt("shop", "prod", "d-1~2")
        refusals.refused(FORGED, CI, FIRST_MS + second * 1_000, about)
    assert told(refusals, FIRST_MS + MINUTE_MS - 1) == []
    (finding,) = told(refusals, FIRST_MS + MINUTE_MS)
    telling = TELLINGS[FindingCode.MARKER_FORGED]
    assert finding == Finding(
        code=FindingCode.MARKER_FORGED,
        state="counted",
        severity="critical",
        message=telling.message,
        timestamp="2026-11-18T11:06:03.000Z",
        service="shop",
        environment="prod",
        deployment_id="d-1~2",
        about="token:ci",
        count=3,
        first_at="2026-11-18T11:06:01.000Z",
        last_at="2026-11-18T11:06:03.000Z",
        remedy=telling.remedy,
    )
    assert told(refusals) == []


def test_callers_codes_and_minutes_are_told_apart(refusals: Refusals) -> None:
    for caller in (CI, stranger("192.0.2.0/24")):
        for error in (FORGED, errors.KeyUntrustedError("No.")):
            for minute in range(2):
                refusals.refused(error, caller, FIRST_MS + minute * MINUTE_MS)
    assert len(told(refusals, FIRST_MS + MINUTE_MS)) == 4
    assert len(told(refusals)) == 4


def test_what_the_attempts_do_not_agree_on_is_left_out(refusals: Refusals) -> None:
    refusals.refused(FORGED, CI, FIRST_MS, Attempt("shop", "prod", "d-1", index=4))
    refusals.refused(FORGED, CI, FIRST_MS, Attempt("shop", "stage", "d-1", index=4))
    refusals.refused(FORGED, CI, FIRST_MS, Attempt("shop", "prod", None, index=5))
    (finding,) = told(refusals)
    assert (finding.service, finding.environment, finding.deployment_id) == ("shop", None, None)
    assert (finding.indexes, finding.count) == (None, 3)


@pytest.mark.parametrize(
    ("code", "finding"),
    [
        ("bad_signature", FindingCode.MARKER_FORGED),
        ("key_untrusted", FindingCode.MARKER_UNAUTHORISED),
        ("forbidden", FindingCode.MARKER_UNAUTHORISED),
        ("unauthenticated", FindingCode.MARKER_UNAUTHORISED),
        ("marker_unsigned", FindingCode.MARKER_UNSIGNED),
        ("secret_refused", FindingCode.SECRET_REFUSED),
        ("personal_data_refused", FindingCode.SECRET_REFUSED),
        ("marker_conflict", FindingCode.MARKER_CONFLICT),
        ("rate_limited", FindingCode.EMITTER_OVER_BUDGET),
    ],
)
def test_each_kind_of_refusal_has_its_finding(code: str, finding: FindingCode) -> None:
    assert CODES[code] is finding
    assert TELLINGS[finding].remedy


def test_who_sent_no_token_is_told_of_the_token_first() -> None:
    remedy = TELLINGS[FindingCode.MARKER_UNSIGNED].remedy
    assert 0 < remedy.index("token") < remedy.index("key") < remedy.index("allow unsigned")


def test_every_code_is_of_an_error_that_exists_and_every_finding_is_told_somehow() -> None:
    known = {each.code for each in vars(errors).values() if _is_error(each)}
    assert set(CODES) - known == set()
    assert set(CODES.values()) == set(TELLINGS)


def _is_error(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, errors.DeploymarkError)


def test_malformed_input_is_counted_and_not_told(refusals: Refusals, meter: ListMeter) -> None:
    for error in (errors.MarkerError("No."), errors.MarkerError("No."), errors.TooLargeError("No")):
        refusals.refused(error, CI, FIRST_MS)
    assert refusals.counts() == {"bad_marker": 2, "too_large": 1}
    assert meter.counts == {
        "deploymark_refused_total{code=bad_marker}": 2,
        "deploymark_refused_total{code=too_large}": 1,
    }
    assert told(refusals) == []


# Conflicts -------------------------------------------------------------------------------------


def test_a_conflict_is_told_with_both_contents_and_the_entry_that_stands(
    refusals: Refusals,
) -> None:
    refusals.refused(CONFLICT, CI, FIRST_MS, Attempt(digests=pair(1), index=7))
    refusals.refused(CONFLICT, CI, FIRST_MS + 1, Attempt(digests=pair(1), index=7))
    (finding,) = told(refusals)
    assert (finding.digests, finding.indexes, finding.count) == (pair(1), (7,), 2)


def test_a_conflict_is_told_once_a_day_whoever_repeats_it(refusals: Refusals) -> None:
    times = (0, 1, MINUTE_MS, DAY_MS - 1, DAY_MS, DAY_MS + MINUTE_MS)
    for at_ms in times:
        for caller in (CI, LOCAL):
            refusals.refused(CONFLICT, caller, FIRST_MS + at_ms, Attempt(digests=pair(1)))
    assert [finding.count for finding in told(refusals)] == [2, 1]
    assert refusals.counts() == {"marker_conflict": 2 * len(times)}


def test_a_conflict_that_found_no_room_is_told_the_next_time(refusals: Refusals) -> None:
    room = FINDINGS_PER_MINUTE["conflict"]
    for minute in range(2):
        for number in range(room + 1):
            at_ms = FIRST_MS + minute * MINUTE_MS
            refusals.refused(CONFLICT, CI, at_ms, Attempt(digests=pair(number)))
    first, second = (told(refusals, FIRST_MS + end * MINUTE_MS) for end in (1, 2))
    assert len(first) == room + 1
    assert [each.about for each in first if each.digests is None] == [OTHER]
    assert [each.digests for each in second] == [pair(room)]


def test_the_memory_of_conflicts_is_bounded(refusals: Refusals) -> None:
    for number in range(REMEMBERED_CONFLICTS + 100):
        at_ms = FIRST_MS + number // FINDINGS_PER_MINUTE["conflict"] * MINUTE_MS
        refusals.refused(CONFLICT, CI, at_ms, Attempt(digests=pair(number)))
        refusals.due(at_ms)
    assert len(refusals._conflicts) == REMEMBERED_CONFLICTS


# Floods and poison -----------------------------------------------------------------------------


def test_a_flood_from_many_networks_is_a_few_findings(refusals: Refusals) -> None:
    for number in range(10_000):
        refusals.refused(FORGED, stranger(f"10.{number >> 8}.{number & 255}.0/24"), FIRST_MS)
    findings = told(refusals)
    assert len(findings) == FINDINGS_PER_MINUTE["network"] + 1
    assert sum(finding.count or 0 for finding in findings) == 10_000
    (other,) = (finding for finding in findings if finding.about == OTHER)
    assert (other.service, other.count) == (None, 10_000 - FINDINGS_PER_MINUTE["network"])


def test_a_flood_of_strangers_does_not_hide_a_misused_token(refusals: Refusals) -> None:
    for number in range(1_000):
        refusals.refused(FORGED, stranger(f"10.0.{number & 255}.0/24"), FIRST_MS)
    refusals.refused(FORGED, CI, FIRST_MS)
    assert "token:ci" in [finding.about for finding in told(refusals)]


def test_minutes_that_nobody_fetches_are_summed_up(refusals: Refusals) -> None:
    for minute in range(1_000):
        refusals.refused(FORGED, CI, FIRST_MS + minute * MINUTE_MS)
    findings = told(refusals)
    assert len(findings) == PENDING_MINUTES
    assert sum(finding.count or 0 for finding in findings) == 1_000
    assert findings[-1].last_at == "2026-11-19T03:45:00.000Z"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "token:a", "token:b", "oidc:x\ud800", "x" * 300]),
            st.sampled_from(["", "10.0.0.0/24", "2001:db8::/48", "\n"]),
            st.sampled_from([FORGED, CONFLICT, errors.MarkerError("")]),
            st.integers(0, 3 * MINUTE_MS),
            st.text() | st.none() | st.sampled_from(["shop", "d-1", pair(1)[1], "a\nb", "x" * 99]),
        ),
        max_size=30,
    )
)
def test_whatever_is_sent_the_log_takes_every_finding_and_none_holds_the_input(
    calls: list[tuple[str, str, errors.DeploymarkError, int, str | None]],
) -> None:
    refusals = Refusals(ListMeter())
    for principal, network, error, at_ms, text in calls:
        digests = None if text is None else (text, text)
        caller = Caller(principal, frozenset(), network=network)
        attempt = Attempt(text, text, text, digests, -len(calls))
        refusals.refused(error, caller, FIRST_MS + at_ms, attempt)
    findings = told(refusals)
    conflicts = sum(error is CONFLICT for _, _, error, _, _ in calls)
    forged = sum(error is FORGED for _, _, error, _, _ in calls)
    assert forged <= sum(finding.count or 0 for finding in findings) <= forged + conflicts
    for finding in findings:
        assert finding.indexes is None
        assert finding.message in [telling.message for telling in TELLINGS.values()]
        assert all(len(each or "") <= 64 for each in (finding.service, finding.environment))


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2), st.booleans()), max_size=300))
def test_a_minute_never_has_more_findings_than_the_bound(
    calls: list[tuple[int, int, bool]],
) -> None:
    refusals = Refusals(ListMeter())
    kinds = [FORGED, CONFLICT, errors.KeyUntrustedError("")]
    for number, kind, known in calls:
        caller = Caller(f"token:{number}" if known else "", frozenset(), network=f"n{number}")
        refusals.refused(kinds[kind], caller, FIRST_MS, Attempt(digests=pair(number)))
    findings = told(refusals)
    assert len(findings) <= MOST
    order = [(finding.code, finding.about) for finding in findings]
    assert all(first <= second for first, second in pairwise(order))


def test_a_caller_of_whom_nothing_is_known_is_unknown(refusals: Refusals) -> None:
    refusals.refused(FORGED, ANONYMOUS, FIRST_MS)
    assert [finding.about for finding in told(refusals)] == ["unknown"]
