"""Native histograms, as a real Prometheus scrapes and tells them, hold what was counted.

No client library here can show them, so their protobuf (`io.prometheus.client.MetricFamily`) is
written by hand.
"""

import math
from collections import Counter
from pathlib import Path
from struct import pack

import pytest
from prometheus_server import (
    MISSING,
    PROMETHEUS,
    await_,
    deploymark,
    now,
    prometheus,
    serving,
    value_of,
)

from deploymark.integrations.prometheus.client import PrometheusSettings
from deploymark.integrations.prometheus.source import PrometheusCounts
from deploymark.ports import Cohort, MetricQuery

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason=MISSING)

KIND = (
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)
LATENCY = MetricQuery("latency", "latency", "native_seconds")
_VARINT, _DOUBLE, _BYTES = 0, 1, 2
_HISTOGRAM = 4


def varint(number: int) -> bytes:
    found = b""
    while number > 127:
        found += bytes([number & 127 | 128])
        number >>= 7
    return found + bytes([number])


def signed(number: int) -> bytes:
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)


def field(number: int, wire: int, content: bytes) -> bytes:
    length = varint(len(content)) if wire == _BYTES else b""
    return varint(number << 3 | wire) + length + content


class App:
    """An application whose latencies are shown.

    Attributes:
        latencies: Of its requests, in seconds.
        schema: Buckets are powers of 2**(2**-schema).
    """

    def __init__(self) -> None:
        self.latencies: list[float] = []
        self.schema = 3

    def page(self) -> bytes:
        """Return the exposition."""
        latencies, schema = list(self.latencies), self.schema
        counts = Counter(math.ceil(math.log2(each) * 2.0**schema) for each in latencies if each)
        histogram = (
            field(1, _VARINT, varint(len(latencies)))
            + field(2, _DOUBLE, pack("<d", sum(latencies)))
            + field(5, _VARINT, signed(schema))
            + field(6, _DOUBLE, pack("<d", 2.0**-128))
            + field(7, _VARINT, varint(latencies.count(0.0)))
        )
        if counts:
            first, last = min(counts), max(counts)
            span = field(1, _VARINT, signed(first)) + field(2, _VARINT, varint(last - first + 1))
            held = [counts[index] for index in range(first, last + 1)]
            steps = [later - earlier for earlier, later in zip([0, *held], held, strict=False)]
            histogram += field(12, _BYTES, span)
            histogram += field(13, _BYTES, b"".join(map(signed, steps)))
        labels = b"".join(
            field(1, _BYTES, field(1, _BYTES, name) + field(2, _BYTES, value))
            for name, value in ((b"namespace", b"shop"), (b"pod", b"pod-1"))
        )
        family = (
            field(1, _BYTES, b"native_seconds")
            + field(3, _VARINT, varint(_HISTOGRAM))
            + field(4, _BYTES, labels + field(7, _BYTES, histogram))
        )
        return varint(len(family)) + family


def test_latencies_are_counted_through_resets_and_changes_of_the_schema(tmp_path: Path) -> None:
    app = App()
    with (
        deploymark({"pod-1": "d-one"}) as info_port,
        serving(app.page, KIND) as port,
        prometheus(
            tmp_path,
            [f"127.0.0.1:{each}" for each in (info_port, port)],
            options=("--enable-feature=native-histograms",),
        ) as url,
    ):

        def scraped() -> bool:
            return value_of(url, "histogram_count(native_seconds)") == len(app.latencies)

        # 1. Where counting begins: at a second before which these were scraped.
        app.latencies = [0.03] * 1_000
        await_(lambda: scraped() and value_of(url, "deploymark_info") == 1)
        since_s = now() + 1
        await_(lambda: now() > since_s)
        # 2. More of them, some slow, some immediate.
        app.latencies = app.latencies + [0.03] * 30 + [0.7] * 5 + [0.0] * 2
        await_(scraped)
        # 3. The process begins anew, then its buckets become wider.
        app.latencies = [0.7] * 4
        await_(scraped)
        app.schema, app.latencies = 1, [*app.latencies, 0.03, 5.0, 5.0]
        await_(scraped)
        # One step later a value to which nothing is added is there as well.
        until_s = now() + 1
        await_(lambda: now() > until_s + 2)
        counts = PrometheusCounts(
            "prom-1", PrometheusSettings(url=url, scrape_seconds=1, look_back_seconds=30)
        )
        asked = (Cohort("checkout", "prod", ("d-one",)), [LATENCY])
        found = counts.count(*asked, since_s * 1_000, until_s * 1_000, 1_000)
    cells = found.cells["latency"]
    assert sum(sum(cell.counts) for cell in cells) == 30 + 5 + 2 + 4 + 3
    slower = {
        bound: sum(sum(cell.counts[cell.bounds.index(bound) + 1 :]) for cell in cells)
        for bound in (0.5, 1.0, 4.0)
    }
    assert slower == {0.5: 5 + 4 + 2, 1.0: 2, 4.0: 2}
    assert {cell.replica for cell in cells} == {"shop/pod-1"}
