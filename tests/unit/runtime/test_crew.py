"""A crew works on many scopes with few threads, and never on one scope with two."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deploymark.act.plan import Scope
from deploymark.errors import StoreUnavailableError
from deploymark.runtime.crew import Crew
from deploymark.testing.meter import ListMeter

PATIENCE = 60
"""Seconds after which a test is stuck; nothing here waits for as long."""

CART, SHOP, SEARCH = ("cart", "prod"), ("shop", "prod"), ("search", "prod")


class Work:
    """Hangs where a test says so, and knows who is at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.hangs: dict[Scope, threading.Event] = {}
        self.fails: set[Scope] = set()
        self.began: dict[Scope, threading.Event] = {
            scope: threading.Event() for scope in (CART, SHOP, SEARCH)
        }
        self.done: Counter[Scope] = Counter()
        self.at_work: Counter[Scope] = Counter()
        self.most: Counter[Scope] = Counter()
        self.most_at_all = 0

    def __call__(self, scope: Scope) -> None:
        with self._lock:
            self.at_work[scope] += 1
            self.most |= self.at_work
            self.most_at_all = max(self.most_at_all, self.at_work.total())
        self.began[scope].set()
        if scope in self.hangs:
            assert self.hangs[scope].wait(PATIENCE)
        with self._lock:
            self.at_work[scope] -= 1
            self.done[scope] += 1
        if scope in self.fails:
            raise StoreUnavailableError("The disk is full.")

    def hang(self, scope: Scope) -> threading.Event:
        self.hangs[scope] = threading.Event()
        return self.hangs[scope]


@contextmanager
def _crew(size: int, work: Callable[[Scope], None], meter: ListMeter) -> Iterator[Crew]:
    times = iter(range(0, 1_000_000, 1_000))
    crew = Crew(size, work, meter, lambda: next(times))
    crew.start()
    yield crew
    crew.stop(PATIENCE)


def _idle(crew: Crew, *but: Scope) -> None:
    with crew._condition:
        assert crew._condition.wait_for(
            lambda: not crew._waiting and set(crew._busy) <= set(but), PATIENCE
        )


def test_who_hangs_keeps_the_others_from_nothing() -> None:
    work = Work()
    ends = work.hang(CART)
    with _crew(2, work, ListMeter()) as crew:
        crew.offer([CART])
        assert work.began[CART].wait(PATIENCE)
        for _ in range(3):
            crew.offer([CART, SHOP, SEARCH])
            _idle(crew, CART)
        assert work.done == {SHOP: 3, SEARCH: 3}
        ends.set()


def test_a_scope_is_never_worked_on_by_two_threads_however_often_it_is_offered() -> None:
    work = Work()
    ends = work.hang(CART)
    with _crew(3, work, ListMeter()) as crew:
        for _ in range(5):
            crew.offer([CART, CART])
            assert work.began[CART].wait(PATIENCE)
        ends.set()
        _idle(crew)
        crew.offer([CART])
        _idle(crew)
    assert work.most[CART] == 1
    assert work.done[CART] == 2


def test_no_more_threads_work_than_there_may_be_and_who_waits_is_said() -> None:
    work = Work()
    ends = [work.hang(CART), work.hang(SHOP)]
    with _crew(1, work, ListMeter()) as crew:
        assert crew.gauges() == {
            "rollout_lanes_busy": 0,
            "rollout_lanes_busy_seconds": 0,
            "rollout_lanes_waiting": 0,
            "rollout_lanes_waiting_seconds": 0,
        }
        crew.offer([CART, SHOP, SEARCH])
        assert work.began[CART].wait(PATIENCE)
        told = crew.gauges()
        assert (told["rollout_lanes_busy"], told["rollout_lanes_waiting"]) == (1, 2)
        assert told["rollout_lanes_waiting_seconds"] > told["rollout_lanes_busy_seconds"] > 0
        for event in ends:
            event.set()
        _idle(crew)
        assert crew.gauges()["rollout_lanes_waiting"] == 0
    assert work.most_at_all == 1
    assert work.done.total() == 3


def test_what_fails_is_counted_and_told_once_and_tried_again() -> None:
    work, meter = Work(), ListMeter()
    work.fails = {CART}
    with _crew(1, work, meter) as crew:
        for _ in range(2):
            crew.offer([CART, SHOP])
            _idle(crew)
    code = StoreUnavailableError.code
    assert meter.counts[f"deploymark_rollout_turns_failed_total{{code={code}}}"] == 2
    assert work.done == {CART: 2, SHOP: 2}


def test_a_stop_waits_for_nobody_who_hangs_and_says_who_does() -> None:
    work = Work()
    ends = work.hang(CART)
    with _crew(1, work, ListMeter()) as crew:
        crew.offer([CART, SHOP])
        assert work.began[CART].wait(PATIENCE)
        assert crew.stop(0) == [CART]
        crew.offer([SHOP])
        ends.set()
        assert crew.stop(PATIENCE) == []
    for thread in crew._threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    assert work.done == {CART: 1}  # what waited was not begun


def test_a_thread_that_hangs_does_not_keep_the_process_from_ending() -> None:
    with _crew(2, Work(), ListMeter()) as crew:
        assert all(thread.daemon for thread in crew._threads)
