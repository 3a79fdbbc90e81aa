"""The facts that the registry keeps, their keys, and how they are written down. Pure values."""

import re
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from deploymark.decoding import msgpack_decoder
from deploymark.errors import StateBrokenError
from deploymark.ingest.occurrences import MAX_SPOTS, DeploymentRecord, agrees
from deploymark.ingest.sighting import Emission, Line, Place, Sighting, Subject
from deploymark.model.ids import deployment_id
from deploymark.model.vocabulary import Kind, Phase

MAX_RECORDS: Final = 64
"""Records that are listed under one id, and records of one action."""

MAX_OPEN: Final = 64
"""Records of one line that something which goes live can end."""

MAX_OPEN_SPOTS: Final = 1_024
"""Places that these have together: as many as one marker may have to look at."""

_DERIVED: Final = re.compile(r"d-[0-7][0-9a-hjkmnp-tv-z]{25}")


class Owner(Struct, frozen=True, gc=False, array_like=True):
    """To whom a deployment id belongs, and which records are filed under it.

    Nobody may use an id that belongs to somebody else. An id that looks derived belongs to nobody
    before a marker has come that it follows from: until then everybody who gives it has records
    apart, and whom it follows from has one whoever came first.

    Attributes:
        service, environment: The first to use it.
        records: The newest `MAX_RECORDS` ids of records, by kind and key (`kind_of`) and for
            others than the first by line; one id can name a release that changes code and
            configuration. Only to list them, but for "": that may be an alias.
        highest: The highest number of an occurrence of all of them, also of those not listed.
        shared: Others than the first use it.
        proven: The service and environment from which it follows, once they are known.
    """

    service: str
    environment: str
    records: dict[str, str] = {}
    highest: int = 0
    shared: bool = False
    proven: tuple[str, str] | None = None

    def is_first(self, line: Line) -> bool:
        """Tell whether a line is of the service and environment that used the id first."""
        return (self.service, self.environment) == line[:2]

    def refuses(self, sighting: Sighting) -> bool:
        """Tell whether the id belongs to somebody else."""
        if self.proven is not None:
            return self.proven != sighting.line[:2]
        return not self.is_first(sighting.line) and not is_derived(sighting.deployment_id)

    def is_apart(self, line: Line) -> bool:
        """Tell whether others have occurrences under the id, so that their numbers must differ."""
        return self.shared or not self.is_first(line)

    def record_of(self, sighting: Sighting) -> str:
        """Return the id of the record under which a marker is filed, whether it exists or not."""
        line = sighting.line
        if not self.is_first(line):
            return record_id(sighting.deployment_id, line, guest=True)
        listed = self.records.get(kind_of(line))
        return listed or record_id(sighting.deployment_id, line, guest=False)

    def with_record(self, line: Line, identity: str) -> "Owner":
        """Return the same with a record listed; the oldest that is no deployment gives way."""
        name = kind_of(line) if self.is_first(line) else line_key(line)
        records = {**self.records, name: identity}
        while len(records) > MAX_RECORDS:
            del records[next(each for each in records if each)]
        return replace(self, records=records, shared=self.is_apart(line))


class Live(Struct, frozen=True, gc=False, array_like=True):
    """Which deployment is live in a place, since when, and by which marker.

    Attributes:
        evidence: The subject, when the marker is evidence (`Sighting.evidence`): it does not end
            what may be the very deployment that it belongs to.
    """

    place: Place
    at_ms: int
    record: str
    emission: Emission | None = None
    evidence: Subject | None = None

    def follows(self, sighting: Sighting) -> bool:
        """Tell whether it came after a marker: by number within one epoch, else by time."""
        mine, its = self.emission, sighting.emission
        if mine is not None and its is not None and mine[:2] == its[:2]:
            return mine.sequence > its.sequence
        return self.at_ms > sighting.at_ms

    def spares(self, record: DeploymentRecord) -> bool:
        """Tell whether this does not end a deployment, because it may belong to it."""
        return self.evidence is not None and agrees(record, self.evidence)


class Active(Struct, frozen=True, gc=False, array_like=True):
    """Which colour a place was last cut over to, and when."""

    place: Place
    colour: str | None
    at_ms: int


class Standing(Struct, frozen=True, gc=False, array_like=True):
    """What of one line of changes is not over.

    Attributes:
        records: Ids of records with an occurrence that is not over, those without news for longest
            first, and how many places each has. `still_open` bounds them; what falls out is no
            longer superseded until it is told of again.
        live: The newest that went live in each place, in at most `MAX_SPOTS`.
        active: The colour of each place that was cut over, of at most `MAX_SPOTS`.
    """

    records: dict[str, int] = {}
    live: tuple[Live, ...] = ()
    active: tuple[Active, ...] = ()


