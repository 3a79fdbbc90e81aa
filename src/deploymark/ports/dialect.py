"""What another system's clients send us, and how they are answered: a dialect is a table of routes.

A vendor's folder declares routes: where, how the caller shows who it is, and which pure functions
translate a request to markers and answer it. It never sees a connection, a token or the log. The
server mounts the table, authenticates, admits, signs as the gateway and calls the functions.

Four kinds of route. `Write` says something new and needs to know nothing for it. `Change` corrects
what was said, so it looks at records first. `Read` only looks. `Ask` asks the gate. Functions may
raise errors of `deploymark.errors`; the dialect's `refuse` says them as its clients expect.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from deploymark.crypto.webhook_signature import Profile
from deploymark.decoding import decode_json
from deploymark.errors import DialectError
from deploymark.model.mapping import NO_MAPPING, TextMapping
from deploymark.model.tolerant import milliseconds_of
from deploymark.ports.dialect_gate import DialectGate

MAX_BODY_BYTES: Final = 1_048_576

STARTED_LABEL: Final = "started_at"
"""A label with the time at which something began that no marker of its own says."""


# What comes in, and what goes back --------------------------------------------------------------


class ForeignRequest(Struct, frozen=True, kw_only=True):
    """One request of an authenticated client.

    Attributes:
        method: As sent.
        path: The parameters of the route's template, decoded.
        query: In order, decoded.
        headers: By lower-case name.
        body: As sent, unpacked from gzip.
        form: Of a body of `application/x-www-form-urlencoded`, decoded; of a repeated name the
            last.
        caller: The principal, such as `token:ci`.
        received_ms: When it came, milliseconds since the epoch.
        origin: The address that the client used, without a path: `https://deploy.example.com`.
        mapping: What the configuration says of texts of this caller.
    """

    method: str = "POST"
    path: Mapping[str, str] = {}
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, str] = {}
    body: bytes = b""
    form: Mapping[str, str] = {}
    caller: str = ""
    received_ms: int = 0
    origin: str = ""
    mapping: TextMapping = NO_MAPPING

    def json(self) -> dict[str, Any]:
        """Return the body as a JSON object, {} when it is empty.

        Raises:
            DialectError: It is none.
        """
        if not self.body.strip():
            return {}
        try:
            found = decode_json(self.body)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise DialectError(f"The body is not JSON: {error}.") from None
        if not isinstance(found, dict):
            raise DialectError("The body is not a JSON object.")
        return found

    def asked(self, name: str) -> str:
        """Return a query parameter, the first of its name; "" when it was not sent."""
        return next((text for key, text in self.query if key == name), "")

    def asked_all(self, name: str) -> tuple[str, ...]:
        """Return every query parameter of a name."""
        return tuple(text for key, text in self.query if key == name)


class ForeignReply(Struct, frozen=True):
    """What the client gets.

    Attributes:
        status: HTTP status.
        body: Its bytes; `in_json` makes them.
        media_type: Of the body.
        headers: Further ones, names in lower case.
    """

    status: int = 200
    body: bytes = b""
    media_type: str = "application/json"
    headers: Sequence[tuple[str, str]] = ()


def in_json(
    value: Any,  # noqa: ANN401 - whatever can be encoded
    status: int = 200,
    headers: Sequence[tuple[str, str]] = (),
) -> ForeignReply:
    """Return a reply in JSON."""
    return ForeignReply(status, msgspec.json.encode(value), headers=headers)


class Refusal(Struct, frozen=True):
    """An error, to be said in the words of the client's own system.

    Attributes:
        status: HTTP status.
        code: Ours, stable.
        message: One sentence and, behind it, what to do.
        retry_after_s: In how many seconds it is worth trying again, None when it is not.
    """

    status: int
    code: str
    message: str
    retry_after_s: int | None = None


# How callers show who they are ------------------------------------------------------------------


class Carrier(StrEnum):
    """Where a token of ours stands."""

    BEARER = "bearer"  # Authorization: Bearer TOKEN
    BASIC = "basic"  # the password of Authorization: Basic, or its user where there is none
    HEADER = "header"  # a header of its own
    QUERY = "query"  # a query parameter
    BODY = "body"  # a field of the JSON or form body, inner ones behind dots


class Token(Struct, frozen=True):
    """A token of ours, in the place where the client puts its system's.

    Attributes:
        carrier: Where.
        name: Of the header (lower case), the parameter or the field.
        prefix: What stands before it in a header, such as `Token `; compared without case.
    """

    carrier: Carrier
    name: str = ""
    prefix: str = ""


class Signature(Struct, frozen=True):
    """A webhook signed with a secret of the section `[dialects.NAME]`.

    Attributes:
        profile: How.
        header: The lower-case header that says it, and by which it is told that this is the way.
    """

    profile: Profile
    header: str


Credential = Token | Signature

BEARER: Final = Token(Carrier.BEARER)
BASIC: Final = Token(Carrier.BASIC)


# What a translation says ------------------------------------------------------------------------


class Translated(Struct, frozen=True):
    """One flat marker, before the gateway completes and signs it.

    The gateway adds emitter, the labels `dialect` and `tag.N`, and the text: as `reason` where it
    fits and holds nothing personal, else erasable by digest.

    Attributes:
        fields: The flat marker.
        text: Free text that came with it, kept whatever it is.
        tags: As sent.
        sort: Of record, where a dialect has several: `release`, `deploy`; the label `sort`.
        within: What holds it: an organisation, a data set, a project; the label `within`.
    """

    fields: Mapping[str, Any]
    text: str = ""
    tags: Sequence[str] = ()
    sort: str = ""
    within: str = ""


Scalar = str | bool | int | float | None


class Event(Struct, frozen=True):
    """One marker of a record.

    Attributes:
        index: Its entry in the log.
        phase: What it says.
        at_ms: When, as claimed or amended; when it came, where nothing is claimed.
    """

    index: int
    phase: str
    at_ms: int


class Record(Struct, frozen=True, kw_only=True):
    """What a dialect's clients told of one occurrence of one deployment, as amended since.

    Attributes:
        index: Of its first entry: the integer by which clients know it.
        dialect: Whose clients told it.
        deployment_id: `d-…`.
        occurrence: From 1.
        principal: Who told it first.
        received_ms: When.
        fields: The flat marker; later markers complete and amendments correct earlier ones.
        events: Its markers in the order of the log.
        text: The free text, wherever it is kept; "" once erased.
        tags: As sent, or amended.
        sort, within: As in `Translated`.
        amended_ms: When it was changed last, `received_ms` where it never was.
    """

    index: int
    dialect: str
    deployment_id: str
    occurrence: int
    principal: str
    received_ms: int
    fields: Mapping[str, Any]
    events: Sequence[Event]
    text: str = ""
    tags: Sequence[str] = ()
    sort: str = ""
    within: str = ""
    amended_ms: int = 0

    @property
    def started_ms(self) -> int:
        """When it began: by the label `started_at`, or the first of its markers."""
        began = milliseconds_of((self.fields.get("labels") or {}).get(STARTED_LABEL))
        return began or min(event.at_ms for event in self.events)

    @property
    def ended_ms(self) -> int:
        """When the last of its markers says it was."""
        return max(event.at_ms for event in self.events)


class Amended(Struct, frozen=True):
    """A correction of a record.

    Attributes:
        record: Which.
        changes: New values by JSON Pointer into the flat marker; null takes one away. Those that
            change nothing are left out, and an amendment without any is not made.
        event: Which of its markers the changes are about, by its place; time is each one's own.
        text: A new text; None leaves it.
        tags: New tags; None leaves them.
    """

    record: Record
    changes: Mapping[str, Scalar] = {}
    event: int = -1
    text: str | None = None
    tags: Sequence[str] | None = None


class Said(Struct, frozen=True):
    """What a request says, in the order in which it is written down.

    Attributes:
        markers: New ones.
        amendments: Corrections.
        retractions: Records that are taken back, with all their markers.
        incidents: What went wrong, each the fields of an entry incident/v1.
        note: For the answering function.
    """

    markers: Sequence[Translated] = ()
    amendments: Sequence[Amended] = ()
    retractions: Sequence[Record] = ()
    incidents: Sequence[Mapping[str, Any]] = ()
    note: Any = None


class Told(Struct, frozen=True):
    """A marker that stands in the log.

    Attributes:
        index: Of its entry; a duplicate's is that of the first.
        deployment_id: `d-…`.
        occurrence: From 1.
        duplicate: It stood there already.
        received_ms: When the log admitted it, or the first.
    """

    index: int
    deployment_id: str
    occurrence: int
    duplicate: bool
    received_ms: int


# What may be looked at --------------------------------------------------------------------------


class RecordQuery(Struct, frozen=True, kw_only=True):
    """Which records, the one that ended last first.

    Attributes:
        sort, within, service, environment, version, release: As the records say.
        since_ms: It ended then or later.
        until_ms: It began then or before.
        tags: It has all of them.
        any_tag: One of them is enough.
        limit: At most so many.
        offset: So many are left out first.
    """

    sort: str | None = None
    within: str | None = None
    service: str | None = None
    environment: str | None = None
    version: str | None = None
    release: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    tags: Sequence[str] = ()
    any_tag: bool = False
    limit: int = 100
    offset: int = 0


class DialectRecords(Protocol):
    """The records of one dialect that its caller may see; a view of the log, and so may wait.

    An emitter sees what it said itself, as far as its scope has it; a reader sees everything. What
    was retracted is not there.
    Every method raises `StoreUnavailableError` while the view is being built.
    """

    def find(self, index: int) -> Record | None:
        """Return the record that has a marker at this index of the log."""
        ...

    def search(self, query: RecordQuery) -> list[Record]:
        """Return records."""
        ...


# The table --------------------------------------------------------------------------------------


class Write(Struct, frozen=True):
    """Says something new: pure, and answered without a look at any view.

    Attributes:
        translate: From the request to what it says.
        answer: From the request, what it said, and what became of each marker, in its order.
    """

    translate: Callable[[ForeignRequest], Said]
    answer: Callable[[ForeignRequest, Said, Sequence[Told]], ForeignReply]


class Change(Struct, frozen=True):
    """Corrects what was said, or says what depends on it; waits until the view has seen the log.

    Attributes:
        translate: From the request and the records to what it says.
        answer: As in `Write`.
        alone: Tried first, without any records, so that what can do without them does not wait;
            None where it cannot tell.
    """

    translate: Callable[[ForeignRequest, DialectRecords], Said]
    answer: Callable[[ForeignRequest, Said, Sequence[Told]], ForeignReply]
    alone: Callable[[ForeignRequest], Said | None] | None = None


class Read(Struct, frozen=True):
    """Shows records; waits until the view has seen the log.

    Attributes:
        answer: From the request and the records.
        looks: It needs the records; those that do not are answered at once.
    """

    answer: Callable[[ForeignRequest, DialectRecords], ForeignReply]
    looks: bool = True


class Ask(Struct, frozen=True):
    """Asks the gate for a reader; waits until the views have seen the log.

    Attributes:
        answer: From the request and the gate.
    """

    answer: Callable[[ForeignRequest, DialectGate], ForeignReply]


class Route(Struct, frozen=True):
    """One row of a dialect's table.

    Attributes:
        method: Such as POST; HEAD comes with GET.
        path: Its address at the root; `{name}` is one segment, `{name:path}` may hold slashes. It
            is answered with and without a final slash.
        summary: What it does, for the documentation.
        does: What answers it.
        credentials: The ways in which callers show who they are; the first that the request has
            counts. None at all: anyone, whose body is not read.
    """

    method: str
    path: str
    summary: str
    does: Write | Change | Read | Ask
    credentials: tuple[Credential, ...] = (BEARER,)


class Dialect(Struct, frozen=True):
    """What one system's clients say.

    Attributes:
        name: As in `[dialects.NAME]`, in labels and metrics.
        title: For people: whose clients.
        routes: The table; a literal segment goes before a parameter.
        refuse: Says an error as these clients expect.
        max_body_bytes: Of one request.
        guide: The page `docs/howto/<guide>.md` for those who use it.
    """

    name: str
    title: str
    routes: tuple[Route, ...]
    refuse: Callable[[Refusal], ForeignReply]
    max_body_bytes: int = MAX_BODY_BYTES
    guide: str = ""
