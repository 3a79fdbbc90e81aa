"""A webhook is told each beginning and each end once, with a signature that holds."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace
from notified import Listener, listening

from deploymark.crypto.base64text import encode_base64
from deploymark.crypto.standard_webhooks import parse_secret, verify
from deploymark.errors import NotifierRefusedError, NotifierUnavailableError, UsageError
from deploymark.integrations.webhook_notifier.message import MOST_ALERTS, messages_of
from deploymark.integrations.webhook_notifier.notifier import WebhookNotifier
from deploymark.ports import Urgency
from deploymark.testing.clock import ManualClock
from deploymark.testing.notifier import Subject, exercise_notifier, sample_alert

PATH = "/hooks/T0?token=hidden"
BYTES = bytes(range(32))
SECRET = f"whsec_{encode_base64(BYTES)}\n"


class Hook:
    """A webhook as an audience: it believes only what is signed, and drops what it had."""

    def __init__(self, listener: Listener, folder: Path) -> None:
        self.listener = listener
        self.clock = ManualClock()
        self.secret_file = folder / "webhook.secret"
        self.secret_file.write_text(SECRET)
        self._servers = contextlib.ExitStack()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.port}{PATH}"

    @property
    def notifier(self) -> WebhookNotifier:
        return WebhookNotifier(self.url, self.clock, secret_file=self.secret_file)

    def now_ms(self) -> int:
        return self.clock.now_ms()

    def lasting(self) -> set[Subject]:
        lasting: dict[str, Subject | None] = {}
        heard = set()
        for request in self.listener.requests:
            name = request.headers["webhook-id"]
            at = int(request.headers["webhook-timestamp"])
            signature = request.headers["webhook-signature"]
            now = self.clock.now_ms() // 1_000
            verify(parse_secret(SECRET), name, at, request.body, signature, now)
            if name in heard:
                continue
            heard.add(name)
            told = json.loads(request.body)["data"]
            for each in told["alerts"]:
                place = told["service"], told["environment"]
                subject = Subject(each["code"], *place, each["deployment_id"])
                lasting[each["key"]] = None if each["ended_at"] else subject
        return {subject for subject in lasting.values() if subject is not None}

    def start(self) -> None:
        self._servers.enter_context(listening(self.listener))

    def stop(self) -> None:
        self._servers.close()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        self.stop()
        yield
        self.start()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        self.listener.status = 410
        yield
        self.listener.status = 200
        self.listener.requests.clear()


@contextlib.contextmanager
def hooked(folder: Path) -> Iterator[Hook]:
    hook = Hook(Listener(), folder)
    hook.start()
    try:
        yield hook
    finally:
        hook.stop()


@pytest.fixture
def hook(tmp_path: Path) -> Iterator[Hook]:
    with hooked(tmp_path) as hook:
        yield hook


def test_the_webhook_notifier_keeps_the_contract(tmp_path: Path) -> None:
    exercise_notifier(lambda: hooked(tmp_path))


def test_a_message_says_everything(hook: Hook) -> None:
    one = sample_alert(1)
    two = sample_alert(2, service="service-1", urgency=Urgency.TICKET, ended_ms=one.began_ms + 1)
    notifier = WebhookNotifier(
        hook.url, hook.clock, secret_file=hook.secret_file, runbooks="https://docs.example/alerts"
    )
    notifier.notify([one, two])
    (request,) = hook.listener.requests
    assert request.path == PATH
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {
        "type": "deploymark.alerts",
        "timestamp": "2026-11-18T11:06:40.001Z",
        "data": {
            "service": "service-1",
            "environment": "prod",
            "alerts": [
                {
                    "key": one.key,
                    "code": "canary_failed",
                    "urgency": "page",
                    "deployment_id": "d-1~1",
                    "owner": "team:payments",
                    "summary": one.summary,
                    "detail": one.detail,
                    "began_at": "2026-11-18T11:06:40.000Z",
                    "ended_at": None,
                    "entries": [7, 9],
                    "runbook": "https://docs.example/alerts#canary_failed",
                },
                {
                    "key": two.key,
                    "code": "canary_failed",
                    "urgency": "ticket",
                    "deployment_id": "d-2~1",
                    "owner": "team:payments",
                    "summary": two.summary,
                    "detail": two.detail,
                    "began_at": "2026-11-18T11:06:40.000Z",
                    "ended_at": "2026-11-18T11:06:40.001Z",
                    "entries": [7, 9],
                    "runbook": "https://docs.example/alerts#canary_failed",
                },
            ],
        },
    }


def test_each_beginning_and_each_end_is_told_once(hook: Hook) -> None:
    notifier, one = hook.notifier, sample_alert(1)
    over = replace(one, ended_ms=one.began_ms + 1)
    again = replace(one, began_ms=one.began_ms + 900_000)
    for told in (one, one, over, over, again, again):
        notifier.notify([told])
    assert len(hook.listener.requests) == 3


def test_what_was_told_longest_ago_is_forgotten_first(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploymark.integrations.webhook_notifier.notifier._REMEMBERED", 2)
    notifier = hook.notifier
    one, two, three = (sample_alert(number) for number in (1, 2, 3))
    for alert in (one, two, one, three, one, two):
        notifier.notify([alert])
    told = [json.loads(each.body)["data"]["service"] for each in hook.listener.requests]
    assert told == ["service-1", "service-2", "service-3", "service-2"]


def test_after_a_restart_the_same_is_the_same_message(hook: Hook) -> None:
    alerts = [sample_alert(1), sample_alert(2, service="service-1")]
    hook.notifier.notify(alerts)
    hook.clock.advance(60)
    hook.notifier.notify(alerts[::-1])
    first, second = hook.listener.requests
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


def test_services_and_environments_are_told_apart_and_much_is_told_in_parts() -> None:
    alerts = [sample_alert(number, service="one") for number in range(MOST_ALERTS + 1)]
    alerts += [sample_alert(1, service="one", environment="eu"), sample_alert(1)]
    messages = messages_of(alerts, "")
    assert sorted(len(each.alerts) for each in messages) == [1, 1, 1, MOST_ALERTS]
    assert len({each.id for each in messages}) == len(messages)


def test_what_is_refused_keeps_nothing_else_back(hook: Hook) -> None:
    hook.listener.status, hook.listener.answer = 400, b"what is this?\n"
    notifier, alerts = hook.notifier, [sample_alert(1), sample_alert(2)]
    with pytest.raises(NotifierRefusedError, match=r"400: 'what is this\?'"):
        notifier.notify(alerts)
    assert len(hook.listener.requests) == 2


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
def test_what_may_be_taken_later_is_tried_again(hook: Hook, status: int) -> None:
    hook.listener.status = status
    notifier, one = hook.notifier, sample_alert(1)
    with pytest.raises(NotifierUnavailableError, match=str(status)):
        notifier.notify([one])
    hook.listener.status = 204
    notifier.notify([one])
    assert len(hook.listener.requests) == 2


def test_a_redirect_is_not_followed(hook: Hook) -> None:
    hook.listener.status = 307
    with pytest.raises(NotifierRefusedError, match="307"):
        hook.notifier.notify([sample_alert(1)])


def test_a_secret_can_be_replaced_and_a_bad_one_sends_nothing(hook: Hook) -> None:
    notifier = hook.notifier
    hook.secret_file.write_text("whsec_too_short")
    with pytest.raises(NotifierRefusedError):
        notifier.notify([sample_alert(1)])
    assert hook.listener.requests == []
    other = bytes(reversed(BYTES))
    hook.secret_file.write_text(f"whsec_{encode_base64(other)}")
    notifier.notify([sample_alert(1)])
    (request,) = hook.listener.requests
    at = int(request.headers["webhook-timestamp"])
    headers = request.headers
    verify(other, headers["webhook-id"], at, request.body, headers["webhook-signature"], at)


WRONG: dict[str, Callable[[Path], WebhookNotifier]] = {
    "no URL": lambda file: WebhookNotifier("hooks", ManualClock(), secret_file=file),
    "another host in plain text": lambda file: WebhookNotifier(
        "http://hooks.example/hidden", ManualClock(), secret_file=file
    ),
    "no secret": lambda file: WebhookNotifier(
        "https://hooks.example/hidden", ManualClock(), secret_file=file.with_name("absent")
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_at_once(tmp_path: Path, case: str) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    with pytest.raises(UsageError) as caught:
        WRONG[case](file)
    assert "hidden" not in caught.value.message


def test_no_secret_of_the_address_is_shown(hook: Hook) -> None:
    assert hook.notifier.name == f"webhook http://127.0.0.1:{hook.listener.port}"
    hook.stop()
    with pytest.raises(NotifierUnavailableError) as caught:
        hook.notifier.notify([sample_alert(1)])
    assert "hidden" not in caught.value.message
    hook.start()
