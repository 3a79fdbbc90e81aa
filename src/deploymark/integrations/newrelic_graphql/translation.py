"""What a tracked change means. Pure.

Both mutations name an entity by its GUID; the second also by a search for its name. An entity is a
service: by the name that was searched for, else by the GUID, which may be any name here.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from deploymark.errors import DialectError
from deploymark.integrations.newrelic_graphql.document import Asked, read_mutation
from deploymark.model.limits import TEXT_BYTES, VALUE_BYTES
from deploymark.model.mapping import UNMAPPED, marker_of, revision_of, subject_of
from deploymark.model.tolerant import bounded, instant_of, milliseconds_of, text_of
from deploymark.model.vocabulary import Kind
from deploymark.ports import ForeignRequest, Said, Translated

NAME: Final = "newrelic_graphql"
DEPLOYMENT: Final = "changeTrackingCreateDeployment"
EVENT: Final = "changeTrackingCreateEvent"

# The search of an entity is a text in New Relic's own language, not GraphQL.
_SEARCHED = re.compile(r"\b(?:name|id|guid)\s*(?:=|like)\s*(['\"])(.+?)\1", re.IGNORECASE)


class _Change(Struct, frozen=True):
    """What both mutations say."""

    entity: str | None
    said: Mapping[str, Any]
    version: str | None
    commit: str | None
    changelog: str | None
    link: str | None


def tracked(request: ForeignRequest) -> Said:
    """Translate `POST /graphql`: one marker for each mutation that it asks for.

    Raises:
        DialectError: It asks for something else.
    """
    asked = read_mutation(request.json())
    if not asked:
        raise DialectError("The mutation is empty.")
    return Said(tuple(_translated(request, each) for each in asked), note=asked)


def _translated(request: ForeignRequest, asked: Asked) -> Translated:
    match asked.name:
        case "changeTrackingCreateDeployment":
            return _deployment(request, _part(asked.arguments, "deployment"))
        case "changeTrackingCreateEvent":
            return _event(request, _part(asked.arguments, "changeTrackingEvent"))
        case name:
            raise DialectError(
                f"Nothing here answers {bounded(name, VALUE_BYTES)}.",
                hint=f"{DEPLOYMENT} and {EVENT} are answered.",
            )


def _deployment(request: ForeignRequest, said: Mapping[str, Any]) -> Translated:
    change = _Change(
        text_of(said.get("entityGuid")),
        said,
        text_of(said.get("version")),
        text_of(said.get("commit")),
        text_of(said.get("changelog")),
        text_of(said.get("deepLink")),
    )
    return _marker(request, change, text_of(said.get("deploymentType")))


def _event(request: ForeignRequest, said: Mapping[str, Any]) -> Translated:
    category = _part(said, "categoryAndTypeData")
    fields = _part(category, "categoryFields")
    deployed, flag = _part(fields, "deployment"), _part(fields, "featureFlag")
    search = text_of(_part(said, "entitySearch").get("query")) or ""
    searched = _SEARCHED.search(search[:TEXT_BYTES])
    change = _Change(
        searched[2] if searched else bounded(search, VALUE_BYTES) or None,
        said,
        text_of(deployed.get("version")),
        text_of(deployed.get("commit")),
        text_of(deployed.get("changelog")),
        text_of(deployed.get("deepLink")),
    )
    kind = _part(category, "kind")
    marker = _marker(request, change, text_of(kind.get("type")))
    key = bounded(text_of(flag.get("featureFlagId")), VALUE_BYTES)
    if key is None:
        return marker
    stated = {name: value for name, value in marker.fields.items() if name != "version"}
    at_ms = milliseconds_of(said.get("timestamp")) or request.received_ms
    revision = revision_of(marker.text, (), at_ms)
    stated |= {"kind": Kind.FEATURE_FLAG.value, "key": key, "revision": revision}
    return Translated(stated, marker.text, marker.tags)


def _marker(request: ForeignRequest, change: _Change, sort: str | None) -> Translated:
    said = change.said
    parts = [text_of(said.get(name)) for name in ("shortDescription", "description")]
    text = "\n".join(filter(None, [*parts, change.changelog]))
    attributes = _part(said, "customAttributes")
    tags = tuple(
        f"{name}:{value}"
        for name, each in attributes.items()
        if (value := text_of(each)) is not None
    )
    entity = bounded(change.entity, VALUE_BYTES) or UNMAPPED
    at = milliseconds_of(said.get("timestamp"))
    version = subject_of(change.version)
    fields = marker_of(
        text,
        tags,
        at or request.received_ms,
        request.mapping,
        key=NAME,
        guessed={"service": entity, "environment": UNMAPPED},
        stated={
            "deployer": text_of(said.get("user")),
            "run": text_of(said.get("groupId")),
            **version,
            "commit": change.commit or version.get("commit"),
        },
    )
    labels = {"type": bounded(sort, VALUE_BYTES), "entity": bounded(change.entity, VALUE_BYTES)}
    fields["labels"] = {name: value for name, value in labels.items() if value}
    fields["build_url"] = bounded(change.link, TEXT_BYTES)
    fields["timestamp"] = instant_of(at)
    return Translated(fields, text, tags)


def _part(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = holder.get(name)
    return found if isinstance(found, Mapping) else {}
