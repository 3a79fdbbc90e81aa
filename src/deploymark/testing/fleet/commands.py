"""How a program of the fleet is told things: a line of JSON in, a line of JSON back.

The first line says what it shall be; when the lines end, it ends. The others carry an `id`, and so
do their answers: one that comes late is not taken for that to the next line.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

Said = dict[str, Any]


class Commands(asyncio.Protocol):
    """Reads lines from the standard input, and answers each.

    Args:
        obey: Does what a line says, and returns the answer.
        ended: Set when the lines end.
    """

    def __init__(self, obey: Callable[[Said], Said], ended: asyncio.Event) -> None:
        self._obey = obey
        self._ended = ended
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Take what comes."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            say({**self._obey(said), "id": said["id"]})

    def connection_lost(self, _: Exception | None) -> None:
        """End with whoever tells."""
        self._ended.set()


async def follow(obey: Callable[[Said], Said]) -> None:
    """Do what the lines say until they end, or a signal asks to."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await loop.connect_read_pipe(lambda: Commands(obey, ended), sys.stdin)
    await ended.wait()


def say(said: Said) -> None:
    """Print a line; whoever has gone does not hear it."""
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def first_line() -> Said:
    """Return what the program shall be, and leave the other lines to `follow`."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(sys.stdin.fileno(), 1)):
        line += byte
    said: Said = json.loads(line)
    return said
