"""Names every fault of a plain value: where it is, what the limit is, what was sent.

msgspec decodes fast but stops at the first fault and cannot point into a map. When it refuses,
this module walks the same type definitions and explains. It decides nothing that msgspec does
not decide, except that lengths count bytes; a property test keeps the two in step.
"""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import inspect as kinds

from deploymark.errors import MarkerError, RefusedError, TooLargeError

_SHOWN = 60
_NEAR = 0.5
# A hostile name of 30 KB must not make the search for the nearest known one slow.
_COMPARED = 64

Faults = Iterator[RefusedError]


class Inspector:
    """Explains why a value is no instance of a Struct, and strips what a later version added.

    Args:
        struct: The Struct class, whose types carry the limits.
        error: What a fault is raised as, where no more special class fits.
    """

    def __init__(
        self, struct: type[msgspec.Struct], error: type[RefusedError] = MarkerError
    ) -> None:
        """Look at the types once; inspecting is then a walk."""
        self._root = kinds.type_info(struct)
        self._error = error
        self._places = dict(_places(self._root, ""))

    def faults(self, value: object, *, strict: bool = True) -> Faults:
        """Yield one error per fault, in document order; unknown fields are faults when strict."""
        return self._check(value, self._root, "", strict=strict)

    def known(self, value: Any) -> Any:  # noqa: ANN401 - any JSON value
        """Return the value without the fields that its Struct does not know."""
        return _known(value, self._root)

    def _check(  # noqa: C901, PLR0911, PLR0912 - one case per kind of type
        self, value: object, kind: kinds.Type, pointer: str, *, strict: bool
    ) -> Faults:
        match kind:
            case kinds.Metadata(type=kinds.StrType() as text):
                grammar = (kind.extra_json_schema or {}).get("description", "")
                return self._string(value, text, pointer, grammar)
            case kinds.UnionType():
                return self._union(value, kind, pointer, strict=strict)
            case kinds.StructType():
                return self._struct(value, kind, pointer, strict=strict)
            case kinds.DictType():
                return self._map(value, kind, pointer, strict=strict)
            case kinds.ListType() | kinds.VarTupleType():
                return self._list(value, kind, pointer, strict=strict)
            case kinds.EnumType():
                return self._choice(value, [member.value for member in kind.cls], pointer)
            case kinds.LiteralType():
                return self._choice(value, kind.values, pointer)
            case kinds.StrType():
                return self._string(value, kind, pointer)
            case kinds.IntType() | kinds.FloatType():
                return self._number(value, kind, pointer)
            case kinds.BoolType() if not isinstance(value, bool):
                return iter([self._type(value, "true or false", pointer)])
            case _:
                return iter(())

    def _union(self, value: object, kind: kinds.UnionType, pointer: str, *, strict: bool) -> Faults:
        choices = [choice for choice in kind.types if not isinstance(choice, kinds.NoneType)]
        if value is None and len(choices) < len(kind.types):
            return iter(())
        tag = _tag_of(choices)
        if tag and isinstance(value, dict):
            return self._tagged(value, choices, tag, pointer, strict=strict)
        # Of several types the last is the widest: numbers are written int | float.
        choices = [choice for choice in choices if _may_be(choice, value)] or choices
        return self._check(value, choices[-1], pointer, strict=strict)

    def _tagged(
        self,
        value: dict[Any, Any],
        choices: list[kinds.Type],
        tag: str,
        pointer: str,
        *,
        strict: bool,
    ) -> Faults:
        """Check a value against the one of several Structs that its tag names."""
        named = {each.tag: each for each in choices if isinstance(each, kinds.StructType)}
        if tag not in value:
            return iter([self._missing(f"{pointer}/{tag}")])
        said = value[tag]
        if not isinstance(said, str) or said not in named:
            return self._choice(said, list(named), f"{pointer}/{tag}")
        rest = {name: part for name, part in value.items() if name != tag}
        return self._struct(rest, named[said], pointer, strict=strict)

    def _struct(
        self, value: object, kind: kinds.StructType, pointer: str, *, strict: bool
    ) -> Faults:
        if not isinstance(value, dict):
            yield self._type(value, "an object", pointer)
            return
        fields = {field.encode_name: field for field in kind.fields}
        for name, field in fields.items():
            if field.required and name not in value:
                strays = [str(each) for each in value if each not in fields]
                yield self._missing(f"{pointer}/{name}", strays)
        for name, part in value.items():
            known = fields.get(name)
            if known is not None:
                yield from self._check(part, known.type, f"{pointer}/{name}", strict=strict)
            elif strict:
                yield self._unknown(name, fields, pointer)

    def _map(self, value: object, kind: kinds.DictType, pointer: str, *, strict: bool) -> Faults:
        if not isinstance(value, dict):
            yield self._type(value, "an object", pointer)
            return
        yield from self._size(len(value), kind, pointer)
        for name, part in value.items():
            inner = f"{pointer}/{escape(name)}"
            for fault in self._check(name, kind.key_type, inner, strict=strict):
                yield type(fault)(f"The name in {fault.message}", hint=fault.hint, field=inner)
            yield from self._check(part, kind.value_type, inner, strict=strict)

    def _list(
        self,
        value: object,
        kind: kinds.ListType | kinds.VarTupleType,
        pointer: str,
        *,
        strict: bool,
    ) -> Faults:
        if not isinstance(value, list | tuple):
            yield self._type(value, "a list", pointer)
            return
        yield from self._size(len(value), kind, pointer)
        for index, part in enumerate(value):
            yield from self._check(part, kind.item_type, f"{pointer}/{index}", strict=strict)

    def _size(
        self,
        count: int,
        kind: kinds.DictType | kinds.ListType | kinds.VarTupleType,
        pointer: str,
    ) -> Faults:
        if kind.max_length is not None and count > kind.max_length:
            yield TooLargeError(
                f"{pointer} has {count} entries; the limit is {kind.max_length}.", field=pointer
            )
        if kind.min_length is not None and count < kind.min_length:
            yield self._error(
                f"{pointer} has {count} entries; at least {kind.min_length} is needed.",
                field=pointer,
            )

    def _string(
        self, value: object, kind: kinds.StrType, pointer: str, grammar: str = ""
    ) -> Faults:
        if not isinstance(value, str):
            yield self._type(value, "a string", pointer)
            return
        size = len(value.encode(errors="surrogatepass"))
        if kind.max_length is not None and size > kind.max_length:
            yield TooLargeError(
                f"{pointer} has {size} bytes; the limit is {kind.max_length}: {show(value)}.",
                field=pointer,
            )
        if kind.min_length is not None and len(value) < kind.min_length:
            yield self._error(
                f"{pointer} is empty.",
                hint="Name a value; leave an optional field out when there is none.",
                field=pointer,
            )
        if kind.pattern is not None and re.search(kind.pattern, value) is None:
            wanted = grammar or f"text that matches {kind.pattern}"
            yield self._error(f"{pointer} must be {wanted}, not {show(value)}.", field=pointer)

    def _number(self, value: object, kind: kinds.IntType | kinds.FloatType, pointer: str) -> Faults:
        whole = isinstance(kind, kinds.IntType)
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            yield self._type(value, "a whole number" if whole else "a number", pointer)
            return
        wrong = [word for word, holds in _bounds(value, kind) if not holds]  # NaN holds nowhere
        if wrong:
            bounds = " and ".join(word for word, _ in _bounds(value, kind))
            if kind.ge is not None and kind.le is not None:
                bounds = f"between {kind.ge} and {kind.le}"
            yield self._error(f"{pointer} must be {bounds}, not {show(value)}.", field=pointer)

    def _choice(self, value: object, choices: Iterable[Any], pointer: str) -> Faults:
        words = [str(choice) for choice in choices]
        if isinstance(value, str) and value in words:
            return
        near = get_close_matches(str(value)[:_COMPARED], words, n=1, cutoff=_NEAR)
        yield self._error(
            f"{pointer} must be one of {', '.join(words)}, not {show(value)}.",
            hint=f"Did you mean `{near[0]}`?" if near else "",
            field=pointer,
        )

    def _type(self, value: object, wanted: str, pointer: str) -> RefusedError:
        shown = pointer or "The value"
        return self._error(f"{shown} must be {wanted}, not {show(value)}.", field=pointer)

    def _missing(self, pointer: str, strays: Iterable[str] = ()) -> RefusedError:
        """Say that a field is missing, and which of those that are no fields may be meant as it."""
        name = pointer.rpartition("/")[2]
        near = get_close_matches(name, [each[:_COMPARED] for each in strays], n=1)
        said = f"{pointer} is missing; `{escape(near[0])}` is no field." if near else ""
        return self._error(
            said or f"{pointer} is missing.",
            hint=f"Call it `{name}`." if near else f"The field `{name}` is required.",
            field=pointer,
        )

    def _unknown(self, name: str, fields: Iterable[str], pointer: str) -> RefusedError:
        field = f"{pointer}/{escape(name)}"
        place = self._places.get(name)
        if place is not None:
            hint = f"`{name}` belongs at {place}."
        else:
            near = get_close_matches(name[:_COMPARED], fields, n=1, cutoff=0.0)
            hint = f"The nearest known field is `{near[0]}`." if near else ""
        return self._error(
            f"{field} is not a known field.",
            hint=f"{hint} Free pairs belong in `labels`.".lstrip(),
            field=field,
        )


