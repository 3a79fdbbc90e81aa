"""Selectors of labels and fields, as the Kubernetes API reads them. Pure."""

import re
from collections.abc import Callable
from typing import Any, Final

from deploymark.testing.kubernetes_store import Content, StatusError

_PART: Final = re.compile(r"[^,(]+(?:\([^)]*\))?")
_SET: Final = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL: Final = re.compile(r"([^=!\s]+)\s*(==|!=|=)\s*(\S*)")
_FIELDS: Final = ("metadata.name", "metadata.namespace")


def label_selector(text: str) -> Callable[[Content], bool]:
    """Return what tells whether an object is selected; raises StatusError 400."""
    rules = [_label_rule(part.strip()) for part in _PART.findall(text)]

    def selects(content: Content) -> bool:
        labels = content["metadata"].get("labels") or {}
        return all(rule(labels) for rule in rules)

    return selects


def _label_rule(part: str) -> Callable[[dict[str, Any]], bool]:
    if match := _SET.fullmatch(part):
        values = {each.strip() for each in match[3].split(",")}
        name, wanted = match[1], match[2] == "in"
        return lambda labels: (labels.get(name) in values) is wanted
    if match := _EQUAL.fullmatch(part):
        name, value, wanted = match[1], match[3], match[2] != "!="
        return lambda labels: (labels.get(name) == value) is wanted
    if re.fullmatch(r"!?[\w./-]+", part):
        name, wanted = part.removeprefix("!"), not part.startswith("!")
        return lambda labels: (name in labels) is wanted
    raise StatusError(400, f"unable to parse requirement: {part}")


def field_selector(text: str) -> Callable[[Content], bool]:
    """Return what tells whether an object is selected; raises StatusError 400."""
    rules: list[tuple[str, str, bool]] = []
    for part in filter(None, text.split(",")):
        match = _EQUAL.fullmatch(part)
        if match is None or match[1] not in _FIELDS:
            raise StatusError(400, f"field label not supported: {part}")
        rules.append((match[1].removeprefix("metadata."), match[3], match[2] != "!="))

    def selects(content: Content) -> bool:
        return all((content["metadata"][name] == value) is wanted for name, value, wanted in rules)

    return selects
