"""Where to look in a tree when looking everywhere takes too long."""

import random


def some_of(size: int, choose: random.Random, count: int) -> set[int]:
    """Edges of [0, size) where the shape of a proof changes, and some places between."""
    edges = {0, 1, size // 2, size - 2, size - 1}
    edges |= {(1 << bit) + step for bit in range(size.bit_length()) for step in (-1, 0)}
    edges |= {choose.randrange(size) for _ in range(count)}
    return {index for index in edges if 0 <= index < size}
