"""The facts that the registry keeps, their keys, and how they are written down. Pure values."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from deploymark.errors import StateBrokenError
from deploymark.ingest.occurrences import MAX_SPOTS, DeploymentRecord
from deploymark.ingest.sighting import Emission, Line, Place, Sighting
from deploymark.model.vocabulary import Kind, Phase


class Owner(Struct, frozen=True, gc=False, array_like=True):
    """To whom a deployment id belongs, and which records are filed under it.

    Attributes:
        service, environment: The first to use it; nobody else may.
        records: Ids of records by kind and key (`kind_of`); one id can name a release that
            changes code and configuration.
    """

    service: str
    environment: str
    records: dict[str, str]


class Live(Struct, frozen=True, gc=False, array_like=True):
    """Which deployment is live in a place, since when, and by which marker."""

    place: Place
    at_ms: int
    record: str
    emission: Emission | None = None


class Active(Struct, frozen=True, gc=False, array_like=True):
    """Which colour a place was last cut over to, and when."""

    place: Place
    colour: str | None
    at_ms: int


class Standing(Struct, frozen=True, gc=False, array_like=True):
    """What of one line of changes is not over.

    Attributes:
        records: Ids of records with an occurrence that is not over.
        live: The newest that went live in each place.
        active: The colour of each place that was cut over.
    """

    records: tuple[str, ...] = ()
    live: tuple[Live, ...] = ()
    active: tuple[Active, ...] = ()


Fact = Owner | DeploymentRecord | Standing | tuple[str, ...]
_TYPES: Final[dict[str, Any]] = {
    "d": Owner,
    "r": DeploymentRecord,
    "l": Standing,
    "a": tuple[str, ...],
}
_decoders = {name: msgspec.msgpack.Decoder(kind) for name, kind in _TYPES.items()}
_encoder = msgspec.msgpack.Encoder()
NO_ONE: Final = Standing()


def newest_live(
    live: tuple[Live, ...], places: list[Place], by: Sighting, identity: str
) -> tuple[Live, ...]:
    """Return who is live where, after an occurrence went live in some places."""
    if not places:
        return live
    known = {each.place: each for each in live}
    for place in places:
        before = known.get(place)
        if before is None or before.at_ms <= by.at_ms:
            known.pop(place, None)  # the order is by age: what is dropped first is the oldest
            known[place] = Live(place, by.at_ms, identity, by.emission)
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


def kind_of(line: Line) -> str:
    """Return what tells records under one id apart, "" for a deployment."""
    return "" if line.kind == Kind.DEPLOYMENT else f"{line.kind}:{line.key}"


def identity_of(record: DeploymentRecord) -> str:
    """Return the id of a record: the deployment's, and what tells other kinds under it apart."""
    kind = kind_of(record.line)
    return f"{record.id}/{kind}" if kind else record.id


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
