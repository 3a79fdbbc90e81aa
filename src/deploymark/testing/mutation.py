"""Ways to spoil a value, for tests that ask whether every change is found.

Pure: yields what to write; where to write it is the business of whoever tests a store.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

SHORT_BYTES = 64
_SAMPLES = 12
_LOWEST, _CASE, _HIGHEST = 0x01, 0x20, 0x80


def flips(
    content: bytes, *, masks: Iterable[int] = (_LOWEST,), every: bool = False
) -> Iterator[tuple[str, bytes]]:
    """Yield copies of some bytes in which one byte is another, with what was done.

    Args:
        content: The bytes as they are.
        masks: Bits to turn over, each on its own.
        every: Turn each byte; otherwise of long content only some, first and last among them.
    """
    for position in positions(len(content), every=every):
        for mask in masks:
            changed = bytearray(content)
            changed[position] ^= mask
            yield f"byte {position} ^ {mask:#04x}", bytes(changed)


def positions(length: int, *, every: bool = False) -> list[int]:
    """Return all positions of something short, and of something long a few spread evenly."""
    if every or length <= SHORT_BYTES:
        return list(range(length))
    return sorted({(length - 1) * sample // (_SAMPLES - 1) for sample in range(_SAMPLES)})


def spoiled_bytes(content: bytes, *, every: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yield changed copies of a byte string: flipped, shortened, lengthened, emptied."""
    yield from flips(content, every=every)
    yield "a byte more behind", content + b"\0"
    yield "a byte more before", b"\0" + content
    if content:
        yield "the last byte gone", content[:-1]
        yield "the first byte gone", content[1:]
        yield "nothing left", b""


def spoiled_text(text: str, *, every: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yield changed copies of a text as UTF-8, some of which no longer are UTF-8."""
    content = text.encode()
    yield from flips(content, masks=(_LOWEST, _CASE), every=every)
    yield from flips(content[:1], masks=(_HIGHEST,))
    yield from (change for change in spoiled_bytes(content) if not change[0].startswith("byte"))
    yield "a blank behind", content + b" "
    yield "a line more", content + b"\n"
    lines = text.splitlines(keepends=True)
    for number in range(len(lines)):
        less = [*lines[:number], *lines[number + 1 :]]
        yield f"line {number} gone", "".join(less).encode()
        yield f"line {number} twice", "".join([*lines[: number + 1], *lines[number:]]).encode()
    for (number, one), (_, other) in pairwise(enumerate(lines)):
        if one != other:
            swapped = [*lines[:number], other, one, *lines[number + 2 :]]
            yield f"line {number} behind the next", "".join(swapped).encode()


def spoiled_number(number: int) -> Iterator[tuple[str, int]]:
    """Yield other numbers: near ones, negative ones, ones beyond every log."""
    for what, other in (
        ("one more", number + 1),
        ("one less", number - 1),
        ("256 more", number + 256),
        ("negative", -number - 1),
        ("nothing", 0),
        ("far too large", number + 2**40),
        ("the largest", 2**63 - 1),
        ("the smallest", -(2**63)),
    ):
        if other != number:
            yield what, other
