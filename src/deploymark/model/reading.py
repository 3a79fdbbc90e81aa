"""Turns bytes into values, or says exactly why not: the one way in for every format of the room.

A payload is read in one of two ways that give the same value. The quick way serves what our own
emitters send: compact ASCII text that re-encodes to itself, which proves that no key is repeated
and no spelling is unusual. Everything else goes the thorough way, which finds every fault and
names it by JSON Pointer. Signed bytes are never changed; only the value in memory is.

Refused, beyond what types say: repeated keys, invalid UTF-8, NaN and infinity, integers beyond
2**53 - 1, lone surrogates, U+0000 (no SQL text can hold it), nesting deeper than 32.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any, Generic, NoReturn, TypeVar

import msgspec
from msgspec import inspect as kinds

from deploymark.decoding import convert, json_decoder
from deploymark.errors import InstantError, MarkerError, RefusedError, TooLargeError
from deploymark.model.canonical import SAFE_INTEGER
from deploymark.model.inspection import Faults, Inspector, escape, show
from deploymark.model.instants import parse_instant
from deploymark.model.limits import DEPTH, PAYLOAD_BYTES
from deploymark.model.versions import VERSIONS, Versions

T = TypeVar("T", bound=msgspec.Struct)

Rules = Callable[[dict[str, Any]], Faults]
"""Yields the faults that types cannot express; meets values of any type."""

Preparation = Callable[[dict[str, Any]], dict[str, Any]]
"""Resolves what only input may carry, such as aliases."""

_decoder = json_decoder()
_encoder = msgspec.json.Encoder()


def _no_rules(_: dict[str, Any]) -> Faults:
    return iter(())


class StructReader(Generic[T]):
    """Reads one format into its Struct.

    Args:
        name: The format, as `versions` knows it.
        struct: The Struct of the current version; it must forbid unknown fields.
        rules: What types cannot express.
        prepare: Resolves aliases before anything is checked.
        limit_bytes: Largest payload.
        versions: Known versions and their upcasts.
        error: What a fault is raised as, where no more special class fits.
    """

    def __init__(  # noqa: PLR0913 - a table of one format's properties, all named
        self,
        name: str,
        struct: type[T],
        *,
        rules: Rules = _no_rules,
        prepare: Preparation | None = None,
        limit_bytes: int = PAYLOAD_BYTES,
        versions: Versions = VERSIONS,
        error: type[RefusedError] = MarkerError,
    ) -> None:
        """Keep the format's properties; reading looks nothing up."""
        self._name = name
        self.struct = struct
        self._rules = rules
        self._prepare = prepare
        self._limit_bytes = limit_bytes
        self._versions = versions
        self._error = error
        self._inspector = Inspector(struct, error)
        self._instants = tuple(_instant_paths(kinds.type_info(struct)))

    def read(self, payload: bytes, version: int = 1, *, strict: bool = True) -> T:
        """Return the value of a payload.

        Args:
            payload: UTF-8 JSON text.
            version: The version that the wire names.
            strict: Refuse unknown fields. Otherwise they are ignored: for stored entries that a
                later minor version wrote.

        Raises:
            TooLargeError: Payload, field or list above its limit.
            SchemaVersionError: The version is not known.
            InstantError: A timestamp names no instant.
            RefusedError: Any other fault, as the reader's own class; `field` points at it.
        """
        if len(payload) > self._limit_bytes:
            raise TooLargeError(
                f"The payload has {len(payload)} bytes; the limit is {self._limit_bytes}."
            )
        if self._versions.is_current(self._name, version):
            result = self._read_quickly(payload)
            if result is not None:
                return result
        value = self._versions.upcast(self._name, version, read_json(payload, self._error))
        return self.convert(value, strict=strict)

    def convert(self, value: object, *, strict: bool = True) -> T:
        """Return the Struct of a plain value of the current version; raises as `read` does."""
        if self._prepare is not None and isinstance(value, dict):
            value = self._prepare(value)
        for fault in self._faults(value, strict=strict):
            raise fault
        try:
            return convert(self._inspector.known(value), self.struct)
        except msgspec.ValidationError as error:
            raise self._error(str(error)) from None  # the inspector missed what msgspec saw

    def faults(self, value: object, *, strict: bool = True) -> Faults:
        """Yield every fault of a plain value of the current version, not only the first."""
        if self._prepare is not None and isinstance(value, dict):
            try:
                value = self._prepare(value)
            except RefusedError as error:
                yield error
                return
        yield from self._faults(value, strict=strict)

    def _read_quickly(self, payload: bytes) -> T | None:
        # ASCII: a byte is a character, so the limits that msgspec checks are the real ones.
        if not payload.isascii() or b"\\u0000" in payload:
            return None
        try:
            value = _decoder.decode(payload)
            written = _encoder.encode(value)
            # What is written back as it came repeats no key; people put spaces in between.
            if written not in (payload, msgspec.json.format(payload, indent=-1)):
                return None
            result = convert(value, self.struct)
        except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
            return None
        for _ in self._instant_faults(value):
            return None
        for _ in self._rules(value):
            return None
        return result

    def _faults(self, value: object, *, strict: bool) -> Faults:
        fields = value if isinstance(value, dict) else {}
        seen = set()
        # One fault per place: the first check that notices it explains it best.
        for fault in chain(
            value_faults(value, self._error),
            self._instant_faults(fields),
            self._inspector.faults(value, strict=strict),
            self._rules(fields) if fields else (),
        ):
            if fault.field not in seen:
                seen.add(fault.field)
                yield fault

    def _instant_faults(self, value: dict[str, Any]) -> Faults:
        for path in self._instants:
            part: Any = value
            for name in path:
                part = part.get(name) if isinstance(part, dict) else None
            if isinstance(part, str):
                try:
                    parse_instant(part)
                except InstantError as error:
                    field = "/" + "/".join(path)
                    yield InstantError(f"{field}: {error.message}", field=field)


