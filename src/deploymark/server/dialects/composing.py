"""Completes what a dialect translated to the marker that the gateway signs. Pure.

Free text and tags of other systems may be longer than a marker holds, or hold what may not stand
in it for good: an address, a phone number. Whatever cannot stand there goes into an erasable
document, which the marker names by its digest. What is refused even there is a secret.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from deploymark.errors import DeploymarkError, PersonalDataRefusedError, TooLargeError
from deploymark.model.inspection import unescape
from deploymark.model.limits import LABELS, TEXT_BYTES, VALUE_BYTES
from deploymark.model.tolerant import bounded
from deploymark.model.vocabulary import EmitterKind
from deploymark.ports import Amended, Translated

ATTEMPTS: Final = 8
"""Fields that are moved out of one marker, before its refusal is told."""

_OWN_LABELS: Final = 3
_TEXT: Final = "text"
_TAGS: Final = "tags"
_TAG_POINTER: Final = "/labels/tag."


class Composed(Struct, frozen=True):
    """A marker and what goes beside it.

    Attributes:
        fields: The flat marker.
        beside: What is kept by digest: `text`, `tags`, and moved fields by their pointers.
    """

    fields: dict[str, Any]
    beside: dict[str, Any] = {}


def composed(dialect: str, said: Translated) -> Composed:
    """Return the marker of a translation.

    Args:
        dialect: Its name.
        said: The translation.
    """
    beside: dict[str, Any] = {}
    stated = {name: value for name, value in said.fields.items() if value is not None}
    labels = {"dialect": dialect}
    if said.sort:
        labels["sort"] = said.sort
    if said.within:
        labels["within"] = bounded(said.within, VALUE_BYTES) or ""
    labels |= stated.get("labels") or {}
    tags = labelled(said.tags, LABELS - max(len(labels), _OWN_LABELS))
    if len(tags) < len(said.tags):
        beside[_TAGS] = list(said.tags)
    labels |= tags
    fields = {
        **stated,
        "emitter": {"kind": EmitterKind.GATEWAY.value, "id": dialect},
        "labels": labels,
    }
    if fits(said.text):
        if said.text:
            fields["reason"] = said.text
    else:
        beside[_TEXT] = said.text
    return Composed(fields, beside)


def fits(text: str) -> bool:
    """Tell whether a text may stand in a marker, as far as its length says."""
    return len(text.encode()) <= TEXT_BYTES


def labelled(tags: Sequence[str], most: int) -> dict[str, str]:
    """Return the first tags as labels, as long as each fits."""
    found: dict[str, str] = {}
    for number, tag in enumerate(tags, 1):
        if len(found) >= most or len(tag.encode()) > VALUE_BYTES:
            break
        found[f"tag.{number}"] = tag
    return found


def moved(marker: Composed, error: DeploymarkError) -> Composed | None:
    """Return a marker without the field that was refused, which is kept beside it.

    Args:
        marker: As it was handed in.
        error: Why it was refused.

    Returns:
        None when the refusal is about nothing that could stand elsewhere.
    """
    if not _may_stand_elsewhere(error):
        return None
    way = tuple(unescape(each) for each in error.field.split("/")[1:])
    taken: list[Any] = []
    fields = _without(marker.fields, way, taken)
    if not taken:
        return None
    beside = {**marker.beside}
    if error.field == "/reason":
        beside[_TEXT] = taken[0]
    elif error.field.startswith(_TAG_POINTER):
        beside[_TAGS] = list(_tags(marker))
    else:
        beside[error.field] = taken[0]
    return Composed(fields, beside)


def moved_change(amended: Amended, change: Composed, error: DeploymarkError) -> Composed | None:
    """Return a correction without the value that was refused, as `moved` does for a marker."""
    if not _may_stand_elsewhere(error):
        return None
    pointer = unescape(error.field.removeprefix("/changes/"))
    if change.fields.get(pointer) is None:
        return None
    fields = {**change.fields}
    beside = {**change.beside}
    if pointer.startswith(_TAG_POINTER):
        fields |= {name: None for name in fields if name.startswith(_TAG_POINTER)}
        beside[_TAGS] = list(amended.tags or ())
    else:
        beside[_TEXT if pointer == "/reason" else pointer] = fields[pointer]
        fields[pointer] = None
    return Composed(fields, _carried(amended, beside))


def _may_stand_elsewhere(error: DeploymarkError) -> bool:
    return isinstance(error, PersonalDataRefusedError | TooLargeError) and bool(error.field)


def _without(value: Any, way: Sequence[str], taken: list[Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Return a value without what a pointer leads to, which is put into `taken`."""
    name: Any = way[0]
    if isinstance(value, Mapping):
        copied: Any = dict(value)
        found = name in copied
    elif isinstance(value, list | tuple):
        copied = list(value)
        found = name.isdecimal() and int(name) < len(copied)
        name = int(name) if found else name
    else:
        return value
    if not found:
        return copied
    if len(way) == 1:
        taken.append(copied.pop(name))
    else:
        copied[name] = _without(copied[name], way[1:], taken)
    return copied


def _carried(amended: Amended, beside: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept beside a record anew, with what was kept there before."""
    record = amended.record
    if not beside or record.fields.get("details_digest") is None:
        return beside
    before: dict[str, Any] = {}
    if record.fields.get("reason") is None and amended.text is None:
        before[_TEXT] = record.text
    if amended.tags is None:
        before[_TAGS] = list(record.tags)
    return {**before, **beside}


def changes_of(amended: Amended) -> Composed:
    """Return what an amendment changes, without what is so already."""
    beside: dict[str, Any] = {}
    record = amended.record
    changes = {
        pointer: value
        for pointer, value in amended.changes.items()
        if _differs(amended, pointer, value)
    }
    text = record.text if amended.text is None else amended.text
    tags = tuple(record.tags if amended.tags is None else amended.tags)
    if text == record.text and tags == tuple(record.tags):
        return Composed(changes)
    labels = dict(record.fields.get("labels") or {})
    others = sum(not name.startswith("tag.") for name in labels)
    new = labelled(tags, LABELS - max(others, _OWN_LABELS))
    old = {name: value for name, value in labels.items() if name.startswith("tag.")}
    for name in {**old, **new}:
        if old.get(name) != new.get(name):
            changes[f"/labels/{name}"] = new.get(name)
    kept = record.fields.get("details_digest") is not None
    if len(new) < len(tags):
        beside[_TAGS] = list(tags)
    if not fits(text):
        beside[_TEXT] = text
    if _TEXT not in beside and text != record.fields.get("reason", ""):
        changes["/reason"] = text or None
    elif _TEXT in beside and "reason" in record.fields:
        changes["/reason"] = None
    if kept and not beside:
        changes["/details_digest"] = None
    return Composed(changes, _carried(amended, beside))


def _differs(amended: Amended, pointer: str, value: object) -> bool:
    found: Any = amended.record.fields
    if pointer == "/timestamp":
        return True  # each marker has its own, and who amends has compared them
    for name in pointer.split("/")[1:]:
        if isinstance(found, list | tuple):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, Mapping) else None
    return bool(found != value)


def _tags(marker: Composed) -> Sequence[str]:
    if _TAGS in marker.beside:
        found: Sequence[str] = marker.beside[_TAGS]
        return found
    labels = marker.fields.get("labels") or {}
    return [text for name, text in labels.items() if name.startswith("tag.")]
