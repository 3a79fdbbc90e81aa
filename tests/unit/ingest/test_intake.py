"""Many callers at once: each is answered for its own, in order, whatever becomes of the others."""

import json
import logging
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest
from intake_samples import (
    PATIENCE_SECONDS,
    POISON,
    READER,
    TOKENS,
    Gate,
    Watcher,
    batch,
    flat,
    occupy,
    open_intake,
    result,
    shown,
)
from receive_samples import CI, faulty_store, sound_log

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.note import parse_note
from deploymark.errors import (
    BrokenError,
    LogBrokenError,
    LogBusyError,
    MarkerError,
    StoreUnavailableError,
    UnavailableError,
    UnexpectedError,
)
from deploymark.ingest import intake as intake_module
from deploymark.ingest.callers import LOCAL
from deploymark.ingest.intake import MAX_GROUP, Admitted, Intake
from deploymark.ingest.key_entries import registration
from deploymark.log.checkpoint import parse_checkpoint
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import FINDING, KEY
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import (
    MARKERS,
    WholeLog,
    envelope_json,
    producer,
    sample_marker,
    sign,
)

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)


@pytest.fixture
def gate(log: WholeLog) -> Gate:
    return Gate(log.receiver)


@pytest.fixture
def watcher() -> Watcher:
    return Watcher()


intake = pytest.fixture(open_intake, name="intake")


# Answers ------------------------------------------------------------------------------------------


def test_a_batch_is_answered_in_its_order_with_what_stands_in_the_log(
    log: WholeLog, intake: Intake
) -> None:
    bodies = (flat(1), b"{}", flat(2), flat(1), envelope_json(sign(sample_marker(3), CI)))
    answers = result(intake.submit(batch(TOKENS[0], *bodies)))
    assert shown(answers) == ["new", "bad_marker", "new", "again", "new"]
    first, _, second, again, signed = answers
    assert isinstance(first, Admitted)
    assert isinstance(second, Admitted)
    assert isinstance(again, Admitted)
    assert isinstance(signed, Admitted)
    assert [first.index, second.index, again.index, signed.index] == [2, 3, 2, 4]
    assert first.ids == again.ids
    assert (first.occurrence, first.repeat, first.principal) == (1, 0, "token:ci-0")
    assert parse_checkpoint(parse_note(first.note).text).size == log.store.head().size
    assert first.received_at == again.received_at


def test_no_submissions_are_no_answers(intake: Intake) -> None:
    assert result(intake.submit([])) == []


def test_what_waits_meanwhile_is_one_group_and_every_caller_gets_its_own(
    log: WholeLog, intake: Intake, gate: Gate
) -> None:
    busy = occupy(intake, gate)
    futures = [
        intake.submit(batch(TOKENS[n % 4], flat(10 * n), b"[]" if n % 3 == 0 else flat(10 * n + 1)))
        for n in range(20)
    ]
    gate.open()
    for n, future in enumerate(futures):
        answers = result(future)
        assert shown(answers) == ["new", "bad_marker" if n % 3 == 0 else "new"]
        assert isinstance(answers[0], Admitted)
        assert answers[0].principal == f"token:ci-{n % 4}"
    assert [shown(result(each)) for each in busy] == [["new"]]
    assert gate.groups == [40]
    indexes = [a.index for f in futures for a in result(f) if isinstance(a, Admitted)]
    assert indexes == sorted(indexes)
    assert log.store.head().size == 2 + 1 + len(indexes)


def test_a_group_is_cut_at_its_limit_but_no_batch_is(intake: Intake, gate: Gate) -> None:
    occupy(intake, gate)
    sizes = [MAX_GROUP - 1, 1, 1, MAX_GROUP + 5, 1]
    futures = [intake.submit(batch(LOCAL, *[b"{"] * size)) for size in sizes]
    gate.open()
    assert [len(result(future)) for future in futures] == sizes
    assert sorted(gate.groups) == sorted([MAX_GROUP, 1, MAX_GROUP + 5, 1])


def test_one_callers_refusals_are_not_the_others(intake: Intake, gate: Gate) -> None:
    occupy(intake, gate)
    futures = [
        intake.submit(batch(READER, flat(1), flat(2))),
        intake.submit(batch(TOKENS[0], flat(1))),
        intake.submit(batch(READER, flat(1))),
        intake.submit(batch(TOKENS[1], flat(1, version="2"), flat(2))),
    ]
    gate.open()
    assert [shown(result(future)) for future in futures] == [
        ["forbidden", "forbidden"],
        ["new"],
        ["forbidden"],
        ["marker_conflict", "new"],
    ]


