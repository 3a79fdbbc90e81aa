"""A real server with a story on it, for the page to show: what browsers see in these tests.

Everything is said over HTTP, by markers and OpenTelemetry, at claimed times before now.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from typing import Any, Self

import requests
from playwright.sync_api import Page, Route

from deploymark.model.instants import format_instant
from deploymark.testing.otlp import DELTA, FAILED, OK, histogram, metrics, resource

BIN = Path(sys.executable).parent
TOKEN = "an-administrators-token-of-enough-length"  # noqa: S105 - of these tests
PROBE = "/healthz"
SECONDS = 60
MINUTE = 60
STEP = 10
RATE = 20
CLUSTERS = ("ap-1", "eu-1", "eu-2", "us-1")
SERVICES = ("cart", "search", "pricing", "reco", "gateway", "notify", "identity")
PEOPLE = ("ana", "bruno", "chen", "dara", "emeka", "fatima", "gus")

PLAN = """
[telemetry]
bucket_seconds = 10
[rollouts.checkout.prod]
steps = [{ weight = 5 }, { weight = 25 }]
metrics = [{ name = "errors" }]
[rollouts.checkout.prod.actuator]
kind = "command"
options = { run = ["/bin/true"], look = ["/bin/true"] }
"""

Json = dict[str, Any]
Open = Callable[..., Page]
"""Opens an address of a server; see `open_page`."""


def intercept(
    page: Page, asked: str | re.Pattern[str], answer: Callable[[Route], object], *, times: int = 0
) -> None:
    """Let `answer` have what the open page asks from now on, always or so many times.

    The browser takes to `Page.route` a moment after it returned, and what the page asks within that
    moment passes by, unseen: it is over when something is held that only asks for this.
    """
    page.route(f"**{PROBE}", lambda route: route.fulfill(body="held"))
    page.route(asked, answer, times=times or None)
    page.evaluate(
        """async (probe) => { while ((await (await fetch(probe)).text()) !== "held"); }""", PROBE
    )


def digest_of(release: str) -> str:
    """Return the digest of a release, which is nothing but its name."""
    return f"sha256:{sha256(release.encode()).hexdigest()}"


def drawn(page: Page) -> dict[str, list[Json]]:
    """Return what the page says that it has drawn."""
    found: dict[str, list[Json]] = page.evaluate("window.deploymark.drawn")
    return found


class PageServer:
    """A server of its own in a folder.

    Args:
        place: The folder.
        config: Of the server, TOML.
    """

    def __init__(self, place: Path, config: str = PLAN) -> None:
        self.place = place
        self.url = ""
        self._process: subprocess.Popen[str] | None = None
        self._sequence = 0
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {TOKEN}"
        (place / "deploymark.toml").write_text(config)

    def __enter__(self) -> Self:
        self.serve()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._session.close()
        assert "Traceback" not in (self.place / "server.log").read_text()

    def serve(self) -> None:
        """Start the server, always at the same address."""
        listen = self.url.removeprefix("http://") or "127.0.0.1:0"
        words = ("--json", "--data", "data", "--config", "deploymark.toml", "--listen", listen)
        with (self.place / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                [BIN / "deploymark", "up", *words],
                cwd=self.place,
                env={"DEPLOYMARK_ADMIN_TOKEN": TOKEN, "PATH": os.defpath},
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, (self.place / "server.log").read_text()
        self.url = json.loads(line)["url"]

    def stop(self) -> None:
        """End the server."""
        if self._process is None:
            return
        self._process.terminate()
        assert self._process.wait(SECONDS) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    # What is said to it --------------------------------------------------------------------

    def mark(self, *markers: Json) -> list[Json]:
        """Hand in markers, and return what is acknowledged."""
        answer = self._session.post(f"{self.url}/v1/markers", json=list(markers), timeout=SECONDS)
        assert answer.status_code in (HTTPStatus.CREATED, HTTPStatus.OK), answer.text
        results: list[Json] = answer.json()["results"]
        return results

    def deliver(self, *markers: Json) -> list[Json]:
        """Hand in markers out of a spool, the earliest first: numbered, so their times count."""
        numbered = []
        for each in sorted(markers, key=lambda marker: str(marker["timestamp"])):
            self._sequence += 1
            emitter = each["emitter"] | {"epoch": "night", "sequence": self._sequence}
            numbered.append(each | {"emitter": emitter})
        return self.mark(*numbered)

    def ask(self, path: str) -> Json:
        """Return the JSON of an address."""
        answer = self._session.get(
            f"{self.url}{path}", headers={"Accept": "application/json"}, timeout=SECONDS
        )
        assert answer.status_code == HTTPStatus.OK, answer.text
        found: Json = answer.json()
        return found

    def token(self, name: str, *roles: str) -> str:
        """Make a token."""
        answer = self._session.post(
            f"{self.url}/v1/tokens", json={"name": name, "roles": roles}, timeout=SECONDS
        )
        assert answer.status_code == HTTPStatus.CREATED, answer.text
        text: str = answer.json()["token"]
        return text

    def serve_requests(self, service: str, arms: Iterable[tuple[str, float, float, float]]) -> None:
        """Report requests over some time.

        Args:
            service: Of which service, in prod.
            arms: Deployment, from when, until when, and which share of its requests fails.
        """
        for deployment, since, until, bad in arms:
            said = resource(service, "prod", deployment, f"{deployment}-0")
            points = []
            for number in range(int(until - since) // STEP):
                start = since + number * STEP
                points += [
                    histogram(
                        [taken] * many,
                        start + STEP,
                        start_s=start,
                        attributes=what,
                        temporality=DELTA,
                    )
                    for many, taken, what in (
                        (round(RATE * STEP * (1 - bad)), 0.03, OK),
                        (round(RATE * STEP * bad), 0.4, FAILED),
                    )
                    if many
                ]
            for first in range(0, len(points), 100):
                answer = self._session.post(
                    f"{self.url}/v1/metrics",
                    data=metrics(said, points[first : first + 100]).SerializeToString(),
                    headers={"Content-Type": "application/x-protobuf"},
                    timeout=SECONDS,
                )
                assert answer.status_code == HTTPStatus.OK, answer.text


def marker(  # a marker has any field
    service: str,
    version: str,
    phase: str,
    ago_seconds: float,
    **more: Any,  # noqa: ANN401
) -> Json:
    """Return a marker that claims to be from before now."""
    target = {"cluster": more.pop("cluster")} if "cluster" in more else {}
    return {
        "service": service,
        "environment": "prod",
        "version": version,
        "phase": phase,
        "artifact": {"name": f"shop/{service}", "digest": digest_of(service + version)},
        "timestamp": format_instant(int((time.time() - ago_seconds) * 1000)),
        "emitter": {"kind": "ci", "id": "https://ci.example.com/shop"},
        **({"target": target} if target else {}),
        **more,
    }


def tell_story(server: PageServer) -> dict[str, str]:
    """Tell of a night on which checkout 2.31.0 makes requests fail; return ids by what they are."""
    told: list[Json] = []
    for number in range(24):
        service = SERVICES[number % len(SERVICES)]
        cluster = CLUSTERS[number % len(CLUSTERS)]
        owner = PEOPLE[number % len(PEOPLE)]
        ago = (340 - 13 * number) * MINUTE
        about: Json = {
            "owner": owner,
            "cluster": cluster,
            "change_tickets": [f"CHG-{1000 + number}"],
        }
        version = f"1.{number}.0"
        told.append(marker(service, version, "applying", ago, **about))
        told.append(marker(service, version, "applied", ago - 90, **about))
    told.append(
        marker(
            "search",
            "flags-7",
            "applied",
            80 * MINUTE,
            kind="config",
            key="search.limits",
            revision="7",
            owner="gus",
            cluster="ap-1",
        )
    )
    ana: Json = {
        "owner": "ana",
        "cluster": "eu-1",
        "change_tickets": ["CHG-10997"],
        "rollout": {"strategy": "rolling"},
        "changes": [{"commit": "a1b2c3d", "ticket": "CHG-10997", "title": "Charge in one step"}],
        "links": [{"rel": "change", "href": "https://tickets.example.com/CHG-10997"}],
    }
    told.append(marker("checkout", "2.30.4", "applied", 300 * MINUTE, owner="ana", cluster="eu-1"))
    story: list[tuple[str, Json]] = [
        ("checkout", marker("checkout", "2.31.0", "planned", 24 * MINUTE, **ana)),
        ("checkout", marker("checkout", "2.31.0", "applying", 22 * MINUTE, **ana)),
        ("checkout", marker("checkout", "2.31.0", "applied", 21 * MINUTE, **ana)),
        (
            "payments",
            marker("payments", "4.27.4", "applied", 40 * MINUTE, owner="chen", cluster="eu-2"),
        ),
        (
            "catalog",
            marker(
                "catalog",
                "4.8.9",
                "applying",
                9 * MINUTE,
                owner="dara",
                cluster="eu-2",
                rollout={"strategy": "canary", "track": "canary", "weight": 5},
            ),
        ),
        (
            "search",
            marker("search", "3.53.5", "applying", 3 * MINUTE, owner="chen", cluster="eu-1"),
        ),
    ]
    told += [each for _, each in story]
    ids = {
        (result["service"], result["version"]): result["deployment_id"]
        for result in _with_names(server.deliver(*told), told)
    }
    names = {name: ids[each["service"], each["version"]] for name, each in story}
    names["before"] = ids["checkout", "2.30.4"]
    newest = names["checkout"]
    server.mark(
        *(
            {
                "service": "checkout",
                "environment": "prod",
                "phase": "running",
                "deployment_id": newest,
                "artifact": {"digest": digest_of("checkout2.31.0")},
                "target": {"instance_uid": f"checkout-{number}", "cluster": "eu-1"},
                "evidence": {"basis": "observed", "digest": digest_of("checkout2.31.0")},
                "emitter": {"kind": "orchestrator", "id": "observer"},
            }
            for number in range(3)
        )
    )
    now = time.time()
    live = now - 21 * MINUTE
    server.serve_requests(
        "checkout",
        [(names["before"], live - 45 * MINUTE, live, 0.004), (newest, live, now, 0.03)],
    )
    return names


def _with_names(results: list[Json], told: list[Json]) -> list[Json]:
    ordered = sorted(told, key=lambda marker: str(marker["timestamp"]))
    return [
        {**result, "service": each["service"], "version": each["version"]}
        for result, each in zip(results, ordered, strict=True)
    ]
