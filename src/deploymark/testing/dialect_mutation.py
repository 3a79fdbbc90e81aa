"""Requests that nobody meant: golden ones with one or two things about them changed. Pure, seeded.

The structure stays as far as possible, so that a mutation comes past the first check: a value of
another type, a field less, a text too long, a time out of all years; and now and then a torn body.
"""

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode

from deploymark.testing.dialect_bench import Call

_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    3.5,
    10**30,
    1e308,
    253_402_300_800_000,
    "",
    " ",
    "0",
    "not what it should be",
    "x" * 5_000,
    "\u20ac" * 3_000,
    "a\u0000b",
    "line\nline",
    "2026-13-45T99:99:99Z",
    "../../etc/passwd",
    "someone@example.org",
    "sha256:" + "0" * 64,
    [],
    [None, {}, 7, "x"],
    ["tag"] * 200,
    {},
    {"a": {"b": {"c": []}}},
    {"x" * 300: "y"},
)
_BODIES: Final = (
    b"", b"null", b"[]", b"{", b"\xff\xfe", b"{}", b"[" * 5_000, b'"text"', b'{"a":"\\ud800"}',
)  # fmt: skip
_SEGMENTS: Final = (
    "x",
    "0",
    "-1",
    "99999999999999999999999",
    "a b",
    "\u20ac",
    "1.5",
    "%2F",
    "y" * 700,
)

Place = tuple[Any, ...]


def mutated(call: Call, seed: int) -> Call:
    """Return a mutation of a call, the same one for the same seed."""
    chance = Random(seed)  # noqa: S311 - which mutations are tried is no secret
    for _ in range(chance.choice((1, 1, 2))):
        call = chance.choice((_in_body, _in_body, _in_body, _in_body, _in_path, _torn))(
            call, chance
        )
    return call


def _in_body(call: Call, chance: Random) -> Call:
    if "form" in call.headers.get("content-type", ""):
        return _in_form(call, chance)
    try:
        value = json.loads(call.body)
    except (ValueError, RecursionError):
        return _torn(call, chance)
    places = list(_places(value))
    if not places:
        return _torn(call, chance)
    *way, last = chance.choice(places)
    holder = value
    for step in way:
        holder = holder[step]
    if chance.random() < 0.25:
        del holder[last]
    else:
        holder[last] = chance.choice(_VALUES)
    return _with(call, body=json.dumps(value).encode())


def _in_form(call: Call, chance: Random) -> Call:
    pairs = parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    if not pairs:
        return _torn(call, chance)
    number = chance.randrange(len(pairs))
    pairs[number] = (pairs[number][0], str(chance.choice(_VALUES)))
    return _with(call, body=urlencode(pairs).encode())


def _in_path(call: Call, chance: Random) -> Call:
    path, mark, query = call.path.partition("?")
    if mark and chance.random() < 0.7:
        pairs = parse_qsl(query, keep_blank_values=True)
        if pairs:
            number = chance.randrange(len(pairs))
            pairs[number] = (pairs[number][0], chance.choice(_SEGMENTS))
        return _with(call, path=f"{path}?{urlencode(pairs)}")
    return _with(call, path=f"{path}?{chance.choice(('limit', 'from', 'tags'))}=x&{query}")


def _torn(call: Call, chance: Random) -> Call:
    if call.body and chance.random() < 0.5:
        return _with(call, body=call.body[: chance.randrange(len(call.body))])
    return _with(call, body=chance.choice(_BODIES))


def _places(value: Any, way: Place = ()) -> Iterator[Place]:  # noqa: ANN401 - any JSON value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield (*way, name)
            yield from _places(inner, (*way, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield (*way, number)
            yield from _places(inner, (*way, number))


def _with(call: Call, *, path: str | None = None, body: bytes | None = None) -> Call:
    return Call(
        method=call.method,
        path=call.path if path is None else path,
        body=call.body if body is None else body,
        headers=call.headers,
    )


def another_address(call: Call, template: str, seed: int) -> Call:
    """Return a call whose path parameters are others, so that the same route answers it."""
    chance = Random(seed)  # noqa: S311 - as above
    wanted, query = call.path.partition("?")[0].split("/"), call.path.partition("?")[2]
    parts = template.split("/")
    if "{" not in template or len(parts) != len(wanted):
        return call
    path = "/".join(
        chance.choice(_SEGMENTS) if part.startswith("{") else said
        for part, said in zip(parts, wanted, strict=True)
    )
    return _with(call, path=f"{path}?{query}" if query else path)
