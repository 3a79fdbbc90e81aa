"""What the pages about alerts show works: configurations, routes, the check of signatures."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deploymark.act.alerts import TELLINGS, AlertCode
from deploymark.crypto.standard_webhooks import parse_secret, sign
from deploymark.integrations.alertmanager.message import alert_message, alert_name
from deploymark.integrations.alertmanager.notifier import RUNBOOKS as OF_ALERTMANAGER
from deploymark.integrations.webhook_notifier.message import messages_of
from deploymark.integrations.webhook_notifier.notifier import RUNBOOKS as OF_WEBHOOK
from deploymark.runtime.config import AlertsSection, parse_configuration
from deploymark.testing.notifier import sample_alert
from generated_pages import DOCS, ROOT

PAGE = (DOCS / "howto" / "alerts.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "alerts.md").read_text(encoding="utf-8")
SECONDS = 60

AMTOOL = shutil.which("amtool")
needs_amtool = pytest.mark.skipif(
    AMTOOL is None, reason="amtool (Debian: prometheus-alertmanager) is not installed"
)


def shown(language: str) -> list[str]:
    """Return the blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def amtool(folder: Path, words: str) -> str:
    (configuration,) = shown("yaml")
    (folder / "alertmanager.yml").write_text(configuration)
    ran = subprocess.run(
        [AMTOOL or "", *words.split()],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@needs_amtool
def test_alertmanager_takes_the_configuration(tmp_path: Path) -> None:
    commands = [line for block in shown("sh") for line in block.splitlines()]
    checks = [line.removeprefix("amtool ") for line in commands if line.startswith("amtool ")]
    assert len(checks) == 2
    for words in checks:
        amtool(tmp_path, words)


@needs_amtool
@pytest.mark.parametrize(
    ("labels", "receivers"),
    [
        ("severity=page owner=team:payments", "payments-pager,platform-pager"),
        ("severity=ticket owner=team:payments", "payments-tickets"),
        ("severity=page owner=platform", "platform-pager"),
        ("severity=page owner=team:search", "platform-pager"),
        ("severity=ticket owner=platform", "platform"),
        ("severity=page", "platform-pager"),
        ("severity=page team=platform", "platform-pager"),
    ],
)
def test_the_configuration_routes_by_owner(tmp_path: Path, labels: str, receivers: str) -> None:
    words = f"config routes test --config.file=alertmanager.yml {labels}"
    assert amtool(tmp_path, words).strip() == receivers


def test_the_labels_and_annotations_are_those_of_the_page() -> None:
    told = alert_message(sample_alert(), 0, 0, "")
    table = PAGE.partition("arrives with these labels")[2]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(told["labels"])
    annotations = PAGE.partition("and the annotations")[2].partition(".\n")[0]
    assert {name for name in told["annotations"] if f"`{name}`" not in annotations} == set()
    assert alert_name("canary_failed") in PAGE


def test_deploymark_takes_its_configurations() -> None:
    kinds = [
        notifier.kind
        for block in shown("toml")
        for notifier in parse_configuration(tomllib.loads(block)).alerts.notifiers
    ]
    assert kinds == ["alertmanager", "webhook"]


def test_a_message_has_the_fields_of_the_page() -> None:
    (example,) = shown("json")
    (message,) = messages_of([sample_alert()], "")

    def names(text: str) -> list[str]:
        return re.findall(r'"(\w+)":', text)

    assert names(message.body.decode()) == names(example)


@pytest.mark.parametrize(
    ("change", "genuine"),
    [
        ({}, True),
        ({"webhook-id": "alerts_2"}, False),
        ({"webhook-timestamp": "1001"}, False),
        ({"webhook-signature": "v1,AAAA"}, False),
    ],
)
def test_a_receiver_checks_signatures_as_the_page_says(
    change: dict[str, str],
    genuine: bool,  # noqa: FBT001 - a column of the table
) -> None:
    names: dict[str, Any] = {}
    exec(shown("python")[0], names)  # noqa: S102 - what the page shows
    secret = "whsec_" + "A" * 32
    signature = sign(parse_secret(secret), "alerts_1", 1_000, b"{}")
    headers = {"webhook-id": "alerts_1", "webhook-timestamp": "1000"}
    headers |= {"webhook-signature": f"v1,other {signature}"} | change
    assert names["is_genuine"](f"{secret}\n", headers, b"{}", 1_299.0) is genuine
    assert not names["is_genuine"](secret, headers, b"{} ", 1_000.0)
    assert not names["is_genuine"](secret, headers, b"{}", 1_301.0)


def test_the_secret_is_made_as_the_page_says(tmp_path: Path) -> None:
    (command,) = [block for block in shown("sh") if "whsec_" in block]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=SECONDS)  # noqa: S607
    file = tmp_path / "webhook.secret"
    assert len(parse_secret(file.read_text())) == 32
    assert file.stat().st_mode & 0o077 == 0


def test_every_code_has_a_heading_to_link_to() -> None:
    assert set(TELLINGS) == set(AlertCode)
    assert {code for code in AlertCode if f"\n## `{code}`\n" not in REFERENCE} == set()
    assert OF_ALERTMANAGER == OF_WEBHOOK == AlertsSection().runbooks
    assert (ROOT / OF_WEBHOOK).is_file()
