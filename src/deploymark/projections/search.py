"""The search view: finds entries by what they say. Fold, tables and questions in one file.

It keeps no copy of the entries, only where to find them: an inverted index. Every searchable
value of an entry is a *term*, a 64-bit hash of filter name and value, and `search_posting` holds
(term, index) pairs in that order. So every filter is served by an index, the same one, however
rare its values are:

* service, environment, cluster, region, zone, instance, digest, tag, version, build_id, ticket,
  owner, kind, phase, correlation_id, deployment_id, type and code: their postings;
* commit: the postings of its first 7 digits; the others are compared with the row;
* `id~2`: the postings of the id; the occurrence is compared with the row;
* since, until: the received time of the row, inside the blocks of 1,024 entries (`search_block`)
  whose earliest and latest time leave it possible. Blocks are read one after the other: 9,766 of
  them at 10 million entries, about a millisecond. Times of entries need not rise with the index.

A question takes the filter whose matches are rarest near its starting point, reads its postings
from there, and asks the others about each. A page costs the same at any size of the log. Filters
that match much alone and little together are bounded: a page looks at `SCAN_LIMIT` candidates at
most, then ends short, with a cursor behind the last of them. There is no OFFSET anywhere.

An entry that was amended is found by the newer values too (owner, version, tag, build, correlation
id, tickets), and still by the first: what was signed stays in it.

Claimed times are not searched, only received ones: the log vouches for no others. Two values
that share a hash would find each other's entries; among a hundred million values the chance that
any two do is one in 3,700, and whoever made the pair on purpose would only find their own.

Above the log, below the server. It does not read the log and returns no entries, only indexes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from hashlib import blake2b
from operator import itemgetter
from typing import NamedTuple

from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    or_,
    select,
)

from deploymark.model.entries import Amendment, Decision, Finding, Incident, Verdict
from deploymark.model.ids import parse_occurrence
from deploymark.model.marker import Artifact, Marker, Target
from deploymark.projections.cursors import projected_size
from deploymark.projections.database import Views, insert_rows, replace_rows
from deploymark.projections.logged import LoggedEntry
from deploymark.projections.search_query import (
    COMMIT_PREFIX,
    EntryQuery,
    MarkerQuery,
    Page,
    Plan,
    plan_query,
)

NAME = "search"
SCHEMA_VERSION = 2
SCAN_LIMIT = 10_000
"""Candidates that one page looks at, at most."""

BLOCK_ENTRIES = 1_024
_PROBE_ROWS = 64
_CHUNK_ROWS = 1_024
_REMEMBERED_TERMS = 65_536

# Tables ------------------------------------------------------------------------------------------

_METADATA = MetaData()
_BIG = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's own row number

_ENTRY = Table(
    "search_entry",
    _METADATA,
    Column("idx", _BIG, primary_key=True, autoincrement=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("deployment", BigInteger),  # the term of its id, to tell occurrences apart
    Column("occurrence", Integer),
    Column("commit_hash", Text),
)
_POSTING = Table(
    "search_posting",
    _METADATA,
    Column("term", BigInteger, primary_key=True),
    Column("idx", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)
_BLOCK = Table(
    "search_block",
    _METADATA,
    Column("number", _BIG, primary_key=True, autoincrement=False),
    Column("low_ms", BigInteger, nullable=False),
    Column("high_ms", BigInteger, nullable=False),
)

# Fold: from an entry to its rows; pure -----------------------------------------------------------


class SearchRow(NamedTuple):
    """What the view keeps of one entry: the columns of `search_entry`, its terms, and others'.

    `about` and `amended` are of an amendment: the entry that it amends, and new terms of that.
    """

    idx: int
    received_ms: int
    deployment: int | None
    occurrence: int | None
    commit_hash: str | None
    terms: frozenset[int]
    about: int = -1
    amended: frozenset[int] = frozenset()


@lru_cache(maxsize=_REMEMBERED_TERMS)
def term_of(name: str, value: str) -> int:
    """Return the term of a filter and a value: 64 bits of BLAKE2b, signed as databases want it."""
    text = f"{name}\0{value}".encode(errors="surrogatepass")  # a query may hold anything
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big", signed=True)


def fold_entry(entry: LoggedEntry) -> SearchRow:
    """Return what the view keeps of an entry.

    Raises:
        IdError: It names a deployment by what is no id.
    """
    content, commit = entry.content, None
    values = [("type", entry.type)]
    if isinstance(content, Marker):
        named: tuple[str, int | None] | None
        named = (entry.leaf.ids["deployment_id"], entry.leaf.occurrence)
        values += _marker_values(content)
        commit = content.commit_hash
    else:
        name = _deployment_named(content)
        named = None if name is None else parse_occurrence(name)
        if isinstance(content, Finding):
            values.append(("code", content.code))
    deployment = occurrence = None
    terms = {term_of(name, value) for name, value in values}
    if named is not None:
        deployment, occurrence = term_of("deployment_id", named[0]), named[1]
        terms.add(deployment)
    row = SearchRow(
        entry.index, entry.received_at_ms, deployment, occurrence, commit, frozenset(terms)
    )
    if isinstance(content, Amendment) and content.index < entry.index:
        new = frozenset(term_of(*each) for each in _amended_values(content))
        row = row._replace(about=content.index, amended=new)
    return row


_NO_ARTIFACT, _NOWHERE = Artifact(), Target()


def _marker_values(marker: Marker) -> Iterator[tuple[str, str]]:
    artifact, target = marker.artifact or _NO_ARTIFACT, marker.target or _NOWHERE
    yield "service", marker.service
    yield "environment", marker.environment
    yield "kind", marker.kind.value
    yield "phase", marker.phase.value
    for name, value in (
        ("cluster", target.cluster),
        ("region", target.region),
        ("zone", target.zone),
        ("instance", target.instance),
        ("instance", target.instance_uid),
        ("digest", artifact.digest),
        ("digest", marker.evidence.digest if marker.evidence else None),
        ("tag", artifact.tag),
        ("version", marker.version),
        ("build_id", marker.build_id),
        ("owner", marker.owner),
        ("correlation_id", marker.correlation_id),
        ("commit", marker.commit_hash and marker.commit_hash[:COMMIT_PREFIX]),
    ):
        if value is not None:
            yield name, value
    for digest in (artifact.platforms or {}).values():
        yield "digest", digest
    for ticket in marker.change_tickets or ():
        yield "ticket", ticket


_AMENDED = {
    "/owner": "owner",
    "/version": "version",
    "/artifact/tag": "tag",
    "/build_id": "build_id",
    "/correlation_id": "correlation_id",
}
_TICKET = "/change_tickets/"


def _amended_values(amendment: Amendment) -> Iterator[tuple[str, str]]:
    for pointer, value in amendment.changes.items():
        name = "ticket" if pointer.startswith(_TICKET) else _AMENDED.get(pointer)
        if name is not None and isinstance(value, str):
            yield name, value


def _deployment_named(content: object) -> str | None:
    match content:
        case Verdict() | Decision() | Finding():
            return content.deployment_id
        case Incident():
            return content.confirmed_deployment_id
        case _:
            return None


class SearchView:
    """The view as the runner knows it; see `runner.View`."""

    name = NAME
    version = SCHEMA_VERSION
    metadata = _METADATA

    def fold(self, entry: LoggedEntry) -> SearchRow:
        """See `View.fold`."""
        return fold_entry(entry)

    def write(self, connection: Connection, rows: Sequence[SearchRow]) -> None:
        """See `View.write`."""
        insert_rows(connection, _ENTRY, [row[:5] for row in rows])
        # Sorted, by index already: neighbours in the table are written together.
        postings = [(term, row.idx) for row in rows for term in row.terms]
        postings.sort(key=itemgetter(0))
        insert_rows(connection, _POSTING, postings)
        # It may have been found by them before.
        replace_rows(connection, _POSTING, [(t, row.about) for row in rows for t in row.amended])
        _write_blocks(connection, rows)


def _write_blocks(connection: Connection, rows: Sequence[SearchRow]) -> None:
    times: dict[int, list[int]] = {}
    for row in rows:
        times.setdefault(row.idx // BLOCK_ENTRIES, []).append(row.received_ms)
    touched = _BLOCK.c.number.in_(times)
    for number, low, high in connection.execute(select(_BLOCK).where(touched)):
        times[number] += (low, high)
    connection.execute(delete(_BLOCK).where(touched))
    insert_rows(connection, _BLOCK, [(n, min(ms), max(ms)) for n, ms in times.items()])


# Questions ---------------------------------------------------------------------------------------


class _Range(Struct, frozen=True):
    """Indexes from `low` to below `high`, read from one end."""

    low: int
    high: int
    newest: bool

    def behind(self, index: int) -> "_Range":
        """Return what is left once everything up to `index` has been looked at."""
        if self.newest:
            return _Range(self.low, min(self.high, index), newest=True)
        return _Range(max(self.low, index + 1), self.high, newest=False)


_Terms = Sequence[int]

_FROM_NEWEST, _FROM_OLDEST = (
    select(_POSTING.c.idx)
    .where(
        _POSTING.c.term == bindparam("term"),
        _POSTING.c.idx >= bindparam("low"),
        _POSTING.c.idx < bindparam("high"),
    )
    .order_by(order)
    .limit(bindparam("count"))
    for order in (_POSTING.c.idx.desc(), _POSTING.c.idx)
)
_ALL_FROM_NEWEST, _ALL_FROM_OLDEST = (
    select(_ENTRY.c.idx)
    .where(_ENTRY.c.idx >= bindparam("low"), _ENTRY.c.idx < bindparam("high"))
    .order_by(order)
    .limit(bindparam("count"))
    for order in (_ENTRY.c.idx.desc(), _ENTRY.c.idx)
)
_WITH_TERMS = select(_POSTING.c.idx).where(
    _POSTING.c.term.in_(bindparam("terms", expanding=True)),
    _POSTING.c.idx.in_(bindparam("candidates", expanding=True)),
)


class Search:
    """Answers searches; safe on any thread.

    Args:
        views: The database that the runner keeps up to date.
    """

    def __init__(self, views: Views) -> None:
        self._views = views

    def markers(self, query: MarkerQuery) -> Page:
        """Return the indexes of the markers that match, one page of them.

        Raises:
            QueryError: The query asks for what cannot be.
            StoreUnavailableError: The view is being built, or its medium refuses.
        """
        return self._answer(plan_query(query))

    def entries(self, query: EntryQuery) -> Page:
        """Return the indexes of the entries of any type that match; raises as `markers`."""
        return self._answer(plan_query(query))

    def _answer(self, plan: Plan) -> Page:
        with self._views.reading() as connection:
            size = projected_size(connection, NAME)
            span = _Range(0, size, newest=plan.newest)
            if plan.after is not None:
                span = span.behind(plan.after)
            span = _narrow(connection, plan, span)
            found, looked_until = _find(connection, plan, span)
        if len(found) > plan.limit:
            found = found[: plan.limit]
            looked_until = found[-1]
        cursor = None if looked_until is None else plan.cursor(looked_until)
        return Page(tuple(found), cursor, size)


def _narrow(connection: Connection, plan: Plan, span: _Range) -> _Range:
    """Leave out the blocks in which no entry can be of the time asked for."""
    low, high = span.low, span.high
    if plan.since_ms is not None:
        possible = select(func.min(_BLOCK.c.number)).where(_BLOCK.c.high_ms >= plan.since_ms)
        first = connection.scalar(possible)
        low = high if first is None else max(low, first * BLOCK_ENTRIES)
    if plan.until_ms is not None:
        possible = select(func.max(_BLOCK.c.number)).where(_BLOCK.c.low_ms < plan.until_ms)
        last = connection.scalar(possible)
        high = low if last is None else min(high, (last + 1) * BLOCK_ENTRIES)
    return _Range(low, high, span.newest)


def _find(connection: Connection, plan: Plan, span: _Range) -> tuple[list[int], int | None]:
    """Return matches, one more than the page takes if there are so many, in order.

    Returns:
        With them the index up to which everything was looked at, None when nothing is left.
    """
    groups = [[term_of(name, value) for value in values] for name, values in plan.groups]
    driver, others = _rarest_first(connection, groups, span)
    checks: list[Callable[[Iterable[int]], set[int]]]
    checks = [partial(_having, connection, terms) for terms in others]
    if (wanted := _row_condition(plan)) is not None:
        checks.append(partial(_satisfying, connection, wanted))
    found: list[int] = []
    looked = 0
    count = plan.limit + 1 if not checks else max(_PROBE_ROWS, plan.limit + 1)
    while True:
        count = min(count, SCAN_LIMIT - looked)
        candidates = kept = _read(connection, driver, span, count)
        for check in checks:
            if kept:
                passed = check(kept)
                kept = [index for index in kept if index in passed]
        found += kept
        looked += len(candidates)
        if len(candidates) < count:
            return found, None
        if len(found) > plan.limit or looked >= SCAN_LIMIT:
            return found, candidates[-1]
        span = span.behind(candidates[-1])
        count = min(2 * count, _CHUNK_ROWS)


def _rarest_first(
    connection: Connection, groups: Sequence[_Terms], span: _Range
) -> tuple[_Terms | None, list[_Terms]]:
    """Return the terms whose entries to go through, None for all, and those to ask about."""
    if len(groups) <= 1:
        return (groups[0] if groups else None), []

    def rarity(terms: _Terms) -> tuple[int, int]:
        first = _read(connection, terms, span, _PROBE_ROWS)
        # Fewer are rarer; of as many, those that reach farther.
        reach = abs(first[-1] - first[0]) if first else 0
        return len(first), -reach

    ranked = sorted(groups, key=rarity)
    return ranked[0], ranked[1:]


def _read(connection: Connection, terms: _Terms | None, span: _Range, count: int) -> list[int]:
    """Return the first `count` indexes of a range that have one of the terms, in its order."""
    bounds = {"low": span.low, "high": span.high, "count": count}
    if terms is None:
        statement = _ALL_FROM_NEWEST if span.newest else _ALL_FROM_OLDEST
        return list(connection.scalars(statement, bounds))
    statement = _FROM_NEWEST if span.newest else _FROM_OLDEST
    if len(terms) == 1:
        return list(connection.scalars(statement, {**bounds, "term": terms[0]}))
    # The first of all are among the first of each.
    each = (connection.scalars(statement, {**bounds, "term": term}) for term in terms)
    united = {index for indexes in each for index in indexes}
    return sorted(united, reverse=span.newest)[:count]


def _having(connection: Connection, terms: _Terms, candidates: Iterable[int]) -> set[int]:
    asked = {"terms": list(terms), "candidates": list(candidates)}
    return set(connection.scalars(_WITH_TERMS, asked))


def _satisfying(
    connection: Connection, wanted: ColumnElement[bool], candidates: Iterable[int]
) -> set[int]:
    statement = select(_ENTRY.c.idx).where(_ENTRY.c.idx.in_(list(candidates)), wanted)
    return set(connection.scalars(statement))


def _row_condition(plan: Plan) -> ColumnElement[bool] | None:
    """Return what postings cannot tell, None when they tell all."""
    row = _ENTRY.c
    wanted: list[ColumnElement[bool]] = []
    if plan.since_ms is not None:
        wanted.append(row.received_ms >= plan.since_ms)
    if plan.until_ms is not None:
        wanted.append(row.received_ms < plan.until_ms)
    if any(len(commit) > COMMIT_PREFIX for commit in plan.commits):
        wanted.append(or_(*(row.commit_hash.startswith(digits) for digits in plan.commits)))
    if plan.occurrences:
        exact = [
            and_(row.deployment == term_of("deployment_id", each[0]), row.occurrence == each[1])
            for each in plan.occurrences
        ]
        every = [row.deployment == term_of("deployment_id", name) for name in plan.deployments]
        wanted.append(or_(*exact, *every))
    return and_(*wanted) if wanted else None
