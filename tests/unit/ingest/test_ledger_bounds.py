"""The ledger stays small, and closing an account neither loses a loss nor makes one up."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_samples import LATER_MS, NumberedLog

from deploymark.ingest.account import PLAUSIBLE_JUMP, Account, Fate, Numbered
from deploymark.ingest.ledger import Ledger, Rates
from deploymark.ingest.ledger_books import OTHERS, Books, Bounds
from deploymark.model.intervals import MAX_GAPS
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

SMALL = Bounds(open=2, all_open=4, closed=3, all_closed=5, principals=2)
_CALLS = st.lists(
    st.tuples(st.sampled_from("abcde"), st.sampled_from("uvwxyz"), st.integers(0, 5)), max_size=60
)


@pytest.fixture
def books() -> Books:
    return Books(SMALL, {})


def take(books: Books, principal: str, epoch: str, *sequences: int) -> Account:
    account = books.account(principal, Numbered("ci-1", epoch, 0))
    for sequence in sequences:
        account.saw(sequence, Fate.ACCEPTED, START_MS)
    return account


def open_epochs(books: Books) -> list[tuple[str, str]]:
    return [(principal, epoch) for principal, (_, epoch), _ in books.accounts()]


def written(books: Books) -> dict[str, bytes]:
    return {key: data for key, data in books.rows(books.dirty).items() if data is not None}


def test_the_epoch_that_was_idle_longest_is_closed_into_the_totals(books: Books) -> None:
    take(books, "a", "first", 0, 2)
    take(books, "a", "second", 0)
    take(books, "a", "first", 3)
    take(books, "a", "third", 0)
    assert open_epochs(books) == [("a", "first"), ("a", "third")]
    take(books, "a", "fourth", 0)
    total = books.totals()["a"]
    assert (total.epochs, total.received, total.missing, total.accepted) == (2, 4, 1, 4)


def test_whoever_has_most_epochs_gives_way_to_others(books: Books) -> None:
    for principal, epoch in ("a1", "b1", "b2", "c1", "d1"):
        take(books, principal, epoch, 0)
    assert sorted(open_epochs(books)) == [("a", "1"), ("b", "2"), ("c", "1"), ("d", "1")]


def test_an_epoch_that_speaks_again_goes_on_where_it_was_closed(books: Books) -> None:
    take(books, "a", "first", 0, 1, 3)
    take(books, "a", "second", 0)
    take(books, "a", "third", 0)
    account = take(books, "a", "first", 2, 4, 6)
    assert (account.settled, account.received, account.final_loss().gaps) == (4, 2, ((5, 5),))
    assert books.totals()["a"].missing == 1


def test_an_epoch_that_is_closed_again_does_not_begin_anew(books: Books) -> None:
    take(books, "a", "first", 0, 3)
    for late in (1, 2):
        take(books, "a", "second", late)
        take(books, "a", "third", late)
        assert take(books, "a", "first", late).settled == 4
    total = books.totals()["a"]
    assert total.missing == 2 + 1 + 1  # of the first epoch, and one of each other
    assert (total.epochs, total.vouched) == (3, 3)  # each once, however often it was closed


def test_refused_numbers_alone_make_no_total_of_received(books: Books) -> None:
    books.account("a", Numbered("ci-1", "first", 50)).saw(50, Fate.REFUSED, START_MS)
    take(books, "a", "second", 0)
    take(books, "a", "third", 0)
    total = books.totals()["a"]
    assert (total.epochs, total.vouched, total.received, total.missing) == (1, 0, 0, 0)
    assert total.refused == 1


def test_principals_beyond_the_bound_share_one_total(books: Books) -> None:
    for principal in "abcd":
        for epoch in "123":
            take(books, principal, epoch, 0)
    assert list(books.totals()) == ["a", "b", OTHERS]
    closed = sum(total.epochs for total in books.totals().values())
    assert closed + len(open_epochs(books)) == 12


@given(_CALLS)
def test_bounds_hold_and_nothing_is_counted_twice(calls: list[tuple[str, str, int]]) -> None:
    books = Books(SMALL, {})
    rows: dict[str, bytes] = {}
    for principal, epoch, sequence in calls:
        take(books, principal, epoch, sequence)
        for key, data in books.rows(books.dirty).items():
            rows.pop(key, None)
            if data is not None:
                rows[key] = data
        books.dirty = set()
        principals = [each for each, _ in open_epochs(books)]
        assert len(principals) <= SMALL.all_open
        assert all(principals.count(each) <= SMALL.open for each in principals)
        assert sum('"closed"' in key for key in rows) <= SMALL.all_closed
        assert len(books.totals()) <= SMALL.principals + 1
        # The rows are all there is: what is read from them is what is known.
        assert state(Books(SMALL, rows)) == state(books)
    accepted = sum(account.vouched for _, _, account in books.accounts())
    accepted += sum(total.accepted for total in books.totals().values())
    assert accepted <= len(calls)


def state(books: Books) -> object:
    accounts = {(principal, name): each.pack() for principal, name, each in books.accounts()}
    closed = {principal: dict(epochs) for principal, epochs in books._closed.items()}
    return accounts, dict(books.totals()), closed, books._closed_count, books._open_count


@given(_CALLS)
def test_without_bounds_in_the_way_closing_changes_no_count(
    calls: list[tuple[str, str, int]],
) -> None:
    # In ascending order nothing comes after its epoch was closed below it.
    calls = sorted(calls, key=lambda each: each[2])
    roomy = Bounds(open=2, all_open=4)
    counts = []
    for bounds in (roomy, Bounds()):
        log, store = NumberedLog(), MemoryLedgerStore()
        for _, epoch, sequence in calls:
            log.append_number(sequence, name=("ci-1", epoch))
        ledger = Ledger(store, log, ListMeter(), bounds)
        ledger.flush()
        found = ledger.rates(LATER_MS)
        again = Ledger(store, log, ListMeter(), bounds)
        assert again.rates(LATER_MS) == found
        counts.append((found.received, found.emitted))
    assert counts[0] == counts[1]


def test_a_flood_of_gaps_takes_bounded_room_and_is_all_told() -> None:
    account = Account()
    for sequence in range(1, 20_000, 2):
        account.saw(sequence, Fate.ACCEPTED, START_MS)
    assert len(account.pack()) < 40 * MAX_GAPS
    assert account.final_loss().count == 10_000


def test_each_jump_counts_for_no_more_than_is_plausible() -> None:
    account = Account()
    for sequence in _jumps():
        account.saw(sequence, Fate.ACCEPTED, START_MS)
    loss = account.final_loss()
    jumps = len(list(_jumps()))
    assert loss.count == jumps * PLAUSIBLE_JUMP
    assert loss.count + loss.implausible + account.received == account.seen.highest + 1


def _jumps() -> Iterator[int]:
    return iter(range(10**12, 10**12 * 3_000, 10**12))


def test_a_busy_emitter_keeps_few_marks_of_time() -> None:
    account = Account()
    for sequence in range(5_000):
        account.saw(sequence, Fate.ACCEPTED, START_MS + sequence * 60_000)
    assert len(account.pack()) < 4_000


def test_the_books_come_back_in_the_order_in_which_they_were_idle(books: Books) -> None:
    for place, epoch in enumerate(("late", "early")):
        number = Numbered("ci-1", epoch, 0)
        books.account("a", number).saw(0, Fate.ACCEPTED, START_MS - place)
    again = Books(SMALL, written(books))
    take(again, "a", "new", 0)
    assert open_epochs(again) == [("a", "late"), ("a", "new")]


def test_the_rates_hold_what_was_closed() -> None:
    log, store = NumberedLog(), MemoryLedgerStore()
    for epoch in ("one", "two", "three"):
        for sequence in (0, 2):
            log.append_number(sequence, name=("ci-1", epoch))
    ledger = Ledger(store, log, ListMeter(), Bounds(open=1))
    ledger.catch_up()
    assert len(ledger.emitters(LATER_MS)) == 1
    assert ledger.rates(LATER_MS) == Rates(received=6, emitted=9, implausible=0, epochs=3)
