"""How fast, how large and how quick to audit the log is, beside the bare limits of the machine.

Run alone: `python benchmarks/log.py [--quick] [--json] [--soak]`. Quiet machine, please: two busy
neighbours halve every figure. The rows are those of the design's table of numbers.
"""

import gc
import hashlib
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Thread

from measuring import Row, machine, median_seconds, options, report

from deploymark.crypto import ed25519
from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.ingest.authority import differing_leaves
from deploymark.log.fsck import Audit
from deploymark.log.reader import LogView
from deploymark.log.sequencer import Candidate, Sequencer
from deploymark.log.tree import leaf_hash
from deploymark.model.envelope import Envelope
from deploymark.model.leaf import Leaf, encode_leaf
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import IN_TOTO, Assurance
from deploymark.ports import EnvelopeSigner, NoteSigner
from deploymark.runtime.compose import (
    OpenLog,
    init_log,
    log_keys,
    open_log,
    open_reader,
    platform_signer,
    read_policy,
)
from deploymark.storage.sqlite import SqliteLogReader

BATCH = 1_024
MILLION = 1_000_000


def fields(number: int) -> dict[str, object]:
    """Return a marker of ordinary size."""
    return {
        "service": f"service-{number % 40}",
        "environment": "prod",
        "phase": "applied",
        "artifact": {
            "name": "registry.example.com/shop/checkout",
            "digest": f"sha256:{number:064x}",
        },
        "version": "2.31.0",
        "commit_hash": f"{number:040x}",
        "repository": "https://git.example.com/shop",
        "timestamp": "2026-11-23T00:00:00.000Z",
        "owner": "team:payments",
        "change_tickets": ["CHG0012345"],
        "emitter": {"kind": "ci", "id": "https://git.example.com/shop/deploy", "sequence": number},
        "target": {"cluster": "eu-1", "region": "eu-west-1", "namespace": "shop"},
        "rollout": {"strategy": "rolling"},
    }


def envelopes(signer: EnvelopeSigner, numbers: range) -> list[Envelope]:
    """Return signed markers."""
    return [sign_envelope(IN_TOTO, statement_of(fields(n)), [signer]) for n in numbers]


def unsigned(template: Envelope, numbers: range) -> list[Candidate]:
    """Return candidates whose signature nobody checks, to measure everything else."""
    candidates = []
    for number in numbers:
        leaf = Leaf(
            Assurance.ANONYMOUS,
            template,
            {"deployment_id": f"d-{number:026d}", "marker_id": f"m-{number:026d}"},
            1,
            "benchmark",
            "2026-11-23T00:00:00.000Z",
        )
        body = encode_leaf(leaf)
        candidates.append(
            Candidate(body, leaf_hash(body), leaf.dedupe, leaf.key_id, 1_795_392_000_000)
        )
    return candidates


class AdmitAll:
    """Admits everything: the benchmark of the log without verification."""

    def begin(self, candidates: Sequence[Candidate]) -> None:
        """Get nothing ready."""

    def settle(self, candidate: Candidate) -> Candidate:
        """Settle nothing."""
        return candidate

    def admit(self, index: int, candidate: Candidate) -> None:
        """Admit."""

    def appended(self, index: int, candidate: Candidate) -> None:
        """Take no note."""

    def differing(self, first: bytes, second: bytes) -> list[str]:
        """Compare as the real admission does."""
        return differing_leaves(first, second)


# Signed append ---------------------------------------------------------------------------------


def signed_append(folder: Path, count: int) -> tuple[float, float]:
    """Return markers a second: verified, deduplicated, synced, integrated, acknowledged."""
    path = folder / f"signed-{ed25519.BACKEND}"
    init_log(path, "bench.example/log")
    rates = []
    with open_log(path) as log:
        signer = platform_signer(log.data, None)
        for run in range(3):
            batch = envelopes(signer, range(run * count, (run + 1) * count))
            gc.freeze()  # the prepared input is the benchmark's, not the log's
            parts = [batch[i : i + BATCH] for i in range(0, count, BATCH)]
            start = time.perf_counter()
            with ThreadPoolExecutor(2) as callers:
                for outcomes in callers.map(log.receiver.receive, parts):
                    if any(isinstance(outcome, Exception) for outcome in outcomes):
                        raise SystemExit(outcomes)
            rates.append(count / (time.perf_counter() - start))
        bare = bare_verify(signer, min(count, 8_000))
    return statistics.median(rates), bare


