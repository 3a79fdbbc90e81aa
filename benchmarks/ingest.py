"""Markers over HTTP: how many a second, what each costs, how soon it is acknowledged and seen.

Run alone: `python benchmarks/ingest.py [--quick] [--json]`. Quiet machine, please: load and server
share its cores. The bare limit is a server of asyncio and httptools that answers the same bytes
and does nothing else, asked by the same load in the same run.
"""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from loading import Follower, Load, cpu_seconds, pace, press, request
from measuring import Row, options, report

from deploymark.crypto.dsse import sign_envelope
from deploymark.crypto.keyfile import KeyAlgorithm, generate_key, save_private, save_public
from deploymark.crypto.signer import Ed25519EnvelopeSigner
from deploymark.model.statement import statement_of
from deploymark.model.vocabulary import IN_TOTO

BATCH = 256
COMMAND = Path(sys.executable).parent / "deploymark"
BARE = """
import asyncio, httptools
ANSWER = (b"HTTP/1.1 201 Created\\r\\ncontent-type: application/json\\r\\n"
          b"content-length: 200\\r\\n\\r\\n" + b" " * 200)
class Bare(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.parser = transport, httptools.HttpRequestParser(self)
    def data_received(self, data):
        self.parser.feed_data(data)
    def on_message_complete(self):
        self.transport.write(ANSWER)
async def main():
    import uvloop
    server = await asyncio.get_running_loop().create_server(Bare, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
import uvloop
uvloop.run(main())
"""


def marker(number: int) -> dict[str, Any]:
    """Return a marker that nobody else has."""
    return {
        "service": f"service-{number % 100}",
        "environment": "prod",
        "phase": "applied",
        "artifact": {"name": "registry.example.com/shop", "digest": f"sha256:{number:064x}"},
        "version": f"2.{number}",
        "commit_hash": f"{number:040x}",
        "owner": "team:payments",
        "change_tickets": [f"CHG{number:07}"],
        "target": {"cluster": "eu-1", "region": "eu-west-1", "namespace": "shop"},
        "emitter": {"kind": "ci", "id": "benchmark", "epoch": "one", "sequence": number},
    }


