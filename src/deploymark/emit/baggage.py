"""W3C baggage as far as one member of it is read and replaced (W3C Recommendation "Baggage"); pure.

What comes in was written by strangers: at most 64 members and 8,192 bytes count, which is what the
recommendation obliges everybody to carry, and a member that is malformed is dropped by itself. All
other members go on as they came, properties and encoding included.
"""

import re
from collections.abc import Iterable
from typing import Final

MAX_MEMBERS: Final = 64
MAX_BYTES: Final = 8_192

_MEMBER: Final = re.compile(
    r"""
    (?P<name>[!#$%&'*+.^_`|~0-9A-Za-z-]+) [ \t]* = [ \t]*
    (?P<value>[!\x23-\x2B\x2D-\x3A\x3C-\x5B\x5D-\x7E]*)
    (?P<rest>[ \t]* (?:; [\t\x20-\x2B\x2D-\x7E]*)?)
    """,
    re.VERBOSE,
)


def join_lines(lines: Iterable[bytes]) -> str:
    """Return several header lines as one text (RFC 9110, section 5.3)."""
    return ",".join(line.decode("latin-1") for line in lines)


def members(text: str) -> list[tuple[str, str, str]]:
    """Return the members of a header: name, value still encoded, and the member as it came.

    Args:
        text: All lines of the header, joined by commas.
    """
    matches = [_MEMBER.fullmatch(part) for part in _parts(text)]
    return [(match["name"], match["value"], match[0]) for match in matches if match is not None]


def _parts(text: str) -> list[str]:
    parts = text[:MAX_BYTES].split(",", MAX_MEMBERS)[:MAX_MEMBERS]
    return [part.strip(" \t") for part in parts]


def member_value(text: str, name: str) -> str:
    """Return the decoded value of a member; of several the last, which was added last."""
    if name not in text:
        return ""
    near = ",".join(part for part in _parts(text) if part.startswith(name))
    values = [value for each, value, _ in members(near) if each == name]
    if not values:
        return ""
    from urllib.parse import unquote  # noqa: PLC0415 - only where there is such a member

    return unquote(values[-1], errors="replace")


def replace_member(text: str, name: str, value: str) -> str:
    """Return baggage in which a member has exactly one value, or none.

    Args:
        text: The baggage that came in.
        name: Of the member.
        value: Its new value, which must need no encoding; "" takes it out.
    """
    kept = [member for each, _, member in members(text) if each != name] if text else []
    if not value:
        return ",".join(kept)
    own = f"{name}={value}"
    size = len(own)
    whole = []
    # Ours has to fit: the last of the others give way.
    for member in kept[: MAX_MEMBERS - 1]:
        size += len(member) + 1
        if size > MAX_BYTES:
            break
        whole.append(member)
    return ",".join([*whole, own])
