"""An Alertmanager is told, a real one where it is installed: people hear of it once, in groups."""

import contextlib
import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from alertmanagers import Alertmanager, alertmanager, await_told, needs_alertmanager
from msgspec.structs import replace
from notified import Listener, listening

from deploymark.errors import NotifierRefusedError, NotifierUnavailableError, UsageError
from deploymark.integrations.alertmanager.notifier import (
    AlertmanagerNotifier,
    AlertmanagerSettings,
)
from deploymark.ports import Urgency
from deploymark.testing.clock import START_MS, ManualClock
from deploymark.testing.notifier import exercise_notifier, sample_alert

# A real one -----------------------------------------------------------------------------------


@needs_alertmanager
def test_the_alertmanager_notifier_keeps_the_contract(tmp_path: Path) -> None:
    numbers = count()
    exercise_notifier(lambda: alertmanager(tmp_path / f"am-{next(numbers)}"))


@contextlib.contextmanager
def told_people(folder: Path) -> Iterator[tuple[Alertmanager, Listener]]:
    """An Alertmanager whose only receiver is a listener."""
    configuration = """
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
    with (
        listening(Listener()) as listener,
        alertmanager(folder, configuration.format(port=listener.port)) as running,
    ):
        yield running, listener


@needs_alertmanager
def test_people_hear_of_a_page_once_in_a_group_and_of_its_end(tmp_path: Path) -> None:
    with told_people(tmp_path / "am") as (running, listener):
        now_ms = running.now_ms()
        page = sample_alert(1, began_ms=now_ms)
        beside = replace(page, code="recovery_failed")
        elsewhere = sample_alert(2, began_ms=now_ms, urgency=Urgency.TICKET)

        # Told again and again, also by one that was started anew.
        for _ in range(5):
            running.notifier.notify([page, beside, elsewhere])
        await_told(listener, lambda told: len(told) == 2)
        running.notifier.notify([page, beside, elsewhere])

        ended = [replace(each, ended_ms=now_ms + 1) for each in (page, beside, elsewhere)]
        running.notifier.notify(ended)
        told = await_told(listener, lambda told: len(told) == 4)

    groups = [(each["groupLabels"]["service"], each["status"]) for each in told]
    assert sorted(groups) == [
        ("service-1", "firing"),
        ("service-1", "resolved"),
        ("service-2", "firing"),
        ("service-2", "resolved"),
    ]
    (firing,) = (
        told[place]
        for place, group in enumerate(groups)
        if group[0] == "service-1" and group[1] == "firing"
    )
    assert firing["commonLabels"] == {
        "service": "service-1",
        "environment": "prod",
        "deployment_id": "d-1~1",
        "severity": "page",
        "owner": "team:payments",
    }
    assert {each["labels"]["alertname"] for each in firing["alerts"]} == {
        "DeploymarkCanaryFailed",
        "DeploymarkRecoveryFailed",
    }
    assert firing["commonAnnotations"]["summary"] == page.summary


# Its words ----------------------------------------------------------------------------------------


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening(Listener()) as listener:
        yield listener


def notifier_of(
    listener: Listener, *, user: str = "", secret_file: Path | None = None
) -> AlertmanagerNotifier:
    settings = AlertmanagerSettings(
        f"http://127.0.0.1:{listener.port}/prefix/",
        user=user,
        secret_file=secret_file,
        runbooks="https://docs.example/alerts",
    )
    return AlertmanagerNotifier(settings, ManualClock())


def test_an_alert_is_posted_with_labels_that_stay_and_the_rest_as_annotations(
    listener: Listener,
) -> None:
    one = sample_alert(1)
    over = sample_alert(2, ended_ms=START_MS + 1_000, service="", indexes=(), owner="")
    notifier_of(listener).notify([one, over])
    (request,) = listener.requests
    assert request.path == "/prefix/api/v2/alerts"
    assert request.headers["content-type"] == "application/json"
    assert "authorization" not in request.headers
    assert json.loads(request.body) == [
        {
            "labels": {
                "alertname": "DeploymarkCanaryFailed",
                "service": "service-1",
                "environment": "prod",
                "deployment_id": "d-1~1",
                "severity": "page",
                "owner": "team:payments",
            },
            "annotations": {
                "summary": one.summary,
                "description": one.detail,
                "runbook": "https://docs.example/alerts#canary_failed",
                "entries": "7, 9",
            },
            "startsAt": "2026-11-18T11:06:40.000Z",
            "endsAt": "2026-11-18T11:21:40.000Z",
        },
        {
            "labels": {
                "alertname": "DeploymarkCanaryFailed",
                "environment": "prod",
                "deployment_id": "d-2~1",
                "severity": "page",
            },
            "annotations": {
                "summary": over.summary,
                "description": over.detail,
                "runbook": "https://docs.example/alerts#canary_failed",
            },
            "startsAt": "2026-11-18T11:06:40.000Z",
            "endsAt": "2026-11-18T11:06:41.000Z",
        },
    ]


def test_an_end_before_the_beginning_is_sent_as_the_beginning(listener: Listener) -> None:
    # A clock went back between them; Alertmanager would refuse it.
    notifier_of(listener).notify([sample_alert(1, ended_ms=START_MS - 60_000)])
    (told,) = json.loads(listener.requests[0].body)
    assert told["startsAt"] == told["endsAt"]


@pytest.mark.parametrize(
    ("user", "sent"),
    [("", "Bearer s3cret"), ("dm", f"Basic {b64encode(b'dm:s3cret').decode()}")],
)
def test_the_secret_is_sent_as_it_is_in_the_file_now(
    listener: Listener, tmp_path: Path, user: str, sent: str
) -> None:
    file = tmp_path / "secret"
    file.write_text("before")
    notifier = notifier_of(listener, user=user, secret_file=file)
    file.write_text("s3cret\n")
    notifier.notify([sample_alert(1)])
    assert listener.requests[0].headers["authorization"] == sent


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"\xff", b"x" * 10_000])
def test_what_is_no_secret_is_refused_and_not_sent(
    listener: Listener, tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "secret"
    file.write_text("good")
    notifier = notifier_of(listener, secret_file=file)
    file.write_bytes(content)
    with pytest.raises(NotifierRefusedError, match="holds no secret"):
        notifier.notify([sample_alert(1)])
    with pytest.raises(UsageError, match="holds no secret"):
        notifier_of(listener, secret_file=file)
    assert listener.requests == []


def test_an_address_that_leads_nowhere_is_refused_at_once() -> None:
    for url in ("alertmanager:9093", "http://alertmanager:9093", "https://am.example/?x=y"):
        with pytest.raises(UsageError):
            AlertmanagerNotifier(AlertmanagerSettings(url), ManualClock())
    settings = AlertmanagerSettings("http://alertmanager:9093", allow_plain_http=True)
    assert AlertmanagerNotifier(settings, ManualClock()).name == (
        "alertmanager http://alertmanager:9093"
    )


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, NotifierUnavailableError),
        (503, NotifierUnavailableError),
        (429, NotifierUnavailableError),
        (400, NotifierRefusedError),
        (401, NotifierRefusedError),
        (302, NotifierRefusedError),
    ],
)
def test_a_status_tells_whether_to_try_again(
    listener: Listener, status: int, error: type[Exception]
) -> None:
    listener.status, listener.answer = status, b'{"code":1,"message":"why"}'
    with pytest.raises(error, match=f"{status}.*why"):
        notifier_of(listener).notify([sample_alert(1)])


def test_what_one_request_is_refused_for_keeps_the_next_back_from_nothing(
    listener: Listener,
) -> None:
    listener.status = 400
    with pytest.raises(NotifierRefusedError):
        notifier_of(listener).notify([sample_alert(number) for number in range(450)])
    assert sum(len(json.loads(request.body)) for request in listener.requests) == 450
    assert len(listener.requests) == 3
