"""Typed values out of JSON and MessagePack, from any thread: the one door to msgspec's decoders.

msgspec examines a type when it is first asked for it, and keeps the result on the class. It shows
that result to other threads before it is complete: a second thread that decodes the same class in
that moment ends the process with a segmentation fault (seen with msgspec 0.22.0 under CPython
3.11, as soon as a Struct holds another one). Everything here therefore has a type examined under
one lock before anybody decodes with it. What is decoded afterwards takes no lock.
"""

from threading import RLock
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

JsonDecoder = msgspec.json.Decoder

_examining = RLock()

_kept: dict[Any, JsonDecoder[Any]] = {}
"""One decoder for each type ever asked for; types stand in modules, so there are only so many."""


@overload
def json_decoder(*, strict: bool = True) -> JsonDecoder[Any]: ...


@overload
def json_decoder(kind: type[T], *, strict: bool = True) -> JsonDecoder[T]: ...


def json_decoder(kind: Any = Any, *, strict: bool = True) -> JsonDecoder[Any]:
    """Return a JSON decoder of a type; unless strict, strings that read as numbers are numbers."""
    with _examining:
        return msgspec.json.Decoder(kind, strict=strict)


def msgpack_decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """Return a MessagePack decoder of a type."""
    with _examining:
        return msgspec.msgpack.Decoder(kind)


@overload
def decode_json(content: bytes | str | msgspec.Raw) -> Any: ...  # noqa: ANN401 - any JSON value


@overload
def decode_json(content: bytes | str | msgspec.Raw, kind: type[T]) -> T: ...


def decode_json(content: bytes | str | msgspec.Raw, kind: Any = Any) -> Any:
    """Return the value of JSON text, of a type when one is given.

    Raises:
        msgspec.ValidationError: JSON of another type.
        msgspec.DecodeError: Not JSON.
        ValueError, RecursionError: Not UTF-8; nested too deeply.
    """
    return _decoder_of(kind).decode(content)


def convert(value: object, kind: type[T], *, strict: bool = True) -> T:
    """Return a plain value as a type.

    Raises:
        msgspec.ValidationError: It does not fit the type.
    """
    _decoder_of(kind)
    return msgspec.convert(value, kind, strict=strict)


def _decoder_of(kind: Any) -> JsonDecoder[Any]:  # noqa: ANN401 - unions are no `type`
    found = _kept.get(kind)
    if found is None:
        found = _kept[kind] = json_decoder(kind)
    return found
