"""The ledger knows exactly which numbers never came, whatever happens on the way."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import CI, LATER_MS, NumberedLog, numbered, opened

from deploymark.errors import UsageError
from deploymark.ingest.account import PLAUSIBLE_JUMP, Fate, Loss, Numbered
from deploymark.ingest.ledger import GRACE_MS, Ledger, Rates
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

ANSWERS = [Fate.DUPLICATE, Fate.REFUSED, Fate.SAMPLED]
_LAST = 2**53 - 1

Event = tuple[int, Fate]


def time_of(event: Event) -> int:
    """When an event happened, in whichever order the news of it comes."""
    return START_MS + event[0] * 7_000


def deliver(log: NumberedLog, ledger: Ledger, event: Event) -> None:
    """Do what admission does: append what is accepted, then say what was answered."""
    sequence, how = event
    at_ms = time_of(event)
    if how is Fate.ACCEPTED:
        log.append_number(sequence, received_at_ms=at_ms, claimed_at_ms=at_ms - 10 * sequence)
    ledger.saw(numbered(sequence), CI, how, at_ms)


def lost(ledger: Ledger, now_ms: int = LATER_MS, grace_ms: int = 0) -> set[int]:
    """Return the numbers that count as lost, of the one emitter."""
    return {
        each
        for missing in ledger.missing(now_ms, grace_ms)
        for start, end in missing.loss.gaps
        for each in range(start, end + 1)
    }


_EVENTS = st.lists(st.tuples(st.integers(0, 9), st.sampled_from(Fate)), max_size=25)
_STEPS = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(Fate)) | st.sampled_from(["flush", "crash"]),
    max_size=30,
)


# What counts as lost -------------------------------------------------------------------------


@given(_EVENTS, st.randoms(use_true_random=False), st.sets(st.integers(0, 24)))
def test_no_order_and_no_restart_makes_a_difference(
    events: list[Event], random: Random, restarts: set[int]
) -> None:
    seen = {sequence for sequence, _ in events}
    results = []
    for order in (events, random.sample(events, len(events))):
        log, store = NumberedLog(), MemoryLedgerStore()
        ledger = opened(log, store)
        for place, event in enumerate(order):
            deliver(log, ledger, event)
            if place in restarts:
                ledger.flush()
                ledger = opened(log, store)
        ledger.flush()
        assert lost(ledger) == set(range(max(seen, default=0))) - seen
        times = range(START_MS, LATER_MS, 600_000)
        results.append([(ledger.emitters(at, 20_000), ledger.rates(at, 20_000)) for at in times])
    assert results[0] == results[1]


@given(_STEPS)
def test_a_crash_never_hides_a_loss_and_forgets_only_what_was_not_flushed(
    steps: list[Event | str],
) -> None:
    log, store = NumberedLog(), MemoryLedgerStore()
    ledger = opened(log, store)
    accepted: set[int] = set()
    kept: set[int] = set()
    at_risk: set[int] = set()
    forgotten: set[int] = set()
    for step in steps:
        if step == "flush":
            ledger.flush()
            kept, at_risk = kept | at_risk, set()
        elif step == "crash":
            ledger = opened(log, store)
            ledger.catch_up()
            forgotten, at_risk = forgotten | at_risk, set()
        elif isinstance(step, tuple):
            deliver(log, ledger, step)
            (accepted if step[1] is Fate.ACCEPTED else at_risk).add(step[0])
    ledger.catch_up()
    remembered = accepted | kept | at_risk
    emitter = ledger.emitters(LATER_MS)
    assert [each["accepted"] for each in emitter] == [len(accepted)] * len(emitter)
    # Exactly the numbers that came and are remembered count as seen; every true loss is told.
    assert lost(ledger) == set(range(max(remembered, default=0))) - remembered
    never_came = set(range(max(remembered, default=0))) - remembered - forgotten
    assert never_came <= lost(ledger)
    assert ledger.rates(LATER_MS).received in (0, len(remembered))


@pytest.mark.parametrize("how", ANSWERS)
def test_what_was_answered_is_no_loss(how: Fate) -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    log.append_number(0)
    ledger.saw(numbered(1), CI, how, START_MS)
    log.append_number(2)
    ledger.catch_up()
    assert ledger.missing(LATER_MS) == []
    assert ledger.rates(LATER_MS) == Rates(received=3, emitted=3, implausible=0, epochs=1)


def test_a_missing_number_is_waited_for_until_the_grace_is_over() -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    log.append_number(0)
    seen_at_ms = START_MS + 9_500
    log.append_number(3, received_at_ms=seen_at_ms)
    ledger.catch_up()
    assert lost(ledger, seen_at_ms + GRACE_MS - 1, GRACE_MS) == set()
    assert lost(ledger, seen_at_ms + GRACE_MS + 10_000, GRACE_MS) == {1, 2}
    log.append_number(1, received_at_ms=LATER_MS)
    ledger.catch_up()
    assert lost(ledger, LATER_MS, GRACE_MS) == {2}


def test_later_numbers_do_not_put_the_grace_of_earlier_ones_off() -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    for sequence in range(1, 2_000):
        log.append_number(sequence, received_at_ms=START_MS + sequence * 1_000)
    ledger.catch_up()
    assert lost(ledger, START_MS + 2_000_000, GRACE_MS) == {0}


@pytest.mark.parametrize("grace_ms", [-1, 600_001])
def test_a_grace_that_cannot_be_kept_is_refused(grace_ms: int) -> None:
    ledger = opened(NumberedLog(), MemoryLedgerStore())
    for ask in (ledger.missing, ledger.rates, ledger.emitters):
        with pytest.raises(UsageError, match=str(grace_ms)):
            ask(START_MS, grace_ms)


def test_nothing_was_emitted_is_no_perfect_rate() -> None:
    rates = opened(NumberedLog(), MemoryLedgerStore()).rates(START_MS)
    assert rates == Rates(0, 0, 0, 0)
    assert rates.share is None


def test_one_of_four_lost_is_a_rate_of_three_quarters() -> None:
    log = NumberedLog()
    for sequence in (0, 1, 3):
        log.append_number(sequence)
    ledger = opened(log, MemoryLedgerStore())
    ledger.catch_up()
    assert ledger.rates(LATER_MS).share == 0.75


# Who speaks ----------------------------------------------------------------------------------


def test_a_stranger_who_claims_an_epoch_spoils_only_its_own_account() -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    for sequence in range(3):
        log.append_number(sequence)
    for sequence in (1, 9_000):
        ledger.saw(numbered(sequence), "token:stranger", Fate.REFUSED, START_MS)
    ledger.catch_up()
    assert [each.principal for each in ledger.missing(LATER_MS)] == ["token:stranger"]
    assert ledger.rates(LATER_MS) == Rates(received=3, emitted=3, implausible=0, epochs=1)


def test_a_number_from_far_away_is_implausible_and_no_endless_loss() -> None:
    log = NumberedLog()
    for sequence in (0, _LAST):
        log.append_number(sequence)
    ledger = opened(log, MemoryLedgerStore())
    ledger.catch_up()
    (missing,) = ledger.missing(LATER_MS)
    assert missing.loss == Loss(PLAUSIBLE_JUMP, ((1, _LAST - 1),), _LAST - 1 - PLAUSIBLE_JUMP)
    assert ledger.rates(LATER_MS).emitted == 2 + PLAUSIBLE_JUMP


@pytest.mark.parametrize(
    "emitter",
    [
        pytest.param(None, id="no emitter"),
        pytest.param("ci", id="an emitter that is a text"),
        pytest.param({"id": "a", "sequence": 1}, id="no epoch"),
        pytest.param({"id": "a", "epoch": "", "sequence": 1}, id="an empty epoch"),
        pytest.param({"id": 7, "epoch": "e", "sequence": 1}, id="an id that is a number"),
        pytest.param({"id": "a", "epoch": "\ud800", "sequence": 1}, id="half a character"),
        pytest.param({"id": "a", "epoch": "e"}, id="no number"),
        pytest.param({"id": "a", "epoch": "e", "sequence": -1}, id="a negative number"),
        pytest.param({"id": "a", "epoch": "e", "sequence": 2**53}, id="a number beyond JSON"),
        pytest.param({"id": "a", "epoch": "e", "sequence": True}, id="a truth"),
        pytest.param({"id": "a", "epoch": "e", "sequence": 1.0}, id="a fraction"),
    ],
)
def test_what_has_no_number_is_not_counted(emitter: object) -> None:
    assert Numbered.of({"emitter": emitter}) is None


def test_a_long_name_is_kept_short_and_still_tells_emitters_apart() -> None:
    ids = ["\U0001f33b" * 500, "\U0001f33b" * 501]
    found = [Numbered.of({"emitter": {"id": id_, "epoch": "e", "sequence": 1}}) for id_ in ids]
    assert all(each is not None and len(each.emitter.encode()) <= 256 for each in found)
    assert found[0] != found[1]


def test_an_emitter_without_an_id_counts_by_its_epoch() -> None:
    assert Numbered.of({"emitter": {"epoch": "e", "sequence": 0}}) == Numbered("", "e", 0)


# Time ----------------------------------------------------------------------------------------


def test_lateness_comes_from_the_log_and_skew_from_what_was_sent() -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    for sequence, late_ms in enumerate((40, -60_000, 1_000)):
        at_ms = START_MS + sequence
        log.append_number(sequence, received_at_ms=at_ms, claimed_at_ms=at_ms - late_ms)
        ledger.saw(numbered(sequence), CI, Fate.ACCEPTED, at_ms, sent_at_ms=at_ms - 5 + sequence)
    ledger.catch_up()
    (emitter,) = ledger.emitters(LATER_MS)
    last_at_ms = START_MS + 2
    assert emitter["lateness_ms"] == {
        "min": -60_000,
        "max": 1_000,
        "last": 1_000,
        "last_at_ms": last_at_ms,
    }
    assert emitter["skew_ms"] == {"min": -5, "max": -3, "last": -3, "last_at_ms": last_at_ms}


def test_an_emitter_is_shown_with_all_that_is_known() -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    log.append_number(0, as_statement=True)
    log.append_number(2, received_at_ms=START_MS + 2_000)
    ledger.catch_up()
    ledger.saw(numbered(2), CI, Fate.DUPLICATE, START_MS + 3_000)
    assert ledger.emitters(LATER_MS) == [
        {
            "id": "ci-1",
            "epoch": "e1",
            "principal": CI,
            "first_seen": "2026-11-18T11:06:40.000Z",
            "last_seen": "2026-11-18T11:06:43.000Z",
            "highest": 2,
            "accepted": 2,
            "duplicates": 1,
            "refused": 0,
            "sampled": 0,
            "missing": {"count": 1, "gaps": [[1, 1]], "implausible": 0},
            "skew_ms": None,
            "lateness_ms": None,
        }
    ]


@pytest.mark.parametrize("sent_at_ms", [-1, 2**53, 10**400])
def test_a_time_that_no_clock_shows_is_left_out(sent_at_ms: int) -> None:
    ledger = opened(NumberedLog(), MemoryLedgerStore())
    ledger.saw(numbered(0), CI, Fate.REFUSED, START_MS, sent_at_ms=sent_at_ms)
    ledger.flush()
    assert ledger.emitters(LATER_MS)[0]["skew_ms"] is None


def test_only_markers_made_since_the_process_started_tell_how_long_markers_take() -> None:
    log, meter = NumberedLog(), ListMeter()
    before = START_MS - 86_400_000
    log.append_number(0, received_at_ms=START_MS + 2_000, claimed_at_ms=before)
    log.append_number(1, received_at_ms=START_MS + 2_000, claimed_at_ms=START_MS)
    ledger = Ledger(MemoryLedgerStore(), log, meter, since_ms=START_MS)
    ledger.catch_up()
    log.append_number(2, received_at_ms=START_MS + 90_000, claimed_at_ms=START_MS + 5_000)
    log.append_number(3, received_at_ms=START_MS + 91_000, claimed_at_ms=before + 1)
    ledger.catch_up()
    assert meter.observed == {"deploymark_time_to_marker_seconds": [2.0, 85.0]}