def escape(name: str) -> str:
    """Return an object key as a JSON Pointer segment (RFC 6901), shortened when absurdly long."""
    short = name if len(name) <= _COMPARED else name[:_COMPARED] + "…"
    # A pointer is printed and sent: a lone surrogate in it would break that.
    whole = short.encode(errors="backslashreplace").decode()
    return whole.replace("~", "~0").replace("/", "~1")


def unescape(segment: str) -> str:
    """Return the object key that a JSON Pointer segment names."""
    return segment.replace("~1", "/").replace("~0", "~")


def show(value: object) -> str:  # noqa: PLR0911 - one case per JSON type
    """Return a value for a message: short and on one line."""
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case dict():
            return f"an object of {len(value)} fields"
        case list() | tuple():
            return f"a list of {len(value)}"
        case int() if value.bit_length() > _COMPARED:
            return f"an integer of {value.bit_length()} bits"
        case str() if len(value) > _SHOWN:
            return repr(value[:_SHOWN]) + "…"
        case _:
            return repr(value)


def _bounds(value: float, kind: kinds.IntType | kinds.FloatType) -> Iterator[tuple[str, bool]]:
    """Yield each limit of a number in words, and whether a value holds it."""
    if kind.ge is not None:
        yield f"at least {kind.ge}", value >= kind.ge
    if kind.gt is not None:
        yield f"more than {kind.gt}", value > kind.gt
    if kind.le is not None:
        yield f"at most {kind.le}", value <= kind.le
    if kind.lt is not None:
        yield f"less than {kind.lt}", value < kind.lt


