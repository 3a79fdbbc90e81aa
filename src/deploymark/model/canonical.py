"""One spelling for every JSON value, so that hashes and ids agree everywhere (RFC 8785, JCS).

Standard library only: the SDK, the command line and the server share it. It encodes; reading
JSON text is `reading`'s task.
"""

import json.encoder
import math
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any

from deploymark.errors import CanonicalError

SAFE_INTEGER = 2**53 - 1
"""The largest integer that every JSON reader keeps exactly (RFC 8785 section 3.2.2.3)."""

# The escapes of the standard library's encoder without ASCII-only output are those of RFC 8785
# section 3.2.2.2; a property test holds both against an independent implementation.
_quote = json.encoder.encode_basestring

# ECMAScript's Number::toString writes plain digits up to 10**21 and down to 10**-6.
_PLAIN_DIGITS = 21
_PLAIN_ZEROS = -6


def encode(value: object) -> bytes:
    """Return the RFC 8785 canonical form of a JSON value, to hash or to sign.

    Args:
        value: None, bool, int, float, str, list or tuple, and dict with str keys, nested.

    Raises:
        CanonicalError: The value has no canonical form: NaN, infinity, an integer beyond
            2**53 - 1, a lone surrogate, a key that is no string, another type, or no end.
    """
    try:
        return _text(value).encode()
    except UnicodeEncodeError as error:
        raise CanonicalError(
            f"A string holds the lone surrogate U+{ord(error.object[error.start]):04X}.",
            hint="Send whole Unicode characters.",
        ) from None
    except RecursionError:
        raise CanonicalError(
            "The value is nested too deeply, or contains itself.", hint="Flatten the value."
        ) from None


def _text(value: object) -> str:
    writer = _WRITERS.get(type(value))
    return writer(value) if writer is not None else _subclass(value)


def _subclass(value: object) -> str:
    # Enumerations and named tuples are what they are made of.
    for kind, writer in _WRITERS.items():
        if isinstance(value, kind):
            return writer(value)
    raise CanonicalError(f"JSON has no {type(value).__name__}.")


def _array(value: Iterable[object]) -> str:
    parts = [_quote(item) if type(item) is str else _text(item) for item in value]
    return "[" + ",".join(parts) + "]"


def _object(value: dict[Any, Any]) -> str:
    for key in value:
        if not isinstance(key, str):
            raise CanonicalError(f"The object key {key!r} is not a string.")
    names: list[str] = sorted(value)
    if not all(map(str.isascii, names)):
        names.sort(key=_utf16)
    # Nearly every value is a string: those are written here, without a call for each.
    parts = [
        f"{_quote(name)}:{_quote(item) if type(item) is str else _text(item)}"
        for name in names
        for item in (value[name],)
    ]
    return "{" + ",".join(parts) + "}"


def _utf16(name: str) -> bytes:
    # RFC 8785 section 3.2.3 orders by UTF-16 code units: astral characters come before U+E000.
    return name.encode("utf-16-be")


def _integer(value: int) -> str:
    if not -SAFE_INTEGER <= value <= SAFE_INTEGER:
        sign = "below -" if value < 0 else "beyond "
        raise CanonicalError(f"An integer of {value.bit_length()} bits lies {sign}2**53 - 1.")
    return int.__repr__(value)


def _number(value: float) -> str:
    """Return the ECMAScript spelling (ECMA-262, Number::toString) of a double."""
    if not math.isfinite(value):
        raise CanonicalError(f"JSON has no number {value!r}.")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    # repr gives the shortest digits that read back to the same double, as ECMAScript does.
    mantissa, _, exponent = float.__repr__(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    padded = whole + fraction
    digits = padded.lstrip("0")
    # The value is 0.digits x 10**point.
    point = len(whole) - (len(padded) - len(digits)) + int(exponent or "0")
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= _PLAIN_DIGITS:
        return sign + digits + "0" * (point - count)
    if 0 < point <= _PLAIN_DIGITS:
        return sign + digits[:point] + "." + digits[point:]
    if _PLAIN_ZEROS < point <= 0:
        return sign + "0." + "0" * -point + digits
    tail = "." + digits[1:] if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"


# One writer per JSON type; a table, because ids are derived for every marker that arrives.
_WRITERS: dict[type, Callable[[Any], str]] = {
    str: _quote,
    NoneType: lambda _: "null",
    bool: lambda value: "true" if value else "false",
    int: _integer,
    float: _number,
    list: _array,
    tuple: _array,
    dict: _object,
}
