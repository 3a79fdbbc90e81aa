"""The log, for somebody who doubts it: what is missing, what is signed, what proves each entry."""

import base64
from collections.abc import Mapping
from typing import Any, Final

from deploymark.crypto.note import parse_note, parse_signature_line
from deploymark.errors import (
    DeploymarkError,
    NotFoundError,
    NotPublishedError,
    StoreUnavailableError,
)
from deploymark.log.checkpoint import encode_hash, parse_checkpoint
from deploymark.log.reader import full_note
from deploymark.log.receipt import format_receipt
from deploymark.model.instants import format_instant
from deploymark.model.leaf import decode_leaf
from deploymark.ports import PublishedCheckpoint
from deploymark.projections.broker.corrected import NONE, Corrections, remark_of
from deploymark.projections.paging import DEFAULT_LIMIT
from deploymark.projections.search_query import EntryQuery, MarkerQuery
from deploymark.server.pages.asked import Asked
from deploymark.server.pages.events import with_remark
from deploymark.server.pages.evidence import words_of
from deploymark.server.pages.shapes_audit import (
    Audit,
    AuditEntry,
    AuditEntryPage,
    Checkpoint,
    Gap,
    LeafInputs,
    Witness,
)
from deploymark.server.views import MARKER, entry_view

GAPS: Final = 100

_MS: Final = 1_000
_TIME_BYTES: Final = 8
_EXPORT: Final = "deploymark log export EXPORT"
_VERIFY: Final = "deploymark verify EXPORT --policy policy"

Item = Mapping[str, Any]


def audit(asked: Asked) -> Audit:
    """Return the page.

    Raises:
        QueryError: A filter, the limit or the cursor is not what it may be.
        StoreUnavailableError: The views are being built, or a medium refuses.
    """
    emitters = list(asked.parts.emitters.list())
    gaps = [_gap(each) for each in emitters if each["missing"]["count"]]
    gaps.sort(key=lambda gap: -gap.missing)
    entries, cursor, as_of = _entries(asked)
    published = _newest(asked)
    witnesses = [] if published is None else _witnesses(published, asked.now_ms)
    if published is None:
        asked.miss("checkpoint", "Nothing is published yet; the first checkpoint comes in seconds.")
    elif not witnesses:
        asked.miss(
            "witnesses",
            "No witness cosigned the newest checkpoint: add one to the policy (`deploymark log"
            " witness add`), so that nobody can show two histories.",
        )
    return Audit(
        **asked.head(as_of),
        gaps=gaps[:GAPS],
        gaps_total=len(gaps),
        emitters_total=len(emitters),
        checkpoint=None if published is None else _checkpoint(asked, published),
        witnesses=witnesses,
        ticket=asked.parameters.get("ticket"),
        owner=asked.parameters.get("owner"),
        digest=asked.parameters.get("digest"),
        entries=entries,
        entries_total=asked.parts.view.reader.head().size,
        next_cursor=cursor,
        policy=asked.parts.policy_text,
        export_command=_EXPORT,
        verify_command=_VERIFY,
    )


def _gap(each: Item) -> Gap:
    gaps = each["missing"]["gaps"]
    return Gap(
        emitter=each["id"],
        principal=each["principal"],
        epoch=each["epoch"],
        missing=each["missing"]["count"],
        first=gaps[0][0] if gaps else None,
        last=gaps[-1][-1] if gaps else None,
        since_at=each["last_seen"],
    )


def _entries(asked: Asked) -> tuple[list[AuditEntry], str | None, int]:
    said = asked.parameters
    limit, cursor = said.get("limit", DEFAULT_LIMIT), said.get("cursor")
    ticket, owner, digest = (
        (said[name],) if name in said else () for name in ("ticket", "owner", "digest")
    )
    if ticket or owner or digest:
        query = MarkerQuery(ticket=ticket, owner=owner, digest=digest, limit=limit, cursor=cursor)
        found = asked.parts.search.markers(query)
    else:
        found = asked.parts.search.entries(EntryQuery(limit=limit, cursor=cursor))
    known = asked.parts.broker.corrections(found.indexes)
    entries = [_listed(asked, index, known.get(index, NONE)) for index in found.indexes]
    return [each for each in entries if each is not None], found.next_cursor, found.as_of


