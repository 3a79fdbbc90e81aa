"""The ledger follows its log, and comes back from its store as it was."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import CI, LATER_MS, NumberedLog, numbered, opened

from deploymark.errors import StateBrokenError, StoreUnavailableError
from deploymark.ingest.account import Fate
from deploymark.ingest.ledger import Ledger
from deploymark.ports import Position
from deploymark.storage.memory import MemoryLogStore
from deploymark.storage.memory_ledger import MemoryLedgerStore
from deploymark.storage.sqlite.ledger import SqliteLedgerStore
from deploymark.storage.sqlite.state import StateFile
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter
from deploymark.testing.whole_log import WholeLog, producer, sample_marker, sign


def test_markers_that_were_really_admitted_are_counted() -> None:
    with WholeLog(MemoryLogStore()) as log:
        ci = producer("ci")
        log.register(ci, "ci")
        for sequence in (0, 2):
            said = {"kind": "ci", "id": "ci-1", "epoch": "e1", "sequence": sequence}
            log.append(sign(sample_marker(sequence, emitter=said), ci))
        ledger = Ledger(MemoryLedgerStore(), log.store, ListMeter())
        assert ledger.catch_up() == log.store.head().size
    (emitter,) = ledger.emitters(LATER_MS)
    assert (emitter["id"], emitter["epoch"], emitter["principal"]) == ("ci-1", "e1", "local")
    assert (emitter["accepted"], emitter["missing"]["gaps"]) == (2, [[1, 1]])
    assert emitter["lateness_ms"] is not None


def test_entries_without_a_number_are_passed_over() -> None:
    log = NumberedLog()
    log.append_payload({"action": "registered", "timestamp": "2026-11-23T00:00:00Z"})
    log.append_payload({"emitter": {"kind": "human"}, "service": "shop"})
    log.append_payload({"emitter": {"epoch": "e", "id": "a", "sequence": "seven"}})
    log.append_number(0)
    ledger = opened(log, MemoryLedgerStore())
    assert ledger.catch_up() == 4
    assert ledger.cursor == 4
    assert [each["highest"] for each in ledger.emitters(LATER_MS)] == [0]


def test_saying_that_a_marker_was_accepted_does_not_count_it_twice() -> None:
    log = NumberedLog()
    ledger = opened(log, MemoryLedgerStore())
    ledger.saw(numbered(0), CI, Fate.ACCEPTED, START_MS)
    assert ledger.emitters(LATER_MS)[0]["highest"] is None
    log.append_number(0)
    ledger.flush()
    assert ledger.emitters(LATER_MS)[0]["accepted"] == 1


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(NumberedLog(), id="it is shorter"),
        pytest.param(NumberedLog("elsewhere.example"), id="it has another name"),
    ],
)
def test_a_ledger_of_another_history_is_folded_anew(other: NumberedLog) -> None:
    log, store = NumberedLog(), MemoryLedgerStore()
    for sequence in range(3):
        log.append_number(sequence)
    ledger = opened(log, store)
    ledger.saw(numbered(3), CI, Fate.REFUSED, START_MS)
    ledger.flush()
    meter = ListMeter()
    ledger = Ledger(store, other, meter)
    assert meter.counts == {"deploymark_ledger_rebuilt_total{}": 1}
    assert ledger.emitters(LATER_MS) == []
    ledger.flush()
    assert store.load()[1] == {}
    assert Ledger(store, other, meter).cursor == 0


def test_a_log_of_the_same_length_with_other_entries_is_noticed() -> None:
    log, fork, store = NumberedLog(), NumberedLog(), MemoryLedgerStore()
    log.append_number(0)
    fork.append_number(1)
    opened(log, store).flush()
    ledger = opened(fork, store)
    ledger.flush()
    assert [each["missing"]["count"] for each in ledger.emitters(LATER_MS)] == [1]


class _Refusing(MemoryLedgerStore):
    """A store whose disk is full as long as `full` says so."""

    full = False
    saves = 0

    def save(self, changes: Mapping[str, bytes | None], position: Position) -> None:
        self.saves += 1
        if self.full:
            raise StoreUnavailableError("The disk is full.")
        super().save(changes, position)


def test_what_could_not_be_written_is_written_the_next_time() -> None:
    log, store = NumberedLog(), _Refusing()
    ledger = opened(log, store)
    ledger.saw(numbered(1), CI, Fate.REFUSED, START_MS)
    log.append_number(0)
    store.full = True
    with pytest.raises(StoreUnavailableError):
        ledger.flush()
    store.full = False
    ledger.flush()
    again = opened(log, store)
    assert again.emitters(LATER_MS) == ledger.emitters(LATER_MS)
    assert again.cursor == 1


def test_nothing_new_is_nothing_to_write() -> None:
    log, store = NumberedLog(), _Refusing()
    ledger = opened(log, store)
    log.append_number(0)
    ledger.flush()
    ledger.flush()
    assert store.saves == 1
    log.append_payload({"index": 0})
    ledger.flush()
    assert store.saves == 2


@pytest.mark.parametrize(
    ("key", "data"),
    [
        pytest.param('["open", "p", "i", "e"]', b"{}", id="no account"),
        pytest.param(
            '["open", "p", "i", "e"]',
            b'{"seen":{"intervals":[[3,2]]},"accepted":{"intervals":[]},'
            b'"first_seen_ms":1,"last_seen_ms":1,"marks":[]}',
            id="no set of numbers",
        ),
        pytest.param("not JSON", b"1", id="no key"),
        pytest.param('["closed", "p"]', b"1", id="a short key"),
        pytest.param('["total", "p"]', b"[]", id="no totals"),
    ],
)
def test_a_damaged_row_is_broken_and_not_taken_for_nothing(key: str, data: bytes) -> None:
    store = MemoryLedgerStore()
    store.save({key: data}, Position("log.example", 0, b""))
    with pytest.raises(StateBrokenError, match="damaged"):
        opened(NumberedLog(), store)


def test_it_survives_in_the_state_file(tmp_path: Path) -> None:
    log = NumberedLog()
    results: list[Sequence[dict[str, Any]]] = []
    for _ in range(2):
        state = StateFile(tmp_path / "state.db")
        ledger = opened(log, SqliteLedgerStore(state))
        if not results:
            log.append_number(4, name=("l'og \u2014 \U0001f33b", "e"), claimed_at_ms=START_MS)
            ledger.saw(numbered(7), CI, Fate.REFUSED, START_MS, sent_at_ms=START_MS)
            ledger.flush()
        results.append(ledger.emitters(LATER_MS))
        state.close()
    assert len(results[0]) == 2
    assert results[0] == results[1]


def test_threads_may_tell_while_it_is_flushed() -> None:
    log, store = NumberedLog(), MemoryLedgerStore()
    ledger = opened(log, store)

    def tell(first: int) -> None:
        for sequence in range(first, 800, 4):
            ledger.saw(numbered(sequence), CI, Fate.REFUSED, START_MS)

    threads = [threading.Thread(target=tell, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for sequence in range(800, 900):
        log.append_number(sequence)
        ledger.flush()
    for thread in threads:
        thread.join()
    ledger.flush()
    (emitter,) = opened(log, store).emitters(LATER_MS)
    assert (emitter["refused"], emitter["accepted"]) == (800, 100)
    assert emitter["missing"]["count"] == 0
