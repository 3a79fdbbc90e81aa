"""What may be asked of the search view: filters, limits, cursors. Pure.

Filters combine with AND; several values of one filter with OR. Values are compared exactly, upper
and lower case told apart, with two exceptions: a commit may be a prefix, and deployment ids are
lower case as in the log. A query is checked before anything is read, so that a misspelt phase is
a refusal and not an empty page.
"""

import base64
import binascii
import re
import struct
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from hashlib import blake2b
from typing import Literal, NamedTuple

from msgspec import Struct

from deploymark.errors import IdError, InstantError, QueryError
from deploymark.model.ids import parse_occurrence
from deploymark.model.inspection import show
from deploymark.model.instants import parse_instant
from deploymark.model.vocabulary import FindingCode, Kind, Phase

MAX_LIMIT = 1_000
DEFAULT_LIMIT = 50
MAX_VALUES = 64
COMMIT_PREFIX = 7
"""Digits of a commit by which it is filed; a query names at least as many."""

ENTRY_TYPES = (
    "marker",
    "verdict",
    "decision",
    "incident",
    "finding",
    "key",
    "amendment",
    "retraction",
    "detail",
)

Values = tuple[str, ...]
Order = Literal["newest", "oldest"]

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_WORDS: dict[str, tuple[str, ...]] = {
    "kind": tuple(Kind),
    "phase": tuple(Phase),
    "type": ENTRY_TYPES,
    "code": tuple(FindingCode),
}
_CURSOR_VERSION = 1
_CURSOR = struct.Struct(">Bq6s")  # version, position, check: 15 bytes, so base64 needs no padding


class _Query(Struct, frozen=True, kw_only=True):
    """What every query has.

    Attributes:
        deployment_id: Ids; `id~2` finds one occurrence, `id` all of them.
        since: RFC 3339; received then or later.
        until: RFC 3339; received before then.
        order: By index.
        limit: Longest page, 1 to 1,000.
        cursor: `next_cursor` of the page before, of the same filters and order.
    """

    deployment_id: Values = ()
    since: str | None = None
    until: str | None = None
    order: Order = "newest"
    limit: int = DEFAULT_LIMIT
    cursor: str | None = None


class MarkerQuery(_Query, frozen=True, kw_only=True):
    """Which markers are looked for, under the names of `GET /v1/markers`.

    Attributes:
        instance: `target.instance` or `target.instance_uid`.
        digest: Of the artifact, of one of its platforms, or the one that evidence states.
        commit: `commit_hash`, or at least its first 7 digits.
        ticket: One of `change_tickets`.
    """

    service: Values = ()
    environment: Values = ()
    cluster: Values = ()
    region: Values = ()
    zone: Values = ()
    instance: Values = ()
    digest: Values = ()
    commit: Values = ()
    tag: Values = ()
    version: Values = ()
    build_id: Values = ()
    ticket: Values = ()
    owner: Values = ()
    kind: Values = ()
    phase: Values = ()
    correlation_id: Values = ()


class EntryQuery(_Query, frozen=True, kw_only=True):
    """Which entries are looked for, markers among them, under the names of `GET /v1/entries`.

    Attributes:
        type: `marker`, `finding`, `decision`, ….
        code: Of findings.
    """

    type: Values = ()
    code: Values = ()


class Page(Struct, frozen=True):
    """An answer.

    Attributes:
        indexes: Positions in the log, in the order asked for.
        next_cursor: Continues behind them; None at the end. A page may be short, even empty, and
            still have one: then the search stopped at its bound, and goes on from there.
        as_of: How many entries of the log the view had seen.
    """

    indexes: tuple[int, ...]
    next_cursor: str | None
    as_of: int


class Occurrence(NamedTuple):
    """One occurrence of a deployment."""

    deployment_id: str
    number: int


class Plan(Struct, frozen=True):
    """A query that has been checked.

    Attributes:
        groups: (filter, values) pairs: an entry must be filed under one value of each.
        commits: Digits of which an entry's commit must begin with one; () for any.
        occurrences: Of which an entry must belong to one, unless it belongs to `deployments`;
            () for any.
        deployments: Ids that were named without an occurrence.
        since_ms: Received at that time or later.
        until_ms: Received before that time.
        newest: Highest index first.
        limit: Longest page.
        after: Index behind which the page begins, in its order; None for the beginning.
        fingerprint: Ties a cursor to its query.
    """

    groups: tuple[tuple[str, Values], ...]
    commits: Values
    occurrences: tuple[Occurrence, ...]
    deployments: Values
    since_ms: int | None
    until_ms: int | None
    newest: bool
    limit: int
    after: int | None
    fingerprint: bytes

    def cursor(self, index: int) -> str:
        """Return the cursor of a page that has looked at everything up to this index."""
        check = _check_bytes(index, self.fingerprint)
        return base64.urlsafe_b64encode(_CURSOR.pack(_CURSOR_VERSION, index, check)).decode()


