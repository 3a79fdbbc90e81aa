"""What was judged and decided, summed up to be counted: canaries, rollbacks, promotions.

Verdicts are summed by the occurrence that they name, the stages of a decision by the first of them.
Times are those at which the log received an entry: nobody can claim them. What the markers say came
of a deployment is the broker's (`broker.settling`); `outcomes_query` puts both together and counts.

A look of a canary that settles nothing leaves no row.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, MetaData, Table, Text

from deploymark.model.entries import Decision, Verdict
from deploymark.model.environment import is_production
from deploymark.model.ids import parse_occurrence
from deploymark.projections.database import replace_rows, rows_with
from deploymark.projections.logged import LoggedEntry

NAME: Final = "outcomes"
SCHEMA_VERSION: Final = 1

PROMOTE, ROLL_BACK, PAUSE = "promote", "roll_back", "pause"
PASS, FAIL = "pass", "fail"
SUCCEEDED: Final = "succeeded"
POLICY: Final = "policy"
BURN: Final = "burn"
"""How a verdict names the error budget among its reasons or metrics, and a decision in its reason.
"""

_BURN: Final = re.compile(rf"\b{BURN}\b")

METADATA: Final = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")

JUDGED: Final = Table(
    "outcomes_judged",
    METADATA,
    Column("deployment", Text, primary_key=True),  # as it is named, perhaps by an alias
    Column("occurrence", Integer, primary_key=True),  # 0: the deployment as such
    Column("service", Text, primary_key=True),  # "": not said
    Column("environment", Text, primary_key=True),
    Column("production", Integer, nullable=False),
    Column("result", Text),  # of its verdicts: fail once one is, else pass once one is
    Column("judged_ms", BigInteger),  # the first fail, else the last pass
    Column("judged_index", BigInteger),
    Column("breached_ms", BigInteger),  # the first word of its burning an error budget
    Column("breached_index", BigInteger),
    Column("undone_ms", BigInteger),  # the first rollback of it that succeeded
    Column("undone_index", BigInteger),
    sqlite_with_rowid=False,
)
for _what in ("judged", "breached", "undone"):
    _ms, _index = JUDGED.c[f"{_what}_ms"], JUDGED.c[f"{_what}_index"]
    Index(f"outcomes_{_what}_by_time", _ms, _index, sqlite_where=_ms.is_not(None))

ACTION: Final = Table(
    "outcomes_action",
    METADATA,
    Column("root", _BIG, primary_key=True, autoincrement=False),  # the first of its stages
    Column("action", Text, nullable=False),
    Column("deployment", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),
    Column("service", Text, nullable=False),
    Column("environment", Text, nullable=False),
    Column("production", Integer, nullable=False),
    Column("actor", Text, nullable=False),
    Column("begun_ms", BigInteger, nullable=False),  # the first failing verdict, else the root
    Column("begun_index", BigInteger, nullable=False),
    Column("outcome", Text),  # the last that was said; once succeeded, that
    Column("ended_ms", BigInteger),
    Column("ended_index", BigInteger),
)
Index(
    "outcomes_action_by_time",
    ACTION.c.action,
    ACTION.c.ended_ms,
    ACTION.c.ended_index,
    sqlite_where=ACTION.c.ended_ms.is_not(None),
)
STAGE: Final = Table(
    "outcomes_stage",
    METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("root", BigInteger, nullable=False),
)


class Named(NamedTuple):
    """The occurrence that an entry names; the key of `outcomes_judged`."""

    deployment: str
    occurrence: int
    service: str
    environment: str


class Judged(NamedTuple):
    """What is known of an occurrence; the columns of `outcomes_judged`."""

    deployment: str
    occurrence: int
    service: str
    environment: str
    production: int
    result: str | None = None
    judged_ms: int | None = None
    judged_index: int | None = None
    breached_ms: int | None = None
    breached_index: int | None = None
    undone_ms: int | None = None
    undone_index: int | None = None

    @property
    def key(self) -> Named:
        """Which occurrence."""
        return Named(*self[:4])


class Action(NamedTuple):
    """A promotion or a rollback; the columns of `outcomes_action`."""

    root: int
    action: str
    deployment: str
    occurrence: int
    service: str
    environment: str
    production: int
    actor: str
    begun_ms: int
    begun_index: int
    outcome: str | None = None
    ended_ms: int | None = None
    ended_index: int | None = None

    @property
    def key(self) -> Named:
        """Which occurrence it is about."""
        return Named(*self[2:6])


class Ruled(NamedTuple):
    """What is kept of one verdict or decision.

    Attributes:
        idx: Of its entry.
        at_ms: When the log received it.
        named: What it is about.
        result: `pass` or `fail`, of a verdict that says so.
        burns: It says that an error budget burns.
        action: `promote` or `roll_back`, of a decision that does so.
        actor: Of a decision.
        outcome: Of a decision that has ended.
        follows: The earlier stage that a decision continues.
    """

    idx: int
    at_ms: int
    named: Named
    result: str | None = None
    burns: bool = False
    action: str | None = None
    actor: str = ""
    outcome: str | None = None
    follows: int | None = None


def ruled(entry: LoggedEntry) -> Ruled | None:
    """Return what is kept of an entry; None of one that settles nothing.

    Raises:
        IdError: It names a deployment by what is no id.
    """
    said = entry.content
    if not isinstance(said, Verdict | Decision) or said.deployment_id is None:
        return None
    deployment, number = parse_occurrence(said.deployment_id)
    named = Named(deployment, number or 0, said.service or "", said.environment)
    if isinstance(said, Verdict):
        if said.result not in (PASS, FAIL):
            return None
        words = {*(said.reasons or ()), *(each.name for each in said.metrics or ())}
        burns = said.result == FAIL and BURN in words
        return Ruled(entry.index, entry.received_at_ms, named, said.result, burns)
    burns = (
        said.action in (PAUSE, ROLL_BACK)
        and said.stage == "decided"
        and said.actor == POLICY
        and _BURN.search(said.reason or "") is not None
    )
    return Ruled(
        entry.index,
        entry.received_at_ms,
        named,
        burns=burns,
        # One that only made room for a newer deployment says nothing about how this one was.
        action=said.action
        if said.action in (PROMOTE, ROLL_BACK) and said.superseded_by is None
        else None,
        actor=said.actor,
        outcome=said.outcome if said.stage == "outcome" else None,
        follows=said.decision_index,
    )


# What follows from one more word ----------------------------------------------------------------


def judge(known: Judged, said: Ruled) -> Judged:
    """Return what is known of an occurrence after one more word about it."""
    at = (said.at_ms, said.idx)
    if said.burns and known.breached_index is None:
        known = known._replace(breached_ms=at[0], breached_index=at[1])
    # A canary that failed once did not pass, whatever is said later.
    if said.result is not None and known.result != FAIL:
        known = known._replace(result=said.result, judged_ms=at[0], judged_index=at[1])
    return known


def begin(said: Ruled, action: str, known: Judged) -> Action:
    """Return a promotion or a rollback of which this is the first stage."""
    failed = action == ROLL_BACK and known.result == FAIL
    begun_ms = known.judged_ms if failed else None
    begun_index = known.judged_index if failed else None
    return Action(
        said.idx,
        action,
        *said.named,
        int(is_production(said.named.environment)),
        said.actor,
        said.at_ms if begun_ms is None else begun_ms,
        said.idx if begun_index is None else begun_index,
    )


def end(action: Action, said: Ruled) -> Action:
    """Return it after a stage that may say how it ended; what succeeded stays so."""
    if said.outcome is None or action.outcome in (SUCCEEDED, said.outcome):
        return action
    return action._replace(outcome=said.outcome, ended_ms=said.at_ms, ended_index=said.idx)


class OutcomesView:
    """See `runner.View`."""

    name = NAME
    version = SCHEMA_VERSION
    metadata = METADATA

    def fold(self, entry: LoggedEntry) -> Ruled | None:
        """See `View.fold`; None when an entry settles nothing."""
        return ruled(entry)

    def write(self, connection: Connection, rows: Sequence[Ruled | None]) -> None:
        """See `View.write`."""
        said = [row for row in rows if row is not None]
        if said:
            batch = _Batch(connection, said)
            for each in said:
                batch.take(each)
            batch.save()


class _Batch:
    """The rows that one write is about: read together, changed in order, stored together."""

    def __init__(self, connection: Connection, said: Sequence[Ruled]) -> None:
        self._connection = connection
        follows = {(each.follows,) for each in said if each.follows is not None}
        self._roots: dict[int, int] = {
            row.idx: row.root for row in rows_with(connection, STAGE, ("idx",), sorted(follows))
        }
        roots = {(root,) for root in self._roots.values()}
        self._actions = {
            row.root: Action._make(row)
            for row in rows_with(connection, ACTION, ("root",), sorted(roots))
        }
        names = {each.named for each in said} | {each.key for each in self._actions.values()}
        self._judged = {
            each.key: each
            for each in map(
                Judged._make, rows_with(connection, JUDGED, Named._fields, sorted(names))
            )
        }
        self._stages: list[tuple[int, int]] = []
        self._changed: set[int] = set()
        self._touched: set[Named] = set()

    def take(self, said: Ruled) -> None:
        """Let one verdict or decision change them."""
        before = self._of(said.named)
        known = judge(before, said)
        if known is not before:
            self._put(known)
        root = self._roots.get(said.follows) if said.follows is not None else None
        if said.action is not None and (root is None or self._actions[root].action != said.action):
            root = said.idx
            self._actions[root] = begin(said, said.action, known)
            self._changed.add(root)
        if root is None:
            return
        # Who approves continues the chain, whatever that is called; only its own action ends it.
        self._roots[said.idx] = root
        self._stages.append((said.idx, root))
        action = self._actions[root]
        ended = end(action, said) if said.action == action.action else action
        if ended is not action:
            self._actions[root] = ended
            self._changed.add(root)
            self._undo(ended)

    def _undo(self, action: Action) -> None:
        known = self._of(action.key)
        if (action.action, action.outcome) == (ROLL_BACK, SUCCEEDED) and known.undone_ms is None:
            self._put(known._replace(undone_ms=action.ended_ms, undone_index=action.ended_index))

    def _of(self, named: Named) -> Judged:
        known = self._judged.get(named)
        return known or Judged(*named, int(is_production(named.environment)))

    def _put(self, known: Judged) -> None:
        self._judged[known.key] = known
        self._touched.add(known.key)

    def save(self) -> None:
        """Store what changed."""
        replace_rows(self._connection, JUDGED, [self._judged[k] for k in sorted(self._touched)])
        replace_rows(self._connection, ACTION, [self._actions[k] for k in sorted(self._changed)])
        replace_rows(self._connection, STAGE, self._stages)