Fact = Owner | DeploymentRecord | Standing | tuple[str, ...]
_TYPES: Final[dict[str, Any]] = {
    "d": Owner,
    "r": DeploymentRecord,
    "l": Standing,
    "a": tuple[str, ...],
}
_decoders = {name: msgpack_decoder(kind) for name, kind in _TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
NO_ONE: Final = Standing()


def still_open(records: dict[str, int], live: tuple[Live, ...]) -> dict[str, int]:
    """Return the records that something which goes live will look at.

    At most `MAX_OPEN` with `MAX_OPEN_SPOTS` places together: the newest, and before these what is
    live somewhere, so that however much is planned, what runs is known to end.
    """
    spots = sum(records.values())
    if len(records) <= MAX_OPEN and spots <= MAX_OPEN_SPOTS:
        return records
    running = {each.record for each in live}
    kept = dict(records)
    newest = next(reversed(kept))
    planned = [each for each in kept if each not in running and each != newest]
    for each in (*planned, *[each for each in kept if each in running], newest):
        if len(kept) <= MAX_OPEN and spots <= MAX_OPEN_SPOTS:
            break
        spots -= kept.pop(each)
    return kept


def newest_live(
    live: tuple[Live, ...], places: list[Place], by: Sighting, identity: str
) -> tuple[Live, ...]:
    """Return who is live where, after an occurrence went live in some places."""
    if not places:
        return live
    known = {each.place: each for each in live}
    subject = by.subject if by.evidence else None
    for place in places:
        before = known.get(place)
        if before is None or before.at_ms <= by.at_ms:
            known.pop(place, None)  # the order is by age: what is dropped first is the oldest
            known[place] = Live(place, by.at_ms, identity, by.emission, subject)
    return tuple(known.values())[-MAX_SPOTS:]


def newest_colour(active: tuple[Active, ...], sighting: Sighting) -> tuple[Active, ...]:
    """Return which colour each place has, after a marker."""
    if sighting.phase != Phase.CUTOVER:
        return active
    known = {each.place: each for each in active}
    before = known.get(sighting.place)
    if before is None or before.at_ms <= sighting.at_ms:
        known.pop(sighting.place, None)
        known[sighting.place] = Active(sighting.place, sighting.colour, sighting.at_ms)
    return tuple(known.values())[-MAX_SPOTS:]


def keys_of(sighting: Sighting) -> list[str]:
    """Return the keys of the facts that a marker needs, but for records."""
    keys = [f"d/{sighting.deployment_id}", line_key(sighting.line)]
    if action := action_key(sighting):
        keys.append(action)
    return keys


def is_derived(identifier: str) -> bool:
    """Tell whether an id has the form of those that are derived from markers."""
    return _DERIVED.fullmatch(identifier) is not None


def is_own(identifier: str, facts: DeploymentRecord | Sighting) -> bool:
    """Tell whether an id follows from what is known of a deployment; False if it cannot be told."""
    line = facts.line
    if line.kind != Kind.DEPLOYMENT or not is_derived(identifier):
        return False
    subjects = (
        facts.digest,
        facts.commit and f"commit:{facts.commit}",
        facts.version and f"version:{facts.version}",
    )
    return any(
        identifier == deployment_id(line.service, line.environment, subject, facts.action)
        for subject in subjects
        if subject
    )


def kind_of(line: Line) -> str:
    """Return what tells records under one id apart, "" for a deployment."""
    return "" if line.kind == Kind.DEPLOYMENT else f"{line.kind}:{line.key}"


def identity_of(record: DeploymentRecord) -> str:
    """Return the id of a record: the deployment's, and what tells other kinds under it apart."""
    return record_id(record.id, record.line, guest=record.guest)


def record_id(deployment: str, line: Line, *, guest: bool) -> str:
    """Return the id of a record from its parts; a guest's has the whole line in it."""
    kind = line_key(line) if guest else kind_of(line)
    return f"{deployment}/{kind}" if kind else deployment


def line_key(line: Line) -> str:
    """Return the key of a line of changes."""
    # With their lengths, so that no two lines share a key whatever their names contain.
    return "l/" + "".join([f"{len(part)}:{part}," if part else "-," for part in line])


def action_key(sighting: Sighting) -> str:
    """Return the key of a deploy action within its service and environment, "" for none."""
    line = sighting.line
    if not sighting.action or line.kind != Kind.DEPLOYMENT:
        return ""
    parts = (line.service, line.environment, sighting.action)
    return "a/" + "".join([f"{len(part)}:{part}," for part in parts])


def encode_fact(fact: Fact) -> bytes:
    """Return the stored form of a fact."""
    return _encoder.encode(fact)


def decode_fact(key: str, raw: bytes) -> Fact:
    """Return a fact from its stored form, whose type the key tells; raises StateBrokenError."""
    try:
        fact: Fact = _decoders[key[0]].decode(raw)
    except msgspec.MsgspecError as error:
        raise StateBrokenError(f"The fact {key} of the registry is damaged: {error}.") from error
    return fact
