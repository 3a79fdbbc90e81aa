"""What it costs a deploy to say what it does: a call inside a process, and a whole command.

Run alone: `python benchmarks/emit.py [--quick] [--json]`. Quiet machine, please. A command is
compared with the bare start of the interpreter (`python -c pass`) in the same run.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from measuring import Row, median_seconds, options, report

from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, save_private
from deploymark.emit.emitter import Emitter, State
from deploymark.emit.settings import Settings
from deploymark.testing.receiving_server import receiving_server

NOBODY = "http://127.0.0.1:1"
COMMAND = Path(sys.executable).parent / "deploymark"
MARKER: dict[str, Any] = {
    "service": "checkout",
    "environment": "prod",
    "artifact": {"name": "registry.example.com/shop/checkout", "digest": "sha256:" + "a" * 64},
    "version": "2.31.0",
    "commit_hash": "a" * 40,
    "repository": "https://git.example.com/shop",
    "owner": "team:payments",
    "change_tickets": ["CHG0012345"],
    "target": {"cluster": "eu-1", "region": "eu-west-1", "namespace": "shop"},
}


def calls(folder: Path, count: int, key: str = "") -> float:
    """Return the median of one `Emitter.mark`, in microseconds, with nobody to deliver to."""
    settings = Settings(url=NOBODY, spool=str(folder / f"calls-{bool(key)}"), key=key)
    emitter = Emitter(settings, kind="ci", emitter_id="benchmark", facts={})
    times = []
    for _ in range(count):
        start = time.perf_counter()
        marked = emitter.mark("applied", **MARKER)
        times.append(time.perf_counter() - start)
        if marked.state is not State.SPOOLED:
            raise SystemExit(marked)
    emitter.close(0)
    return statistics.median(times) * 1e6


def bare_append(folder: Path, count: int) -> float:
    """Return microseconds of one bare append of as many bytes."""
    line = b"x" * 900
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    took = median_seconds(lambda: os.write(descriptor, line), count)
    os.close(descriptor)
    return took * 1e6


def command(arguments: list[str], environment: Mapping[str, str], runs: int) -> float:
    """Return the median milliseconds of a command."""

    def run() -> None:
        subprocess.run(arguments, env=environment, check=True, stdout=subprocess.DEVNULL)

    run()  # the first one compiles
    return median_seconds(run, runs) * 1e3


def has_mark() -> bool:
    """Whether the command `deploymark mark` is there."""
    done = subprocess.run([COMMAND, "mark", "--help"], capture_output=True, check=False)
    return done.returncode == 0


def marks(folder: Path, runs: int) -> Iterator[Row]:
    """Measure `deploymark mark`, unsigned and signed, with a server and without."""
    bare = command([sys.executable, "-c", "pass"], {}, runs)
    key = folder / "ci.pem"
    save_private(key, generate_key(KeyAlgorithm.ED25519))
    mark = [str(COMMAND), "mark", "applied", "--service", "checkout", "--environment", "prod"]
    mark += ["--version", "2.31.0"]
    with receiving_server() as server:
        for name, url in [("with a server", server.url), ("without a server", NOBODY)]:
            for signed, factor in [(False, 4), (True, 6)]:
                environment = {
                    "DEPLOYMARK_URL": url,
                    "DEPLOYMARK_SPOOL": str(folder / f"spool {name} {signed}"),
                    "HOME": str(folder),
                    **({"DEPLOYMARK_KEY": str(key)} if signed else {}),
                }
                took = command(mark, environment, runs)
                yield Row(
                    f"deploymark mark, {'signed' if signed else 'unsigned'}, {name}",
                    took,
                    bare,
                    "ms",
                    f"<= {factor} x limit",
                    took <= factor * bare,
                    f"ratio {took / bare:.2f}; limit: python -c pass",
                )


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Measure everything."""
    count = 2_000 if quick else 20_000
    bare = bare_append(folder, count)
    took = calls(folder, count)
    limit = "limit: one append of 900 bytes; no server"
    yield Row("emit call", took, bare, "us", "<= 50", took <= 50, limit)
    key = folder / "calls.pem"
    save_private(key, generate_key(KeyAlgorithm.ED25519))
    took = calls(folder, count, str(key))
    yield Row("emit call, signed", took, bare, "us", "<= 250", took <= 250, limit)
    if has_mark():
        yield from marks(folder, 11 if quick else 41)
    else:
        print(f"Not measured: {COMMAND.name} has no command `mark`.")


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder), quick=chosen.quick))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
