"""Lets an error name the flag from which a field came: people have typed flags, not JSON.

Loaded only to refuse. It looks at no value; what is wrong was said by whoever refused.
"""

import argparse
import re
from typing import Final

from deploymark.cli.marker_flags import FLAGS, VARIABLES
from deploymark.errors import (
    BodyError,
    DeploymarkError,
    MarkerError,
    QueryError,
    RequestError,
    UsageError,
)

_OTHERWISE: Final = {"expected_index": "if-index", "idempotency_key": "key", "limit": "last"}
_MARKERS: Final = {"/" + "/".join(flag.path): flag.name for flag in FLAGS}
_NO_FLAGS: Final = frozenset({"action", "command", "deployment", "file", "id", "name", "phase"})
# What these hint at is for whoever writes requests and marker files.
_OF_OTHERS: Final = frozenset(
    each.default_hint for each in (BodyError, MarkerError, QueryError, RequestError)
)
_PARAMETER: Final = re.compile(r"The parameter '([a-z_]+)'")


def name_flag(error: DeploymarkError, options: argparse.Namespace) -> None:
    """Put the flag in the place of the field that an error names, where a flag filled it.

    Args:
        error: Of the command; changed in place.
        options: The flags of its command line.
    """
    if isinstance(error, UsageError):
        return  # of a file, or in words of the command line already
    found = _PARAMETER.match(error.message)
    field = f"/{found[1]}" if found else error.field
    flag = _flag_of(field, options)
    if flag is None and field.count("/") > 1:  # of what a flag gives as a whole
        field = field[: field.rindex("/")]
        flag = _flag_of(field, options)
    if flag is None:
        return
    for said in (found[0] if found else error.field, field):
        error.message = error.message.replace(said, flag)
    if flag not in error.message:
        error.message = f"{flag}: {error.message}"
    error.field = flag
    if error.message.startswith(f"{flag} is missing."):
        variable = VARIABLES.get(field.removeprefix("/"))
        error.hint = f"Give {flag}, or set {variable}." if variable else f"Give {flag}."
    elif error.hint in _OF_OTHERS:
        error.hint = f"`deploymark {options.command} --help` shows what it takes."


def _flag_of(field: str, options: argparse.Namespace) -> str | None:
    name = field.removeprefix("/")
    if hasattr(options, "emitter_kind"):  # which all commands have that speak markers, and no other
        flag = _MARKERS.get(field)
    else:
        flag = _OTHERWISE.get(name, name.replace("_", "-"))
    if not flag or flag in _NO_FLAGS or not hasattr(options, flag.replace("-", "_")):
        return None
    return f"--{flag}"
