"""Server-side apply: who owns which field of an object, and who may change it. Pure.

Fields are named by their path; items of lists with keys by their key, other lists are one field.
`metadata.managedFields` says the same in the API's own form, FieldsV1.
"""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any, Final, NamedTuple

from deploymark.testing.kubernetes_patch import merge_strategically
from deploymark.testing.kubernetes_schema import field_of, item_of, key_of

Path = tuple[str, ...]

_NOBODYS: Final = frozenset(
    ("name", "namespace", "uid", "resourceVersion", "generation", "managedFields")
) | {"creationTimestamp", "selfLink", "generateName"}


class Owner(NamedTuple):
    """Who owns fields: a manager, by one way of writing, in one part of the object."""

    manager: str
    operation: str
    subresource: str = ""


Owners = dict[Owner, frozenset[Path]]


class ApplyConflict(NamedTuple):
    """A field that somebody else owns and has set to another value."""

    path: Path
    manager: str

    @property
    def field(self) -> str:
        """The path as the API server writes it."""
        return "".join(
            f"[{part.removeprefix('k:')}]" if part.startswith("k:") else f".{part[2:]}"
            for part in self.path
        )


def fields_of(content: Mapping[str, Any], model: type) -> frozenset[Path]:
    """Return the fields that an object sets, without those that belong to the server."""
    found: set[Path] = set()
    for part, value in content.items():
        if part in ("apiVersion", "kind"):
            continue
        below = field_of(model, part)
        if part == "metadata" and isinstance(value, dict):
            ours = {name: each for name, each in value.items() if name not in _NOBODYS}
            found.update(_fields(ours, below, (f"f:{part}",)))
        else:
            found.update(_fields(value, below, (f"f:{part}",)))
    return frozenset(found)


def _fields(value: Any, model: Any, path: Path) -> Iterable[Path]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict) and value:
        for name, each in value.items():
            yield from _fields(each, field_of(model, name), (*path, f"f:{name}"))
    elif isinstance(value, list) and key_of(model):
        key = key_of(model)
        for each in value:
            place = (*path, "k:" + json.dumps({key: each.get(key)}, separators=(",", ":")))
            yield from _fields(each, item_of(model), place)
    elif not (isinstance(value, dict) and path == ("f:metadata",)):
        yield path


def value_at(content: Any, path: Path) -> Any:  # noqa: ANN401 - any JSON
    """Return what stands at a path, None when nothing does."""
    for part in path:
        if part.startswith("k:"):
            ((key, value),) = json.loads(part[2:]).items()
            content = next((each for each in content or [] if each.get(key) == value), None)
        else:
            content = content.get(part[2:]) if isinstance(content, dict) else None
    return content


def owns_now(
    owners: Owners,
    writer: Owner,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    model: type,
) -> Owners:
    """Return who owns what after somebody has written without applying.

    Who changes a field owns it, and alone; a field that is gone nobody owns.
    """
    there = fields_of(after, model)
    changed = frozenset(path for path in there if value_at(before, path) != value_at(after, path))
    found = {
        owner: frozenset(path for path in paths if path in there and path not in changed)
        for owner, paths in owners.items()
    }
    found[writer] = found.get(writer, frozenset()) | changed
    return {owner: paths for owner, paths in found.items() if paths}


def conflicts_of(
    owners: Owners, writer: Owner, found: Mapping[str, Any], wanted: Mapping[str, Any], model: type
) -> list[ApplyConflict]:
    """Return the fields that others own and that would be changed."""
    return [
        ApplyConflict(path, owner.manager)
        for path in sorted(fields_of(wanted, model))
        for owner, paths in owners.items()
        if owner != writer and path in paths and value_at(found, path) != value_at(wanted, path)
    ]


def applied(
    owners: Owners, writer: Owner, found: Mapping[str, Any], wanted: Mapping[str, Any], model: type
) -> tuple[dict[str, Any], Owners]:
    """Return an object after somebody has applied to it, and who owns what then.

    What the same manager applied before and does not any more goes, unless others own it too.
    """
    mine = fields_of(wanted, model)
    others = {
        owner: frozenset(
            path
            for path in paths
            if path not in mine or value_at(found, path) == value_at(wanted, path)
        )
        for owner, paths in owners.items()
        if owner != writer
    }
    content: dict[str, Any] = deepcopy(dict(found))
    kept = frozenset().union(*others.values()) if others else frozenset()
    for path in owners.get(writer, frozenset()) - mine - kept:
        _remove(content, path)
    content = merge_strategically(content, wanted, model)
    others = {owner: paths for owner, paths in others.items() if paths}
    return content, {**others, writer: mine}


def _remove(content: Any, path: Path) -> None:  # noqa: ANN401 - any JSON
    inner = value_at(content, path[:-1])
    if isinstance(inner, dict):
        inner.pop(path[-1][2:], None)
        if set(inner) <= set(_key_names(path[:-1])) and len(path) > 1:
            outer = value_at(content, path[:-2])
            if isinstance(outer, list):
                outer.remove(inner)


def _key_names(path: Path) -> Iterable[str]:
    return json.loads(path[-1][2:]) if path and path[-1].startswith("k:") else ()


def managed_fields(owners: Owners, api_version: str) -> list[dict[str, Any]]:
    """Return `metadata.managedFields`."""
    found = []
    for owner, paths in sorted(owners.items()):
        tree: dict[str, Any] = {}
        for path in sorted(paths):
            at = tree
            for part in path:
                at = at.setdefault(part, {})
        entry: dict[str, Any] = {
            "manager": owner.manager,
            "operation": owner.operation,
            "apiVersion": api_version,
            "fieldsType": "FieldsV1",
            "fieldsV1": tree,
        }
        if owner.subresource:
            entry["subresource"] = owner.subresource
        found.append(entry)
    return found
