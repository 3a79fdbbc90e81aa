"""What two deployments say differently. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from deploymark.server.pages.shapes_deployment import FieldDiff

_FIELDS: Final = (
    "version",
    "tag",
    "digest",
    "artifact",
    "commit_hash",
    "revision",
    "repository",
    "ref",
    "build_url",
    "environment",
    "service",
    "owner",
    "author",
    "strategy",
    "track",
    "direction",
    "reason",
)
_LISTS: Final = ("change_tickets", "approvers")
_SCHEMA: Final = ("requires", "provides", "step")

Item = Mapping[str, Any]


def differing(a: Item, b: Item) -> list[FieldDiff]:
    """Return the fields of two deployments that are not the same."""
    pairs = [(name, _text(a[name]), _text(b[name])) for name in _FIELDS]
    pairs += [(name, ", ".join(a[name]) or None, ", ".join(b[name]) or None) for name in _LISTS]
    pairs += [
        (f"schema.{name}", _text(a["schema"][name]), _text(b["schema"][name])) for name in _SCHEMA
    ]
    pairs.append(("places", _places(a), _places(b)))
    return [FieldDiff(name, said, other) for name, said, other in pairs if said != other]


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _places(item: Item) -> str | None:
    named = [each["cluster"] or each["region"] for each in item["places"]]
    return ", ".join(sorted({name for name in named if name})) or None
