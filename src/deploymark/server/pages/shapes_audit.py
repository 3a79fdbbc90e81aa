"""What an auditor sees, and what a frozen view holds."""

from typing import Any

from msgspec import Struct

from deploymark.server.pages.shapes import Document
from deploymark.server.pages.shapes_boot import Page


class Gap(Struct, frozen=True):
    """Numbers that an emitter gave and that never came.

    Attributes:
        epoch: A run of the emitter; numbers begin anew with each.
        missing: How many; `first` and `last` are the outermost of them.
    """

    emitter: str
    principal: str
    epoch: str
    missing: int
    first: int | None
    last: int | None
    since_at: str | None


class Checkpoint(Struct, frozen=True):
    """The newest published checkpoint.

    Attributes:
        size: Entries that it covers.
        unpublished: Entries behind it.
        text: The signed note.
    """

    origin: str
    size: int
    root_hash: str
    published_at: str | None
    age_seconds: int | None
    unpublished: int
    text: str


class Witness(Struct, frozen=True):
    """A cosignature under the checkpoint."""

    name: str
    key_id: str
    cosigned_at: str | None
    age_seconds: int | None


class AuditEntry(Struct, frozen=True):
    """An entry in a list.

    Attributes:
        id: The deployment that it was filed under, `d-…~n`.
    """

    index: int
    type: str
    received_at: str
    principal: str
    assurance: str
    key_id: str
    id: str | None
    service: str | None
    environment: str | None
    sentence: str


class Audit(Document, frozen=True, kw_only=True):
    """The log, for somebody who doubts it.

    Attributes:
        entries: Newest first, as `ticket`, `owner` and `digest` choose.
        entries_total: In the log.
        policy: The policy that verifiers trust, "" when there is none to show.
        export_command, verify_command: To be copied.
    """

    gaps: list[Gap]
    gaps_total: int
    emitters_total: int
    checkpoint: Checkpoint | None
    witnesses: list[Witness]
    ticket: str | None
    owner: str | None
    digest: str | None
    entries: list[AuditEntry]
    entries_total: int
    next_cursor: str | None
    policy: str
    export_command: str
    verify_command: str


class LeafInputs(Struct, frozen=True):
    """What the leaf hash is made of: SHA-256 of one zero byte and the leaf (RFC 6962, 2.1).

    Attributes:
        leaf: The leaf's bytes, base64.
        hash: In hexadecimal digits, as the log keeps it.
        payload_type, payload: What was handed in, base64.
        signatures: By key id.
    """

    leaf: str
    hash: str
    payload_type: str
    payload: str
    key_ids: list[str]


class AuditEntryPage(Document, frozen=True, kw_only=True):
    """One entry, with what proves that it stands in the log.

    Attributes:
        content: The marker, or the fields of any other entry.
        receipt: A c2sp.org/tlog-proof; null until the entry is published.
        verifier_keys: Lines of the policy that a browser needs to check the checkpoint's note.
        previous, next: Neighbours' indexes.
    """

    entry: AuditEntry
    content: dict[str, Any]
    leaf: LeafInputs
    receipt: str | None
    checkpoint: Checkpoint | None
    policy: str
    verify_command: str
    previous: int | None
    next: int | None


class Frozen(Document, frozen=True, kw_only=True):
    """A page as it was when somebody kept it.

    Attributes:
        page: Of which page the document is.
        address: Path and query that it was kept from.
        document: Of that page.
        digest: Under which it is kept, `sha256:…`.
    """

    page: Page
    address: str
    frozen_at: str
    frozen_by: str
    document: dict[str, Any]
    digest: str


class NewView(Struct, frozen=True, forbid_unknown_fields=True):
    """A page to be kept; the server makes its document anew.

    Attributes:
        address: Path and query of a page, `/oncall?since=…&until=…`.
    """

    address: str


class KeptView(Struct, frozen=True):
    """Where a kept page is found."""

    address: str
    digest: str
