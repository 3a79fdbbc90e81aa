"""The ways to change an object of the Kubernetes API: three kinds of patch. Pure.

Merge patches are RFC 7386, JSON patches RFC 6902; strategic merge patches are Kubernetes' own and
merge lists by key. Server-side apply is in `kubernetes_apply`.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from deploymark.model.inspection import unescape
from deploymark.testing.kubernetes_schema import field_of, item_of, key_of

_DIRECTIVE = "$patch"


class PatchError(Exception):
    """A patch cannot be applied; the API server answers 422."""


def merge(content: Any, patch: Any) -> Any:  # noqa: ANN401 - any JSON
    """Apply a JSON merge patch."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    merged = dict(content) if isinstance(content, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged


def merge_strategically(content: Any, patch: Any, model: Any) -> Any:  # noqa: ANN401 - any JSON
    """Apply a strategic merge patch; knows `$patch` with `delete` and `replace`.

    Raises:
        PatchError: A directive or an item without its key.
    """
    if isinstance(patch, list):
        return _merge_lists(content or [], patch, model)
    if not isinstance(patch, dict):
        return deepcopy(patch)
    directive = patch.get(_DIRECTIVE)
    if directive == "replace":
        return {name: deepcopy(each) for name, each in patch.items() if name != _DIRECTIVE}
    if directive is not None:
        raise PatchError(f"invalid {_DIRECTIVE} directive {directive!r}")
    merged = dict(content) if isinstance(content, dict) else {}
    for name, value in patch.items():
        if name.startswith("$"):
            raise PatchError(f"the double does not know the directive {name}")
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_strategically(merged.get(name), value, field_of(model, name))
    return merged


def _merge_lists(items: list[Any], patch: list[Any], model: Any) -> list[Any]:  # noqa: ANN401 - any type
    key = key_of(model)
    if not key:
        return deepcopy(patch)
    merged = list(items)
    for each in patch:
        if not isinstance(each, dict) or key not in each:
            raise PatchError(f"map: {each} does not contain declared merge key: {key}")
        place = next((at for at, item in enumerate(merged) if item.get(key) == each[key]), None)
        if each.get(_DIRECTIVE) == "delete":
            if place is not None:
                del merged[place]
        elif place is None:
            merged.append(deepcopy(each))
        else:
            merged[place] = merge_strategically(merged[place], each, item_of(model))
    return merged


def patch_json(content: Any, operations: Any) -> Any:  # noqa: ANN401 - any JSON
    """Apply a JSON patch: add, remove, replace, test, move and copy.

    Raises:
        PatchError: A place that is not there, or a test that fails.
    """
    changed = deepcopy(content)
    if not isinstance(operations, list):
        raise PatchError("a JSON patch is a list of operations")
    for each in operations:
        path = _parts(each["path"])
        match each["op"]:
            case "add":
                _put(changed, path, each["value"], insert=True)
            case "replace":
                _get(changed, path)
                _put(changed, path, each["value"], insert=False)
            case "remove":
                _take(changed, path)
            case "test":
                if _get(changed, path) != each["value"]:
                    raise PatchError(f"testing value {each['path']} failed")
            case "move":
                _put(changed, path, _take(changed, _parts(each["from"])), insert=True)
            case "copy":
                _put(changed, path, deepcopy(_get(changed, _parts(each["from"]))), insert=True)
            case other:
                raise PatchError(f"unexpected kind: {other}")
    return changed


def _parts(path: str) -> list[str]:
    return [unescape(part) for part in path.split("/")[1:]]


def _step(content: Any, part: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return content[int(part)] if isinstance(content, list) else content[part]
    except (KeyError, IndexError, ValueError, TypeError):
        raise PatchError(f"there is no {part}") from None


def _get(content: Any, path: list[str]) -> Any:  # noqa: ANN401 - any JSON
    for part in path:
        content = _step(content, part)
    return content


def _put(content: Any, path: list[str], value: Any, *, insert: bool) -> None:  # noqa: ANN401 - any JSON
    inner, last = _get(content, path[:-1]), path[-1]
    if not isinstance(inner, list):
        if not isinstance(inner, dict):
            raise PatchError(f"there is nothing to put {last} into")
        inner[last] = deepcopy(value)
    elif insert:
        inner.insert(len(inner) if last == "-" else int(last), deepcopy(value))
    else:
        inner[int(last)] = deepcopy(value)


def _take(content: Any, path: list[str]) -> Any:  # noqa: ANN401 - any JSON
    inner, last = _get(content, path[:-1]), path[-1]
    _step(inner, last)
    return inner.pop(int(last) if isinstance(inner, list) else last)


def differs(before: Mapping[str, Any], after: Mapping[str, Any], part: str) -> bool:
    """Tell whether one part of an object was changed; an absent part is an empty one."""
    return (before.get(part) or {}) != (after.get(part) or {})