def bare_verify(signer: Ed25519EnvelopeSigner, count: int) -> float:
    """Return signatures a second that two threads verify when they do nothing else."""
    message = os.urandom(1_000)
    signature, public = signer.sign(message), signer.public

    def verify() -> None:
        for _ in range(count // 2):
            ed25519.verify(public, message, signature)

    def both() -> None:
        threads = [Thread(target=verify) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return count / median_seconds(both, 3)


def signed_append_without_pynacl(folder: Path, count: int) -> tuple[float, float]:
    """Measure the same in a process in which PyNaCl cannot be imported."""
    code = (
        "import sys; sys.modules['nacl'] = None; sys.path.insert(0, sys.argv[1])\n"
        "import log; from pathlib import Path\n"
        "print(*log.signed_append(Path(sys.argv[2]), int(sys.argv[3])))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(folder), str(count)],
        check=True,
        capture_output=True,
        text=True,
    )
    rate, bare = done.stdout.split()
    return float(rate), float(bare)


# Unsigned append and single commits --------------------------------------------------------------


def unsigned_append(folder: Path, count: int) -> tuple[float, float]:
    """Return rows a second of the log without verification, and of bare SQLite."""
    path = folder / "unsigned"
    init_log(path, "bench.example/log")
    rates, bare = [], []
    with open_log(path) as log:
        template = envelopes(platform_signer(log.data, None), range(1))[0]
        sequencer = Sequencer(log.store, _signer(log), AdmitAll())
        for run in range(3):
            rows = unsigned(template, range(run * count, (run + 1) * count))
            parts = [rows[i : i + BATCH] for i in range(0, count, BATCH)]
            start = time.perf_counter()
            for future in [sequencer.submit(part) for part in parts]:
                future.result()
            rates.append(count / (time.perf_counter() - start))
            bare.append(bare_sqlite(folder / f"bare-{run}.db", parts))
        sequencer.close()
    return statistics.median(rates), statistics.median(bare)


def _signer(log: OpenLog) -> NoteSigner:
    return log.receiver._sequencer._signer


def bare_sqlite(path: Path, parts: Sequence[Sequence[Candidate]]) -> float:
    """Return rows a second that executemany writes to a table of the same shape."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=8192")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE entry (idx INTEGER PRIMARY KEY, leaf_hash BLOB, received_at INTEGER,"
            " key_id TEXT, dedupe TEXT UNIQUE, body BLOB)"
        )
        index = 0
        start = time.perf_counter()
        for part in parts:
            connection.execute("BEGIN IMMEDIATE")
            rows = [
                (index + i, c.leaf_hash, c.received_at_ms, c.key_id, c.dedupe, c.leaf)
                for i, c in enumerate(part)
            ]
            connection.executemany("INSERT INTO entry VALUES (?,?,?,?,?,?)", rows)
            connection.execute("COMMIT")
            index += len(part)
        return index / (time.perf_counter() - start)


def single_commit(folder: Path, count: int) -> tuple[float, float]:
    """Return microseconds of one durable commit, and of a bare append with fdatasync."""
    path = folder / "single"
    init_log(path, "bench.example/log")
    with open_log(path) as log:
        template = envelopes(platform_signer(log.data, None), range(1))[0]
        sequencer = Sequencer(log.store, _signer(log), AdmitAll())
        times, bare = [], []
        rows = unsigned(template, range(count))
        with (folder / "bare.log").open("ab", buffering=0) as file:
            for row in rows:
                start = time.perf_counter()
                sequencer.submit([row]).result()
                middle = time.perf_counter()
                file.write(row.leaf)
                os.fdatasync(file.fileno())
                times.append(middle - start)
                bare.append(time.perf_counter() - middle)
        sequencer.close()
    return statistics.median(times) * 1e6, statistics.median(bare) * 1e6


# A large log -------------------------------------------------------------------------------------


def large_log(folder: Path, count: int) -> Path:
    """Build a log of `count` entries as fast as the log allows."""
    path = folder / f"large-{count}"
    init_log(path, "bench.example/log")
    with open_log(path) as log:
        template = envelopes(platform_signer(log.data, None), range(1))[0]
        sequencer = Sequencer(log.store, _signer(log), AdmitAll())
        for start in range(0, count - 1, 2_048):
            rows = unsigned(template, range(start, min(start + 2_048, count - 1)))
            sequencer.submit(rows).result()
        sequencer.close()
        log.publisher.publish()
    return path


def audit(path: Path) -> tuple[float, float, float]:
    """Return CPU seconds, wall seconds and peak memory in MB of an audit in its own process."""
    code = (
        "import re, sys, time; sys.path.insert(0, sys.argv[1])\n"
        "import log; from pathlib import Path\n"
        "start, cpu = time.perf_counter(), time.process_time()\n"
        "log.run_audit(Path(sys.argv[2]))\n"
        # Not ru_maxrss: it begins with the memory of the process that started this one.
        "peak = int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]) / 1024\n"
        "print(time.process_time() - cpu, time.perf_counter() - start, peak)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(path)],
        check=True,
        capture_output=True,
        text=True,
    )
    cpu, wall, peak = map(float, done.stdout.split())
    return cpu, wall, peak


def run_audit(path: Path) -> None:
    """Audit a log; complain loudly when it does not hold."""
    with open_reader(path) as (data, reader):
        for step in Audit(reader, log_keys(read_policy(data))).steps():
            if step.faults:
                raise SystemExit(step)


def bare_audit(path: Path) -> float:
    """Return CPU seconds to read all bodies and hash each once, without any tree."""
    start = time.process_time()
    with closing(sqlite3.connect(path / "log.db")) as connection:
        for (body,) in connection.execute("SELECT body FROM entry ORDER BY idx"):
            hashlib.sha256(body).digest()
    return time.process_time() - start


def restart(path: Path) -> float:
    """Return seconds from nothing to ready to write."""

    def start() -> None:
        with open_log(path):
            pass

    return median_seconds(start, 5)


def proofs(path: Path, count: int) -> tuple[float, float]:
    """Return inclusion proofs a CPU second: of the newest entries, and of random ones."""
    with closing(SqliteLogReader(path / "log.db")) as reader:
        size = reader.head().size
        choose = random.Random(1)
        near = [size - 1 - choose.randrange(min(size, 20_000)) for _ in range(count)]
        far = [choose.randrange(size) for _ in range(count)]
        rates = []
        for indexes in (near, far):
            view = LogView(reader)
            start = time.process_time()
            for index in indexes:
                view.inclusion(index, size)
            rates.append(count / (time.process_time() - start))
    return rates[0], rates[1]


def overhead(path: Path) -> tuple[float, float]:
    """Return bytes on disk per entry beyond the leaf, and beyond the signed payload."""
    with closing(sqlite3.connect(path / "log.db")) as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        page = connection.execute("PRAGMA page_size").fetchone()[0]
        count, leaves = connection.execute(
            "SELECT count(*), sum(length(body)) FROM entry"
        ).fetchone()
    payload = len(statement_of(fields(1)))
    disk = pages * page / count
    return disk - leaves / count, disk - payload


def rows(folder: Path, *, quick: bool, soak: bool) -> Iterator[Row]:
    """Measure everything."""
    count = 8_192 if quick else 32_768
    if ed25519.BACKEND == "pynacl":
        rate, bare = signed_append(folder, count)
        yield Row(
            "signed append (PyNaCl)",
            rate,
            bare,
            "markers/s",
            ">= 18,000",
            rate >= 18_000,
            f"batches of {BATCH}; limit: two threads that only verify",
        )
    rate, bare = signed_append_without_pynacl(folder, count)
    yield Row(
        "signed append (cryptography)",
        rate,
        bare,
        "markers/s",
        ">= 12,000",
        rate >= 12_000,
        f"batches of {BATCH}; limit: two threads that only verify",
    )
    rate, bare = unsigned_append(folder, count)
    yield Row(
        "append without verification",
        rate,
        bare,
        "markers/s",
        ">= 0.45 x limit",
        rate >= 0.45 * bare,
        f"ratio {rate / bare:.2f}; limit: SQLite executemany",
    )
    took, bare = single_commit(folder, 300 if quick else 1_000)
    yield Row(
        "single durable commit",
        took,
        bare,
        "us",
        "<= 2 x limit",
        took <= 2 * bare,
        f"ratio {took / bare:.2f}; limit: append + fdatasync",
    )
    size = 100_000 if quick else MILLION
    path = large_log(folder, size)
    cpu, wall, peak = audit(path)
    scale = MILLION / size
    yield Row(
        "audit of 1 M entries",
        cpu * scale,
        bare_audit(path) * scale,
        "CPU s",
        "<= 5",
        cpu * scale <= 5,
        f"measured on {size:,}; wall {wall * scale:.1f} s scaled",
    )
    yield Row(
        "audit memory", peak, 0, "MB", "<= 150", peak <= 150, f"{size:,} entries, whole process"
    )
    took = restart(path) * 1_000
    yield Row("restart", took, 0, "ms", "<= 1,000 at 10 M", took <= 1_000, f"at {size:,}")
    near, far = proofs(path, 20_000)
    yield Row("proofs, newest 20,000", near, 0, "proofs/s", ">= 20,000", near >= 20_000, "one core")
    yield Row(
        "proofs, anywhere", far, 0, "proofs/s", ">= 20,000", far >= 20_000, f"random over {size:,}"
    )
    beyond_leaf, beyond_payload = overhead(path)
    yield Row(
        "overhead per entry",
        beyond_leaf,
        0,
        "bytes",
        "<= 300",
        beyond_leaf <= 300,
        f"beyond the leaf; {beyond_payload:.0f} beyond the signed payload",
    )
    if soak:
        path = large_log(folder, 10 * MILLION)
        took = restart(path) * 1_000
        yield Row("restart at 10 M", took, 0, "ms", "<= 1,000", took <= 1_000, "")


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    print(machine())
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder), quick=chosen.quick, soak=chosen.soak))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
