"""The contract check: every problem of a file of markers, with its line, before it is sent.

A team runs it over its own markers in CI. It applies the same readers as ingestion, so what
passes here is not refused there for its form. It knows nothing of keys, tokens or policy.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from deploymark.errors import CanonicalError, MarkerError, RefusedError, TooLargeError
from deploymark.model.canonical import encode
from deploymark.model.ids import ids_of_marker
from deploymark.model.inspection import escape
from deploymark.model.limits import PAYLOAD_BYTES
from deploymark.model.marker import FLAT
from deploymark.model.reading import read_json_text

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


class Problem(NamedTuple):
    """One thing to mend.

    Attributes:
        line: Line of the file, from 1: of the field, or of what should hold it.
        pointer: JSON Pointer to the field: within the line's marker in NDJSON, within the file
            otherwise.
        message: What is wrong: the limit, and what stands there.
        hint: What to do.
    """

    line: int
    pointer: str
    message: str
    hint: str


def check_markers(text: str) -> list[Problem]:
    """Return every problem of a file of flat markers; an empty list means that it is fine.

    Args:
        text: One JSON object, a JSON array of objects, or NDJSON (one object a line).
    """
    # Not splitlines: a JSON string may hold U+2028 and its like.
    every = text.split("\n")
    lines = [line for line in every if line.strip()]
    if not lines:
        return [Problem(1, "", "The file holds no marker.", "Write one JSON object.")]
    if len(lines) > 1 and _is_json(lines[0]):
        problems = []
        for number, line in enumerate(every, start=1):
            if line.strip():
                problems += _check_text(line, first_line=number)
        return problems
    return _check_text(text, first_line=1)


def _is_json(line: str) -> bool:
    """Tell whether a first line is a value by itself, so that each line is meant to be one."""
    try:
        read_json_text(line)
    except MarkerError:
        return False
    return True


def _check_text(text: str, *, first_line: int) -> list[Problem]:
    try:
        value = read_json_text(text)
    except MarkerError as error:
        line = first_line + _line_of_syntax_error(text)
        return [Problem(line, "", error.message, error.hint)]
    places = _locate(text, first_line)
    problems = []
    items = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    for index, item in items:
        prefix = "" if index is None else f"/{index}"
        for fault in _faults(item):
            pointer = prefix + fault.field
            line = _line(places, pointer, first_line)
            # The usual hint of a refused marker is to run this very check.
            hint = "" if fault.hint == MarkerError.default_hint else fault.hint
            problems.append(Problem(line, pointer, fault.message, hint))
    return problems


def _faults(value: Any) -> Iterator[RefusedError]:  # noqa: ANN401 - any JSON value
    faults = list(FLAT.faults(value))
    yield from faults
    if faults:
        return
    try:
        size = len(encode(value))
        ids_of_marker(FLAT.convert(value).fields())
    except CanonicalError:  # pragma: no cover - the reader refuses such values first
        return
    except RefusedError as error:
        yield error
        return
    if size > PAYLOAD_BYTES:
        yield TooLargeError(f"The marker has {size} bytes; the limit is {PAYLOAD_BYTES}.")


def _line_of_syntax_error(text: str) -> int:
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.lineno - 1
    except (ValueError, RecursionError):
        pass
    return 0


def _line(places: dict[str, int], pointer: str, first_line: int) -> int:
    while pointer and pointer not in places:
        pointer = pointer.rpartition("/")[0]
    return places.get(pointer, first_line)


def _locate(text: str, line: int) -> dict[str, int]:
    """Return the line of every value of well-formed JSON text, by pointer."""
    places: dict[str, int] = {}
    holders: list[tuple[str, int | None]] = []  # open containers; the index in a list
    place: str | None = ""  # pointer of the next value, None when a key comes first
    position = 0
    for found in _TOKEN.finditer(text):
        line += text.count("\n", position, found.start())
        position, word = found.start(), found[0]
        if word == ":":
            continue
        if word in "}]":
            holders.pop()
        elif word == ",":
            holder, index = holders[-1]
            if index is None:
                place = None
            else:
                holders[-1] = (holder, index + 1)
                place = f"{holder}/{index + 1}"
        elif place is None:
            place = f"{holders[-1][0]}/{escape(json.loads(word, strict=False))}"
            places.setdefault(place, line)
        else:
            places.setdefault(place, line)
            if word in "{[":
                holders.append((place, 0 if word == "[" else None))
                place = f"{place}/0" if word == "[" else None
    return places