def _tag_of(choices: list[kinds.Type]) -> str | None:
    """Return the field that tells several Structs apart, None where there is none."""
    tags = {each.tag_field if isinstance(each, kinds.StructType) else None for each in choices}
    return tags.pop() if len(choices) > 1 and len(tags) == 1 else None


def _may_be(kind: kinds.Type, value: object) -> bool:
    """Tell whether a value is of the form that a type is written in."""
    match kind.type if isinstance(kind, kinds.Metadata) else kind:
        case kinds.StrType():
            return isinstance(value, str)
        case kinds.IntType() | kinds.FloatType():
            return isinstance(value, int | float)
        case kinds.StructType() | kinds.DictType():
            return isinstance(value, dict)
        case kinds.ListType() | kinds.VarTupleType():
            return isinstance(value, list)
        case _:
            return False


def _places(kind: kinds.Type, pointer: str) -> Iterator[tuple[str, str]]:
    """Yield (name, pointer) of the fields of inner objects, to tell where a stray one belongs."""
    for inner in kind.types if isinstance(kind, kinds.UnionType) else (kind,):
        if isinstance(inner, kinds.StructType):
            for field in inner.fields:
                place = f"{pointer}/{field.encode_name}"
                if pointer:
                    yield field.encode_name, place
                yield from _places(field.type, place)


def _known(value: object, kind: kinds.Type) -> Any:  # noqa: ANN401 - any JSON value
    match kind:
        case kinds.StructType() if isinstance(value, dict):
            types = {field.encode_name: field.type for field in kind.fields}
            kept = [name for name in value if name in types]
            return {name: _known(value[name], types[name]) for name in kept}
        case kinds.UnionType():
            for inner in kind.types:
                value = _known(value, inner)
            return value
        case kinds.ListType() | kinds.VarTupleType() if isinstance(value, list):
            return [_known(part, kind.item_type) for part in value]
        case kinds.DictType() if isinstance(value, dict):
            return {name: _known(part, kind.value_type) for name, part in value.items()}
        case _:
            return value