def test_a_key_that_one_caller_registers_counts_for_those_behind_it_in_the_group(
    intake: Intake, gate: Gate, log: WholeLog
) -> None:
    occupy(intake, gate)
    new = producer("new")
    payload = registration(new.public, "new", MARKERS, log.clock.now_ms())
    bodies = [
        envelope_json(sign(sample_marker(1), new)),
        envelope_json(sign_envelope(KEY, payload, [log.admin])),
        envelope_json(sign(sample_marker(2), new)),
    ]
    futures = [
        intake.submit(batch(caller, body)) for caller, body in zip(TOKENS, bodies, strict=False)
    ]
    gate.open()
    assert [shown(result(future)) for future in futures] == [["key_untrusted"], ["new"], ["new"]]


# What a duplicate does not keep -------------------------------------------------------------------

_FIRST = sample_marker(5, owner="one", labels={"a": "1"}, version="7")
IGNORED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "nothing": ({}, ()),
    "another owner": ({"owner": "two"}, ("owner",)),
    "an owner less": ({"owner": None}, ("owner",)),
    "another owner and label": ({"owner": "two", "labels": {"a": "2"}}, ("labels", "owner")),
    "a reason more": ({"reason": "because"}, ("reason",)),
}


@pytest.mark.parametrize("form", ["flat", "statement", "signed"])
@pytest.mark.parametrize("case", IGNORED)
def test_a_duplicate_names_the_descriptions_that_are_not_kept(
    intake: Intake, case: str, form: str
) -> None:
    changes, wanted = IGNORED[case]
    result(intake.submit(batch(LOCAL, json.dumps(_FIRST).encode())))
    fields = {name: value for name, value in {**_FIRST, **changes}.items() if value is not None}
    bodies = {
        "flat": json.dumps(fields).encode(),
        "statement": statement_of(fields),
        "signed": envelope_json(sign(fields, CI)),
    }
    (again,) = result(intake.submit(batch(LOCAL, bodies[form])))
    assert isinstance(again, Admitted)
    assert again.duplicate
    assert tuple(sorted(again.ignored)) == wanted


def test_a_new_marker_and_another_entry_ignore_nothing(intake: Intake, log: WholeLog) -> None:
    (new,) = result(intake.submit(batch(LOCAL, json.dumps(_FIRST).encode())))
    assert isinstance(new, Admitted)
    assert new.ignored == ()
    said = {"code": "clock_skew", "message": "m", "severity": "info", "state": "opened"}
    said["timestamp"] = "2026-11-23T00:00:00.000Z"
    intake.say(FINDING, dict(said), LOCAL)
    again = intake.say(FINDING, dict(said), LOCAL)
    assert (again.duplicate, again.ignored) == (True, ())
    assert log.store.head().size == 4


# What fails ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [At.BEFORE_APPEND, At.AFTER_APPEND, At.FIND])
def test_an_outage_of_the_store_fails_the_group_and_the_retry_is_whole(
    intake: Intake, store: FaultyLogStore, gate: Gate, at: At
) -> None:
    occupied = occupy(intake, gate)
    futures = [intake.submit(batch(caller, flat(n))) for n, caller in enumerate(TOKENS)]
    store.fail(at, times=3)
    gate.open()
    for future in (*occupied, *futures):
        with pytest.raises(UnavailableError):
            result(future)
    store.heal()
    retried = [intake.submit(batch(caller, flat(n))) for n, caller in enumerate(TOKENS)]
    indexes = [a.index for f in retried for a in result(f) if isinstance(a, Admitted)]
    assert len(set(indexes)) == len(TOKENS)


def test_what_reached_the_disk_although_the_store_failed_is_a_duplicate_of_itself(
    intake: Intake, store: FaultyLogStore
) -> None:
    store.fail(At.AFTER_APPEND)
    with pytest.raises(StoreUnavailableError):
        result(intake.submit(batch(LOCAL, flat(1))))
    (again,) = result(intake.submit(batch(LOCAL, flat(1))))
    assert isinstance(again, Admitted)
    assert (again.index, again.duplicate) == (2, True)


def test_a_broken_log_refuses_everything_from_then_on_and_can_still_be_read(
    intake: Intake, store: FaultyLogStore, log: WholeLog
) -> None:
    result(intake.submit(batch(LOCAL, flat(1))))
    store.fail(At.BEFORE_APPEND, LogBrokenError("It does not add up."))
    for number in (2, 3, 1):
        with pytest.raises(BrokenError, match="does not add up"):
            result(intake.submit(batch(LOCAL, flat(number))))
    for wanting in (
        lambda: intake.keep_detail(b"content", LOCAL),
        lambda: intake.say(FINDING, {}, LOCAL),
    ):
        with pytest.raises((BrokenError, MarkerError)):
            wanting()
    assert log.store.entry(2).index == 2