def plan_query(query: MarkerQuery | EntryQuery) -> Plan:
    """Check a query and bring it into the form in which it is answered.

    Raises:
        QueryError: A filter, the limit or the cursor is not what it may be; `field` names it.
    """
    if not 1 <= query.limit <= MAX_LIMIT:
        raise QueryError(f"/limit is {query.limit}; it may be 1 to {MAX_LIMIT}.", field="/limit")
    if query.order not in ("newest", "oldest"):
        raise QueryError(
            f"/order is {show(query.order)}; it may be newest or oldest.", field="/order"
        )
    filters = dict(_filters(query))
    _check_count(filters)
    for name, words in _WORDS.items():
        check_words(name, filters.get(name, ()), words)
    commits = filters.get("commit", ())
    _check_commits(commits)
    named = _occurrences(filters.get("deployment_id", ()))
    if commits:
        filters["commit"] = _distinct(commit[:COMMIT_PREFIX] for commit in commits)
    if named:
        filters["deployment_id"] = _distinct(name for name, _ in named)
    since_ms, until_ms = _instant("since", query.since), _instant("until", query.until)
    if isinstance(query, MarkerQuery) and not filters.keys() - {"deployment_id"}:
        filters["type"] = ("marker",)  # every other filter is of markers only
    shape = (type(query).__name__, filters, commits, named, since_ms, until_ms, query.order)
    fingerprint = ascii(shape).encode()
    return Plan(
        groups=tuple(filters.items()),
        commits=commits,
        occurrences=tuple(Occurrence(name, n) for name, n in named if n is not None),
        deployments=tuple(name for name, n in named if n is None),
        since_ms=since_ms,
        until_ms=until_ms,
        newest=query.order == "newest",
        limit=query.limit,
        after=None if query.cursor is None else _read_cursor(query.cursor, fingerprint),
        fingerprint=fingerprint,
    )


def _filters(query: MarkerQuery | EntryQuery) -> Iterator[tuple[str, Values]]:
    for name in query.__struct_fields__:
        value = getattr(query, name)
        if isinstance(value, tuple) and value:
            yield name, _distinct(value)


def _distinct(values: Iterator[str] | Sequence[str]) -> Values:
    return tuple(sorted(set(values)))


def _check_count(filters: dict[str, Values]) -> None:
    count = sum(map(len, filters.values()))
    if count > MAX_VALUES:
        longest = max(filters, key=lambda name: len(filters[name]))
        raise QueryError(
            f"The query names {count} values; the limit is {MAX_VALUES}.",
            hint="Ask several times, with fewer values each.",
            field=f"/{longest}",
        )


def check_words(name: str, values: Values, words: Sequence[str]) -> None:
    """Refuse a value that is none of the words, and name the nearest; raises QueryError."""
    for value in values:
        if value not in words:
            near = get_close_matches(value[:MAX_VALUES], words, n=1)
            raise QueryError(
                f"/{name} is {show(value)}; it may be {', '.join(words)}.",
                hint=f"Did you mean `{near[0]}`?" if near else "",
                field=f"/{name}",
            )


def _check_commits(values: Values) -> None:
    for value in values:
        if _COMMIT.fullmatch(value) is None:
            raise QueryError(
                f"/commit is {show(value)}; it must be {COMMIT_PREFIX} to 64 lower-case "
                "hexadecimal digits.",
                hint="Name the whole hash, or more of its first digits.",
                field="/commit",
            )


def _occurrences(values: Values) -> list[tuple[str, int | None]]:
    try:
        return [parse_occurrence(value) for value in values]
    except IdError as error:
        raise QueryError(
            f"/deployment_id: {error.message}", hint=error.hint, field="/deployment_id"
        ) from None


def _instant(name: str, value: str | None) -> int | None:
    try:
        return None if value is None else parse_instant(value)
    except InstantError as error:
        raise QueryError(f"/{name}: {error.message}", hint=error.hint, field=f"/{name}") from None


def _read_cursor(text: str, fingerprint: bytes) -> int:
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
        version, index, check = _CURSOR.unpack(raw)
    except (UnicodeEncodeError, binascii.Error, struct.error):
        raise QueryError(
            f"/cursor is {show(text)}, which is no cursor.",
            hint="Send next_cursor as it came, or leave it out to begin anew.",
            field="/cursor",
        ) from None
    # Not a secret: it tells a slip from a continuation, and anyone may begin where they like.
    if version != _CURSOR_VERSION or check != _check_bytes(index, fingerprint):
        raise QueryError(
            "/cursor belongs to another query or to another release.",
            hint="Keep filters and order while following a cursor, or leave it out.",
            field="/cursor",
        )
    return int(index)


def _check_bytes(index: int, fingerprint: bytes) -> bytes:
    return blake2b(b"%d " % index + fingerprint, digest_size=6).digest()
