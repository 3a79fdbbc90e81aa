"""The newest witnesses of one service in one environment, and the runs that follow. Pure.

News is not always in order. The newest witnesses are kept, with the state before them (`base`):
what arrives late is put where it belongs and the runs are swept again from there. Once there are
`WINDOW` witnesses, the older half is settled into the base. News that is older still is taken as if
it had come right after that.

What is settled and when follows from the log alone, so that a replay ends as the first reading did.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from deploymark.decoding import msgpack_decoder
from deploymark.projections.broker.documents import equal
from deploymark.projections.broker.fit import INTENT_MS
from deploymark.projections.broker.run import MAX_GROUPS, Group, Run
from deploymark.projections.broker.sweep import More, State, hear_more, name_runs, step, sweep
from deploymark.projections.broker.witness import Order, Witness

MARK_EVERY: Final = 8
"""Witnesses between two marks, from which the runs are swept again when news is late."""

MARKS_A_LEVEL: Final = 2
"""Of the marks of each level the newest are kept; a level has half as many as the one below it."""

MAX_GROWN: Final = 2_048
"""Members of groups that marks can miss before all are given up."""

WINDOW: Final = 512
"""Witnesses that are kept at most; half of them are settled then."""

KEPT_RUNS: Final = 256
"""Runs that are remembered beside their rows; those that ended go first."""

KEPT_ENDED: Final = 64
"""Runs that ended and can be returned to without being named."""

_encoder = msgspec.msgpack.Encoder()
_state_decoder = msgpack_decoder(State)
_run_decoder = msgpack_decoder(Run)
_witness_decoder = msgpack_decoder(Witness)

_START: Final[Order] = (-(2**63), 0, "", 0, 0)
_Key = tuple[Order, Order]


class _Kept(Struct, gc=False):
    key: _Key
    witness: Witness


class _Mark(NamedTuple):
    """The runs as they were after some of the witnesses, in memory only.

    Attributes:
        key: Of the last of these witnesses.
        runs: Shared with all states that follow.
        grown: How much had come of groups until then.
        level: How often its number can be halved: the far ones are few.
    """

    key: _Key
    runs: list[Run]
    grown: int
    level: int


class Settled(Struct, array_like=True):
    """The part of a scope that is stored as one: `base` and up to where it reaches."""

    base: bytes
    cut: Order


def encode_run(run: Run) -> bytes:
    """Return the stored form of a run that is remembered no longer."""
    return _encoder.encode(run)


def decode_run(raw: bytes) -> Run:
    """Return a run from its stored form."""
    return _run_decoder.decode(raw)


def encode_witness(witness: Witness) -> bytes:
    """Return the stored form of a witness."""
    return _encoder.encode(witness)


def decode_witness(raw: bytes) -> Witness:
    """Return a witness from its stored form."""
    return _witness_decoder.decode(raw)


class Scope:
    """One service in one environment.

    Args:
        settled: As it was stored; None for a new one.
        witnesses: Those that are not settled.

    Attributes:
        changed: Witnesses that came, or grew, since `saved`.
        removed: Indexes of those that were settled since.
        forgotten: Runs that are remembered no longer since.
        shed: Groups that their runs remember no longer since, with the number of the run.
        resettled: The settled part is another one since.
    """

    def __init__(self, settled: Settled | None = None, witnesses: Sequence[Witness] = ()) -> None:
        self._base = State() if settled is None else _state_decoder.decode(settled.base)
        self._raw = _encoder.encode(self._base) if settled is None else settled.base
        self._cut = _START if settled is None else settled.cut
        self._open = _count_open(self._base)
        self._kept: list[_Kept] = []
        self._groups: dict[str, Witness] = {}
        self._known = {name for run in self._base.runs for name in (run.id, *run.aliases)}
        self._state: State | None = None
        self._forget_marks()
        for witness in witnesses:
            self._keep(witness)
        self.saved()

    def saved(self) -> None:
        """Begin to note anew what is to be stored."""
        self.changed: dict[int, Witness] = {}
        self.removed: set[int] = set()
        self.forgotten: list[Run] = []
        self.shed: list[tuple[Run, int, Group]] = []
        self.resettled = False

    def __len__(self) -> int:
        """How many witnesses are kept."""
        return len(self._kept)

    @property
    def settled(self) -> Settled:
        """What is stored as one."""
        return Settled(self._raw, self._cut)

    @property
    def open_runs(self) -> int:
        """How many runs of the settled part stand; that follows from the log alone."""
        return self._open

    @property
    def state(self) -> State:
        """The runs as everything that was heard makes them."""
        if self._state is None:
            self._state = self._swept()
        return self._state

    def _swept(self) -> State:
        """Sweep what is kept, from the newest mark."""
        if self._marks:
            mark = self._marks[-1]
            state = State([*mark.runs])
            for key, more in self._grown[mark.grown :]:
                if key <= mark.key:
                    hear_more(state, more)
            start = bisect_right(self._kept, mark.key, key=_key_of)
        else:
            state, start = State([*self._base.runs]), 0
        self._unmarked = 0
        for kept in self._kept[start:]:
            step(state, kept.witness)
            self._mark(state, kept.key)
        return state

    def _mark(self, state: State, key: _Key) -> None:
        """Set a mark behind a witness that a state has just taken, when it is time for one."""
        self._unmarked += 1
        if self._unmarked < MARK_EVERY:
            return
        self._unmarked = 0
        self._marked += 1
        level = (self._marked & -self._marked).bit_length()
        same = [mark for mark in self._marks if mark.level == level]
        if len(same) >= MARKS_A_LEVEL:
            self._marks.remove(same[0])
        self._marks.append(_Mark(key, state.share(), len(self._grown), level))

    def _forget_marks(self) -> None:
        self._marks: list[_Mark] = []
        self._grown: list[tuple[_Key, More]] = []
        self._marked = self._unmarked = 0

    def knows(self, deployment: str) -> bool:
        """Tell whether a deployment id was heard of, as far as that is remembered."""
        return deployment in self._known

    def recall(self, runs: Sequence[Run]) -> None:
        """Remember runs again that were forgotten."""
        self._base.runs = [*runs, *self._base.runs]
        for run in runs:
            self._known.update((run.id, *run.aliases))
        self._open = _count_open(self._base)
        self._raw = _encoder.encode(self._base)
        self.resettled = True
        self._state = None
        self._forget_marks()

    def take(self, witness: Witness) -> int:
        """Take a witness.

        Returns:
            The index of the witness that stands for it: its own, or that of its group.
        """
        if witness.confirms:
            key = witness.group_key()
            group = self._groups.get(key)
            if group is not None:
                self._take_more(group, witness)
                return group.index
        latest = self._kept[-1].key if self._kept else (self._cut, self._cut)
        kept = self._keep(witness)
        self.changed[witness.index] = witness
        if self._state is not None:
            if kept.key >= latest:
                step(self._state, witness)
                self._mark(self._state, kept.key)
            else:
                self._state = None
        if len(self._kept) >= WINDOW:
            self._settle()
        return witness.index

    def _take_more(self, group: Witness, witness: Witness) -> None:
        key = self._key(group)
        earliest = group.join(witness)
        self.changed[group.index] = group
        if not earliest:
            more = More(witness, group.index, group.listed_before(witness.index))
            if self._state is not None:
                hear_more(self._state, more)
            if self._marks and key <= self._marks[-1].key:
                self._grown.append((key, more))
                if len(self._grown) > MAX_GROWN:
                    self._forget_marks()
            return
        del self._kept[bisect_left(self._kept, key, key=_key_of)]
        self._insert(group)
        self._state = None

    def _keep(self, witness: Witness) -> _Kept:
        kept = self._insert(witness)
        self._known.add(witness.sighting.deployment_id)
        if witness.confirms:
            self._groups[witness.group_key()] = witness
        return kept

    def _insert(self, witness: Witness) -> _Kept:
        kept = _Kept(self._key(witness), witness)
        insort(self._kept, kept, key=_key_of)
        while self._marks and kept.key <= self._marks[-1].key:
            self._marks.pop()
        return kept

    def _key(self, witness: Witness) -> _Key:
        order = witness.order
        return max(order, self._cut), order

    def _settle(self) -> None:
        """Let the older half be the past that is not gone over again."""
        old, self._kept = self._kept[: WINDOW // 2], self._kept[WINDOW // 2 :]
        state = sweep(State([*self._base.runs]), [kept.witness for kept in old])
        self._cut = max(self._cut, old[-1].key[0])
        self.shed += _shed(state)
        self.forgotten += _forget(state, self._cut[0])
        self._base, self._raw = state, _encoder.encode(state)
        self._open = _count_open(state)
        self.resettled = True
        self._state = None
        self._forget_marks()
        for kept in old:
            index = kept.witness.index
            self.changed.pop(index, None)
            self.removed.add(index)
        self._groups = {k.witness.group_key(): k.witness for k in self._kept if k.witness.confirms}
        self._known = {name for run in state.runs for name in (run.id, *run.aliases)}
        self._known.update(kept.witness.sighting.deployment_id for kept in self._kept)


def _count_open(state: State) -> int:
    return sum(not run.over for run in state.runs)


def _key_of(kept: _Kept) -> _Key:
    return kept.key


def _forget(state: State, cut_ms: int) -> list[Run]:
    """Take runs out of a state that need not be remembered, and return them."""
    for run in [each for each in state.runs if each.told]:
        if cut_ms - run.opened_ms > INTENT_MS:
            state.own(run).told = []
    ended = sorted((run for run in state.runs if run.over), key=_last)
    gone = ended[: max(0, len(ended) - KEPT_ENDED)]
    left = [run for run in state.runs if not any(each is run for each in gone)]
    gone += sorted(left, key=lambda run: (run.is_live, _last(run)))[: max(0, len(left) - KEPT_RUNS)]
    if not gone:
        return []
    numbers = {id(run): number for run, number in zip(state.runs, _numbers(state), strict=True)}
    forgotten = []
    for run in gone:
        number = numbers[id(run)]
        changed = state.own(run)
        changed.number, changed.base, changed.told = number, "", []
        forgotten.append(changed)
    names = {id(run) for run in forgotten}
    state.runs = [run for run in state.runs if id(run) not in names]
    return forgotten


def _numbers(state: State) -> list[int]:
    numbers = name_runs(state)
    return [numbers[position] for position in range(len(state.runs))]


def _shed(state: State) -> list[tuple[Run, int, Group]]:
    """Take the oldest groups out of runs that have too many, mismatches last."""
    shed = []
    for run, number in zip([*state.runs], _numbers(state), strict=True):
        surplus = len(run.groups) - MAX_GROUPS
        if surplus > 0:
            changed = state.own(run)
            by_weight = sorted(run.groups.values(), key=lambda each: equal(run, each) is False)
            for group in by_weight[:surplus]:
                del changed.groups[group.index]
                shed.append((changed, number, group))
    return shed


def _last(run: Run) -> tuple[int, str, int]:
    return run.last_ms, run.id, run.number