def test_a_defect_that_one_caller_hits_fails_that_caller_alone(
    intake: Intake, gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    occupied = occupy(intake, gate)
    futures = [
        intake.submit(batch(TOKENS[0], flat(1))),
        intake.submit(batch(TOKENS[1], flat(2), POISON)),
        intake.submit(batch(TOKENS[2], flat(3))),
    ]
    gate.open()
    assert shown(result(futures[0])) == ["new"]
    with pytest.raises(UnexpectedError) as caught:
        result(futures[1])
    assert caught.value.retryable
    assert shown(result(futures[2])) == ["new"]
    assert [shown(result(each)) for each in occupied] == [["new"]]
    assert "ZeroDivisionError" in caplog.text
    assert shown(result(intake.submit(batch(TOKENS[1], flat(2))))) == ["new"]


# The observer -------------------------------------------------------------------------------------


def test_the_observer_hears_of_every_answer_beside_what_was_answered(
    intake: Intake, watcher: Watcher
) -> None:
    handed_in = batch(TOKENS[0], flat(1), b"{}")
    answers = result(intake.submit(handed_in))
    watcher.wait_until_told()
    assert watcher.told == list(zip(handed_in, answers, strict=True))


def test_an_observer_that_fails_harms_nobody_and_is_told_of_in_the_log(
    intake: Intake, watcher: Watcher, caplog: pytest.LogCaptureFixture
) -> None:
    watcher.raises = True
    with caplog.at_level(logging.ERROR):
        for number in range(6):  # more often than there are threads
            assert shown(result(intake.submit(batch(LOCAL, flat(number))))) == ["new"]
            watcher.wait_until_told()
        intake.close()
    assert "answers could not be taken note of" in caplog.text


def test_the_observer_hears_nothing_of_what_was_not_acknowledged(
    intake: Intake, watcher: Watcher, store: FaultyLogStore
) -> None:
    store.fail(At.BEFORE_APPEND)
    with pytest.raises(UnavailableError):
        result(intake.submit(batch(LOCAL, flat(1))))
    result(intake.submit(batch(LOCAL, flat(2))))
    watcher.wait_until_told()
    assert len(watcher.told) == 1


# Waiting and ending -------------------------------------------------------------------------------


def test_more_than_may_wait_is_refused_until_there_is_room(
    intake: Intake, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "MAX_WAITING", 3)
    occupy(intake, gate)
    waiting = [intake.submit(batch(LOCAL, flat(1), flat(2))), intake.submit(batch(LOCAL, flat(3)))]
    with pytest.raises(LogBusyError, match="3 entries wait") as caught:
        intake.submit(batch(LOCAL, flat(4)))
    assert caught.value.retryable
    gate.open()
    assert [shown(result(each)) for each in waiting] == [["new", "new"], ["new"]]
    assert shown(result(intake.submit(batch(LOCAL, flat(4))))) == ["new"]


def test_a_batch_larger_than_the_room_is_taken_when_nothing_waits(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake_module, "MAX_WAITING", 1)
    assert shown(result(intake.submit(batch(LOCAL, flat(1), flat(2))))) == ["new", "new"]


def test_who_gave_up_before_its_turn_is_passed_over(
    intake: Intake, gate: Gate, log: WholeLog
) -> None:
    (running,) = occupy(intake, gate)
    given_up, kept = intake.submit(batch(LOCAL, flat(1))), intake.submit(batch(LOCAL, flat(2)))
    assert given_up.cancel()
    assert not running.cancel(), "what has begun cannot be called back"
    gate.open()
    assert shown(result(kept)) == ["new"]
    with pytest.raises(CancelledError):
        result(given_up)
    assert shown(result(running)) == ["new"]
    assert log.store.head().size == 2 + 2


def test_closing_admits_what_waits_and_then_takes_nothing_more(intake: Intake, gate: Gate) -> None:
    futures = occupy(intake, gate)
    futures += [intake.submit(batch(LOCAL, flat(n))) for n in range(3)]
    closing = threading.Thread(target=intake.close)
    closing.start()
    gate.open()
    closing.join(PATIENCE_SECONDS)
    assert all(future.done() for future in futures)
    assert [shown(result(future)) for future in futures] == [["new"]] * 4
    with pytest.raises(LogBusyError, match="shutting down"):
        intake.submit(batch(LOCAL, flat(9)))
    intake.close()
