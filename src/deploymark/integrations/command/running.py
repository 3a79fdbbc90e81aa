"""Runs one program to its end, within a time and without a shell. Linux only.

The program has a process group of its own, which is ended when the time is over; what leaves the
group (setsid) is not. Of what it writes the end is kept, however much it writes.
"""

import os
import select
import selectors
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Final, NamedTuple

from deploymark.emit.host import Host

KEPT_BYTES: Final = 4_096
"""How much of the end of what a program writes is kept."""

_PIPE_BYTES: Final = 1 << 20
"""The most that a pipe may hold."""

_GRACE_SECONDS: Final = 2.0


class Ended(NamedTuple):
    """How a program ended.

    Attributes:
        code: Its exit code; negative when a signal ended it; None when its time was over.
        written: The end of what it wrote to its standard output and error.
    """

    code: int | None
    written: bytes


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    given: bytes,
    seconds: float,
    host: Host,
) -> Ended:
    """Run a program and wait for its end.

    Args:
        words: The program and its arguments.
        environment: All of its environment.
        given: Its standard input.
        seconds: How long it may take; then its process group is ended, first asked and then not.
        host: Tells the time.

    Raises:
        OSError: It could not be started.
        ValueError: It could not be started: a word or variable holds a zero byte.
    """
    deadline = host.elapsed_seconds() + seconds
    with ExitStack() as opened:
        read, write = os.pipe()
        opened.callback(os.close, read)
        try:
            with _memory_file(given) as standard_input:
                process = subprocess.Popen(  # noqa: S603 - the operator's own words, without a shell
                    words,
                    stdin=standard_input,
                    stdout=write,
                    stderr=write,
                    env=dict(environment),
                    start_new_session=True,
                )
        finally:
            os.close(write)
        try:
            end = os.pidfd_open(process.pid)
        except OSError:  # it has begun, so this is not a failure to start it
            process.kill()
            return Ended(process.wait(), b"")
        opened.callback(os.close, end)
        over = True
        try:
            written, over = _watch(end, read, deadline, host)
        finally:
            if over:
                _end_group(process, end)
        return Ended(None if over else process.wait(), written)


@contextmanager
def _memory_file(content: bytes) -> Iterator[int]:
    """Give a file in memory: a pipe could stand full while the program writes and does not read."""
    descriptor = os.memfd_create("order")
    try:
        os.write(descriptor, content)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _watch(end: int, read: int, deadline: float, host: Host) -> tuple[bytes, bool]:
    """Return the end of what a program writes, and whether its time was over before its end."""
    kept = b""
    with selectors.DefaultSelector() as selector:
        selector.register(read, selectors.EVENT_READ)
        selector.register(end, selectors.EVENT_READ)
        while (left := deadline - host.elapsed_seconds()) > 0:
            ready = {key.fd for key, _ in selector.select(left)}
            if read in ready:
                piece = os.read(read, _PIPE_BYTES)
                kept = (kept + piece)[-KEPT_BYTES:]
                if not piece:
                    selector.unregister(read)
            if end in ready:
                # What it left running may hold the pipe open, and is not waited for.
                os.set_blocking(read, False)
                with suppress(BlockingIOError):
                    kept = (kept + os.read(read, _PIPE_BYTES))[-KEPT_BYTES:]
                return kept, False
    return kept, True


def _end_group(process: subprocess.Popen[bytes], end: int) -> None:
    """End a program and all that it started in its group, until it is gone."""
    # Not reaped in between: as long as it is a zombie, nobody else gets the number of its group.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    select.select([end], [], [], _GRACE_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
