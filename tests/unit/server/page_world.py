"""A front door whose pages are answered from the real views of a real log, and real telemetry."""

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from door_samples import Chance, Door, NoEmitters, ReadMeter, Reply
from projected_log import compiled_once

from deploymark.ingest.admission import AdmissionRules
from deploymark.ingest.callers import PLATFORM
from deploymark.ingest.links import SignInLinks
from deploymark.ingest.sessions import Sessions
from deploymark.model.histogram import Histogram
from deploymark.model.instants import format_instant
from deploymark.model.vocabulary import VERDICT, Role
from deploymark.ports import Counted, CountKey, Place, Telemetry
from deploymark.projections.broker.census import BrokerCensus
from deploymark.projections.broker.fleet_query import FleetBook
from deploymark.projections.broker.marks_query import Marks
from deploymark.projections.broker.punctuality import punctuality
from deploymark.projections.broker.query import BrokerQuery
from deploymark.projections.broker.run_book import RunBook
from deploymark.projections.broker.view import BrokerView
from deploymark.projections.database import Views, open_views
from deploymark.projections.error_delta import ErrorDeltas
from deploymark.projections.expectations import Expectations
from deploymark.projections.outcomes import OutcomesView
from deploymark.projections.outcomes_query import Outcomes
from deploymark.projections.runner import Runner, View
from deploymark.projections.search import Search, SearchView
from deploymark.projections.timeline import TimelineView
from deploymark.projections.timeline_query import Timeline
from deploymark.projections.timeline_stream import Stream
from deploymark.runtime.measuring import Measuring
from deploymark.server.application import Application
from deploymark.server.built import Assets
from deploymark.server.page_sources import PageSources
from deploymark.server.settings import Settings
from deploymark.storage.sqlite.telemetry import SqliteTelemetryStore
from deploymark.telemetry.confirmations import Confirmations
from deploymark.telemetry.limits import BODY_BYTES, MEGABYTE
from deploymark.telemetry.room import Settings as RoomSettings
from deploymark.telemetry.room import make_room
from deploymark.telemetry.series import EmbeddedSeries
from deploymark.testing.clock import START_MS
from deploymark.testing.meter import ListMeter

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
JSON = {"accept": "application/json"}
_BOOT = re.compile(r'<script type="application/json" id="boot">(.*?)</script>', re.DOTALL)
KEPT_SECONDS = 172_800


