"""What goes wrong with deployments wakes people: by a real Alertmanager, and by a signed webhook.

Three environments of one service, so that three things go wrong at once: a canary that fails and
must not be returned, a return that does not help, and a release with all of the traffic that burns
the budget. The server is killed in between; nobody is woken twice for it.
"""

import json
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from alertmanagers import (
    SECONDS,
    USER,
    Alertmanager,
    Json,
    alertmanager,
    await_told,
    needs_alertmanager,
)
from notified import Listener, listening
from rolling_out import HISTORY_SECONDS, QUICK, SERVICE, Service

from deploymark.crypto.standard_webhooks import parse_secret, verify

HELD, STUCK, LIVE = "held", "stuck", "live"
SECRET = f"whsec_{b64encode(bytes(range(32))).decode()}"
OWNER = "team:payments"

ROUTES = """
route:
  receiver: people
  group_by: [service, environment]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
receivers:
  - name: people
    webhook_configs: [{{url: "http://127.0.0.1:{port}/", send_resolved: true}}]
"""


class Told(NamedTuple):
    """Something that somebody was told."""

    name: str
    environment: str
    deployment: str


class People:
    """Those who are told, by both ways."""

    def __init__(self, pager: Listener, hook: Listener) -> None:
        self.pager = pager
        self.hook = hook

    def paged(self) -> list[Json]:
        """Return what the Alertmanager told, each alert as often as it did."""
        told = [json.loads(request.body) for request in list(self.pager.requests)]
        return [alert for group in told for alert in group["alerts"]]

    def await_pages(self, status: str, wanted: set[Told]) -> None:
        """Wait until the Alertmanager has told this much, and see that the webhook heard it too."""

        def enough(told: list[Json]) -> bool:
            alerts = [alert for group in told for alert in group["alerts"]]
            return wanted <= {_of(alert["labels"]) for alert in alerts if alert["status"] == status}

        await_told(self.pager, enough)
        _await(lambda: wanted <= self.hooked(status))

    def hooked(self, status: str) -> set[Told]:
        """Return what the webhook was told; each was signed."""
        found = set()
        for request in list(self.hook.requests):
            name, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
            signature = request.headers["webhook-signature"]
            verify(parse_secret(SECRET), name, int(at), request.body, signature, int(at))
            told = json.loads(request.body)["data"]
            for each in told["alerts"]:
                if (each["ended_at"] is not None) == (status == "resolved"):
                    found.add(Told(each["code"], told["environment"], each["deployment_id"]))
        return found


def _of(labels: Json) -> Told:
    words = labels["alertname"].removeprefix("Deploymark")
    code = "".join(f"_{each.lower()}" if each.isupper() else each for each in words)
    return Told(code.strip("_"), labels["environment"], labels["deployment_id"])


def _await(holds: Callable[[], bool]) -> None:
    for _ in range(SECONDS * 10):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError


def alerts_of(running: Alertmanager, hook: Listener, secret: Path) -> str:
    """Return the configuration: half a minute of trouble is to show what takes hours else."""
    return f"""
[services.{SERVICE}]
owner = "{OWNER}"
[alerts]
repeat_seconds = 1
quiet_seconds = 2
least_seconds = 2
[[alerts.notifiers]]
kind = "alertmanager"
url = "http://127.0.0.1:{running.port}"
user = "{USER}"
secret_file = "{running.secret_file}"
[[alerts.notifiers]]
kind = "webhook"
url = "http://127.0.0.1:{hook.port}/hook"
secret_file = "{secret}"
urgencies = ["page"]
[rollouts.{SERVICE}.{LIVE}]
{QUICK}
[rollouts.{SERVICE}.{LIVE}.objective]
target = 0.9
blamed_seconds = 600
pages = [{{ rate = 3, long_seconds = 10, short_seconds = 4 }}]
"""


@pytest.fixture
def people(tmp_path: Path) -> Iterator[tuple[People, Alertmanager]]:
    with (
        listening(Listener()) as pager,
        listening(Listener()) as hook,
        alertmanager(tmp_path / "am", ROUTES.format(port=pager.port)) as running,
    ):
        yield People(pager, hook), running


@pytest.fixture
def service(place: Path, people: tuple[People, Alertmanager]) -> Iterator[Service]:
    told, running = people
    service = Service(place, HELD, STUCK)
    secret, configuration = place / "webhook.secret", place / "deploymark.toml"
    secret.write_text(SECRET)
    soon = configuration.read_text().replace("recovery_seconds = 30", "recovery_seconds = 5")
    configuration.write_text(soon + alerts_of(running, told.hook, secret))
    with service:
        yield service


@pytest.mark.long
@needs_alertmanager
def test_what_goes_wrong_pages_once_by_both_ways_until_it_is_over(
    service: Service, people: tuple[People, Alertmanager]
) -> None:
    told, _ = people
    stable = {}
    for environment in (HELD, STUCK, LIVE):
        stable[environment] = service.deploy(environment, "v1")
        service.traffic.serve(environment, ("v1", stable[environment]))
    # Nobody says that what runs in the other place is good to return to.
    service.command("rollback", "adopt", stable[STUCK], "--reason", "it has always run here")
    time.sleep(HISTORY_SECONDS)
    service.traffic.errors |= {"v2": 0.4}
    # The canary keeps its traffic, whatever the splitter says.
    service.traffic.stuck[STUCK] = 25.0
    name = {}
    for environment, weight in ((HELD, 0), (STUCK, 0), (LIVE, None)):
        name[environment] = service.deploy(environment, "v2", weight=weight)
        arms = ("v1", stable[environment]), ("v2", name[environment])
        service.traffic.serve(environment, *(arms if weight == 0 else arms[1:]))

    # One after the other in an environment: a canary fails, then what follows from it.
    pages = {
        Told("canary_failed", HELD, f"{name[HELD]}~1"),
        Told("guard_held", HELD, f"{name[HELD]}~1"),
        Told("canary_failed", STUCK, f"{name[STUCK]}~1"),
        Told("recovery_failed", STUCK, f"{name[STUCK]}~1"),
        Told("budget_breached", LIVE, f"{name[LIVE]}~1"),
        Told("production_regressed", LIVE, f"{name[LIVE]}~1"),
    }
    told.await_pages("firing", pages)
    held = {guard["name"] for guard in guards_of(service.shown(name[HELD])) if not guard["held"]}
    assert "target" in held

    service.kill()
    service.serve()
    service.traffic.errors["v2"] = 0.05
    over = {each for each in pages if each.environment == LIVE}
    told.await_pages("resolved", over)

    # What belongs to one service and environment is told together, and to its owner; whoever was
    # woken was woken once, although the server was killed.
    groups = [json.loads(request.body) for request in list(told.pager.requests)]
    assert all(set(each["groupLabels"]) == {"service", "environment"} for each in groups)
    alerts = told.paged()
    assert {alert["labels"]["owner"] for alert in alerts} == {OWNER}
    begun = {(_of(alert["labels"]), alert["startsAt"]) for alert in alerts}
    assert len(begun) == len({subject for subject, _ in begun})
    assert {subject for subject, _ in begun} >= pages
    severe = {_of(each["labels"]) for each in alerts if each["labels"]["severity"] == "page"}
    assert severe == pages


def guards_of(shown: Json) -> list[Json]:
    """Return what the guards said of a rollout, decision by decision."""
    return [guard for each in shown["decisions"] for guard in each.get("guards") or ()]