def _listed(asked: Asked, index: int, corrections: Corrections) -> AuditEntry | None:
    try:
        return _entry(entry_view(asked.parts.view.reader.entry(index)), corrections)
    except DeploymarkError:  # archived, or of a release that this one cannot read
        return None


def _entry(view: Item, corrections: Corrections) -> AuditEntry:
    said: Item = view.get(MARKER) or view["entry"]
    named = view["ids"].get("deployment_id") or said.get("deployment_id")
    if named and view["occurrence"]:
        named = f"{named}~{view['occurrence']}"
    return AuditEntry(
        index=view["index"],
        type=view["type"],
        received_at=view["received_at"],
        principal=view["principal"] or "anonymous",
        assurance=view["assurance"],
        key_id=view["key_id"],
        id=named or None,
        service=said.get("service"),
        environment=said.get("environment"),
        sentence=with_remark(
            words_of(view["type"], said)[1] or view["type"], remark_of(corrections)
        ),
    )


# What is published -------------------------------------------------------------------------------


def _newest(asked: Asked) -> PublishedCheckpoint | None:
    reader = asked.parts.view.reader
    try:
        return reader.checkpoint(max(1, reader.head().published_size))
    except NotFoundError:
        return None


def _checkpoint(asked: Asked, published: PublishedCheckpoint) -> Checkpoint:
    text = full_note(published.note, published.cosignatures)
    said = parse_checkpoint(parse_note(text).text)
    at_ms = published.published_at_s * _MS
    return Checkpoint(
        origin=said.origin,
        size=published.size,
        root_hash=encode_hash(said.root),
        published_at=format_instant(at_ms),
        age_seconds=max(0, (asked.now_ms - at_ms) // _MS),
        unpublished=asked.parts.view.reader.head().size - published.size,
        text=text,
    )


def _witnesses(published: PublishedCheckpoint, now_ms: int) -> list[Witness]:
    found = []
    for line in published.cosignatures.values():
        said = parse_signature_line(line.rstrip("\n"))
        # A cosignature begins with its time (c2sp.org/tlog-cosignature).
        at_ms = int.from_bytes(said.signature[:_TIME_BYTES], "big") * _MS
        age = max(0, (now_ms - at_ms) // _MS)
        found.append(Witness(said.name, said.key_id.hex(), format_instant(at_ms), age))
    return sorted(found, key=lambda each: each.name)


# One entry ---------------------------------------------------------------------------------------


def entry(asked: Asked) -> AuditEntryPage:
    """Return one entry with what proves that it stands in the log.

    Raises:
        NotFoundError: There is none, or its body is in the archive.
        StoreUnavailableError: A medium refuses.
    """
    index = asked.parameters["index"]
    reader = asked.parts.view.reader
    stored = reader.entry(index)
    view = entry_view(stored)
    leaf = decode_leaf(stored.leaf or b"")
    size = reader.head().size
    published = _newest(asked)
    return AuditEntryPage(
        **asked.head(size),
        entry=_entry(view, _corrections(asked, index)),
        content=dict(view.get(MARKER) or view["entry"]),
        leaf=LeafInputs(
            leaf=base64.b64encode(stored.leaf or b"").decode("ascii"),
            hash=stored.leaf_hash.hex(),
            payload_type=leaf.dsse.payloadType,
            payload=leaf.dsse.payload,
            key_ids=[each.keyid for each in leaf.dsse.signatures],
        ),
        receipt=_receipt(asked, index),
        checkpoint=None if published is None else _checkpoint(asked, published),
        policy=asked.parts.policy_text,
        verify_command=verify_command(index),
        previous=index - 1 if index else None,
        next=index + 1 if index + 1 < size else None,
    )


def _corrections(asked: Asked, index: int) -> Corrections:
    try:
        return asked.parts.broker.corrections([index]).get(index, NONE)
    except StoreUnavailableError:
        asked.miss(
            "corrections", "The views are being built; then it shows whether it was corrected."
        )
        return NONE


def verify_command(index: int) -> str:
    """Return what verifies an entry on a machine that trusts the policy it has."""
    return (
        f"deploymark receipt {index} --out {index}.receipt"
        f" && deploymark verify {index}.receipt --policy policy"
    )


def _receipt(asked: Asked, index: int) -> str | None:
    try:
        return format_receipt(asked.parts.view.published_receipt(index))
    except (NotPublishedError, NotFoundError):
        asked.miss("receipt", "The entry is not published yet; that takes seconds.")
        return None
