"""A type that several threads use for the first time at once, through every door.

The threads run in a process of their own, because what this guards against ends it.
"""

import subprocess
import sys
import textwrap

import pytest

# Types within types, so that examining the outer one runs Python code half way through, and
# threads that change places at every chance. msgspec's own functions fall in the first rounds.
_FIRST_USE = textwrap.dedent(
    """
    import sys, threading
    import msgspec
    from deploymark import decoding

    ways = {
        "decode_json": lambda kind: decoding.decode_json(b'{"f9": null}', kind),
        "json_decoder": lambda kind: decoding.json_decoder(kind).decode(b'{"f9": null}'),
        "msgpack_decoder": lambda kind: decoding.msgpack_decoder(kind).decode(packed),
        "convert": lambda kind: decoding.convert({"f9": None}, kind),
        "all": lambda kind: [ways[way](kind) for way in sorted(ways) if way != "all"],
    }
    packed = msgspec.msgpack.encode({"f9": None})
    used = ways[sys.argv[1]]

    def meet(kind):
        together.wait()
        used(kind)

    def first_use(number):
        fields = [(f"g{each}", "str | None", None) for each in range(20)]
        inner = [msgspec.defstruct(f"Inner{number}x{each}", fields) for each in range(10)]
        outer = [(f"f{at}", kind | None, None) for at, kind in enumerate(inner)]
        kind = msgspec.defstruct(f"Outer{number}", outer)
        threads = [threading.Thread(target=meet, args=[kind]) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()

    together = threading.Barrier(4)
    sys.setswitchinterval(1e-6)
    for number in range(50):
        first_use(number)
    """
)


@pytest.mark.parametrize(
    "way", ["decode_json", "json_decoder", "msgpack_decoder", "convert", "all"]
)
def test_threads_may_use_a_type_for_the_first_time_together(way: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _FIRST_USE, way],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
