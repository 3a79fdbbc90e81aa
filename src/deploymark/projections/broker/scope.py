"""The newest witnesses of one service in one environment, and the runs that follow. Pure.

News is not always in order. The newest witnesses are kept, with the state before them (`base`):
what arrives late is put where it belongs and the runs are swept again from there. Once there are
`WINDOW` witnesses, the older half is settled into the base. News that is older still is taken as if
it had come right after that.

What is settled and when follows from the log alone, so that a replay ends as the first reading did.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from deploymark.projections.broker.documents import equal
from deploymark.projections.broker.fit import INTENT_MS
from deploymark.projections.broker.run import MAX_GROUPS, Group, Run
from deploymark.projections.broker.sweep import More, State, hear_more, name_runs, step, sweep
from deploymark.projections.broker.witness import Order, Witness

BACK: Final = 32
"""Witnesses that news may be late by without the runs being swept from the base again."""

MAX_GROWN: Final = 512
"""Members of groups that a mark can miss before it is given up."""

WINDOW: Final = 512
"""Witnesses that are kept at most; half of them are settled then."""

KEPT_RUNS: Final = 256
"""Runs that are remembered beside their rows; those that ended go first."""

KEPT_ENDED: Final = 64
"""Runs that ended and can be returned to without being named."""

_encoder = msgspec.msgpack.Encoder()
_state_decoder = msgspec.msgpack.Decoder(State)
_run_decoder = msgspec.msgpack.Decoder(Run)
_witness_decoder = msgspec.msgpack.Decoder(Witness)

_START: Final[Order] = (-(2**63), 0, "", 0, 0)
_Key = tuple[Order, Order]


class _Kept(Struct, gc=False):
    key: _Key
    witness: Witness


class _Mark(Struct, gc=False):
    """The runs as they were after some of the witnesses, in memory only.

    Attributes:
        key: Of the last of these witnesses.
        raw: The state.
        grown: What came of their groups since.
    """

    key: _Key
    raw: bytes
    grown: list[More]


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
        self._kept: list[_Kept] = []
        self._groups: dict[str, Witness] = {}
        self._known = {name for run in self._base.runs for name in (run.id, *run.aliases)}
        self._state: State | None = None
        self._mark: _Mark | None = None
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
    def state(self) -> State:
        """The runs as everything that was heard makes them."""
        if self._state is None:
            self._state = self._swept()
        return self._state

    def _swept(self) -> State:
        """Sweep what is kept, from the mark if there is one; set it anew where that is worth it."""
        state, start = self._marked()
        end = len(self._kept) - BACK
        if end - start >= BACK:
            sweep(state, [kept.witness for kept in self._kept[start:end]])
            self._mark = _Mark(self._kept[end - 1].key, _encoder.encode(state), [])
            start = end
        return sweep(state, [kept.witness for kept in self._kept[start:]])

    def _marked(self) -> tuple[State, int]:
        """Return the state at the mark, or before everything, and how many witnesses are in it."""
        mark = self._mark
        state: State
        if mark is None:
            state = _state_decoder.decode(self._raw)
            return state, 0
        state = _state_decoder.decode(mark.raw)
        for more in mark.grown:
            hear_more(state, more)
        count = bisect_right(self._kept, mark.key, key=_key_of)
        # Witnesses that wait for an intent may be groups, which grow: they are those that are kept.
        live = {kept.witness.index: kept.witness for kept in self._kept[:count]}
        for run in state.runs:
            if run.told:
                run.told = [live.get(each.index, each) for each in run.told]
        return state, count

    def knows(self, deployment: str) -> bool:
        """Tell whether a deployment id was heard of, as far as that is remembered."""
        return deployment in self._known

    def recall(self, runs: Sequence[Run]) -> None:
        """Remember runs again that were forgotten."""
        self._base.runs = [*runs, *self._base.runs]
        for run in runs:
            self._known.update((run.id, *run.aliases))
        self._raw = _encoder.encode(self._base)
        self.resettled = True
        self._state = self._mark = None

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
            if self._mark is not None and key <= self._mark.key:
                self._mark.grown.append(more)
                if len(self._mark.grown) > MAX_GROWN:
                    self._mark = None
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
        if self._mark is not None and kept.key <= self._mark.key:
            self._mark = None
        return kept

    def _key(self, witness: Witness) -> _Key:
        order = witness.order
        return max(order, self._cut), order

    def _settle(self) -> None:
        """Let the older half be the past that is not gone over again."""
        old, self._kept = self._kept[: WINDOW // 2], self._kept[WINDOW // 2 :]
        state = sweep(_state_decoder.decode(self._raw), [kept.witness for kept in old])
        self._cut = max(self._cut, old[-1].key[0])
        self.shed += _shed(state)
        self.forgotten += _forget(state, self._cut[0])
        self._base, self._raw = state, _encoder.encode(state)
        self.resettled = True
        self._state = self._mark = None
        for kept in old:
            index = kept.witness.index
            self.changed.pop(index, None)
            self.removed.add(index)
        self._groups = {k.witness.group_key(): k.witness for k in self._kept if k.witness.confirms}
        self._known = {name for run in state.runs for name in (run.id, *run.aliases)}
        self._known.update(kept.witness.sighting.deployment_id for kept in self._kept)


def _key_of(kept: _Kept) -> _Key:
    return kept.key


def _forget(state: State, cut_ms: int) -> list[Run]:
    """Take runs out of a state that need not be remembered, and return them."""
    for run in state.runs:
        if run.told and cut_ms - run.opened_ms > INTENT_MS:
            run.told = []
    ended = sorted((run for run in state.runs if run.over), key=_last)
    gone = ended[: max(0, len(ended) - KEPT_ENDED)]
    left = [run for run in state.runs if not any(each is run for each in gone)]
    gone += sorted(left, key=lambda run: (run.is_live, _last(run)))[: max(0, len(left) - KEPT_RUNS)]
    if not gone:
        return []
    numbers = name_runs(state)
    for position, run in enumerate(state.runs):
        if any(each is run for each in gone):
            run.number, run.base, run.told = numbers[position], "", []
    state.runs = [run for run in state.runs if not any(each is run for each in gone)]
    return gone


def _shed(state: State) -> list[tuple[Run, int, Group]]:
    """Take the oldest groups out of runs that have too many, mismatches last."""
    shed = []
    numbers = name_runs(state)
    for position, run in enumerate(state.runs):
        surplus = len(run.groups) - MAX_GROUPS
        if surplus > 0:
            by_weight = sorted(run.groups.values(), key=lambda each: equal(run, each) is False)
            for group in by_weight[:surplus]:
                del run.groups[group.index]
                shed.append((run, numbers[position], group))
    return shed


def _last(run: Run) -> tuple[int, str, int]:
    return run.last_ms, run.id, run.number