class _Repeating(dict[str, Any]):
    """An object whose text repeats a key, kept until the fault can be given its pointer."""

    repeated: tuple[str, ...] = ()


def read_json(payload: bytes, error: type[RefusedError] = MarkerError) -> Any:  # noqa: ANN401
    """Return the plain value of JSON bytes; `value_faults` tells what is wrong inside.

    Raises:
        RefusedError: Not UTF-8 or not JSON, as the class given.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as fault:
        raise error(
            f"Byte {fault.start} of the payload is not UTF-8.", hint="Send UTF-8 JSON text."
        ) from None
    return read_json_text(text, error)


def read_json_text(text: str, error: type[RefusedError] = MarkerError) -> Any:  # noqa: ANN401
    """Return the plain value of JSON text; raises as `read_json` does."""

    def refuse(word: str) -> NoReturn:
        raise error(f"JSON has no {word}.", hint="Leave the value out.")

    def whole(digits: str) -> int:
        # int() refuses thousands of digits with an error of its own; any long one is too large.
        return int(digits[:_LONGEST_INTEGER])

    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=refuse,
            parse_float=_number,
            parse_int=whole,
        )
    except json.JSONDecodeError as fault:
        raise error(
            f"Not JSON: {fault.msg}, line {fault.lineno} column {fault.colno}.",
            hint="Send one JSON object.",
        ) from None
    except RecursionError:
        raise error("The JSON text is nested too deeply.", hint="Flatten the value.") from None


def value_faults(value: object, error: type[RefusedError] = MarkerError) -> Faults:
    """Yield what makes a plain value unfit for a signed payload, whatever its type should be."""
    return _walk(value, "", 0, error)


_LONGEST_INTEGER = 40


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) == len(pairs):
        return result
    repeating = _Repeating(result)
    counts = Counter(name for name, _ in pairs)
    repeating.repeated = tuple(name for name in result if counts[name] > 1)
    return repeating


def _number(text: str) -> int | float:
    # JSON knows one kind of number: 1.0 is 1, as RFC 8785 writes it too.
    value = float(text)
    return int(value) if value.is_integer() and abs(value) <= SAFE_INTEGER else value


def _walk(value: object, pointer: str, depth: int, error: type[RefusedError]) -> Faults:
    place = pointer or "The value"
    match value:
        case str():
            if (wrong := _wrong_text(value)) is not None:
                yield error(f"{place} holds {wrong}.", hint="Leave it out.", field=pointer)
        case bool():
            pass
        case int() if abs(value) > SAFE_INTEGER:
            yield error(
                f"{place} is {show(value)}; the limit is 2**53 - 1.",
                hint="Send the number as a string, or leave it out.",
                field=pointer,
            )
        case float() if not math.isfinite(value):
            yield error(f"{place} is too large for a number.", field=pointer)
        case dict() | list() | tuple() if depth >= DEPTH:
            yield error(
                f"{pointer} is nested deeper than {DEPTH}.", hint="Flatten it.", field=pointer
            )
        case dict():
            yield from _walk_object(value, pointer, depth, error)
        case list() | tuple():
            for index, part in enumerate(value):
                yield from _walk(part, f"{pointer}/{index}", depth + 1, error)
        case _:
            pass


def _walk_object(
    value: dict[str, Any], pointer: str, depth: int, error: type[RefusedError]
) -> Faults:
    if isinstance(value, _Repeating):
        for name in value.repeated:
            field = f"{pointer}/{escape(name)}"
            yield error(f"{field} stands more than once.", hint="Keep one of them.", field=field)
    for name, part in value.items():
        field = f"{pointer}/{escape(name)}"
        if (wrong := _wrong_text(name)) is not None:
            yield error(f"A name in {pointer or 'the value'} holds {wrong}.", field=pointer)
        yield from _walk(part, field, depth + 1, error)


def _wrong_text(text: str) -> str | None:
    if "\0" in text:
        return "U+0000"
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        return f"the lone surrogate U+{ord(text[fault.start]):04X}"
    return None


def _instant_paths(kind: kinds.Type, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    match kind:
        case kinds.Metadata(extra={"form": "instant"}):
            yield path
        case kinds.UnionType():
            for inner in kind.types:
                yield from _instant_paths(inner, path)
        case kinds.StructType():
            for field in kind.fields:
                yield from _instant_paths(field.type, (*path, field.encode_name))
        case _:
            pass
