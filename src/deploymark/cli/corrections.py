"""What was amended or taken back, in the words that commands show. Pure.

A server of an earlier release says nothing of corrections; then nothing is shown.
"""

from collections.abc import Mapping
from typing import Any, Final

_BESIDE: Final = "/details_digest"


def noted(text: str, item: Mapping[str, Any]) -> str:
    """Return what an entry says, after what was corrected of it.

    First, because the end of a line is what a narrow terminal cuts.

    Args:
        text: What it says.
        item: An entry or an event, with `retracted` and `amendments`.
    """
    words = []
    if item.get("retracted"):
        words.append(f"[retracted {taken_back(item['retracted'])}]")
    changes = {
        pointer: value
        for each in item.get("amendments") or ()
        for pointer, value in each["changes"].items()
    }
    if changes:
        words.append(f"[amended {', '.join(_changed(*each) for each in changes.items())}]")
    return " ".join(word for word in (*words, text) if word)


def taken_back(retraction: Mapping[str, Any]) -> str:
    """Return who took something back, and why."""
    return f"by {retraction['by']} in entry {retraction['index']}: {retraction['reason']}"


def _changed(pointer: str, value: object) -> str:
    if pointer == _BESIDE:
        return "the text that is kept beside it"
    return f"{pointer.removeprefix('/')}: {'nothing' if value is None else value}"