def build_assets(folder: Path) -> Assets:
    """Lay down what the build of a page leaves, in small."""
    files = {
        "main-1a.js": ("text/javascript", b"import './oncall-2b.js';" * 100),
        "oncall-2b.js": ("text/javascript", b"export const page = 1;" * 100),
        "main-3c.css": ("text/css", b"body { margin: 0 }" * 100),
    }
    folder.mkdir()
    told = {}
    for name, (kind, content) in files.items():
        (folder / name).write_bytes(content)
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        (folder / f"{name}.br").write_bytes(b"brotli of " + name.encode())
        told[name] = {"bytes": len(content), "br": 1, "gz": 1, "type": kind}
    manifest = {
        "sources": "0" * 64,
        "base": "/assets/",
        "scripts": ["main-1a.js"],
        "styles": ["main-3c.css"],
        "pages": {"oncall": {"scripts": ["oncall-2b.js"], "styles": []}},
        "files": told,
        "budgets": {"oncall": 1, "all": 1},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return Assets(folder)


class PunctualEmitters(NoEmitters):
    """Emitters as the broker knows them; the ledger of numbers is empty."""

    def __init__(self, views: Views) -> None:
        self._views = views

    def punctuality(self) -> dict[str, Any]:
        return punctuality(self._views)


class PageDoor(Door):
    """A door with views and telemetry behind it; time stands still until it is moved.

    Args:
        folder: Where views and telemetry lie.
        expectations: What should run.
        settings: How the door is set up.
    """

    def __init__(
        self,
        folder: Path,
        expectations: Expectations | None = None,
        settings: Settings | None = None,
        **sources: Any,  # noqa: ANN401 - any field of PageSources
    ) -> None:
        super().__init__()
        expectations = expectations or Expectations()
        clock, meter = self.log.clock, ReadMeter()
        self.file = compiled_once(open_views(folder / "views.db"))
        views: list[View[Any]] = [
            SearchView(),
            BrokerView(expectations),
            TimelineView(expectations),
            OutcomesView(),
        ]
        self.runner = Runner(self.log.store, self.file, views, ListMeter())
        self.store = SqliteTelemetryStore(folder / "telemetry.db", 64 * MEGABYTE)
        room = make_room(
            self.store,
            RoomSettings(KEPT_SECONDS, 64 * MEGABYTE, BODY_BYTES, ("saturation",)),
            rules=AdmissionRules(),
            confirmations=Confirmations(self.intake.submit, clock, meter),
            clock=clock,
            meter=meter,
        )
        self.links = SignInLinks(clock, Chance())
        sessions = Sessions(self.kept, self.keeper, clock, Chance(), meter, self.links)
        deltas = ErrorDeltas(self.file, room.reader, KEPT_SECONDS)
        census, outcomes = BrokerCensus(self.file, expectations), Outcomes(self.file)
        self.parts = replace(
            self.parts,
            sessions=sessions,
            emitters=PunctualEmitters(self.file),
            runner=self.runner,
            search=Search(self.file),
            broker=BrokerQuery(self.file, expectations),
            timeline=Timeline(self.file),
            measures=Measuring(census, {}, outcomes, deltas, clock),
            telemetry=room,
            pages=PageSources(
                marks=Marks(self.file),
                book=RunBook(self.file),
                stream=Stream(self.file),
                fleet=FleetBook(self.file),
                deltas=deltas,
                series={"telemetry": EmbeddedSeries(room.reader, 10)},
                assets=build_assets(folder / "assets"),
                expectations=expectations,
                one_commit=self.file.one_commit,
                **sources,
            ),
        )
        self.settings = settings or Settings()
        self.app = Application(self.parts, self.settings)

    def use(self, **parts: Any) -> None:  # noqa: ANN401 - any part
        """Put other parts behind the door."""
        self.parts = replace(self.parts, **parts)
        self.app = Application(self.parts, self.settings)

    def say(self, at: float, **fields: Any) -> int:  # noqa: ANN401 - of a marker
        """Append a marker that is received and happens so many seconds after the start."""
        self.log.clock.advance(at - (self.log.clock.now_ms() - START_MS) / 1_000)
        fields = {"service": "checkout", "environment": "prod", **fields}
        fields.setdefault("timestamp", format_instant(START_MS + round(at * 1_000)))
        reply = self.post(fields)
        assert reply.status == 201, reply.body
        self.runner.catch_up()
        return int(reply.json["index"])

    def tell(self, kind: str, **fields: Any) -> int:  # noqa: ANN401 - of an entry
        """Append an entry of the platform: a verdict, a decision, a finding."""
        admitted = self.intake.say(kind, fields, PLATFORM)
        self.runner.catch_up()
        return admitted.index

    def count(self, at: float, errors: float, requests: float, **more: str) -> None:
        """Let requests of ten seconds be counted, all within a tenth of a second but the errors."""
        names = {"service": "checkout", "environment": "prod", "deployment": "", "pod": "a", **more}
        bucket_s = START_MS // 1_000 + round(at)
        place = Place(names["service"], names["environment"], names["deployment"], names["pod"])
        key = CountKey(place, bucket_s - bucket_s % 10, "http", "metric")
        slow = round(errors)
        latency = Histogram((0.1, 0.5), (round(requests) - slow, slow, 0), requests * 0.05)
        counted = Counted(requests, errors, round(requests), bucket_s, latency)
        self.store.save(Telemetry(START_MS // 1_000, {key: counted}, {}, {}, [], [], {}, []))

    def look(self, path: str, role: Role | None = Role.READER, **headers: str) -> Reply:
        """Ask for a document as a program does."""
        return self.ask("GET", path, role, headers={**JSON, **headers})

    def browse(self, path: str, role: Role | None = Role.READER, **headers: str) -> Reply:
        """Ask for a page as a browser does."""
        said = {name.replace("_", "-"): text for name, text in headers.items()}
        return self.ask("GET", path, role, headers={"accept": BROWSER, **said})

    def __exit__(self, *_: object) -> None:
        self.runner.stop()
        self.file.close()
        self.store.close()
        super().__exit__()


def boot_of(reply: Reply) -> dict[str, Any]:
    """Return the boot data of a page."""
    found = _BOOT.search(reply.body.decode())
    assert found is not None, reply.body[:300]
    boot: dict[str, Any] = json.loads(found[1])
    return boot


def judge(door: PageDoor, name: str, at: float, **more: object) -> int:
    """Say what a look found of a deployment, so many seconds in; return the index."""
    said = {
        "deployment_id": name,
        "service": "checkout",
        "environment": "prod",
        "result": "inconclusive",
        "advice": "extend",
        "look": 1,
        "step": 1,
        "score": 50.0,
        "inputs_digest": door.intake.keep_evidence(f"{name} {at}".encode(), PLATFORM),
        "judge": "deploymark-judge/1",
        "timestamp": format_instant(START_MS + round(at * 1_000)),
        **more,
    }
    return door.tell(VERDICT, **said)


def look_at_oncall(door: PageDoor, query: str = "") -> dict[str, Any]:
    """Return the document of the page for a person on call."""
    reply = door.look(f"/oncall{query}")
    assert reply.status == 200, reply.body
    document: dict[str, Any] = reply.json
    return document
