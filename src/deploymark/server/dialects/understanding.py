"""How a captured request would be understood, without a server: for `doctor dialect`. Pure.

A translation is a pure function of request and mapping, so where a field comes from is found by
translating again with less of the mapping, and what a mapping could say by translating with
defaults for everything. No record is known here: what corrects one is told as such.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec
from msgspec import Struct
from starlette.routing import compile_path

from deploymark.errors import DeploymarkError, NotFoundError, UsageError
from deploymark.ingest.privacy import PrivacyRules, check_privacy
from deploymark.model.canonical import encode
from deploymark.model.ids import ids_of_marker
from deploymark.model.mapping import FIELDS, NO_MAPPING, UNMAPPED, TextMapping, mapped
from deploymark.model.marker import decode_marker
from deploymark.model.vocabulary import MARKER, Kind
from deploymark.ports import (
    Ask,
    ForeignRequest,
    Read,
    Record,
    RecordQuery,
    Route,
    Said,
    Translated,
    Write,
)
from deploymark.server.dialects.composing import ATTEMPTS, Composed, composed, moved
from deploymark.server.dialects.mounted import Mounted

_PROBES: Final = {
    **dict.fromkeys(FIELDS, "what-a-mapping-says"),
    "commit": "fedcba98" * 5,
    "digest": "sha256:" + "fedcba98" * 8,
    "phase": "promoted",
}
_SUBJECT: Final = ("version", "commit", "digest")
_BY_GATEWAY: Final = frozenset({"emitter", "labels", "kind", "key", "revision"})
_BY_NAME: Final = {way: name for name, way in FIELDS.items()}
_NOTHING: Final = object()


class Origin(StrEnum):
    """Where a field of a marker comes from."""

    STATED = "stated"  # by the request, as a field or in its address
    TAG = "tag"
    PATTERN = "pattern"
    DEFAULT = "default"
    GUESS = "guess"  # the dialect takes it where nobody says it; a mapping would go before
    NOBODY = "nobody says it"
    GATEWAY = "gateway"  # put together for every marker


class UnderstoodMarker(Struct, frozen=True):
    """One marker of a request.

    Attributes:
        fields: The flat marker, as the gateway would sign it.
        origins: Where each field comes from, inner ones by their path: `target.cluster`.
        beside: What would be kept erasable, by its digest: too long, or personal.
        deployment_id, marker_id: Derived; "" where it would be refused.
        unmapped: What it lacks for a deployment, by the names of a mapping.
        refused: Why it would be refused; "" when it would not.
    """

    fields: Mapping[str, Any]
    origins: Mapping[str, Origin]
    beside: Mapping[str, Any]
    deployment_id: str
    marker_id: str
    unmapped: Sequence[str]
    refused: str


class Understood(Struct, frozen=True):
    """What became of a request.

    Attributes:
        dialect: Its name.
        route: Which answers it.
        says: What it does, where it makes no marker, or why it is refused; "" otherwise.
        refused: It is refused as a whole.
        markers: New ones.
        incidents: Fields of entries of the type `incident`.
        wanted: What a mapping could add, by the names of a mapping: it lacks for a deployment.
    """

    dialect: str
    route: Route
    says: str = ""
    refused: bool = False
    markers: Sequence[UnderstoodMarker] = ()
    incidents: Sequence[Mapping[str, Any]] = ()
    wanted: Sequence[str] = ()


class _NoRecords:
    """The records of a log that has none."""

    def find(self, _: int) -> Record | None:
        return None

    def search(self, _: RecordQuery) -> list[Record]:
        return []


def route_of(
    dialects: Sequence[Mounted], method: str, path: str
) -> tuple[Mounted, Route, dict[str, str]]:
    """Return which route of which dialect answers an address, and the parameters in it.

    Raises:
        UsageError: None does.
    """
    others = set()
    for mounted in dialects:
        for route in mounted.dialect.routes:
            pattern, _, converters = compile_path(route.path.rstrip("/"))
            found = pattern.match(path.rstrip("/"))
            if found is None:
                continue
            if route.method == ("GET" if method == "HEAD" else method):
                named = found.groupdict().items()
                values = {name: str(converters[name].convert(text)) for name, text in named}
                return mounted, route, values
            others.add(route.method)
    if others:
        raise UsageError(f"{path} takes {', '.join(sorted(others))}, and not {method}.")
    raise UsageError(
        f"No dialect takes {method} {path}.",
        hint="docs/reference/dialects.md lists the addresses; is its dialect enabled?",
    )


def understood(
    mounted: Mounted, route: Route, request: ForeignRequest, privacy: PrivacyRules
) -> Understood:
    """Return how a request would be understood.

    Args:
        mounted: The dialect of its route.
        route: As `route_of` says.
        request: With the mapping of whoever calls.
        privacy: What the configuration lets through.
    """
    name = mounted.dialect.name
    if isinstance(route.does, Read | Ask):
        asks = "asks the gate" if isinstance(route.does, Ask) else "only reads"
        return Understood(name, route, f"It {asks}, and writes no marker.")
    tried = _translations(route, request)
    probed = tried(TextMapping(defaults=_PROBES))
    try:
        said = _translated(route, request)
    except NotFoundError as error:
        if isinstance(route.does, Write):
            return Understood(name, route, error.message, refused=True)
        return Understood(
            name, route, "It corrects what was told before, which only the server knows."
        )
    except DeploymarkError as error:
        says = f"{error.message} {error.hint}".strip()
        return Understood(name, route, says, refused=True, wanted=_mending(tried, probed))
    bare = tried(NO_MAPPING)
    patterns = tried(TextMapping(patterns=request.mapping.patterns))
    markers = [
        _marker(
            name,
            each,
            (_beside(bare, place), _beside(patterns, place), _beside(probed, place)),
            request.mapping,
            privacy,
        )
        for place, each in enumerate(said.markers)
    ]
    wanted = dict.fromkeys(
        field
        for place, each in enumerate(markers)
        for field in each.unmapped
        if field in _wanted((_beside(probed, place) or said.markers[place]).fields)
    )
    says = "" if markers or said.incidents else str(said.note or "It says nothing new.")
    return Understood(
        name, route, says, markers=markers, incidents=said.incidents, wanted=tuple(wanted)
    )


def _mending(tried: Callable[[TextMapping], Said | None], probed: Said | None) -> Sequence[str]:
    """Return what a mapping must say so that a request is not refused: one field, or all."""
    for name in ("environment", "service", "version"):
        if tried(TextMapping(defaults={name: _PROBES[name]})) is not None:
            return (name,)
    return _wanted(probed.markers[0].fields) if probed and probed.markers else ()


def _translations(route: Route, request: ForeignRequest) -> Callable[[TextMapping], Said | None]:
    def tried(mapping: TextMapping) -> Said | None:
        try:
            return _translated(route, msgspec.structs.replace(request, mapping=mapping))
        except DeploymarkError:
            return None

    return tried


def _translated(route: Route, request: ForeignRequest) -> Said:
    does = route.does
    assert not isinstance(does, Read | Ask)  # noqa: S101 - whoever calls has looked
    if isinstance(does, Write):
        return does.translate(request)
    said = does.alone(request) if does.alone is not None else None
    return does.translate(request, _NoRecords()) if said is None else said


def _beside(said: Said | None, place: int) -> Translated | None:
    return said.markers[place] if said is not None and place < len(said.markers) else None


def _marker(
    dialect: str,
    said: Translated,
    others: tuple[Translated | None, Translated | None, Translated | None],
    mapping: TextMapping,
    privacy: PrivacyRules,
) -> UnderstoodMarker:
    marker, refused = _admissible(composed(dialect, said), privacy)
    deployment_id = marker_id = ""
    if not refused:
        fields = decode_marker(encode(marker.fields), MARKER).fields()
        deployment_id, marker_id = ids_of_marker(fields)
    origins = {
        ".".join(way): _origin(way, value, said, others, mapping)
        for way, value in _leaves(marker.fields)
    }
    unmapped = _lacking(said.fields)
    return UnderstoodMarker(
        marker.fields, origins, marker.beside, deployment_id, marker_id, unmapped, refused
    )


def _admissible(marker: Composed, privacy: PrivacyRules) -> tuple[Composed, str]:
    """Return a marker as it would be admitted, and why it is not; as the gateway tries it."""
    refused: DeploymarkError | None = None
    for _ in range(ATTEMPTS):
        try:
            check_privacy(decode_marker(encode(marker.fields), MARKER).fields(), privacy)
        except DeploymarkError as error:
            refused, less = error, moved(marker, error)
            if less is None:
                break
            marker = less
        else:
            return marker, ""
    return marker, f"{refused.message} {refused.hint}".strip() if refused else ""


def _origin(
    way: tuple[str, ...],
    value: object,
    said: Translated,
    others: tuple[Translated | None, Translated | None, Translated | None],
    mapping: TextMapping,
) -> Origin:
    name = _BY_NAME.get(way)
    if way[0] in _BY_GATEWAY:
        return Origin.GATEWAY
    if name is None:
        return Origin.STATED
    if value == UNMAPPED:
        return Origin.NOBODY
    bare, patterns, probed = (_at(each, way) for each in others)
    if value == bare:
        told = _in(mapped("", said.tags, NO_MAPPING), way)
        otherwise = Origin.TAG if told == value else Origin.STATED
        return Origin.GUESS if probed == _PROBES[name] else otherwise
    otherwise = Origin.DEFAULT if name in mapping.defaults else Origin.STATED
    return Origin.PATTERN if value == patterns else otherwise


def _lacking(fields: Mapping[str, Any]) -> list[str]:
    """Return what a marker lacks for a deployment; a change of another kind lacks nothing."""
    lacking = [name for name in ("service", "environment") if fields.get(name) == UNMAPPED]
    subject = any(_in(fields, FIELDS[name]) not in {_NOTHING, None} for name in _SUBJECT)
    if fields.get("kind") == Kind.INFRASTRUCTURE and not subject:
        lacking.append("version")
    return lacking


def _wanted(probed: Mapping[str, Any]) -> list[str]:
    """Return what a mapping may say of a marker: what one with everything has said."""
    ways = {name: FIELDS[name] for name in ("service", "environment", "version")}
    return [name for name, way in ways.items() if _in(probed, way) == _PROBES[name]]


def _at(said: Translated | None, way: tuple[str, ...]) -> object:
    return _NOTHING if said is None else _in(said.fields, way)


def _in(fields: Any, way: tuple[str, ...]) -> object:  # noqa: ANN401 - any JSON value
    for name in way:
        if not isinstance(fields, Mapping) or name not in fields:
            return _NOTHING
        fields = fields[name]
    found: object = fields
    return found


def _leaves(fields: Mapping[str, Any]) -> list[tuple[tuple[str, ...], object]]:
    found: list[tuple[tuple[str, ...], object]] = []
    for name, value in fields.items():
        if isinstance(value, Mapping) and name not in _BY_GATEWAY:
            found += [((name, inner), each) for inner, each in value.items() if each is not None]
        elif value is not None:
            found.append(((name,), value))
    return found
