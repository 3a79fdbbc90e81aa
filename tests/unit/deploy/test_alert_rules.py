"""The alert rules: promtool agrees with them, and they name only what exists."""

import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped, unused-ignore]

from deploymark.ingest.refusals import CODES
from deploymark.model.vocabulary import FindingCode
from deploymark.projections.measures import MEASURES
from generated_pages import ROOT, error_classes

ALERTS = ROOT / "deploy" / "alerts"
RULES = (ALERTS / "deploymark.rules.yml").read_text(encoding="utf-8")
TESTS = (ALERTS / "deploymark.rules_test.yml").read_text(encoding="utf-8")
SECONDS = 60

PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    PROMTOOL is None, reason="promtool (Debian: prometheus) is not installed"
)


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]


@needs_promtool
@pytest.mark.parametrize(
    "words",
    [("check", "rules", "deploymark.rules.yml"), ("test", "rules", "deploymark.rules_test.yml")],
)
def test_promtool_agrees(words: tuple[str, ...]) -> None:
    ran = subprocess.run(
        [PROMTOOL or "", *words],
        cwd=ALERTS,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_every_alert_is_tried_with_samples() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))
    assert [name for name in names if name not in TESTS] == []


def test_every_alert_says_whom_it_is_for_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule
        assert rule["labels"]["team"] in {"platform", "owner"}, rule
        assert {"summary", "description"} <= set(rule["annotations"]), rule
        runbook = rule["annotations"].get("runbook")
        assert runbook is None or (ROOT / runbook).is_file(), runbook


def test_the_alerts_use_only_metrics_that_are_explained() -> None:
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`(deploymark_[a-z_]+)", page))
    used = {
        re.sub(r"_(?:bucket|count|sum)$", "", name)
        for rule in rules()
        for name in re.findall(r"deploymark_[a-z_]+", rule["expr"])
    }
    assert used - explained == set()


def test_the_alerts_use_only_findings_measures_and_codes_that_exist() -> None:
    errors = {each.code for each in error_classes()}
    known = {*FindingCode, *CODES, *errors, "cosigned"}
    for rule in rules():
        for matched in re.findall(r'code[!=]~?"([^"]+)"', rule["expr"]):
            assert set(matched.split("|")) <= known, (rule["alert"], matched)
        assert set(re.findall(r'measure="(\w+)"', rule["expr"])) <= set(MEASURES)
