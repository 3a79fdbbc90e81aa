"""Every setting of a rollout plan stands in its reference."""

import re

import msgspec

from deploymark.act.plan import RolloutPlan
from generated_pages import DOCS

_PAGE = (DOCS / "reference" / "rollouts.md").read_text(encoding="utf-8")
_ROW = re.compile(r"^\| `([a-z_.]+)` \|", re.MULTILINE)


def test_every_setting_of_a_plan_is_documented() -> None:
    settings = {field.name for field in msgspec.structs.fields(RolloutPlan)}
    told = {name.partition(".")[0] for name in _ROW.findall(_PAGE)}
    assert settings - told == set()