@contextlib.contextmanager
def server_of(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a server that says its address in its first line."""
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


class Bench:
    """One run against one server, with fresh markers for every load."""

    def __init__(self, port: int, pid: int, token: str, signer: Ed25519EnvelopeSigner) -> None:
        self.port = port
        self.pid = pid
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._signer = signer
        self._next = 0

    def bodies(self, count: int, *, signed: bool) -> list[bytes]:
        """Return so many new markers, flat or in signed envelopes."""
        numbers = range(self._next, self._next + count)
        self._next += count
        if not signed:
            return [json.dumps(marker(number)).encode() for number in numbers]
        found = []
        for number in numbers:
            envelope = sign_envelope(IN_TOTO, statement_of(marker(number)), [self._signer])
            found.append(
                json.dumps(
                    {
                        "payload": envelope.payload,
                        "payloadType": envelope.payloadType,
                        "signatures": [
                            {"keyid": each.keyid, "sig": each.sig} for each in envelope.signatures
                        ],
                    },
                    separators=(",", ":"),
                ).encode()
            )
        return found

    def requests(self, count: int, *, signed: bool, batch: int = 1) -> list[bytes]:
        """Return requests that hand in `count` markers."""
        bodies = self.bodies(count, signed=signed)
        if batch > 1:
            bodies = [
                b"[" + b",".join(bodies[start : start + batch]) + b"]"
                for start in range(0, count, batch)
            ]
        return [request("/v1/markers", body, self._headers) for body in bodies]

    def follow(self) -> bytes:
        """Return the request of one client of the stream."""
        return request("/v1/stream", b"", self._headers, method="GET")


def check(load: Load) -> None:
    """Stop when anything was not admitted: what is refused is quick."""
    if set(load.statuses) != {201}:
        raise SystemExit(f"Not everything was admitted: {load.statuses}")


def throughput(bench: Bench, bare: tuple[int, int], count: int) -> Iterator[Row]:
    """Measure how many markers a second are acknowledged."""
    for batch, connections in ((1, 64), (BATCH, 4)):
        for signed in (False, True):
            requests = bench.requests(count, signed=signed, batch=batch)
            limit = asyncio.run(press(*bare, requests, connections))
            load = asyncio.run(press(bench.port, bench.pid, requests, connections))
            check(load)
            name = f"{'signed' if signed else 'unsigned'}, {'batched' if batch > 1 else 'single'}"
            rate = load.per_second * batch
            note = (
                f"{connections} connections; server CPU {load.server_cpu / count * 1e6:.0f} us a "
                f"marker, bare server {limit.server_cpu / count * 1e6:.0f} us"
            )
            goal, met = "none", True
            if signed and batch > 1:
                goal, met = ">= 10,000", rate >= 10_000
            yield Row(f"markers/s, {name}", rate, limit.per_second * batch, "/s", goal, met, note)


def latency(bench: Bench, bare: tuple[int, int], seconds: int) -> Iterator[Row]:
    """Measure how soon an acknowledgement comes at a thousand a second."""
    pace_per_second = 1_000
    requests = bench.requests(pace_per_second * seconds, signed=True)
    limit = asyncio.run(pace(*bare, requests[: len(requests) // 2], pace_per_second))
    load = asyncio.run(pace(bench.port, bench.pid, requests, pace_per_second))
    check(load)
    for share, goal in ((0.5, 2.0), (0.99, 25.0)):
        took = load.quantile_ms(share)
        yield Row(
            f"acknowledged at 1,000/s, p{share * 100:.0f}",
            took,
            limit.quantile_ms(share),
            "ms",
            f"<= {goal:g}",
            took <= goal,
            f"signed, one by one, {seconds} s; server CPU {load.cpu_us:.0f} us a marker",
        )


async def _streamed(bench: Bench, clients: int, seconds: int) -> tuple[list[float], float]:
    loop = asyncio.get_running_loop()
    heard: dict[int, list[float]] = {}
    raw = bench.follow()
    followers = [
        await loop.create_connection(lambda: Follower(raw, heard), "127.0.0.1", bench.port)
        for _ in range(clients)
    ]
    await asyncio.sleep(1.0)
    per_second = 10
    requests = bench.requests(per_second * seconds, signed=False)
    sent: list[float] = []
    reader, writer = await asyncio.open_connection("127.0.0.1", bench.port)
    before = cpu_seconds(bench.pid)
    for each in requests:
        start = time.perf_counter()
        writer.write(each)
        sent.append(start)
        await reader.readuntil(b"}")
        await asyncio.sleep(max(0.0, 1 / per_second - (time.perf_counter() - start)))
    await asyncio.sleep(1.0)
    cpu = cpu_seconds(bench.pid) - before
    for transport, _ in followers:
        transport.close()
    indexes = sorted(heard)
    if any(len(heard[index]) != clients for index in indexes) or len(indexes) != len(sent):
        raise SystemExit(f"Not everyone heard everything: {len(indexes)} of {len(sent)} events")
    delays = [
        (at - start) * 1e3
        for index, start in zip(indexes, sent, strict=True)
        for at in heard[index]
    ]
    return delays, cpu / (len(sent) * clients) * 1e6


def stream(bench: Bench, seconds: int) -> Iterator[Row]:
    """Measure how soon a thousand followers see a marker, and what telling one costs."""
    clients = 1_000
    delays, cpu_us = asyncio.run(_streamed(bench, clients, seconds))
    load = Load(latencies_ms=delays)
    p99 = load.quantile_ms(0.99)
    note = f"{clients} clients, 10 markers/s, from handing in to hearing, load on the same cores"
    yield Row("stream, p99", p99, 0, "ms", "<= 50", p99 <= 50, note)
    yield Row(
        "stream, CPU a delivery", cpu_us, 0, "us", "<= 15", cpu_us <= 15, "the whole server's CPU"
    )


def rows(folder: Path, *, quick: bool) -> Iterator[Row]:
    """Measure everything."""
    key = generate_key(KeyAlgorithm.ED25519)
    save_private(folder / "ci.pem", key)
    save_public(folder / "ci.pub", key.public_key())
    token = f"dmk_{'0' * 12}_{'a' * 43}"
    config = folder / "config.toml"
    config.write_text("[auth]\nrequests_per_second = 1000000\nrequests_burst = 1000000\n")
    data = folder / "data"
    subprocess.run([COMMAND, "log", "init", "--data", data], check=True, capture_output=True)
    trust: list[str | Path] = [COMMAND, "keys", "trust", folder / "ci.pub", "--data", data]
    trust += ["--service", "*", "--environment", "*"]
    subprocess.run(trust, check=True, capture_output=True)
    up: list[str | Path] = [
        COMMAND,
        "up",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--config",
        config,
        "--json",
    ]
    environment = {"DEPLOYMARK_ADMIN_TOKEN": token, "PATH": str(COMMAND.parent)}
    with (
        server_of([sys.executable, "-c", BARE]) as bare,
        server_of(up, environment) as real,
    ):
        assert bare.stdout is not None  # noqa: S101
        assert real.stdout is not None  # noqa: S101
        bare_port = int(bare.stdout.readline())
        url = json.loads(real.stdout.readline())["url"]
        signer = Ed25519EnvelopeSigner(key)  # type: ignore[arg-type]
        bench = Bench(int(url.rpartition(":")[2]), real.pid, token, signer)
        limit = (bare_port, bare.pid)
        asyncio.run(press(bench.port, bench.pid, bench.requests(512, signed=True), 16))  # warm up
        yield from throughput(bench, limit, 5_120 if quick else 20_480)
        yield from latency(bench, limit, 5 if quick else 20)
        yield from stream(bench, 5 if quick else 20)


def main() -> None:
    """Run and report."""
    chosen = options(__doc__ or "")
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        measured = list(rows(Path(folder), quick=chosen.quick))
    report(measured, as_json=chosen.json)


if __name__ == "__main__":
    main()
