"""A journal against a model, cut off at any byte of any write, and its lines."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from deploymark.emit.journal import Journal, Record
from deploymark.emit.lines import (
    Head,
    Kept,
    Settled,
    head_line,
    marker_line,
    read_line,
    settled_line,
)

_PLACE = "boot-1 host-a"
_SERVER = "https://a.example"
_PLENTY = 10_000_000


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def _append(journal: Journal, text: str = "x", priority: int = 1, limit: int = _PLENTY) -> int:
    def make(epoch: str, number: int) -> Record:
        body = b'{"n":"%b/%d","t":"%b"}' % (epoch.encode(), number, text.encode())
        return Record(priority, "d-one", body)

    return journal.append(make, limit)[0]


class JournalMachine(RuleBasedStateMachine):
    """The file beside a plain dict; a crash keeps any beginning of the last write."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.directory = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        self.journal = Journal.create(self.directory, Head("epoch", "someone", _SERVER, _PLACE))
        self.name = self.journal.name
        self.waiting: dict[int, bytes] = {}
        self.used = 0

    def teardown(self) -> None:
        self.journal.close()
        os.close(self.directory)
        shutil.rmtree(self.folder)

    @rule(text=st.text("ab", max_size=20), priority=st.integers(0, 2))
    def append(self, text: str, priority: int) -> None:
        number = _append(self.journal, text, priority)
        assert number == self.used
        self.used += 1
        self.waiting[number] = self.journal.body(number)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sets(st.sampled_from(sorted(self.waiting)), min_size=1))
        self.journal.settle(dict.fromkeys(chosen, "delivered"))
        for number in chosen:
            del self.waiting[number]

    @rule()
    def another_process_goes_on(self) -> None:
        self.journal.close()
        self.adopt()

    @rule(data=st.data())
    def crash_while_appending(self, data: st.DataObject) -> None:
        before = self.size()
        number = _append(self.journal, "torn")
        written = self.size() - before
        cut = data.draw(st.integers(0, written))
        self.crash(before + cut)
        if cut == written:
            self.waiting[number] = self.journal.body(number)
            self.used += 1

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def crash_while_settling(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.waiting)))
        before = self.size()
        self.journal.settle({number: "delivered"})
        written = self.size() - before
        cut = data.draw(st.integers(0, written))
        self.crash(before + cut)
        if cut == written:
            del self.waiting[number]

    @rule()
    def crash_while_rewriting(self) -> None:
        # Before the rename: a draft of any content lies beside the file.
        (self.folder / f"{self.name}.new").write_bytes(b"half a dra")
        self.journal.close()
        self.adopt()

    @rule()
    def compact(self) -> None:
        self.journal._rewrite(list(self.journal.waiting))

    @invariant()
    def the_file_says_what_the_model_says(self) -> None:
        assert {n: self.journal.body(n) for n in self.journal.waiting} == self.waiting
        assert self.journal.next == self.used
        assert self.journal.size == self.size()
        assert self.journal.numbered

    def size(self) -> int:
        return (self.folder / self.name).stat().st_size

    def crash(self, length: int) -> None:
        self.journal.close()
        os.truncate(self.folder / self.name, length)
        self.adopt()

    def adopt(self) -> None:
        adopted = Journal.adopt(self.directory, self.name, _PLACE, _PLENTY)
        assert adopted is not None
        self.journal = adopted


JournalMachine.TestCase.settings = hypothesis_settings(
    max_examples=60, stateful_step_count=25, deadline=None
)
test_a_journal_loses_and_repeats_nothing = JournalMachine.TestCase


