"""From text and tags of another system to fields of a marker, as a team's configuration says.

Pure. Five sources, the first that says something wins: what the client stated as a field, tags such
as `service:checkout`, then the configured patterns with named groups, in their order, then the
defaults, then what the dialect guesses. A value that no marker could hold (a commit that is none)
says nothing; the text itself is kept by others.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from deploymark.errors import UsageError
from deploymark.model.canonical import encode
from deploymark.model.limits import TEXT_BYTES, Name, Text, Value
from deploymark.model.tolerant import bounded, commit_of, digest_of, text_of
from deploymark.model.vocabulary import Kind, Phase

UNMAPPED: Final = "unmapped"
"""Service and environment of what cannot be understood."""

SEARCHED_CHARACTERS: Final = 1_024
"""Of a text, and of a tag: no pattern looks further, which bounds what a bad one can cost."""

_VALUE_BYTES: Final = 256
_MINUTE_MS: Final = 60_000
_TAG = re.compile(r"([A-Za-z][A-Za-z_.-]{0,40})[:=]\s*(.+)", re.DOTALL)

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "service": ("service",),
    "environment": ("environment",),
    "version": ("version",),
    "commit": ("commit_hash",),
    "digest": ("artifact", "digest"),
    "image": ("artifact", "name"),
    "image_tag": ("artifact", "tag"),
    "phase": ("phase",),
    "run": ("action",),
    "repository": ("repository",),
    "ref": ("ref",),
    "cluster": ("target", "cluster"),
    "region": ("target", "region"),
    "namespace": ("target", "namespace"),
    "workload": ("target", "workload"),
    "owner": ("owner",),
    "author": ("author",),
    "deployer": ("deployer",),
}
"""What a group or a default may be called, and where it goes in a flat marker."""

_WORDS: Final = {
    **{name: name for name in FIELDS},
    "app": "service",
    "application": "service",
    "env": "environment",
    "commit_hash": "commit",
    "sha": "commit",
    "revision": "commit",
    "image_digest": "digest",
    "release": "version",
    "action": "run",
}
"""What a tag may call a field."""


Stated = Mapping[str, str | None]
"""Texts by the names of `FIELDS`; None says nothing."""


class Pattern(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A regular expression whose named groups are fields.

    Attributes:
        text: Searched for in the text; "" for none.
        tag: Must match a whole tag; "" for none.
    """

    text: Text = ""
    tag: Text = ""


