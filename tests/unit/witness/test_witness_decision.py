"""What a witness decides, for every pair of sizes of a log and of its fork."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploymark.log.witness import (
    Decision,
    Status,
    decide,
    format_request,
    parse_request,
    trusted_logs,
)
from deploymark.ports import Witnessed
from deploymark.testing.witness import SampleLog

_ORIGIN = "log.example/sample"
_LOG = SampleLog(_ORIGIN)
_LOGS = trusted_logs(_LOG.vkeys[:1])  # ML-DSA-44 is slower and decides nothing else


def _decide(log: SampleLog, recorded: Witnessed | None, old: int, new: int) -> Decision:
    request = parse_request(format_request(old, log.proof(old, new), log.note(new)))
    return decide(request, _LOGS, recorded)


@given(st.integers(0, 70), st.integers(0, 70), st.integers(0, 70))
def test_only_growth_from_the_recorded_size_is_cosigned(recorded: int, old: int, more: int) -> None:
    known = Witnessed(recorded, _LOG.root(recorded))
    decision = _decide(_LOG, known, old, old + more)
    if old == recorded:
        assert decision == Decision(
            Status.COSIGNED, "", Witnessed(old + more, _LOG.root(old + more))
        )
    else:
        assert decision == Decision(Status.ELSEWHERE, f"{recorded}\n")


@given(st.data())
def test_a_fork_is_refused_wherever_it_begins(data: st.DataObject) -> None:
    recorded = data.draw(st.integers(1, 70), "recorded")
    fork = SampleLog(_ORIGIN, fork_at=data.draw(st.integers(0, recorded - 1), "fork_at"))
    size = data.draw(st.integers(recorded, 140), "size")
    decision = _decide(fork, Witnessed(recorded, _LOG.root(recorded)), recorded, size)
    assert decision.status is Status.INCONSISTENT
    assert decision.record is None


def test_a_log_may_differ_from_its_fork_beyond_what_was_seen() -> None:
    fork = SampleLog(_ORIGIN, fork_at=8)
    decision = _decide(fork, Witnessed(8, _LOG.root(8)), 8, 12)
    assert decision.record == Witnessed(12, fork.root(12))


@pytest.mark.parametrize("recorded", [None, Witnessed(0, SampleLog().root(0))])
def test_nothing_seen_and_an_empty_tree_seen_are_alike(recorded: Witnessed | None) -> None:
    assert _decide(_LOG, recorded, 0, 5).status is Status.COSIGNED
    assert _decide(_LOG, recorded, 1, 5) == Decision(Status.ELSEWHERE, "0\n")


def test_an_origin_without_keys_is_unknown() -> None:
    request = parse_request(format_request(0, [], _LOG.note(3)))
    assert decide(request, {_ORIGIN: []}, None).status is Status.UNKNOWN_LOG


def test_an_unknown_origin_is_said_before_anything_else_is_looked_at() -> None:
    request = parse_request(format_request(9, [b"h" * 32], _LOG.note(3)))
    assert decide(request, {}, None).status is Status.UNKNOWN_LOG
    assert decide(request, _LOGS, None).status is Status.MALFORMED