def test_a_journal_has_one_owner(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    assert Journal.adopt(directory, journal.name, _PLACE, _PLENTY) is None
    journal.close()
    adopted = Journal.adopt(directory, journal.name, _PLACE, _PLENTY)
    assert adopted is not None
    adopted.close()


def test_a_rewritten_journal_still_has_one_owner(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    _append(journal)
    journal._rewrite([0])
    assert Journal.adopt(directory, journal.name, _PLACE, _PLENTY) is None
    journal.close()


@pytest.mark.parametrize("place", ["boot-2 host-a", "boot-1 host-b"])
def test_nobody_numbers_in_the_journal_of_another_place(directory: int, place: str) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    _append(journal)
    journal.close()
    adopted = Journal.adopt(directory, journal.name, place, _PLENTY)
    assert adopted is not None
    assert not adopted.numbered
    assert list(adopted.waiting) == [0]
    adopted.close()


def test_nobody_numbers_in_a_copy(directory: int, tmp_path: Path) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    _append(journal)
    journal.close()
    path = tmp_path / journal.name
    path.rename(tmp_path / "old")
    shutil.copy(tmp_path / "old", path)
    adopted = Journal.adopt(directory, journal.name, _PLACE, _PLENTY)
    assert adopted is not None
    assert not adopted.numbered
    adopted.settle({0: "delivered"})
    adopted.close()
    again = Journal.adopt(directory, journal.name, _PLACE, _PLENTY)
    assert again is not None
    assert (again.waiting, again.numbered) == ({}, False)
    again.close()


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_damaged_journal_gives_back_what_is_sound_and_is_not_numbered_in(
    directory: int, tmp_path: Path, position: int
) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    for _ in range(3):
        _append(journal, "some text")
    bodies = {number: journal.body(number) for number in journal.waiting}
    journal.close()
    path = tmp_path / journal.name
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 0x55
    path.write_bytes(content)
    adopted = Journal.adopt(directory, journal.name, _PLACE, _PLENTY)
    assert adopted is not None
    found = {number: adopted.body(number) for number in adopted.waiting}
    assert found.items() <= bodies.items()
    assert len(found) >= 1
    # A flipped final newline looks like a torn line; no other fault may pass for one.
    assert not adopted.numbered or (len(found) == 2 and position % len(content) == len(content) - 1)
    adopted.close()


def test_a_marker_that_is_refused_while_it_is_made_uses_no_number(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))

    def fail(_epoch: str, _number: int) -> Record:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        journal.append(fail, _PLENTY)
    assert _append(journal) == 0
    journal.close()


def test_a_full_journal_gives_up_the_least_important_first(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    limit = 4_000
    urgent = {_append(journal, "u" * 50, 0, limit) for _ in range(5)}
    for _ in range(100):
        _append(journal, "e" * 50, 2, limit)
    assert journal.size <= limit
    urgent |= {_append(journal, "u" * 50, 0, limit) for _ in range(5)}
    assert urgent <= journal.waiting.keys()
    assert journal.evicted == 110 - len(journal.waiting)
    journal.close()
    adopted = Journal.adopt(directory, journal.name, _PLACE, _PLENTY)
    assert adopted is not None
    assert (adopted.next, adopted.evicted) == (110, journal.evicted)
    adopted.close()


def test_what_is_less_important_than_all_else_is_given_up_itself(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    limit = 2_000
    while journal.size < limit - 100:
        _append(journal, "u" * 20, 0, limit)
    before = dict(journal.waiting)
    number, kept = journal.append(lambda _e, _n: Record(2, "d-two", b"{}" * 200), limit)
    assert (kept, journal.waiting, journal.next) == (False, before, number + 1)
    journal.close()


def test_failures_make_room_for_failures_when_nothing_else_is_left(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    numbers = [_append(journal, "u" * 50, 0, 4_000) for _ in range(200)]
    assert numbers[-1] in journal.waiting
    assert numbers[0] not in journal.waiting
    assert journal.size <= 4_000
    journal.close()


def test_a_journal_without_waiting_markers_does_not_grow_for_ever(directory: int) -> None:
    journal = Journal.create(directory, Head("epoch", "someone", _SERVER, _PLACE))
    for number in range(700):
        _append(journal, "x" * 200)
        journal.settle({number: "delivered"})
        assert journal.size < 70_000
    assert journal.next == 700
    journal.close()


_LINES = {
    "another checksum": b"00000000 A 1 delivered",
    "no checksum": b"A 1 delivered",
    "empty": b"",
}


@pytest.mark.parametrize("name", _LINES)
def test_a_line_that_is_not_sound_says_nothing(name: str) -> None:
    assert read_line(_LINES[name]) is None


@pytest.mark.parametrize("line", [b"\x00" * 30, b"\xff" * 9 + b" M 1", b" " * 9])
def test_noise_is_not_a_line(line: bytes) -> None:
    assert read_line(line) is None


def test_lines_read_back() -> None:
    head = Head("e", "émetteur \u2028", _SERVER, "b h", "1:2", 7, 3)
    assert read_line(head_line(head)[:-1]) == head
    line, body_at = marker_line(7, 2, "d-x", b'{"a": "b c"}')
    assert read_line(line[:-1]) == Kept(7, 2, "d-x", body_at)
    assert line[body_at:-1] == b'{"a": "b c"}'
    assert read_line(settled_line(4, "refused")[:-1]) == Settled(4, "refused")