class TextMapping(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How texts of one caller become fields.

    Attributes:
        defaults: Values by the names of `FIELDS`, for what neither tag nor pattern says.
        patterns: Tried in their order.
    """

    defaults: dict[Name, Value] = {}
    patterns: Annotated[tuple[Pattern, ...], Meta(max_length=64)] = ()

    def over(self, other: "TextMapping") -> "TextMapping":
        """Return this mapping, completed by a more general one."""
        return TextMapping(
            defaults={**other.defaults, **self.defaults},
            patterns=(*self.patterns, *other.patterns),
        )


NO_MAPPING: Final = TextMapping()


def check_mapping(mapping: TextMapping, field: str = "") -> None:
    """Refuse a mapping that could not work, when it is read and not when a deploy is told.

    Args:
        mapping: As configured.
        field: JSON Pointer to it.

    Raises:
        UsageError: A name that is no field, an expression that is none, has no group, or repeats
            what repeats, which can take for ever.
    """
    for name in mapping.defaults:
        _check_name(name, f"{field}/defaults/{name}")
    for number, pattern in enumerate(mapping.patterns):
        place = f"{field}/patterns/{number}"
        if bool(pattern.text) == bool(pattern.tag):
            raise UsageError(f"{place} needs one of `text` and `tag`.", field=place)
        name = "text" if pattern.text else "tag"
        _check_expression(pattern.text or pattern.tag, f"{place}/{name}")


def mapped(
    text: str,
    tags: Sequence[str],
    mapping: TextMapping,
    *,
    stated: Stated = MappingProxyType({}),
    guessed: Stated = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the fields of a flat marker that a request says.

    Args:
        text: Free text; no more than `SEARCHED_CHARACTERS` of it are looked at.
        tags: Such as `service:checkout` or `env=prod`; others say nothing.
        mapping: Of the caller; checked before.
        stated: What the client said as fields, by the names of `FIELDS`; goes first.
        guessed: What to take where nobody says it, such as the name of the repository.

    Returns:
        Fields that a marker can hold; nothing for what nobody says.
    """
    said: dict[str, str] = {}
    _say_all(said, stated.items())
    for tag in tags:
        if (found := _TAG.fullmatch(tag)) and (name := _WORDS.get(found[1].lower())):
            _say(said, name, found[2])
    for pattern in mapping.patterns:
        _say_all(said, _groups(pattern, text, tags))
    _say_all(said, mapping.defaults.items())
    _say_all(said, guessed.items())
    fields: dict[str, Any] = {}
    for name, value in said.items():
        *outer, last = FIELDS[name]
        holder = fields.setdefault(outer[0], {}) if outer else fields
        holder[last] = value
    return fields


def marker_of(  # noqa: PLR0913 - what `mapped` takes, and what an unmapped change needs
    text: str,
    tags: Sequence[str],
    at_ms: int,
    mapping: TextMapping,
    *,
    key: str,
    stated: Stated = MappingProxyType({}),
    guessed: Stated = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the marker that text and tags make: a deployment where they name one.

    Otherwise it is a change of the infrastructure whose revision is a hash of text, tags, stated
    fields and minute, so that a retry is the same and nothing is lost. Service and environment are
    then `unmapped` where nobody says them.

    Args:
        text: Free text; others keep it.
        tags: All of them.
        at_ms: The claimed time, else when it came; only the minute counts.
        mapping: Of the caller.
        key: What changed, where nothing else says it: the name of the dialect.
        stated: As in `mapped`.
        guessed: As in `mapped`.
    """
    fields = mapped(text, tags, mapping, stated=stated, guessed=guessed)
    fields.setdefault("phase", Phase.APPLIED.value)
    if names_deployment(fields):
        return fields
    # What is stated as fields tells such changes apart, too; how far one has come does not.
    told = [f"{name}:{value}" for name, value in sorted(stated.items()) if value]
    own = [each for each in told if not each.startswith("phase:")]
    return unmapped(fields, key, revision_of(text, [*tags, *own], at_ms))


def names_deployment(fields: Mapping[str, Any]) -> bool:
    """Tell whether fields say of which service what was deployed where."""
    return ("service" in fields and "environment" in fields) and (
        "version" in fields or "commit_hash" in fields or "digest" in fields.get("artifact", {})
    )


def unmapped(fields: Mapping[str, Any], key: str, revision: str) -> dict[str, Any]:
    """Return the change of the infrastructure that stands for what no deployment is.

    Args:
        fields: What is known of it.
        key: What changed: the name of the dialect, or what it tells of.
        revision: Tells this change from others, and is the same when it is told again.
    """
    return {
        "service": UNMAPPED,
        "environment": UNMAPPED,
        "phase": Phase.APPLIED.value,
        **fields,
        "kind": Kind.INFRASTRUCTURE.value,
        "key": key,
        "revision": revision,
    }


def revision_of(text: str, tags: Sequence[str], at_ms: int) -> str:
    """Return the hash that stands for text, tags and minute."""
    return sha256(encode([text, list(tags), at_ms // _MINUTE_MS])).hexdigest()


_LOOKS_LIKE_A_COMMIT = re.compile(
    r"[0-9a-f]{40}|[0-9a-f]{64}|(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,63}"
)


def subject_of(revision: str | None) -> dict[str, str]:
    """Return what a revision of another system is: a commit where it looks like one, or a version.

    Args:
        revision: As sent; such systems take either.

    Returns:
        `commit` for 40 or 64 hexadecimal digits, and for at least 7 with letters among them, since
        digits alone are rather a date or a number; `version` for anything else; {} for nothing.
    """
    text = text_of(revision)
    if text is None:
        return {}
    low = text.lower()
    return {"commit": low} if _LOOKS_LIKE_A_COMMIT.fullmatch(low) else {"version": text}


def _say(said: dict[str, str], name: str, value: str | None) -> None:
    text = text_of(value)
    if name in said or text is None:
        return
    match name:
        case "digest" | "commit":
            found = digest_of(text) if name == "digest" else commit_of(text)
            if found is None:
                return
            text = found
        case "phase":
            text = text.lower()
            if text not in set(Phase):
                return
        case "repository":
            text = bounded(text, TEXT_BYTES) or text
        case _:
            text = bounded(text, _VALUE_BYTES) or text
    said[name] = text


def _say_all(said: dict[str, str], pairs: Iterable[tuple[str, str | None]]) -> None:
    for name, value in pairs:
        _say(said, name, value)


def _groups(pattern: Pattern, text: str, tags: Sequence[str]) -> list[tuple[str, str | None]]:
    if pattern.text:
        found = _compiled(pattern.text).search(text[:SEARCHED_CHARACTERS])
        return list(found.groupdict().items()) if found else []
    expression = _compiled(pattern.tag)
    matches = (expression.fullmatch(tag[:SEARCHED_CHARACTERS]) for tag in tags)
    return [pair for found in matches if found for pair in found.groupdict().items()]


@lru_cache(maxsize=1_024)
def _compiled(expression: str) -> re.Pattern[str]:
    return re.compile(expression)


def _check_name(name: str, field: str) -> None:
    if name in FIELDS:
        return
    near = get_close_matches(name, FIELDS, n=1, cutoff=0.0)
    raise UsageError(
        f"{field}: {name!r} is no field.",
        hint=f"The nearest is `{near[0]}`." if near else "",
        field=field,
    )


def _check_expression(expression: str, field: str) -> None:
    try:
        groups = _compiled(expression).groupindex
    except (re.error, OverflowError, RecursionError) as error:
        raise UsageError(f"{field} is no regular expression: {error}.", field=field) from None
    if not groups:
        raise UsageError(
            f"{field} has no named group.",
            hint="Write one as (?P<version>[0-9.]+).",
            field=field,
        )
    for name in groups:
        _check_name(name, field)
    if _repeats_repeats(expression):
        raise UsageError(
            f"{field} repeats a group that itself repeats, which can take for ever.",
            hint="Write (?:ab)+ as one repetition, or make the inner one possessive: a++.",
            field=field,
        )


_PIECES = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?[^)]*?[:>=!]|[()]|(?:[*+]|\{\d*,\d*\})[+?]?|.",
    re.DOTALL,
)


def _repeats_repeats(expression: str) -> bool:
    """Tell whether an unbounded repetition stands in a group that is repeated without a bound."""
    inside = [False]  # by open group: something in it repeats
    closed = False  # the piece before was a group in which something repeats
    for piece in _PIECES.findall(expression):
        repeats = piece[0] in "*+{" and not piece.endswith("+", 1)
        if piece[0] == "{" and not piece.partition(",")[2].startswith("}"):
            repeats = False  # bounded
        if piece.startswith("("):
            inside.append(False)
        elif piece == ")" and len(inside) > 1:
            inner = inside.pop()
            inside[-1] = inside[-1] or inner
            closed = inner
            continue
        elif repeats:
            if closed:
                return True
            inside[-1] = True
        closed = False
    return False
