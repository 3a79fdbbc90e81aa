r"""Keeps secrets and personal data out of an append-only log: refused, with the field named.

What is in the log stays in it, so this is the last place to say no (spec: trust, "Roles"). It is
a net, not a proof: it knows many forms of secrets (`secret_shapes`, `secret_names`), addresses
and numbers of people, and nothing else. It changes nothing and keeps nothing of what it saw, and
what it raises names the field and the kind of thing, never the thing.

Nearly every marker is clean. Its JSON text is searched once for anything that could begin a
finding; only on a hit are its fields walked and looked at one by one.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec

from deploymark.errors import PersonalDataRefusedError, SecretRefusedError
from deploymark.ingest.secret_names import ENDINGS, KEYS, PARTS, WORDS, find_named, find_pair
from deploymark.ingest.secret_shapes import CAPITALS, SHAPES, find_shape
from deploymark.model.inspection import escape

Path = tuple[str, ...]

_encoder = msgspec.json.Encoder()
_WORDS = frozenset(word.encode() for word in WORDS.union(*(shape.words for shape in SHAPES)))
_CAPITALS = re.compile(CAPITALS.encode())
# Splits text into runs of letters and digits and folds their case, in one pass of C.
_FOLD = bytes(
    ord(chr(byte).lower()) if chr(byte).isascii() and chr(byte).isalnum() else 0x20
    for byte in range(256)
)
_SHORTEST = 8

_EMAIL = re.compile(
    r"(?<![\w.+%@/-])(?P<local>[\w.+%-]{1,64}+)@"
    r"(?P<domain>(?:[A-Za-z0-9-]{1,63}+\.){1,10}[A-Za-z]{2,24})(?![\w@-])(?!:[\w~/])"
)
# Names of machines, units and files that stand behind an @ without being an address.
_NO_TOP_LEVEL = frozenset(
    {
        "cluster",
        "device",
        "gif",
        "internal",
        "jpeg",
        "jpg",
        "js",
        "json",
        "lan",
        "local",
        "localdomain",
        "mount",
        "path",
        "png",
        "scope",
        "service",
        "slice",
        "socket",
        "svc",
        "svg",
        "target",
        "timer",
        "toml",
        "ts",
        "txt",
        "webp",
        "yaml",
        "yml",
    }
)
_ROBOT_DOMAINS = ("users.noreply.github.com", "gserviceaccount.com", "noreply.gitlab.com")
_ROBOTS = frozenset({"git", "noreply", "no-reply", "donotreply", "do-not-reply"})

# The country codes of ITU-T E.164; +1 and +7 have numbers of one length only.
_COUNTRY = (
    r"(?:2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    r"|2[1-689]\d|3[578]\d|42\d|50\d|59\d|6[789]\d|8[0578]\d|9[679]\d)"
)
_GAP = r"(?: ?\(\d{1,4}\) ?|[ .-]?)"
_PHONE = re.compile(
    rf"(?:(?<=tel:)|(?<![\w.+:/=-]))\+"
    rf"(?:1[ .-]?\(?[2-9]\d\d\)?(?:[ .-]?\d){{7}}|7(?:{_GAP}\d){{10}}"
    rf"|{_COUNTRY}(?:{_GAP}\d){{7,12}})(?![\w+]|[.-]\d)"
)
_PLUS_NUMBER = re.compile(rb"\+[1-9][ .()-]{0,2}\d")

_PEOPLE_AND_TEXT = frozenset(
    {
        "about",
        "actor",
        "approvers",
        "author",
        "deployer",
        "labels",
        "message",
        "name",
        "note",
        "owner",
        "reason",
        "reasons",
        "remedy",
        "text",
        "title",
    }
)
_MACHINES = frozenset(
    {
        "action",
        "artifact",
        "build_id",
        "build_url",
        "commit",
        "commit_hash",
        "correlation_id",
        "deployment_id",
        "details_digest",
        "digest",
        "emitter",
        "evidence",
        "marker_id",
        "ref",
        "release_id",
        "repository",
        "revision",
        "schema",
        "target",
        "timestamp",
        "version",
    }
)


class PrivacyRules(msgspec.Struct, frozen=True):
    """What policy allows of personal data; nothing allows secrets.

    Attributes:
        allow_email: E-mail addresses may stand anywhere.
        allow_phone: Phone numbers may stand anywhere.
        allowed_fields: JSON Pointers of fields in which both may stand, with all that is below
            them; without the prefix that a caller gives.
    """

    allow_email: bool = False
    allow_phone: bool = False
    allowed_fields: frozenset[str] = frozenset()


class _Text(NamedTuple):
    """One string of a value: where it stands, whether it is a name there, and what names it."""

    path: Path
    text: str
    is_key: bool = False
    name: str = ""


def check_privacy(fields: Mapping[str, Any], rules: PrivacyRules, *, prefix: str = "") -> None:
    """Refuse a marker or another entry that holds a secret or personal data.

    Args:
        fields: Plain JSON values, keys and values alike are looked at.
        rules: What policy allows.
        prefix: JSON Pointer of `fields` within what was sent, for messages.

    Raises:
        SecretRefusedError: Something in it is a secret.
        PersonalDataRefusedError: Something in it is an e-mail address or a phone number.
    """
    text = _json(fields)
    _check_secrets(fields, text, prefix)
    _check_personal(fields, text, rules, prefix)


def check_secrets(value: Any, *, prefix: str = "") -> None:  # noqa: ANN401 - any JSON value
    """Refuse a JSON value or a plain text that holds a secret, for details, which may be personal.

    Raises:
        SecretRefusedError: Something in it is a secret; `field` points at the place.
    """
    _check_secrets(value, _json(value), prefix)


def check_personal(value: Any, rules: PrivacyRules, *, prefix: str = "") -> None:  # noqa: ANN401
    """Refuse a JSON value or a plain text with an e-mail address or a phone number of a person.

    Raises:
        PersonalDataRefusedError: There is one; `field` points at the place.
    """
    _check_personal(value, _json(value), rules, prefix)


def _json(value: object) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8; it must not hide what stands beside it.
        return repr(value).encode()


def _check_secrets(value: object, json: bytes, prefix: str) -> None:
    if not _may_hold_secret(json):
        return
    for each in _texts(value):
        kind = _find_secret(each.text) or find_pair(each.name, each.text)
        if kind:
            field = _pointer(each, prefix)
            raise SecretRefusedError(f"{_place(each, field)} {kind}.", field=field)


def _may_hold_secret(text: bytes) -> bool:
    """Tell whether anything in a text could begin a secret; most markers end here."""
    folded = text.translate(_FOLD)
    words = folded.split()
    return (
        any(part in folded for part in PARTS)
        or not _WORDS.isdisjoint(words)
        or _CAPITALS.search(text) is not None
        or (b" key" in folded and not KEYS.isdisjoint(words))
        or (b"=" in text and any(part in text for part in ENDINGS))
        or (b"@" in text and b"://" in text)
    )


def _find_secret(text: str) -> str:
    if len(text) < _SHORTEST or not _may_hold_secret(text.encode(errors="replace")):
        return ""
    return find_shape(text) or find_named(text)


def _check_personal(value: object, json: bytes, rules: PrivacyRules, prefix: str) -> None:
    emails = not rules.allow_email and b"@" in json
    phones = not rules.allow_phone and b"+" in json and _PLUS_NUMBER.search(json) is not None
    if not (emails or phones):
        return
    for each in _texts(value):
        kind = ""
        if emails and "@" in each.text and _MACHINES.isdisjoint(each.path):
            kind = _find_email(each.text)
        if not kind and phones and "+" in each.text and _may_name_a_phone(each):
            kind = "a phone number" if _PHONE.search(each.text) else ""
        if kind and not _is_allowed(each.path, rules.allowed_fields):
            field = _pointer(each, prefix)
            raise PersonalDataRefusedError(f"{_place(each, field)} {kind}.", field=field)


def _texts(value: object, path: Path = (), name: str = "") -> Iterator[_Text]:
    """Yield every string of a value in document order, keys before what they name."""
    if isinstance(value, str):
        yield _Text(path, value, name=name)
    elif isinstance(value, Mapping):
        # A setting is often written as {"key": …, "value": …}: one names the other.
        key = value.get("key")
        for inner, part in value.items():
            yield _Text(path, inner, is_key=True)
            named = key if inner == "value" and isinstance(key, str) else inner
            yield from _texts(part, (*path, inner), named)
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _texts(part, (*path, str(index)), name)


def _find_email(text: str) -> str:
    for match in _EMAIL.finditer(text):
        domain = match["domain"].lower()
        robot = match["local"].lower() in _ROBOTS or domain.endswith(_ROBOT_DOMAINS)
        if not robot and domain.rpartition(".")[2] not in _NO_TOP_LEVEL:
            return "an e-mail address"
    return ""


def _may_name_a_phone(each: _Text) -> bool:
    # Plus and digits are also versions, offsets and counts of lines.
    named = not each.path or not _PEOPLE_AND_TEXT.isdisjoint(each.path)
    return named or each.text.startswith("tel:")


def _is_allowed(path: Path, allowed: frozenset[str]) -> bool:
    return bool(allowed) and any(
        "".join(f"/{escape(name)}" for name in path[:length]) in allowed
        for length in range(1, len(path) + 1)
    )


def _pointer(each: _Text, prefix: str) -> str:
    """Return where a finding stands, without any name that is itself a finding."""
    return prefix + "".join(f"/{'*' if _tells(name) else escape(name)}" for name in each.path)


def _tells(name: str) -> bool:
    found = _find_secret(name) or _find_email(name)
    return bool(found) or _PHONE.search(name) is not None


def _place(each: _Text, field: str) -> str:
    where = field or ("The object" if each.is_key else "The text")
    return f"A name in {where} holds" if each.is_key else f"{where} holds"
