"""A store that fails, a log that is closed and many callers at once lose no entry."""

import threading

import pytest
from receive_samples import ADMIN, CI, faulty_store, sound_log

from deploymark.errors import LogBusyError, UnavailableError
from deploymark.log.sequencer import Acknowledgement
from deploymark.testing.faulty_store import At, FaultyLogStore
from deploymark.testing.whole_log import WholeLog, sample_marker, sign

store = pytest.fixture(faulty_store)
log = pytest.fixture(sound_log)


@pytest.mark.parametrize("at", [At.BEFORE_APPEND, At.AFTER_APPEND])
def test_a_store_that_fails_makes_the_batch_unavailable_and_the_retry_whole(
    log: WholeLog, store: FaultyLogStore, at: At
) -> None:
    batch = [sign(sample_marker(number), CI) for number in range(5)]
    store.fail(at)
    with pytest.raises(UnavailableError):
        log.receive(*batch)
    assert [done.index for done in log.append(*batch)] == [2, 3, 4, 5, 6]


def test_a_closed_log_takes_nothing(store: FaultyLogStore) -> None:
    log = WholeLog(store)
    log.sequencer.close()
    with pytest.raises(LogBusyError):
        log.receive(sign(sample_marker(1), ADMIN))
    log.close()


def test_many_callers_are_served_at_once(log: WholeLog) -> None:
    log.append_markers(0)
    wrong: list[object] = []

    def call(first: int) -> None:
        for number in range(first, first + 40, 8):
            batch = [sign(sample_marker(number + n), CI) for n in range(8)]
            outcomes = log.receive(*batch)
            indexes = [o.index for o in outcomes if isinstance(o, Acknowledgement)]
            if indexes != list(range(indexes[0], indexes[0] + 8)):
                wrong.append(outcomes)

    callers = [threading.Thread(target=call, args=(1000 * n,)) for n in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert wrong == []
    assert log.store.head().size == 2 + 6 * 40
